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

/* What an open file's errno `number` means is added. Its class is SNAPSHOT_IO; SNAPSHOT_NO_MEMORY where memory or
 * descriptors ran out. */
__attribute__((format(printf, 3, 4))) int report_errno(const struct report *report, int number, const char *format,
                                                       ...);

/* The same of a path: SNAPSHOT_ARGUMENT where what is asked for cannot be there. `what` may be NULL. */
int report_path_errno(const struct report *report, int number, const char *what);
int report_no_memory(const struct report *report);

/* The path, or its end where it is long. */
const char *report_path(const char *path, char shown[REPORT_PATH]);

#endif
