/* Where page data goes in a new snapshot file, and the runs that say so. Whole blocks lie at multiples of 2 MiB, so
 * that a restore can map each as one large page; other pages fill the 2 MiB that the header begins, and then more such
 * units that are taken one at a time. Compressed data lies densely instead. */
#ifndef VMM_SNAPSHOT_PACK_H
#define VMM_SNAPSHOT_PACK_H

#include <zstd.h>

#include "vmm/snapshot/source.h"

struct pack {
    const struct report *report;
    int fd;
    bool diff;
    ZSTD_CCtx *zstd; /* NULL: not compressed */
    uint8_t *frame;  /* what zstd makes of one run */
    size_t frame_room;

    uint64_t at, end;   /* the next short run goes to `at` of the unit that ends at `end` */
    uint64_t next_unit; /* nothing lies there or behind */

    uint8_t *staged; /* what is to be written at staged_at */
    uint64_t staged_at, staged_bytes;
    uint64_t written, pushed; /* bytes written; of which the kernel was told to start writing back */

    struct snapshot_run *runs;
    size_t run_count, run_room;
    uint64_t pages, zero_pages;
};

int pack_open(struct pack *pack, const struct report *report, int fd, bool diff, bool compress);
void pack_close(struct pack *pack);

int pack_block(struct pack *pack, const struct block *block);

/* Where the next byte goes when all page data is there. */
uint64_t pack_end(const struct pack *pack);

/* Writes `bytes` at `offset`, soon; pack_flush() writes what is left. */
int pack_write(struct pack *pack, const void *data, uint64_t bytes, uint64_t offset);
int pack_flush(struct pack *pack);

#endif
