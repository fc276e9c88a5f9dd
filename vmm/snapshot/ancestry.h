/* How a diff and the files it builds on find each other. */
#ifndef VMM_SNAPSHOT_ANCESTRY_H
#define VMM_SNAPSHOT_ANCESTRY_H

#include <limits.h>

#include "vmm/snapshot/target.h"

/* The path as a new file next to `target` stores it: a bare name where both lie in one directory, else absolute. */
int ancestry_path(const struct target *target, const char *parent_path, char stored[PATH_MAX]);

/* Refuses a target of which the file itself says that it is one that the new diff builds on. */
int ancestry_check_target(const struct target *target, const struct snapshot_lineage *parent);

/* Looks at the places where the files are that a new diff builds on, as far as they are there. Refuses the diff where
 * another file has taken the place of one, or where `target` would. */
int ancestry_check_places(const struct target *target, const struct snapshot_lineage *parent, const char *parent_path);

/* Opens the parent of `child`: the file at one of its places whose name is the right one. NULL with *error. */
struct snapshot *ancestry_open_parent(const struct snapshot *child, struct snapshot_error *error);

#endif
