/*
 * Loads a guest: tells the file's kind by its content, hands it to that kind's loader, then builds what the guest ABI
 * promises below 1 MiB. For the VMM's launch path; a hostile file can make this fail, never more.
 */
#include "vmm/boot/layout.h"

#include <string.h>
#include <unistd.h>

/* A bzImage's setup header starts here; these offsets are fixed by the Linux boot protocol. */
#define BZIMAGE_BOOT_FLAG 0x1fe
#define BZIMAGE_MAGIC     0x202
#define HEADER_BYTES      0x206

static bool is_bzimage(const uint8_t *header, size_t length)
{
    return length >= HEADER_BYTES && header[BZIMAGE_BOOT_FLAG] == 0x55 && header[BZIMAGE_BOOT_FLAG + 1] == 0xaa &&
           memcmp(header + BZIMAGE_MAGIC, "HdrS", 4) == 0;
}

static int load_file(const struct boot_ram *ram, const struct boot_file *file, uint64_t *entry,
                     struct cleave_failure *failure)
{
    uint8_t header[HEADER_BYTES];
    const size_t length = file->size < sizeof header ? (size_t)file->size : sizeof header;
    if (boot_file_read(file, 0, header, length, failure) < 0)
        return -1;
    if (boot_is_elf(header, length))
        return boot_load_elf(ram, file, entry, failure);
    if (is_bzimage(header, length))
        return fail(failure, CLEAVE_UNSUPPORTED,
                    "%s: is a Linux bzImage, which this version cannot boot; give a flat binary or an ELF64 executable",
                    file->path);
    if (boot_refuse_foreign(file, failure) < 0)
        return -1;
    return boot_load_flat(ram, file, entry, failure);
}

static int check_machine(const struct boot_ram *ram, const struct boot_config *config, struct cleave_failure *failure)
{
    if (ram->size % PAGE_BYTES != 0 || ram->size < BOOT_RAM_MIN || ram->size > BOOT_RAM_MAX)
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "--memory: a guest needs more than 2M and at most 64G, in multiples of 4K; not %llu bytes",
                    (unsigned long long)ram->size);
    if (config->cpus < 1 || config->cpus > GUEST_MAX_CPUS)
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "--cpus: a guest can have 1 to %d, not %u", GUEST_MAX_CPUS,
                    config->cpus);
    if (config->cpl != 0 && config->cpl != 3)
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "--cpl: must be 0 or 3, not %u", config->cpl);
    return 0;
}

int boot_load(const struct boot_ram *ram, const struct boot_config *config, struct boot_entry *entry,
              struct cleave_failure *failure)
{
    if (check_machine(ram, config, failure) < 0 || boot_make_info(ram, config, failure) < 0)
        return -1;

    struct boot_file file;
    if (boot_file_open(config->path, &file, failure) < 0)
        return -1;
    uint64_t rip = 0;
    const int loaded = load_file(ram, &file, &rip, failure);
    close(file.fd);
    uint64_t cr3 = 0;
    if (loaded < 0 || boot_make_tables(ram, &cr3, failure) < 0)
        return -1;
    boot_make_descriptors(ram, config->cpus);
    boot_make_stubs(ram);

    *entry = (struct boot_entry){
        .rip = rip,
        .cr3 = cr3,
        .gdt_base = GDT_BASE,
        .gdt_stride = GDT_STRIDE,
        .gdt_limit = GDT_LIMIT,
        .tss_base = TSS_BASE,
        .tss_stride = TSS_STRIDE,
        .tss_limit = TSS_LIMIT,
        .idt_base = IDT_BASE,
        .idt_limit = IDT_LIMIT,
        .boot_info = INFO_BASE,
        .cpl = config->cpl,
    };
    return 0;
}
