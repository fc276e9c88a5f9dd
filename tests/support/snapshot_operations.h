/* Everything that the library of snapshots does, each as one call that the tests make fail somewhere inside: saving a
 * full snapshot and a diff to several places, opening a chain, mapping, loading and verifying it. */
#ifndef TESTS_SUPPORT_SNAPSHOT_OPERATIONS_H
#define TESTS_SUPPORT_SNAPSHOT_OPERATIONS_H

#include "tests/support/snapshot_case.h"

struct operation {
    const char *name;
    int (*run)(struct snapshot_error *error);
    bool saves;
    bool diff;  /* it goes on where what it builds on cannot be found: that may be elsewhere just now */
    bool chain; /* of what a parent's path cannot be, the file that names it is to blame */
};

#define OPERATIONS 10
extern const struct operation operations[OPERATIONS];

/* Of every file that an error may begin with. */
extern struct snapshot_case operations_case;

void operations_setup(void);
void operations_teardown(void);

/* Puts back the file that the operations replace. */
void operations_restore(void);

/* That file is a whole one, or none, and nothing is left beside it. */
void operations_check(void);

/* How many are open. */
unsigned operations_descriptors(void);

#endif
