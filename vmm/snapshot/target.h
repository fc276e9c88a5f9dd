/* The file that a snapshot becomes: without a name until it is whole, then under its own in one step. */
#ifndef VMM_SNAPSHOT_TARGET_H
#define VMM_SNAPSHOT_TARGET_H

#include <limits.h>
#include <sys/stat.h>

#include "vmm/snapshot/report.h"

struct target {
    const struct report *report;
    int fd; /* the new file */
    int directory;
    struct stat folder;        /* of that */
    char path[PATH_MAX];       /* what is asked for, links followed */
    const char *name;          /* the last part of it */
    char hidden[NAME_MAX + 1]; /* the new file's name meanwhile; "": it has none */
    bool exists;
    struct stat old; /* of what is at the path, where something is */
};

/* Makes sure of a place for the file: nothing has been made yet. */
int target_find(struct target *target, const struct report *report, const char *path);

/* Makes the new file, empty. */
int target_create(struct target *target);

/* All of it to the disk. */
int target_sync(struct target *target);

/* It takes its name, in place of what has it. */
int target_publish(struct target *target);

/* Whatever there still is goes, but what has been published. */
void target_close(struct target *target);

#endif
