/*
 * Static ELF64 executables: each PT_LOAD segment at its physical address. Serves load.c. Every field of the file is
 * checked before a byte is loaded; the file is not mapped and never read as a whole.
 */
#include "vmm/boot/layout.h"

#include <elf.h>
#include <string.h>

#define SEGMENTS_MAX 64

struct segments {
    Elf64_Phdr at[SEGMENTS_MAX]; /* the PT_LOAD entries that occupy memory */
    unsigned count;
};

bool boot_is_elf(const uint8_t *header, size_t length)
{
    return length >= SELFMAG && memcmp(header, ELFMAG, SELFMAG) == 0;
}

/* Is [start, start + length) inside [0, size)? Safe for any values. */
static bool inside(uint64_t start, uint64_t length, uint64_t size)
{
    return start <= size && length <= size - start;
}

static int bad(const struct boot_file *file, struct cleave_failure *failure, const char *what)
{
    return fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: %s", file->path, what);
}

static int check_header(const struct boot_file *file, const Elf64_Ehdr *header, struct cleave_failure *failure)
{
    if (header->e_ident[EI_CLASS] != ELFCLASS64)
        return bad(file, failure, "is not a 64-bit ELF file; build it for x86-64");
    if (header->e_ident[EI_DATA] != ELFDATA2LSB)
        return bad(file, failure, "is not a little-endian ELF file; build it for x86-64");
    if (header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT)
        return bad(file, failure, "has an unknown ELF version; rebuild it");
    if (header->e_machine != EM_X86_64)
        return bad(file, failure, "is an ELF file for another processor; build it for x86-64");
    if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
        return bad(file, failure, "is an ELF file but not an executable; link it");
    if (header->e_ehsize != sizeof(Elf64_Ehdr) || header->e_phentsize != sizeof(Elf64_Phdr))
        return bad(file, failure, "has ELF headers of a wrong size; rebuild it");
    if (header->e_phnum == 0)
        return bad(file, failure, "has no ELF program headers, so nothing to load; link it as an executable");
    if (header->e_phnum > SEGMENTS_MAX)
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: has %u ELF program headers; at most %d are supported",
                    file->path, header->e_phnum, SEGMENTS_MAX);
    if (!inside(header->e_phoff, sizeof(Elf64_Phdr) * header->e_phnum, file->size))
        return bad(file, failure, "is truncated: its ELF program headers lie beyond its end");
    if (boot_refuse_foreign_elf(file, header->e_ident[EI_OSABI], header->e_phoff, header->e_phnum, failure) < 0)
        return -1;
    if (header->e_type == ET_DYN)
        return bad(file, failure,
                   "is a position-independent or shared ELF file; link it with -nostdlib -static -no-pie");
    return 0;
}

static int check_segment(const struct boot_ram *ram, const struct boot_file *file, const Elf64_Phdr *segment,
                         struct cleave_failure *failure)
{
    const unsigned long long address = segment->p_paddr;
    const unsigned long long bytes = segment->p_memsz;
    if (segment->p_filesz > segment->p_memsz)
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "%s: the ELF segment at %#llx has more bytes in the file than in memory; rebuild it", file->path,
                    address);
    if (!inside(segment->p_offset, segment->p_filesz, file->size))
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "%s: is truncated: the ELF segment at %#llx lies beyond the end of the file", file->path, address);
    if (address < GUEST_RAM_START)
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "%s: the ELF segment at %#llx lies below 1 MiB, which belongs to the VMM; link it at %#x or above",
                    file->path, address, GUEST_LOAD_ADDRESS);
    if (!inside(address, bytes, ram->size))
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "%s: the ELF segment at %#llx of %llu bytes reaches beyond RAM; give more --memory", file->path,
                    address, bytes);
    return 0;
}

static int check_overlap(const struct boot_file *file, const struct segments *segments, const Elf64_Phdr *added,
                         struct cleave_failure *failure)
{
    for (unsigned i = 0; i < segments->count; i++) {
        const Elf64_Phdr *other = &segments->at[i];
        if (added->p_paddr < other->p_paddr + other->p_memsz && other->p_paddr < added->p_paddr + added->p_memsz)
            return fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: the ELF segments at %#llx and %#llx overlap; relink it",
                        file->path, (unsigned long long)other->p_paddr, (unsigned long long)added->p_paddr);
    }
    return 0;
}

static int collect_segments(const struct boot_ram *ram, const struct boot_file *file, const Elf64_Ehdr *header,
                            struct segments *segments, struct cleave_failure *failure)
{
    segments->count = 0;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        if (boot_file_read(file, header->e_phoff + i * sizeof segment, &segment, sizeof segment, failure) < 0)
            return -1;
        if (segment.p_type == PT_DYNAMIC)
            return bad(file, failure, "is a dynamically linked ELF file; link it with -nostdlib -static -no-pie");
        if (segment.p_type != PT_LOAD)
            continue;
        if (segment.p_memsz == 0 && segment.p_filesz == 0)
            continue;
        if (check_segment(ram, file, &segment, failure) < 0 || check_overlap(file, segments, &segment, failure) < 0)
            return -1;
        segments->at[segments->count++] = segment;
    }
    if (segments->count == 0)
        return bad(file, failure, "is an ELF file with nothing to load; link it as an executable");
    return 0;
}

/*
 * The entry as a physical address: memory is identity-mapped at the start, so an entry given as a virtual address means
 * the physical one of the same byte. True where it points to bytes that come from the file.
 */
static bool find_entry(const struct segments *segments, uint64_t given, uint64_t *entry)
{
    for (unsigned i = 0; i < segments->count; i++) {
        const Elf64_Phdr *segment = &segments->at[i];
        if (given >= segment->p_paddr && given - segment->p_paddr < segment->p_filesz) {
            *entry = given;
            return true;
        }
    }
    for (unsigned i = 0; i < segments->count; i++) {
        const Elf64_Phdr *segment = &segments->at[i];
        if (given >= segment->p_vaddr && given - segment->p_vaddr < segment->p_filesz) {
            *entry = segment->p_paddr + (given - segment->p_vaddr);
            return true;
        }
    }
    return false;
}

int boot_load_elf(const struct boot_ram *ram, const struct boot_file *file, uint64_t *entry,
                  struct cleave_failure *failure)
{
    Elf64_Ehdr header;
    if (file->size < sizeof header)
        return bad(file, failure, "is truncated: it ends inside its ELF header");
    if (boot_file_read(file, 0, &header, sizeof header, failure) < 0 || check_header(file, &header, failure) < 0)
        return -1;

    struct segments segments;
    if (collect_segments(ram, file, &header, &segments, failure) < 0)
        return -1;
    if (!find_entry(&segments, header.e_entry, entry))
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "%s: its ELF entry %#llx is not inside a loaded segment; check the linker's ENTRY", file->path,
                    (unsigned long long)header.e_entry);

    /* The bytes past p_filesz are zero already: RAM is fresh and no other segment reaches there. */
    for (unsigned i = 0; i < segments.count; i++) {
        const Elf64_Phdr *segment = &segments.at[i];
        if (boot_file_read(file, segment->p_offset, ram->base + segment->p_paddr, segment->p_filesz, failure) < 0)
            return -1;
    }
    return 0;
}
