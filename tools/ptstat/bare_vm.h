/*
 * A KVM virtual machine without a VMM: what the baselines under bare KVM have in common. Shares no code with vmm/, so
 * that a mistake there cannot hide in a baseline. Everything here prints one line and exits with EXIT_RUNTIME where
 * something fails.
 */
#ifndef PTSTAT_BARE_VM_H
#define PTSTAT_BARE_VM_H

#include "tools/ptstat/bare_kvm.h"

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

/* The vCPU at the instant it is continued from. */
struct bare_state {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    uint64_t tsc;
};

struct bare {
    int kvm;
    int memory; /* the memfd of guest RAM */
    uint64_t size;
    size_t run_size;
    struct kvm_cpuid2 *cpuid;
    struct bare_state ready; /* just after WORKLOAD_READY */
};

/* One VM with one vCPU over a window on guest RAM. */
struct bare_vm {
    int vm;
    int vcpu;
    struct kvm_run *run;
    uint8_t *window;
};

__attribute__((noreturn)) void bare_failed(const char *what);
int bare_ioctl(int fd, unsigned long request, const char *name, void *argument);
#define KVM_CALL(fd, request, argument) bare_ioctl(fd, request, #request, argument)

/* `map_flags`: MAP_SHARED or MAP_PRIVATE, for the window; `slot_flags`: 0 or KVM_MEM_LOG_DIRTY_PAGES. */
void bare_vm_open(const struct bare *bare, struct bare_vm *vm, int map_flags, uint32_t slot_flags);
void bare_vm_close(const struct bare *bare, struct bare_vm *vm);

/* Continues the guest as it was when its memory was resident, as if it had just been forked, but not yet runs it. */
void bare_continue(const struct bare *bare, struct bare_vm *vm, uint32_t slot_flags);

/* Only registers; and the TSC. */
void bare_vm_set(const struct bare_vm *vm, const struct bare_state *state);
uint64_t bare_vm_tsc(const struct bare_vm *vm);
void bare_vm_set_tsc(const struct bare_vm *vm, uint64_t tsc);

/* KVM and guest RAM, `memory` bytes of zeroes, without a VM: bare_end() closes it. */
struct bare *bare_open(uint64_t memory);

/* Runs until the guest writes 32 bits to this port, and returns them; *at is when. Other output is dropped; its end,
 * where the port is not that of the end, is a failure. */
uint32_t bare_vm_run_to_port(struct bare_vm *vm, unsigned port, uint64_t *at);

/* Runs until the guest makes this mark, and returns when. */
uint64_t bare_vm_run_to(struct bare_vm *vm, uint32_t mark);

/* Lets KVM finish the OUT that the vCPU stopped at, without running further: only then are its registers right. */
void bare_vm_complete_out(struct bare_vm *vm);

#endif
