/* Opening a file for less than snapshot_open() does. */
#ifndef VMM_SNAPSHOT_OPEN_H
#define VMM_SNAPSHOT_OPEN_H

#include "vmm/snapshot/snapshot.h"

/* For its name, and its parent's name and path: no more than that is read, however large its tables are. NULL with
 * *error. */
struct snapshot *open_names(const char *path, struct snapshot_error *error);

#endif
