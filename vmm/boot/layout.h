/*
 * Where everything lies that the VMM puts below 1 MiB of guest RAM, and the parts of vmm/boot/ that put it there.
 * Private to vmm/boot/; other code sees boot.h. Every area is static: its address is here and nowhere else.
 */
#ifndef VMM_BOOT_LAYOUT_H
#define VMM_BOOT_LAYOUT_H

#include "cleave/guest_abi.h"
#include "vmm/boot/boot.h"

#define PAGE_BYTES   UINT64_C(0x1000)
#define BLOCK_BYTES  UINT64_C(0x200000) /* a large page */
#define BOOT_RAM_MIN (GUEST_LOAD_ADDRESS + PAGE_BYTES)
#define BOOT_RAM_MAX (UINT64_C(64) << 30) /* what the boot tables can map */

/* Page 0 stays empty. */
#define INFO_BASE  ((uint64_t)BOOT_INFO_GPA)
#define INFO_BYTES UINT64_C(0xf000) /* struct boot_info with its arguments */

#define GDT_BASE   UINT64_C(0x10000)
#define GDT_STRIDE PAGE_BYTES /* one a vCPU, because a TSS descriptor has a busy bit */
#define GDT_BYTES  (GDT_STRIDE * GUEST_MAX_CPUS)
#define GDT_LIMIT  (GUEST_TSS + 16 - 1)

#define IDT_BASE  UINT64_C(0x18000)
#define IDT_BYTES UINT64_C(0x1000) /* 256 gates of 16 bytes */
#define IDT_LIMIT (IDT_BYTES - 1)

#define STUB_BASE   UINT64_C(0x19000)
#define STUB_BYTES  UINT64_C(0x1000) /* 256 stubs of STUB_STRIDE bytes */
#define STUB_STRIDE UINT64_C(16)

/* The I/O bitmap follows the TSS and covers ports 0 to 0x3ff; the CPU wants one byte of ones after it. */
#define TSS_BASE        UINT64_C(0x1a000)
#define TSS_STRIDE      PAGE_BYTES
#define TSS_AREA_BYTES  (TSS_STRIDE * GUEST_MAX_CPUS)
#define TSS_BYTES       104
#define IO_BITMAP_BYTES (0x400 / 8)
#define TSS_LIMIT       (TSS_BYTES + IO_BITMAP_BYTES + 1 - 1)

#define STACK_BASE   UINT64_C(0x22000) /* ring-0 stacks, for a guest with an IDT of its own */
#define STACK_STRIDE UINT64_C(0x2000)
#define STACK_BYTES  (STACK_STRIDE * GUEST_MAX_CPUS)

#define IST_BASE   UINT64_C(0x32000) /* IST1 stacks, for the exceptions that the guest does not handle */
#define IST_STRIDE PAGE_BYTES
#define IST_BYTES  (IST_STRIDE * GUEST_MAX_CPUS)

#define TABLES_BASE  UINT64_C(0x40000)
#define TABLES_BYTES UINT64_C(0x50000)

#define BOOT_END UINT64_C(0x90000) /* free from here to 1 MiB */

#define AREA_FOLLOWS(base, bytes, next) _Static_assert((base) + (bytes) <= (next), "boot areas overlap: " #base)
AREA_FOLLOWS(INFO_BASE, INFO_BYTES, GDT_BASE);
AREA_FOLLOWS(GDT_BASE, GDT_BYTES, IDT_BASE);
AREA_FOLLOWS(IDT_BASE, IDT_BYTES, STUB_BASE);
AREA_FOLLOWS(STUB_BASE, STUB_BYTES, TSS_BASE);
AREA_FOLLOWS(TSS_BASE, TSS_AREA_BYTES, STACK_BASE);
AREA_FOLLOWS(STACK_BASE, STACK_BYTES, IST_BASE);
AREA_FOLLOWS(IST_BASE, IST_BYTES, TABLES_BASE);
AREA_FOLLOWS(TABLES_BASE, TABLES_BYTES, BOOT_END);
AREA_FOLLOWS(BOOT_END, 0, GUEST_RAM_START);
#undef AREA_FOLLOWS
_Static_assert(GUEST_RAM_START + GUEST_MAX_CPUS * GUEST_STACK_SIZE <= GUEST_STACK_TOP, "stacks lie in the guest's RAM");
_Static_assert(256 * STUB_STRIDE <= STUB_BYTES, "stubs fit");
_Static_assert(UINT64_C(256) * 16 == IDT_BYTES, "gates fit");
_Static_assert(GDT_LIMIT < GDT_STRIDE && TSS_LIMIT < TSS_STRIDE, "descriptors fit their pages");
/* Top table, one table of 1 GiB slots, one of 2 MiB slots for each GiB, one of 4 KiB slots for the ragged end. */
_Static_assert((1 + 1 + (BOOT_RAM_MAX >> 30) + 1) * PAGE_BYTES <= TABLES_BYTES, "boot tables fit");

/* An open guest file. */
struct boot_file {
    int fd;
    uint64_t size;
    const char *path; /* for messages */
};

/* Opens it, not waiting for a FIFO's writer. 0, or -1 with *failure: it is not a file with something in it. */
int boot_file_open(const char *path, struct boot_file *file, struct cleave_failure *failure);

/* Reads exactly [offset, offset + length) of the file; 0, or -1 with *failure. The range was checked against
 * file->size. */
int boot_file_read(const struct boot_file *file, uint64_t offset, void *to, uint64_t length,
                   struct cleave_failure *failure);

/* True where `header`, the first bytes of a file, starts an ELF file. */
bool boot_is_elf(const uint8_t *header, size_t length);

/* Refuse what plainly is no guest: of files that are not ELF, by their content; of ELF files for x86-64, by `abi` of
 * their header and by their program headers, `count` of them at `segments`, which lie inside the file. 0, or -1 with
 * *failure, which says what it is and what to do. */
int boot_refuse_foreign(const struct boot_file *file, struct cleave_failure *failure);
int boot_refuse_foreign_elf(const struct boot_file *file, unsigned abi, uint64_t segments, unsigned count,
                            struct cleave_failure *failure);

/* Loaders: put the file into RAM and say where it is entered. 0, or -1 with *failure. */
int boot_load_elf(const struct boot_ram *ram, const struct boot_file *file, uint64_t *entry,
                  struct cleave_failure *failure);
int boot_load_flat(const struct boot_ram *ram, const struct boot_file *file, uint64_t *entry,
                   struct cleave_failure *failure);

/* Identity-maps all RAM with tables inside the arena at TABLES_BASE. 0 and *cr3, or -1 with *failure. */
int boot_make_tables(const struct boot_ram *ram, uint64_t *cr3, struct cleave_failure *failure);

/* Writes each vCPU's GDT and TSS, and the shared IDT. */
void boot_make_descriptors(const struct boot_ram *ram, unsigned cpus);

/* Writes the 256 stubs that the IDT's gates lead to. */
void boot_make_stubs(const struct boot_ram *ram);

/* Writes struct boot_info with guest_id, generation and entropy zero. 0, or -1 with *failure: too long arguments. */
int boot_make_info(const struct boot_ram *ram, const struct boot_config *config, struct cleave_failure *failure);

#endif
