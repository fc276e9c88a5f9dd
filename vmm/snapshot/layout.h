/* What lies where in a snapshot file, as cleave-snapshot(5) says in words. Structs are read and written
 * as they lie in memory, which is why they stand here with their sizes asserted. */
#ifndef VMM_SNAPSHOT_LAYOUT_H
#define VMM_SNAPSHOT_LAYOUT_H

#include <cleave/snapshot.h>

#define LAYOUT_MAGIC        "CLVSNAP\n"
#define LAYOUT_HEADER       UINT64_C(4096)
#define LAYOUT_SECTIONS_MAX 125u
#define LAYOUT_SECTION_MAX  (UINT64_C(16) << 20) /* bytes of one, the runs apart */
#define LAYOUT_ALIGN        UINT64_C(8)          /* of sections, and of records in them */
#define LAYOUT_PATH_MAX     4095u
#define LAYOUT_RECORD_HEAD  8u

#define LAYOUT_COMPRESSED 1u /* flag of a file */
#define LAYOUT_OPTIONAL   1u /* flag of a section: who does not know its type may ignore it */

enum layout_type {
    LAYOUT_MACHINE = 1,
    LAYOUT_CPUID = 2,
    LAYOUT_VCPU = 3, /* one for each, in the order of their numbers */
    LAYOUT_DEVICES = 4,
    LAYOUT_PARENT = 5,
    LAYOUT_RUNS = 6,
};

struct layout_section {
    uint32_t type, flags;
    uint64_t offset, bytes, checksum;
};

struct layout_header {
    char magic[8];
    uint32_t version, page_bytes, kind, flags;
    uint64_t file_bytes;
    uint8_t id[16];
    uint32_t section_count, reserved;
    struct layout_section sections[LAYOUT_SECTIONS_MAX];
    uint8_t padding[32];
    uint64_t checksum; /* of all that precedes it */
};

/* What a parent section begins with; the path follows, without a terminator. */
struct layout_parent {
    uint8_t id[16];
    uint64_t header_checksum;
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is little-endian");
_Static_assert(sizeof(struct layout_section) == 32, "a section's entry");
_Static_assert(sizeof(struct layout_header) == LAYOUT_HEADER, "the header is a page");
_Static_assert(offsetof(struct layout_header, sections) == 56, "the table's place");
_Static_assert(offsetof(struct layout_header, checksum) == 4088, "the checksum is last");
_Static_assert(sizeof(struct layout_parent) == 24, "a parent's name");
_Static_assert(sizeof(struct snapshot_machine) == 56, "the machine section");
_Static_assert(sizeof(struct snapshot_cpuid) == 40, "an entry of the CPUID section");
_Static_assert(sizeof(struct snapshot_run) == 40, "an entry of the runs section");

static inline uint64_t layout_align(uint64_t bytes, uint64_t to)
{
    return (bytes + to - 1) / to * to;
}

/* True where [offset, offset + bytes) lies in [0, end), whatever the numbers are. */
static inline bool layout_within(uint64_t offset, uint64_t bytes, uint64_t end)
{
    return offset <= end && bytes <= end - offset;
}

#endif
