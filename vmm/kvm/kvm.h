/*
 * KVM as the rest of the VMM sees it: every ioctl on /dev/kvm, on a VM and on a vCPU is in kvm.c, under a name that
 * says what it is for. Functions return 0 or a descriptor, or -1 with errno as the ioctl left it, unless they say
 * otherwise. Formats and semantics: the Linux kernel's Documentation/virt/kvm/api.rst, by the name of the ioctl.
 */
#ifndef VMM_KVM_KVM_H
#define VMM_KVM_KVM_H

#include "vmm/base/failure.h"

#include <linux/kvm.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KVM_CPUID_MAX 256
#define KVM_MSRS_MAX  256

/* A VM with a vCPU that kvm_open() has asked what there is, for the first who wants a VM: making one takes
 * milliseconds. */
struct kvm_spare {
    atomic_int vm, vcpu; /* -1: taken */
};

/* What this host's KVM offers; read once, then shared read-only by all threads. */
struct kvm {
    int fd;
    struct kvm_spare *spare;
    int api_version;
    size_t run_size;   /* bytes of the vCPU's shared page */
    size_t xsave_size; /* bytes of a vCPU's xsave image, at least sizeof(struct kvm_xsave) */
    bool has_xsave2, has_xcrs, has_debugregs, has_tsc_offset;
    bool has_manual_log; /* the dirty log is read and cleared apart */
    bool has_sync_regs;  /* registers and events can be given to KVM_RUN with the call */
    int tsc_adjust;      /* index of IA32_TSC_ADJUST in msrs, or -1 */
    unsigned msr_count;  /* MSRs that make up a vCPU's state; see msr_left_out() in kvm.c for those that do not */
    uint32_t msrs[KVM_MSRS_MAX];
    uint64_t msr_defaults[KVM_MSRS_MAX]; /* of a new vCPU */
    uint32_t tsc_khz;                    /* 0: KVM does not say */
    struct kvm_cpuid2 *cpuid;            /* what guests see */
};

/* Opens /dev/kvm and reads its capabilities. -1 with *failure that names what is missing and the remedy. */
int kvm_open(struct kvm *kvm, struct cleave_failure *failure);
void kvm_close(struct kvm *kvm);

/* From now on guests see the `count` leaves at `entries` (struct kvm_cpuid_entry2, at most KVM_CPUID_MAX) and not what
 * this host has. Before any vCPU is made. -1 with *failure. */
int kvm_show_cpuid(struct kvm *kvm, const void *entries, unsigned count, struct cleave_failure *failure);

/* The guest's CPUID has RDFSBASE and its kin. */
bool kvm_has_fsgsbase(const struct kvm *kvm);

/* *vcpu is its vCPU 0 where that is made already, for kvm_create_vcpu(); else -1. */
int kvm_create_vm(const struct kvm *kvm, int *vcpu);

/* Slot 0: guest-physical [0, size) at host-virtual `window`, which may still be unmapped; with the dirty log or not. */
int kvm_set_memory(int vm, uint64_t window, uint64_t size, bool log_dirty);

/* Slot `slot`, from 1 on: the `bytes` of host memory at `memory` are at guest-physical `gpa`; without a dirty log. */
int kvm_set_region(int vm, unsigned slot, uint64_t gpa, uint64_t bytes, void *memory, bool read_only);

/* Fills bitmap (one bit a page, rounded up to 64) with the pages written since they were last cleared. Without
 * has_manual_log all are cleared by that. */
int kvm_get_dirty_log(int vm, uint64_t *bitmap);

/* Clears these of the slot's `pages`: the guest's next write to each is logged again. Nothing without has_manual_log.
 */
int kvm_clear_dirty_log(const struct kvm *kvm, int vm, const uint64_t *bitmap, uint64_t pages);

int kvm_get_clock(int vm, struct kvm_clock_data *clock);
int kvm_set_clock(int vm, const struct kvm_clock_data *clock);

/* Makes a vCPU, or takes the one that is `made` already, with the CPUID that guests see, ready for its state. */
int kvm_create_vcpu(const struct kvm *kvm, int vm, unsigned index, int made);
struct kvm_run *kvm_map_run(const struct kvm *kvm, int vcpu); /* NULL with errno */
void kvm_unmap_run(const struct kvm *kvm, struct kvm_run *run);

/* The signals that are blocked while the vCPU runs, in place of its thread's. */
int kvm_set_signal_mask(int vcpu, const sigset_t *blocked);

/* 0 for an exit to be handled, -1 with errno: EINTR (kicked, or immediate_exit), EFAULT and so on. */
int kvm_run_vcpu(int vcpu);

int kvm_get_regs(int vcpu, struct kvm_regs *regs);
int kvm_set_regs(int vcpu, const struct kvm_regs *regs);
int kvm_get_sregs(int vcpu, struct kvm_sregs *sregs);
int kvm_set_sregs(int vcpu, const struct kvm_sregs *sregs);

/* Both of a stopped vCPU, be it that vcpu_state_return() has left them for the next KVM_RUN. */
int vcpu_get_registers(int vcpu, const struct kvm_run *run, struct kvm_regs *regs, struct kvm_sregs *sregs);

/*
 * A vCPU's statistics: a descriptor to be opened before the vCPU first runs, as every vCPU ioctl waits for a running
 * vCPU to leave the guest, and a count of the page faults that KVM has resolved for it so far, which does not wait. -1
 * and 0 where the kernel (before 5.14) has none.
 */
int kvm_open_stats(int vcpu);
uint64_t kvm_page_faults(int stats);

/*
 * A vCPU's whole state, but for the in-kernel local APIC, which no machine of this version has. `xsave` holds
 * kvm->xsave_size bytes. Times: tsc_offset is guest TSC minus host TSC, so a copy keeps the guest's clock running on.
 */
struct vcpu_state {
    struct kvm_mp_state mp_state;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_vcpu_events events;
    uint64_t tsc_offset; /* the clock runs on, however long the state lies about */
    uint64_t tsc;        /* instead of tsc_offset on kernels without it */
    uint64_t msrs[KVM_MSRS_MAX];
    bool halted; /* stopped in HLT for good: without an interrupt controller nothing can wake it */
    struct kvm_xsave *xsave;
};

/* The guest's TSC as it was when the host's, kvm_host_tsc(), was `host_tsc`; and setting it to go on from `tsc` then.
 */
uint64_t vcpu_state_tsc(const struct kvm *kvm, const struct vcpu_state *state, uint64_t host_tsc);
void vcpu_state_set_tsc(const struct kvm *kvm, struct vcpu_state *state, uint64_t tsc, uint64_t host_tsc);
uint64_t kvm_host_tsc(void);

int vcpu_state_init(const struct kvm *kvm, struct vcpu_state *state); /* -1: out of memory */
void vcpu_state_free(struct vcpu_state *state);

/*
 * Save and restore; the vCPU must be stopped, with no I/O of its last exit left to complete. -1 with *failure that
 * names the part. The order within is significant: see the comments in vcpu_state.c. `run` is the vCPU's shared page.
 */
int vcpu_state_save(const struct kvm *kvm, int vcpu, struct kvm_run *run, struct vcpu_state *state,
                    struct cleave_failure *failure);
int vcpu_state_restore(const struct kvm *kvm, int vcpu, struct kvm_run *run, const struct vcpu_state *state,
                       struct cleave_failure *failure);

/*
 * Returns a vCPU to a state that was saved from it or restored into it before. Does what vcpu_state_restore() does in
 * fewer calls, each of which costs KVM the loading of a vCPU: what can have changed without trace is set, what can be
 * seen not to have changed is left alone, and registers and events wait in *run for the next KVM_RUN.
 * The guest's clocks run on.
 */
int vcpu_state_return(const struct kvm *kvm, int vcpu, struct kvm_run *run, const struct vcpu_state *state,
                      struct cleave_failure *failure);

#endif
