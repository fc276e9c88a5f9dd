/* What a VMM under test holds of memory, mappings, threads and descriptors: for tests that it gives all of it back. */
#ifndef TESTS_SUPPORT_KVM_HELD_H
#define TESTS_SUPPORT_KVM_HELD_H

#include "tests/support/kvm_rig.h"

struct held {
    uint64_t layers, tables, mappings, threads, descriptors, anonymous_kib;
};

struct held rig_held(struct rig *rig);

/* It holds no more than before. VMs are freed and the pool is filled in the background, so it may take a moment. */
void rig_check_held(struct rig *rig, const struct held *before);

#endif
