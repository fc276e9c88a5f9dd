/* Reading the page data of runs. */
#ifndef VMM_SNAPSHOT_RUNS_H
#define VMM_SNAPSHOT_RUNS_H

#include <zstd.h>

#include "vmm/snapshot/snapshot.h"

/* Serves one thread. All of it zero is one to begin with. */
struct run_reader {
    uint8_t *frame, *pages; /* SNAPSHOT_BLOCK bytes each: what is stored compressed; what a caller wants only part of */
    ZSTD_DCtx *zstd;
};

void run_reader_close(struct run_reader *reader);

/* The reader's `pages`, for callers to read into; NULL: out of memory. */
uint8_t *run_reader_pages(struct run_reader *reader);

/* Puts the pages of a run at `to`, its checksum compared. Not for runs of zeros. */
int run_read(const struct report *report, struct run_reader *reader, const struct snapshot *snapshot, size_t index,
             uint8_t *to);

#endif
