/* What is in the sections of a snapshot file. */
#ifndef VMM_SNAPSHOT_CONTENTS_H
#define VMM_SNAPSHOT_CONTENTS_H

#include "vmm/snapshot/snapshot.h"

/* A run is a page at least. */
#define CONTENTS_RUNS_MAX (SNAPSHOT_MEMORY_MAX / SNAPSHOT_PAGE * sizeof(struct snapshot_run))

/* The parent alone. */
int contents_parse_parent(const struct report *report, struct snapshot *snapshot);

/* Checks and points out what the sections hold, which have been read. */
int contents_parse(const struct report *report, struct snapshot *snapshot);

#endif
