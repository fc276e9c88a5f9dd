/* Table images: a whole tree of page tables as one file, to be walked elsewhere. PT_FN(image) of <ept/api.h> writes
 * them; this file says what they are, for those who load them, and opens them for the software MMUs of <ept/walk.h>.
 *
 * An image is one page of header and then `tables` pages, each a table as hardware reads it. Loaded as it is at
 * tables_pa - 4096 of some machine's physical memory, its tables lie where their entries say, and root_pa (with the
 * bits that EPTP, nCR3 or CR3 want beside it) makes a processor walk them. The header is not needed for that: the
 * memory behind it may start at tables_pa too.
 *
 * Every table but the root is pointed at by exactly one entry of a table a level above: a table that the tree shares is
 * in the image once for each entry that points at it. The root comes first, then level after level down to 1, and
 * within a level the tables in the order of their addresses. Leaves are those of the tree. They point to memory that is
 * not part of the image.
 *
 * Entries have these bits, which hardware ignores: PT_IMAGE_LIVE in every entry that is no hole (so that a leaf without
 * rights can be told from one), PT_IMAGE_TRACKED, PT_IMAGE_WRITABLE and PT_IMAGE_SOFT in leaves. D is where hardware
 * has it, also in leaves without W, and leaves without rights have their address as it is: in both an image differs
 * from the tree. */
#ifndef EPT_IMAGE_H
#define EPT_IMAGE_H

#include <ept/types.h>
#include <ept/walk.h>

PT_START

#define PT_IMAGE_MAGIC   "PTIMAGE" /* and its zero */
#define PT_IMAGE_VERSION 1u

/* Numbers are little-endian. What follows the last field up to 4096 bytes is zero. */
struct pt_image_header {
    char magic[8];       /*  0: PT_IMAGE_MAGIC */
    uint32_t version;    /*  8: PT_IMAGE_VERSION; another version has another layout */
    uint32_t levels;     /* 12: 4 or 5 */
    char format[8];      /* 16: "ept" or "x86", filled up with zeros */
    uint32_t maxphyaddr; /* 24: bits of a physical address, 32 to 52: no entry has an address bit at or above */
    uint32_t caps;       /* 28: what the tables need of a processor: PT_CAP_2M, PT_CAP_1G, PT_CAP_EXEC_ONLY */
    uint64_t tables_pa;  /* 32: pa of the first table, a multiple of 4096 */
    uint64_t root_pa;    /* 40: pa of the top table, which is one of them */
    uint64_t tables;     /* 48: how many, at least 1; the file has 4096 * (1 + tables) bytes */
};

#define PT_IMAGE_LIVE         ((uint64_t)1 << 52)
#define PT_IMAGE_TRACKED      ((uint64_t)1 << 53) /* PT_TRACKED */
#define PT_IMAGE_WRITABLE_EPT ((uint64_t)1 << 59) /* PT_WRITABLE */
#define PT_IMAGE_WRITABLE_X86 ((uint64_t)1 << 57)
#define PT_IMAGE_SOFT_SHIFT   54u /* PT_SOFT0, 1 and 2: bits 54 to 56 */

enum pt_image_format { PT_IMAGE_EPT, PT_IMAGE_X86 };

/* An image in memory, ready to be walked: walk_ept(&image.memory, &image.ept, ...) or walk_x86 with image.x86. */
struct pt_image {
    enum pt_image_format format;
    unsigned levels;
    uint64_t tables; /* number */
    struct walk_memory memory;
    struct walk_ept_mode ept; /* PT_IMAGE_EPT: A and D are not set */
    struct walk_x86_mode x86; /* PT_IMAGE_X86: a supervisor's access with CR0.WP and EFER.NXE; A and D are not set */
};

/* Checks the header of the file of `bytes` bytes at `file`, which must stay there as long as the image is used. NULL:
 * all is well. Otherwise a phrase that names the field that is wrong, and *image is not touched. Of the tables it
 * checks nothing: walking tables that make no sense is safe, because a walk ends after `levels` entries and leaves
 * `memory` for nothing. */
PT_CHECKED const char *pt_image_open(const void *file, uint64_t bytes, struct pt_image *image);

PT_FINISH

#endif
