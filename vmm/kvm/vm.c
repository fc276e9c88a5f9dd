/* KVM VMs, vCPU threads, starting and stopping them: see vm.h. */
#include "vmm/kvm/vm.h"

#include "vmm/base/clock.h"
#include "vmm/base/failure.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES (512 << 10)
#define AGAIN_MOST  100     /* times in a row that KVM_RUN may ask to be called again, */
#define AGAIN_NS    1000000 /* and how long is waited in between */

/* KVM_RUN was interrupted: a caller that runs the vCPU itself looks what for, be it a timer of its own. */
static void take_kick(struct vcpu *vcpu)
{
    struct kick_target *caller = vcpu->index == 0 ? vcpu->vm->caller : NULL;
    kick_eat();
    if (caller)
        atomic_store(&caller->attention, true);
}

/* EAGAIN passes by, or stays for good: the kernel may want a thread of its own for a VM's first entry, and there is
 * none. */
static bool wait_to_try_again(struct vcpu *vcpu)
{
    nanosleep(&(struct timespec){.tv_nsec = AGAIN_NS}, NULL);
    return ++vcpu->again < AGAIN_MOST;
}

/* One entry into the guest and what comes of it. False: the vCPU must stop. */
static bool run_once(struct vcpu *vcpu)
{
    const struct vm_runner *runner = vcpu->vm->runner;
    const int error = kvm_run_vcpu(vcpu->fd) == 0 ? 0 : errno;
    if (error == EAGAIN ? !wait_to_try_again(vcpu) : error && error != EINTR)
        return runner->error(vcpu, error);
    vcpu->again = error == EAGAIN ? vcpu->again : 0;
    if (!error)
        return runner->exit(vcpu);
    if (error == EINTR)
        take_kick(vcpu);
    vcpu->incomplete = false;
    return true;
}

/* Runs the guest until vm_stop() or until an exit says so. */
static void run_guest(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    atomic_store_explicit(&vcpu->entered_ns, clock_ns(), memory_order_release);
    while (atomic_load_explicit(&vm->go, memory_order_acquire) && run_once(vcpu)) {
    }
}

/* The next entry, or the one under way, returns at once; KVM reads this while others write it. */
static void set_immediate_exit(struct vcpu *vcpu, bool on)
{
    __atomic_store_n(&vcpu->run->immediate_exit, on, __ATOMIC_SEQ_CST);
}

/* The registers that an `in` fills, and the step past an `out`, happen at the next entry: have it, but no further. */
static void complete_io(struct vcpu *vcpu)
{
    set_immediate_exit(vcpu, true);
    while (vcpu->incomplete) {
        if (kvm_run_vcpu(vcpu->fd) == 0)
            vcpu->vm->runner->exit(vcpu); /* the next part of a string instruction */
        else
            vcpu->incomplete = false;
    }
}

/* Where that fails the vCPU cannot be taken out of the guest; KVM refuses no set of this size. */
static void set_mask(struct vcpu *vcpu, const sigset_t *mask)
{
    if (vcpu->has_mask && memcmp(&vcpu->mask, mask, sizeof vcpu->mask) == 0)
        return;
    vcpu->has_mask = kvm_set_signal_mask(vcpu->fd, mask) == 0;
    vcpu->mask = *mask;
}

static void *vcpu_main(void *argument)
{
    struct vcpu *vcpu = argument;
    struct vm *vm = vcpu->vm;
    sigset_t mask;
    sigfillset(&mask);
    sigdelset(&mask, CLEAVE_KICK_SIGNAL);
    pthread_mutex_lock(&vm->lock);
    for (;;) {
        while (!vcpu->start && !vm->end)
            pthread_cond_wait(&vm->started, &vm->lock);
        if (vm->end)
            break;
        vcpu->start = false;
        pthread_mutex_unlock(&vm->lock);
        set_mask(vcpu, &mask);
        run_guest(vcpu);
        complete_io(vcpu);
        pthread_mutex_lock(&vm->lock);
        vcpu->running = false;
        vm->running--;
        pthread_cond_broadcast(&vm->stopped);
    }
    pthread_mutex_unlock(&vm->lock);
    return NULL;
}

static int start_thread(struct vcpu *vcpu)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigset_t blocked, old;
    sigfillset(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &old);
    int error = pthread_create(&vcpu->thread, &attributes, vcpu_main, vcpu);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    if (error)
        return error;
    char name[16];
    snprintf(name, sizeof name, "vcpu%u", vcpu->index);
    pthread_setname_np(vcpu->thread, name);
    return 0;
}

static void close_vcpu(struct vcpu *vcpu)
{
    kvm_unmap_run(vcpu->vm->kvm, vcpu->run);
    if (vcpu->stats >= 0)
        close(vcpu->stats);
    close(vcpu->fd);
}

static int add_vcpu(struct vm *vm, struct cleave_failure *failure)
{
    struct vcpu *vcpu = &vm->vcpus[vm->cpus];
    *vcpu = (struct vcpu){.vm = vm, .index = vm->cpus};
    vcpu->fd = kvm_create_vcpu(vm->kvm, vm->fd, vcpu->index, vcpu->index == 0 ? vm->first_vcpu : -1);
    if (vcpu->index == 0)
        vm->first_vcpu = -1;
    if (vcpu->fd < 0)
        return fail_errno(failure, errno, "KVM_CREATE_VCPU %u", vcpu->index);
    vcpu->run = kvm_map_run(vm->kvm, vcpu->fd);
    if (!vcpu->run) {
        fail_errno(failure, errno, "cannot map the state of vCPU %u", vcpu->index);
        close(vcpu->fd);
        return -1;
    }
    vcpu->stats = kvm_open_stats(vcpu->fd);
    int error = start_thread(vcpu);
    if (error) {
        fail_errno(failure, error, "cannot start a thread for vCPU %u (see ulimit -u)", vcpu->index);
        close_vcpu(vcpu);
        return -1;
    }
    vm->cpus++;
    return 0;
}

static int set_up(struct vm *vm, const struct vm_config *config, bool log_dirty, struct cleave_failure *failure)
{
    vm->window = vm->windows->take(vm->windows->context);
    if (!vm->window)
        return fail(failure, CLEAVE_NO_MEMORY, "no address space left for another guest's window");
    vm->fd = kvm_create_vm(vm->kvm, &vm->first_vcpu);
    if (vm->fd < 0)
        return fail_errno(failure, errno, "KVM_CREATE_VM");
    if (kvm_set_memory(vm->fd, vm->window, vm->memory, log_dirty) < 0)
        return fail_errno(failure, errno, "KVM_SET_USER_MEMORY_REGION of %llu bytes", (unsigned long long)vm->memory);
    for (unsigned i = 0; i < config->region_count; i++) {
        const struct cleave_region *r = &config->regions[i];
        if (kvm_set_region(vm->fd, i + 1, r->gpa, r->bytes, r->memory, r->read_only) < 0)
            return fail_errno(failure, errno, "KVM_SET_USER_MEMORY_REGION of the region at %#llx",
                              (unsigned long long)r->gpa);
    }
    while (vm->cpus < config->cpus)
        if (add_vcpu(vm, failure) < 0)
            return -1;
    return 0;
}

struct vm *vm_new(const struct vm_config *config, bool log_dirty, struct cleave_failure *failure)
{
    struct vm *vm = calloc(1, sizeof *vm);
    if (!vm) {
        fail(failure, CLEAVE_NO_MEMORY, "out of memory for a VM");
        return NULL;
    }
    vm->kvm = config->kvm;
    vm->windows = config->windows;
    vm->memory = config->memory;
    vm->fd = vm->first_vcpu = -1;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->started, NULL);
    pthread_cond_init(&vm->stopped, NULL);
    if (set_up(vm, config, log_dirty, failure) == 0)
        return vm;
    vm_free(vm);
    return NULL;
}

void vm_free(struct vm *vm)
{
    vm_stop(vm);
    pthread_mutex_lock(&vm->lock);
    vm->end = true;
    pthread_cond_broadcast(&vm->started);
    pthread_mutex_unlock(&vm->lock);
    for (unsigned i = 0; i < vm->cpus; i++) {
        pthread_join(vm->vcpus[i].thread, NULL);
        close_vcpu(&vm->vcpus[i]);
    }
    /* The VM goes before its window: with no KVM page tables left, unmapping has none to walk. */
    if (vm->first_vcpu >= 0)
        close(vm->first_vcpu);
    if (vm->fd >= 0)
        close(vm->fd);
    if (vm->window)
        vm->windows->release(vm->windows->context, vm->window);
    pthread_cond_destroy(&vm->stopped);
    pthread_cond_destroy(&vm->started);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

static void free_job(void *vm)
{
    vm_free(vm);
}

void vm_free_later(struct background *background, struct vm *vm)
{
    background_add(background, free_job, vm);
}

void vm_start(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    atomic_store_explicit(&vm->go, true, memory_order_release);
    vm->ran = true;
    for (unsigned i = 0; i < vm->cpus; i++) {
        struct vcpu *vcpu = &vm->vcpus[i];
        if (vcpu->running || vcpu->halted || vcpu->ended || vcpu->waiting || (i == 0 && vm->caller))
            continue;
        set_immediate_exit(vcpu, false);
        vcpu->start = vcpu->running = true;
        vm->running++;
    }
    pthread_cond_broadcast(&vm->started);
    pthread_mutex_unlock(&vm->lock);
}

/* Under the lock. */
static void kick_all(struct vm *vm)
{
    atomic_store_explicit(&vm->go, false, memory_order_release);
    for (unsigned i = 0; i < vm->cpus; i++) {
        struct vcpu *vcpu = &vm->vcpus[i];
        if (!vcpu->running)
            continue;
        set_immediate_exit(vcpu, true); /* no need of the signal then, if it is about to enter the guest */
        pthread_kill(vcpu->thread, CLEAVE_KICK_SIGNAL);
    }
}

void vm_stop(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    kick_all(vm);
    while (vm->running)
        pthread_cond_wait(&vm->stopped, &vm->lock);
    pthread_mutex_unlock(&vm->lock);
}

void vm_ask_stop(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    kick_all(vm);
    pthread_mutex_unlock(&vm->lock);
    if (vm->caller && !kick_is_mine(vm->caller))
        kick(vm->caller);
}

void vm_enter_caller(struct vm *vm, struct kick_target *target)
{
    vm->caller = target;
}

void vm_leave_caller(struct vm *vm)
{
    vm->caller = NULL;
}

void vm_run_caller(struct vm *vm)
{
    struct vcpu *vcpu = &vm->vcpus[0];
    sigset_t mask = vm->caller->mask;
    sigdelset(&mask, CLEAVE_KICK_SIGNAL);
    set_mask(vcpu, &mask);
    set_immediate_exit(vcpu, false);
    atomic_store_explicit(&vcpu->entered_ns, clock_ns(), memory_order_release);
    while (atomic_load_explicit(&vm->go, memory_order_acquire) && !atomic_load(&vm->caller->attention) &&
           run_once(vcpu)) {
    }
    complete_io(vcpu);
}

bool vm_caller_may_wait(const struct vm *vm)
{
    return atomic_load(&vm->go) && !atomic_load(&vm->caller->attention) && !kick_is_pending();
}

static bool is_running(struct vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->vm->lock);
    bool running = vcpu->running;
    pthread_mutex_unlock(&vcpu->vm->lock);
    return running;
}

uint64_t vm_wait_entered(struct vm *vm, uint64_t since)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < vm->cpus; i++) {
        struct vcpu *vcpu = &vm->vcpus[i];
        while (atomic_load_explicit(&vcpu->entered_ns, memory_order_acquire) < since && is_running(vcpu))
            sched_yield();
        uint64_t entered = atomic_load(&vcpu->entered_ns);
        if (entered >= since && entered > last)
            last = entered;
    }
    return last;
}
