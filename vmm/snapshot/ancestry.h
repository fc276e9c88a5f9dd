/* How a diff and the files it builds on find each other. */
#ifndef VMM_SNAPSHOT_ANCESTRY_H
#define VMM_SNAPSHOT_ANCESTRY_H

#include <limits.h>

#include "vmm/snapshot/target.h"

/* The path as a new file next to `target` stores it: a bare name where both lie in one directory, else absolute. */
int ancestry_path(const struct target *target, const char *parent_path, char stored[PATH_MAX]);

/* Refuses a target that the new diff would build on, as far as ancestors are found; and a diff of a parent that has
 * been replaced. */
int ancestry_check_target(const struct target *target, const struct snapshot_job *job);

bool ancestry_same(const struct snapshot_name *a, const struct snapshot_name *b);

/* Opens the parent of `child`: the file at one of its places whose name is the right one. NULL with *error. */
struct snapshot *ancestry_open_parent(const struct snapshot *child, struct snapshot_error *error);

#endif
