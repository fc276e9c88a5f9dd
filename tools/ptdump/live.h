/* A live guest's view, asked for through the control socket. Each function prints its one line of error and returns -1,
 * or returns 0. */
#ifndef PTDUMP_LIVE_H
#define PTDUMP_LIVE_H

#include "tools/client/client.h"
#include "tools/ptdump/slot.h"

/* Views are of this format. */
#define LIVE_FORMAT PT_IMAGE_EPT

/* Calls fn for the leaves that [start, last] touches; answers are NULL, and entries 0. */
int live_each(struct client *client, uint64_t guest, uint64_t start, uint64_t last, slot_fn *fn, void *context);

int live_path(struct client *client, uint64_t guest, uint64_t address, struct path *path);

/* How many tables the view has. */
int live_tables(struct client *client, uint64_t guest, uint64_t *tables);

#endif
