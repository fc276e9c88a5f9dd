/* Reading and writing all of a range of a file. */
#ifndef VMM_SNAPSHOT_FILE_H
#define VMM_SNAPSHOT_FILE_H

#include <sys/types.h>

#include "vmm/snapshot/report.h"

/* Bytes read, which is less at the end of the file; -1 with errno. */
ssize_t file_read(int fd, void *to, uint64_t bytes, uint64_t offset);

/* The same for a file that was longer when it was opened: all or an error. */
int file_read_all(const struct report *report, int fd, void *to, uint64_t bytes, uint64_t offset);

int file_write_all(const struct report *report, int fd, const void *from, uint64_t bytes, uint64_t offset);

#endif
