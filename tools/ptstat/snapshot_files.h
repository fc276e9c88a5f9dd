/* Where the modes that save to files keep them: a folder of their own that is gone when ptstat ends; and copying one.
 */
#ifndef PTSTAT_SNAPSHOT_FILES_H
#define PTSTAT_SNAPSHOT_FILES_H

#include <limits.h>
#include <stdint.h>

struct arguments;

#define SNAPSHOT_PATH (PATH_MAX + 32)

/*
 * Makes the folder inside that of --snapshot-dir, $TMPDIR or else /var/tmp, and removes it with all its files when
 * ptstat exits. These print one line and exit with EXIT_RUNTIME where something fails.
 */
void snapshot_files_start(const struct arguments *arguments);

/* The absolute path of a file there, which need not exist yet. */
char *snapshot_file(char path[SNAPSHOT_PATH], const char *name);
void snapshot_file_remove(const char *name);

/*
 * Copies a file there as cp does, by reading and writing, and then has the copy and its folder written to disk, as a
 * snapshot is; the time of all that in ns. What is copied should be in the page cache, and is if it was just written.
 */
uint64_t snapshot_file_copy(const char *from, const char *to);

#endif
