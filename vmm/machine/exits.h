/* What a vCPU thread does when its guest leaves guest mode: see exits.c. */
#ifndef VMM_MACHINE_EXITS_H
#define VMM_MACHINE_EXITS_H

#include "vmm/kvm/vm.h"

/* For a VM whose `guest` is a machine. */
extern const struct vm_runner machine_runner;

#endif
