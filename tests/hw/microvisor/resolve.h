/* Faults of guests on their nested tables, and what they come to: pages filled when touched, and copy-on-write. */
#ifndef TESTS_HW_MICROVISOR_RESOLVE_H
#define TESTS_HW_MICROVISOR_RESOLVE_H

#include "tests/hw/microvisor/vm.h"

/* False: the guest may not do that. */
bool resolve(struct vm *vm, uint64_t gpa, bool is_write);

#endif
