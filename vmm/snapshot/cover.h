/* Which file of a chain each part of memory comes from. */
#ifndef VMM_SNAPSHOT_COVER_H
#define VMM_SNAPSHOT_COVER_H

#include "vmm/snapshot/snapshot.h"

#define COVER_ZERO SIZE_MAX

struct cover {
    uint64_t gpa, bytes;
    unsigned file;
    size_t run; /* of that file, which may go farther than this part; COVER_ZERO: nothing is stored */
};

/* Ascending, without a gap, all of memory; the caller frees it. */
int cover_build(const struct report *report, const struct snapshot_chain *chain, struct cover **covers, size_t *count);

#endif
