/* What is wrong with a file, as a snapshot_error: one line that begins with the file's path. */
#ifndef VMM_SNAPSHOT_REPORT_H
#define VMM_SNAPSHOT_REPORT_H

#include <cleave/snapshot.h>

#define REPORT_PATH 200 /* bytes of a path that a line has room for */

/* Of which file, and of which class a failed check is. */
struct report {
    const char *path;
    enum snapshot_error_class class;
    struct snapshot_error *error;
};

/* These fill in the error and return -1. */
__attribute__((format(printf, 2, 3))) int report_fail(const struct report *report, const char *format, ...);
__attribute__((format(printf, 3, 4))) int report_as(const struct report *report, enum snapshot_error_class class,
                                                    const char *format, ...);

/* Adds what errno's value `number` means, which also chooses between SNAPSHOT_IO and SNAPSHOT_NO_MEMORY. */
__attribute__((format(printf, 3, 4))) int report_errno(const struct report *report, int number, const char *format,
                                                       ...);
int report_no_memory(const struct report *report);

/* The path, or its end where it is long. */
const char *report_path(const char *path, char shown[REPORT_PATH]);

#endif
