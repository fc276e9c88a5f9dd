/* Which pages of its data a guest should be found to have touched: what its processor's A and D bits are compared with.
 * A leaf that is marked anywhere is marked as a whole. */
#ifndef TESTS_HW_MICROVISOR_MARKS_H
#define TESTS_HW_MICROVISOR_MARKS_H

#include "tests/hw/microvisor/program.h"

struct marks {
    bool pages[DATA_PAGES];
};

void marks_clear(struct marks *marks);
void marks_add(struct marks *marks, struct loop loop);

/* Harvests the guest's data and clears the bits. Exactly what is marked must come, in runs that lie apart, at the
 * leaves' size as they are now. */
void marks_expect(const struct marks *marks, struct vm *vm, pt_prop bits);

#endif
