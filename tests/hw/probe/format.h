/* What the hosted side puts into the ROM in front of its core, and what comes back over the console: the agreement
 * between image.c and rom.c. Little-endian, as both sides are. Included by assembly for the constants.
 *
 * The ROM starts with a probe_payload; each image is a probe_image, the pages of its two loads, the addresses of its
 * frames (uint64_t) and its probes. For each image the ROM answers PROBE_IMAGE_MARK (one byte), then a probe_result
 * followed by its entries for each probe, then probe_sum (uint64_t) of each loaded page as it is afterwards.
 * PROBE_START comes before the first, an END line last. */
#ifndef TESTS_HW_PROBE_FORMAT_H
#define TESTS_HW_PROBE_FORMAT_H

/* The machine's RAM as probes use it, beyond what rom/machine.h says. */
#define PROBE_NESTED_PA 0x1000000 /* where nested tables are loaded */
#define PROBE_GUEST_PA  0x2000000 /* where the guest's own tables are loaded */
#define PROBE_STUB_PA   0x2ff0000 /* a page: the guest's code */
#define PROBE_FRAMES_PA 0x4000000 /* leaves under test point here or above */
#define PROBE_GUEST_GPA 0x100000  /* where the guest sees its own tables, when nested tables are under test */
#define PROBE_STUB_GPA  0x1ff000  /* and its code, at the same linear address */
#define PROBE_INFRA_END 0x200000  /* [PROBE_GUEST_GPA, PROBE_INFRA_END) is mapped for the guest and not probed */

/* In each frame that a probe may hit lies, at this offset: */
#define PROBE_BLOCK              0x7c0
#define PROBE_CODE               6 /* MOV $frame, %RAX; CPUID: what is fetched; its operand is the frame's own address */
#define PROBE_MARKER             8     /* that operand, which is what is read */
#define PROBE_MAILBOX            24    /* written */
#define PROBE_POINTER            32    /* an x86-64 leaf of 1 GiB at 0, for walks of the guest that come here */
#define PROBE_STUB_MARKER_OFFSET 0xff0 /* in the stub's page; what such walks lead to */
#define PROBE_STUB_MARKER        0x5457b5457b5457b

/* Registers of the local APIC, which is moved to a frame where there is no RAM: version and task priority. */
#define PROBE_DEVICE_READ  0x30
#define PROBE_DEVICE_WRITE 0x80
#define PROBE_DEVICE_MASK  0xff00ff /* of the version: number of vectors, and which APIC it is */
#define PROBE_DEVICE_VALUE 0x50014

/* The slot of the guest's top table that PROBE_WALK probes use, and the linear address in it whose walk reads offset
 * PROBE_BLOCK + PROBE_POINTER of the table it leads to. */
#define PROBE_WALK_SLOT 2
#define PROBE_WALK_ADDRESS                                                                                             \
    ((2ull << 39) + ((PROBE_BLOCK + PROBE_POINTER) / 8ull << 30) + PROBE_STUB_GPA + PROBE_STUB_MARKER_OFFSET)

/* Accesses; the guest's code for each is this many bytes after the one before. */
#define PROBE_STUB_SIZE 32

#ifndef __ASSEMBLER__
#include <stdint.h>

#define PROBE_MAGIC      0x31454252504352ull
#define PROBE_START      "\nPROBES\n"
#define PROBE_IMAGE_MARK 'I'

enum probe_format { PROBE_EPT, PROBE_X86 };

/* Which of the two trees is under test: its entries are reported. */
enum probe_subject { PROBE_NESTED, PROBE_GUEST };

enum probe_access {
    PROBE_READ,
    PROBE_WRITE,
    PROBE_FETCH,
    PROBE_READ32,  /* for devices */
    PROBE_WRITE32, /* likewise */
    PROBE_WALK,    /* the guest's walker reads an entry at `address`, which is guest-physical */
};

/* Flags of a probe. */
#define PROBE_USER  0x01u /* CPL 3 */
#define PROBE_WP    0x02u
#define PROBE_SMEP  0x04u
#define PROBE_SMAP  0x08u
#define PROBE_NXE   0x10u
#define PROBE_CLEAR 0x20u /* first clear A and D along the path, and forget translations */

struct probe_load {
    uint64_t pa, pages;
};

struct probe_image {
    uint64_t size; /* of all of the image */
    uint8_t format, subject, levels, nested_ad;
    uint32_t frames, probes, zero;
    uint64_t nested_root, guest_root;
    uint64_t stub[2]; /* linear address of the guest's code: CPL 0, CPL 3 */
    struct probe_load loads[2];
};

struct probe {
    uint64_t address; /* linear; guest-physical for PROBE_WALK */
    uint64_t device;  /* the frame to move the local APIC to first; 0: leave it */
    uint8_t access, flags;
    uint8_t zero[6];
};

struct probe_payload {
    uint64_t magic, images;
};

enum probe_outcome {
    PROBE_OK = 1,       /* code: the value that was read */
    PROBE_LOST,         /* the access went through, but what was written is not found at the same address; code alike */
    PROBE_EXCEPTION,    /* vector, error_code; address is linear */
    PROBE_VIOLATION,    /* code: exit qualification; address is guest-physical */
    PROBE_MISCONFIG,    /* address is guest-physical */
    PROBE_NESTED_FAULT, /* code: EXITINFO1; address is guest-physical */
    PROBE_STRANGE,      /* another exit; code: which */
};

struct probe_result {
    uint8_t outcome, entries; /* how many uint64_t follow: entries of the tree under test from the top, afterwards */
    uint16_t vector;
    uint32_t error_code;
    uint64_t code, address;
};

/* Changes with any bit of a table, and with where it is. */
static inline uint64_t probe_sum(const uint64_t *entries)
{
    uint64_t sum = 0xcbf29ce484222325ull;

    for (unsigned i = 0; i < 512; i++)
        sum = (sum ^ entries[i]) * 0x100000001b3ull;
    return sum;
}

_Static_assert(sizeof(struct probe) == 24 && sizeof(struct probe_result) == 24, "both sides lay them out alike");
#endif

#endif
