/*
 * CPU features: whether a guest that has seen one processor can go on with another. A guest looks at CPUID when it
 * starts and relies on what it saw ever after.
 */
#ifndef VMM_KVM_FEATURES_H
#define VMM_KVM_FEATURES_H

#include "vmm/base/failure.h"

#include <linux/kvm.h>

/* -1 with Unsupported, naming the first feature in `seen` that `here` lacks; `path` begins the text. */
int features_check(const struct kvm_cpuid_entry2 *seen, unsigned count, const struct kvm_cpuid2 *here, const char *path,
                   struct cleave_failure *failure);

#endif
