/*
 * A KVM VM with its vCPUs, their threads, and the memslot over a window: everything of a guest that takes long to
 * make and depends on none. The pool keeps ready ones; who runs a guest takes one, maps memory into its window, sets
 * its vCPUs and starts it.
 *
 * A vCPU thread is stopped or running. vm_start() and vm_stop() are called by the owner's thread and may be called in
 * any state; between vm_stop() and vm_start() no vCPU thread touches the guest, the vCPUs or anything of the
 * guest.
 */
#ifndef VMM_KVM_VM_H
#define VMM_KVM_VM_H

#include "vmm/base/background.h"
#include "vmm/kvm/kick.h"
#include "vmm/kvm/kvm.h"

#include <cleave/guest.h>
#include <cleave/guest_abi.h>

#include <pthread.h>
#include <stdatomic.h>

struct vcpu;

/* Who runs a guest in the VM: what vCPU threads call when it leaves guest mode. Both return false where the vCPU must
 * stop. */
struct vm_runner {
    bool (*exit)(struct vcpu *vcpu);             /* vcpu->run says why */
    bool (*error)(struct vcpu *vcpu, int error); /* KVM_RUN failed with this errno */
};

struct vcpu {
    struct vm *vm;
    unsigned index;
    int fd;
    int stats; /* see kvm_open_stats() */
    struct kvm_run *run;
    pthread_t thread;
    bool has_mask; /* KVM has `mask` for KVM_RUN; whoever runs the vCPU sets it */
    sigset_t mask;
    /* Under vm->lock: */
    bool running; /* its thread is in the guest, or handles an exit */
    bool start;   /* asks the thread to run */
    /* The vCPU thread's while running, else the owner's: */
    bool halted;                 /* HLT for good */
    bool ended;                  /* has reported the guest's end */
    bool waiting;                /* has asked for a fork */
    unsigned again;              /* times in a row that KVM has asked to be called again */
    bool incomplete;             /* the I/O of the last exit takes effect at the next entry */
    _Atomic uint64_t entered_ns; /* CLOCK_MONOTONIC of the first entry since vm_start(); by the vCPU thread */
};

/* Where VMs get the addresses from that their memslots point at. Any thread. */
struct vm_windows {
    uint64_t (*take)(void *context); /* 0: there is none left */
    void (*release)(void *context, uint64_t window);
    void *context;
};

struct vm {
    const struct kvm *kvm;
    const struct vm_windows *windows;
    int fd;
    int first_vcpu; /* its vCPU 0, where that came with the VM and has no thread yet; else -1 */
    uint64_t window;
    uint64_t memory; /* bytes */
    unsigned cpus;
    struct vcpu vcpus[GUEST_MAX_CPUS];
    const struct vm_runner *runner; /* who runs a guest here, and */
    void *guest;                    /* which one; NULL in the pool */
    struct kick_target
        *caller; /* a thread that runs vCPU 0 itself is between vm_enter_caller() and vm_leave_caller() */
    pthread_mutex_t lock;
    pthread_cond_t started, stopped;
    atomic_bool go;   /* vCPUs may run */
    bool ran;         /* a vCPU may have been in the guest since the owner last set this to false */
    bool end;         /* under lock: the threads leave */
    unsigned running; /* under lock: vCPUs whose `running` is set */
};

struct vm_config {
    const struct kvm *kvm;
    const struct vm_windows *windows; /* must outlive the VM */
    uint64_t memory;
    unsigned cpus;
    const struct cleave_region *regions; /* must outlive the VM's making */
    unsigned region_count;
};

/* Makes one, without a guest and stopped. NULL with *failure. May be called from any thread. */
struct vm *vm_new(const struct vm_config *config, bool log_dirty, struct cleave_failure *failure);

/* Stops, joins the threads, closes and unmaps everything. Takes milliseconds. Any thread, but only one. */
void vm_free(struct vm *vm);

/* The same by a job in the background. */
void vm_free_later(struct background *background, struct vm *vm);

/* Lets run every vCPU that is not halted, ended or waiting. */
void vm_start(struct vm *vm);

/* Takes every vCPU out of the guest, completes its I/O, and returns when all have stopped. */
void vm_stop(struct vm *vm);

/* Has every vCPU leave the guest soon, and waits for none. From vCPU threads too. */
void vm_ask_stop(struct vm *vm);

/*
 * Between these the caller's thread, which is the owner's, runs vCPU 0, and vm_start() lets run the others only; the VM
 * is stopped at both. vm_run_caller() enters the guest, if vm_start() was called and vCPU 0 is not halted, ended or
 * waiting, and comes back when that has changed or the target was kicked.
 */
void vm_enter_caller(struct vm *vm, struct kick_target *target);
void vm_run_caller(struct vm *vm);
void vm_leave_caller(struct vm *vm);

/* From an exit of vCPU 0 on the caller's thread: nobody wants it back yet, be it by a timer. */
bool vm_caller_may_wait(const struct vm *vm);

/* vCPU 0 could run: it is neither halted nor ended nor waiting. */
static inline bool vm_caller_can_run(const struct vm *vm)
{
    const struct vcpu *vcpu = &vm->vcpus[0];
    return !vcpu->halted && !vcpu->ended && !vcpu->waiting;
}

/* Waits until every vCPU that vm_start() let run at `since` or later has entered the guest (or stopped again); returns
 * the time of the last entry, or 0 where none runs. */
uint64_t vm_wait_entered(struct vm *vm, uint64_t since);

#endif
