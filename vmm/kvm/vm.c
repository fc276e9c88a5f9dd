/* KVM VMs, vCPU threads, starting and stopping them: see vm.h. */
#include "vmm/kvm/vm.h"

#include "vmm/base/clock.h"
#include "vmm/base/failure.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KICK_SIGNAL SIGUSR1
#define STACK_BYTES (512 << 10)
#define AGAIN_MOST  100     /* times in a row that KVM_RUN may ask to be called again, */
#define AGAIN_NS    1000000 /* and how long is waited in between */

static void on_kick(int signal)
{
    (void)signal; /* that KVM_RUN returns is all it is for */
}

void vm_init_signal(void)
{
    struct sigaction action = {.sa_handler = on_kick, .sa_flags = SA_RESTART};
    sigaction(KICK_SIGNAL, &action, NULL);
}

/* EAGAIN passes by, or stays for good: the kernel may want a thread of its own for a VM's first entry, and there is
 * none. */
static bool wait_to_try_again(unsigned *times)
{
    nanosleep(&(struct timespec){.tv_nsec = AGAIN_NS}, NULL);
    return ++*times < AGAIN_MOST;
}

/* Runs the guest until vm_stop() or until an exit says so. */
static void run_guest(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    atomic_store_explicit(&vcpu->entered_ns, clock_ns(), memory_order_release);
    bool go_on = true;
    unsigned again = 0;
    while (go_on && atomic_load_explicit(&vm->go, memory_order_acquire)) {
        const int error = kvm_run_vcpu(vcpu->fd) == 0 ? 0 : errno;
        if (!error)
            go_on = vm->runner->exit(vcpu);
        else if (error == EINTR || (error == EAGAIN && wait_to_try_again(&again)))
            vcpu->incomplete = false;
        else
            go_on = vm->runner->error(vcpu, error);
        if (error != EAGAIN)
            again = 0;
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

static void *vcpu_main(void *argument)
{
    struct vcpu *vcpu = argument;
    struct vm *vm = vcpu->vm;
    pthread_mutex_lock(&vm->lock);
    for (;;) {
        while (!vcpu->start && !vm->end)
            pthread_cond_wait(&vm->started, &vm->lock);
        if (vm->end)
            break;
        vcpu->start = false;
        pthread_mutex_unlock(&vm->lock);
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
    sigdelset(&blocked, KICK_SIGNAL);
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
    vcpu->fd = kvm_create_vcpu(vm->kvm, vm->fd, vcpu->index);
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
    vm->fd = kvm_create_vm(vm->kvm);
    if (vm->fd < 0)
        return fail_errno(failure, errno, "KVM_CREATE_VM");
    if (kvm_set_memory(vm->fd, vm->window, vm->memory, log_dirty) < 0)
        return fail_errno(failure, errno, "KVM_SET_USER_MEMORY_REGION of %llu bytes", (unsigned long long)vm->memory);
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
    vm->fd = -1;
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
    for (unsigned i = 0; i < vm->cpus; i++) {
        struct vcpu *vcpu = &vm->vcpus[i];
        if (vcpu->running || vcpu->halted || vcpu->ended || vcpu->waiting)
            continue;
        set_immediate_exit(vcpu, false);
        vcpu->start = vcpu->running = true;
        vm->running++;
    }
    pthread_cond_broadcast(&vm->started);
    pthread_mutex_unlock(&vm->lock);
}

void vm_stop(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    atomic_store_explicit(&vm->go, false, memory_order_release);
    for (unsigned i = 0; i < vm->cpus; i++) {
        struct vcpu *vcpu = &vm->vcpus[i];
        if (!vcpu->running)
            continue;
        /* Both, since the thread may be on either side of entering the guest. */
        set_immediate_exit(vcpu, true);
        pthread_kill(vcpu->thread, KICK_SIGNAL);
    }
    while (vm->running)
        pthread_cond_wait(&vm->stopped, &vm->lock);
    pthread_mutex_unlock(&vm->lock);
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
