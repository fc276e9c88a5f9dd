/* Who goes first where there is one processor for a test, the VMM and its guests. */
#ifndef TESTS_SUPPORT_KVM_PRIORITY_H
#define TESTS_SUPPORT_KVM_PRIORITY_H

#include "tools/client/vmm_process.h"

/*
 * On a slow machine (rounds.h) the VMM's guests get a low priority, those that it makes later too. Guests of tests
 * never sleep: each would take as much of the processor as the test does, and what one floods its clients with, they
 * could not take. The VMM must be up.
 */
void kvm_lower_guests(const struct vmm_process *process);

#endif
