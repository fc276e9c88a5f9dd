/*
 * Files that plainly are no guests. A flat binary can be any bytes, so all that is none of these is taken for one; what
 * runs under an operating system would only crash. Serves load.c and elf.c.
 */
#include "vmm/boot/layout.h"

#include <elf.h>
#include <string.h>

#define LOOKED_AT   4096 /* bytes of a file's start */
#define TEXT_LEAST  16   /* bytes; so few can be a program by chance */
#define NOTES_MOST  4096
#define PE_OFFSET   0x3c /* in the header that PE files begin with: where the PE header is */
#define BUILD_GUEST "a guest runs on the bare machine: build one as guest/README.md shows"

/* What is known by the bytes at one place. */
static const struct {
    const char *magic;
    uint8_t length;
    uint16_t offset;
    const char *what;
} formats[] = {
    {"#!", 2, 0, "is a script, which a shell must run; " BUILD_GUEST},
    {"CLVSNAP\n", 8, 0, "is a snapshot; continue from it with --restore"},
    {"PTIMAGE", 8, 0, "is an image of a page table; look at it with ptdump"},
    {"\x1f\x8b", 2, 0, "is compressed by gzip; unpack it first"},
    {"\xfd"
     "7zXZ",
     6, 0, "is compressed by xz; unpack it first"},
    {"\x28\xb5\x2f\xfd", 4, 0, "is compressed by zstd; unpack it first"},
    {"BZh", 3, 0, "is compressed by bzip2; unpack it first"},
    {"PK\3\4", 4, 0, "is a zip archive; unpack it first"},
    {"ustar", 5, 257, "is a tar archive; unpack it first"},
    {"!<arch>\n", 8, 0, "is a library or package (an ar archive); " BUILD_GUEST},
    {"QFI\xfb", 4, 0, "is a disk image (qcow2), and there are no disks; " BUILD_GUEST},
    {"\xcf\xfa\xed\xfe", 4, 0, "is a program for macOS; " BUILD_GUEST},
    {"\0asm", 4, 0, "is WebAssembly; " BUILD_GUEST},
    {"\xca\xfe\xba\xbe", 4, 0, "is a Java class or a program for macOS; " BUILD_GUEST},
};

static int foreign(const struct boot_file *file, struct cleave_failure *failure, const char *what)
{
    return fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: %s", file->path, what);
}

static bool has_bytes(const uint8_t *start, size_t length, size_t offset, const char *magic, size_t bytes)
{
    return offset <= length && bytes <= length - offset && memcmp(start + offset, magic, bytes) == 0;
}

static bool is_pe(const uint8_t *start, size_t length)
{
    uint32_t header;
    if (!has_bytes(start, length, 0, "MZ", 2) || length < PE_OFFSET + sizeof header)
        return false;
    memcpy(&header, start + PE_OFFSET, sizeof header);
    return has_bytes(start, length, header, "PE\0", 4);
}

/* Nothing but what is printed, in ASCII or UTF-8, and line ends. */
static bool is_text(const uint8_t *start, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (start[i] == 0x7f || (start[i] < 0x20 && !memchr("\t\n\v\f\r", start[i], 5)))
            return false;
    return length >= TEXT_LEAST;
}

int boot_refuse_foreign(const struct boot_file *file, struct cleave_failure *failure)
{
    uint8_t start[LOOKED_AT];
    const size_t length = file->size < sizeof start ? (size_t)file->size : sizeof start;
    if (boot_file_read(file, 0, start, length, failure) < 0)
        return -1;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (has_bytes(start, length, formats[i].offset, formats[i].magic, formats[i].length))
            return foreign(file, failure, formats[i].what);
    if (is_pe(start, length))
        return foreign(file, failure, "is a program for Windows or UEFI (PE); " BUILD_GUEST);
    if (is_text(start, length))
        return foreign(file, failure, "is text and no program; " BUILD_GUEST);
    return 0;
}

/* Notes that compilers leave in programs for an operating system: which one, or from Go, its own build's. */
static bool is_system_note(const Elf64_Nhdr *note, const char *name)
{
    const size_t length = note->n_namesz;
    if (note->n_type == NT_GNU_ABI_TAG)
        return (length == 4 && memcmp(name, "GNU", 4) == 0) || (length == 8 && memcmp(name, "FreeBSD", 8) == 0) ||
               (length == 7 && memcmp(name, "NetBSD", 7) == 0) || (length == 8 && memcmp(name, "OpenBSD", 8) == 0);
    return note->n_type == 4 && length == 4 && memcmp(name, "Go\0", 4) == 0;
}

static bool has_system_note(const uint8_t *notes, size_t length)
{
    Elf64_Nhdr note;
    for (size_t at = 0; length - at >= sizeof note;) {
        memcpy(&note, notes + at, sizeof note);
        at += sizeof note;
        const uint64_t name = (note.n_namesz + UINT64_C(3)) & ~UINT64_C(3);
        const uint64_t body = (note.n_descsz + UINT64_C(3)) & ~UINT64_C(3);
        if (name > length - at)
            break;
        if (is_system_note(&note, (const char *)notes + at))
            return true;
        at += name;
        if (body > length - at)
            break;
        at += body;
    }
    return false;
}

/* 1: the segment is one that only an operating system has a use for. 0, or -1 with *failure. */
static int is_for_system(const struct boot_file *file, const Elf64_Phdr *segment, struct cleave_failure *failure)
{
    uint8_t notes[NOTES_MOST];
    if (segment->p_type == PT_INTERP || segment->p_type == PT_TLS)
        return 1;
    if (segment->p_type != PT_NOTE || segment->p_filesz > sizeof notes || segment->p_offset > file->size ||
        segment->p_filesz > file->size - segment->p_offset)
        return 0;
    if (boot_file_read(file, segment->p_offset, notes, segment->p_filesz, failure) < 0)
        return -1;
    return has_system_note(notes, segment->p_filesz);
}

int boot_refuse_foreign_elf(const struct boot_file *file, unsigned abi, uint64_t segments, unsigned count,
                            struct cleave_failure *failure)
{
    int found = abi != ELFOSABI_NONE && abi != ELFOSABI_STANDALONE;
    for (unsigned i = 0; i < count && !found; i++) {
        Elf64_Phdr segment;
        if (boot_file_read(file, segments + i * sizeof segment, &segment, sizeof segment, failure) < 0)
            return -1;
        found = is_for_system(file, &segment, failure);
    }
    if (found <= 0)
        return found;
    return foreign(file, failure, "is a program for an operating system, and here is none; " BUILD_GUEST);
}
