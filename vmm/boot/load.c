/*
 * Loads a guest: tells the file's kind by its content, hands it to that kind's loader, then builds what the guest ABI
 * promises below 1 MiB. For the VMM's launch path; a hostile file can make this fail, never more.
 */
#include "vmm/boot/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A bzImage's setup header starts here; these offsets are fixed by the Linux boot protocol. */
#define BZIMAGE_BOOT_FLAG 0x1fe
#define BZIMAGE_MAGIC     0x202
#define HEADER_BYTES      0x206

#define PATH_SHOWN 100

int boot_file_read(const struct boot_file *file, uint64_t offset, void *to, uint64_t length, struct failure *failure)
{
    uint8_t *next = to;
    while (length > 0) {
        const size_t piece = length < BLOCK_BYTES ? (size_t)length : (size_t)BLOCK_BYTES;
        const ssize_t got = pread(file->fd, next, piece, (off_t)offset);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return fail_errno(failure, errno, "%s: cannot read the guest", file->path);
        }
        if (got == 0)
            return fail(failure, FAIL_IO, "%s: became shorter while it was read; launch it again when it is complete",
                        file->path);
        next += got;
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return 0;
}

/* The end of a long path, so that a message has room for what is wrong. */
static const char *short_path(const char *path)
{
    const size_t length = strlen(path);
    return length > PATH_SHOWN ? path + length - PATH_SHOWN : path;
}

static int open_guest(const char *path, struct boot_file *file, struct failure *failure)
{
    /* Non-blocking, so that a FIFO is refused below instead of waiting for a writer. */
    *file = (struct boot_file){
        .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
        .path = short_path(path),
    };
    if (file->fd < 0)
        return fail_errno(failure, errno, "%s: cannot open the guest; give a readable guest file", file->path);

    struct stat info;
    int result = -1;
    if (fstat(file->fd, &info) < 0)
        fail_errno(failure, errno, "%s: cannot examine the guest", file->path);
    else if (S_ISDIR(info.st_mode))
        fail(failure, FAIL_INVALID_ARGUMENT, "%s: is a directory; give a guest file", file->path);
    else if (!S_ISREG(info.st_mode))
        fail(failure, FAIL_INVALID_ARGUMENT, "%s: is not a regular file; give a guest file", file->path);
    else if (info.st_size == 0)
        fail(failure, FAIL_INVALID_ARGUMENT, "%s: is empty; give a flat binary or an ELF64 executable", file->path);
    else
        result = 0;
    if (result < 0) {
        close(file->fd);
        return result;
    }
    file->size = (uint64_t)info.st_size;
    return 0;
}

static bool is_bzimage(const uint8_t *header, size_t length)
{
    return length >= HEADER_BYTES && header[BZIMAGE_BOOT_FLAG] == 0x55 && header[BZIMAGE_BOOT_FLAG + 1] == 0xaa &&
           memcmp(header + BZIMAGE_MAGIC, "HdrS", 4) == 0;
}

static int load_file(const struct boot_ram *ram, const struct boot_file *file, uint64_t *entry, struct failure *failure)
{
    uint8_t header[HEADER_BYTES];
    const size_t length = file->size < sizeof header ? (size_t)file->size : sizeof header;
    if (boot_file_read(file, 0, header, length, failure) < 0)
        return -1;
    if (boot_is_elf(header, length))
        return boot_load_elf(ram, file, entry, failure);
    if (is_bzimage(header, length))
        return fail(failure, FAIL_UNSUPPORTED,
                    "%s: is a Linux bzImage, which this version cannot boot; give a flat binary or an ELF64 executable",
                    file->path);
    return boot_load_flat(ram, file, entry, failure);
}

static int check_machine(const struct boot_ram *ram, const struct boot_config *config, struct failure *failure)
{
    if (ram->size % PAGE_BYTES != 0 || ram->size < BOOT_RAM_MIN || ram->size > BOOT_RAM_MAX)
        return fail(failure, FAIL_INVALID_ARGUMENT,
                    "--memory: a guest needs more than 2M and at most 64G, in multiples of 4K; not %llu bytes",
                    (unsigned long long)ram->size);
    if (config->cpus < 1 || config->cpus > GUEST_MAX_CPUS)
        return fail(failure, FAIL_INVALID_ARGUMENT, "--cpus: a guest can have 1 to %d, not %u", GUEST_MAX_CPUS,
                    config->cpus);
    if (config->cpl != 0 && config->cpl != 3)
        return fail(failure, FAIL_INVALID_ARGUMENT, "--cpl: must be 0 or 3, not %u", config->cpl);
    return 0;
}

int boot_load(const struct boot_ram *ram, const struct boot_config *config, struct boot_entry *entry,
              struct failure *failure)
{
    if (check_machine(ram, config, failure) < 0 || boot_make_info(ram, config, failure) < 0)
        return -1;

    struct boot_file file;
    if (open_guest(config->path, &file, failure) < 0)
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
