/* What the software walk of the library says a probe must give, through both dimensions: each entry that the guest's
 * walker reads is itself translated by the nested tables (SDM volume 3, "EPT Translation Mechanism"; APM volume 2,
 * "Nested Paging"). */
#ifndef TESTS_HW_PROBE_ORACLE_H
#define TESTS_HW_PROBE_ORACLE_H

#include <ept/walk.h>

#include "tests/hw/probe/image.h"

struct expectation {
    struct probe_result result; /* entries counts `entries` */
    uint64_t entries[5];        /* for the address, in the tree under test, afterwards */
    unsigned nwalked;           /* of these, how many the access itself read */
};

/* What the probe gives, on the tables as they are now, in which it sets A and D as the processor does. Answers
 * QUIRK_EPT_BIT12 if the judge has it and the entry has that bit; no other known difference is looked at. */
unsigned oracle_expect(const struct image *image, const struct probe *probe, struct expectation *expected);

/* Does this access come through, and to which address of the machine? Changes nothing. */
bool oracle_target(const struct image *image, const struct probe *probe, uint64_t *hpa);

#endif
