/* The memory that is saved, a block of 2 MiB at a time: which pages are part of it, which are zero, what is in them. */
#ifndef VMM_SNAPSHOT_SOURCE_H
#define VMM_SNAPSHOT_SOURCE_H

#include "vmm/snapshot/report.h"

#define BLOCK_PAGES (SNAPSHOT_BLOCK / SNAPSHOT_PAGE)

enum page_kind { PAGE_ABSENT, PAGE_ZERO, PAGE_DATA };

struct block {
    uint64_t gpa; /* a multiple of SNAPSHOT_BLOCK */
    uint8_t kinds[BLOCK_PAGES];
    uint8_t *data; /* SNAPSHOT_BLOCK bytes; holds something where the kind is PAGE_DATA */
};

/* The last part of a file that was asked about: [from, until) is all data or all hole. */
struct source_part {
    int fd;
    uint64_t from, until;
    bool hole;
};

/* Where one is in the sources. */
struct source_reader {
    const struct report *report;
    const struct snapshot_source *sources;
    size_t count, next;
    uint64_t position; /* in sources[next] */
    uint64_t done;     /* bytes of all sources */
    struct source_part part;
};

/* Ascending, not overlapping, whole pages inside of memory. */
int source_check(const struct report *report, const struct snapshot_source *sources, size_t count, uint64_t memory,
                 uint64_t *total);

void source_start(struct source_reader *reader, const struct report *report, const struct snapshot_source *sources,
                  size_t count);

/* Fills in the next block that has any page in it: 1, 0 where there is none, -1 with the error. */
int source_next(struct source_reader *reader, struct block *block);

#endif
