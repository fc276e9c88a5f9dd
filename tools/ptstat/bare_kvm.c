/* See bare_kvm.h. The guest's start is laid out in bare_boot.c; this file drives KVM. */
#include "tools/ptstat/bare_kvm.h"
#include "cleave/guest_abi.h"
#include "tools/ptstat/bare_boot.h"
#include "tools/ptstat/terminal.h"
#include "tools/ptstat/workload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CPUID_ENTRIES 256
#define MSR_TSC       0x10

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

/* Which exits a run stops at. */
struct stop {
    uint32_t mark;
    uint64_t at_ns;
};

__attribute__((noreturn)) static void failed(const char *what)
{
    die(EXIT_RUNTIME, "bare KVM: %s: %s", what, strerror(errno));
}

static int checked_ioctl(int fd, unsigned long request, const char *name, void *argument)
{
    int result = ioctl(fd, request, argument);

    if (result < 0)
        failed(name);
    return result;
}
#define KVM_CALL(fd, request, argument) checked_ioctl(fd, request, #request, argument)

/* Room for one MSR: the kernel's struct ends in an array without a length. */
union one_msr {
    struct kvm_msrs list;
    char space[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

static uint64_t read_tsc(int vcpu)
{
    union one_msr msr = {.list.nmsrs = 1};

    msr.list.entries[0].index = MSR_TSC;
    KVM_CALL(vcpu, KVM_GET_MSRS, &msr);
    return msr.list.entries[0].data;
}

static void write_tsc(int vcpu, uint64_t tsc)
{
    union one_msr msr = {.list.nmsrs = 1};

    msr.list.entries[0] = (struct kvm_msr_entry){.index = MSR_TSC, .data = tsc};
    KVM_CALL(vcpu, KVM_SET_MSRS, &msr);
}

/* `flags`: MAP_SHARED or MAP_PRIVATE, for the window. */
static void vm_open(const struct bare *bare, struct bare_vm *vm, int flags)
{
    struct kvm_userspace_memory_region slot = {.memory_size = bare->size};

    vm->window = mmap(NULL, bare->size, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, bare->memory, 0);
    if (vm->window == MAP_FAILED)
        failed("cannot map guest RAM");
    slot.userspace_addr = (uintptr_t)vm->window;
    vm->vm = KVM_CALL(bare->kvm, KVM_CREATE_VM, NULL);
    KVM_CALL(vm->vm, KVM_SET_USER_MEMORY_REGION, &slot);
    vm->vcpu = KVM_CALL(vm->vm, KVM_CREATE_VCPU, NULL);
    KVM_CALL(vm->vcpu, KVM_SET_CPUID2, bare->cpuid);
    vm->run = mmap(NULL, bare->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
    if (vm->run == MAP_FAILED)
        failed("cannot map the vCPU");
}

static void vm_close(const struct bare *bare, struct bare_vm *vm)
{
    munmap(vm->run, bare->run_size);
    close(vm->vcpu);
    close(vm->vm);
    munmap(vm->window, bare->size);
}

/* The value of a 32-bit OUT to `port`, where the vCPU stopped at one. */
static bool is_out(const struct kvm_run *run, unsigned port, uint32_t *value)
{
    if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT || run->io.port != port ||
        run->io.size != sizeof(*value))
        return false;
    memcpy(value, (const char *)run + run->io.data_offset, sizeof(*value));
    return true;
}

/* Runs until the guest makes the mark stop->mark, and notes when; other output is dropped. */
static void run_to_mark(struct bare_vm *vm, struct stop *stop)
{
    uint32_t value;

    for (;;) {
        if (ioctl(vm->vcpu, KVM_RUN, 0) < 0) {
            if (errno != EINTR && errno != EAGAIN)
                failed("KVM_RUN");
            exit_if_interrupted();
            continue;
        }
        stop->at_ns = now_ns();
        if (is_out(vm->run, PORT_MARK, &value) && value == stop->mark)
            return;
        if (is_out(vm->run, PORT_EXIT, &value))
            die(EXIT_RUNTIME, "bare KVM: the guest ended with code %u before its mark 0x%x", value, stop->mark);
        if (vm->run->exit_reason != KVM_EXIT_IO)
            die(EXIT_RUNTIME, "bare KVM: the guest crashed before its mark 0x%x (exit reason %u)", stop->mark,
                vm->run->exit_reason);
    }
}

/* Lets KVM finish the OUT that the vCPU stopped at, without running further: only then are its registers right. */
static void complete_out(struct bare_vm *vm)
{
    vm->run->immediate_exit = 1;
    if (ioctl(vm->vcpu, KVM_RUN, 0) == 0 || errno != EINTR)
        failed("KVM_RUN did not stop where asked");
    vm->run->immediate_exit = 0;
}

static void set_state(const struct bare_vm *vm, const struct bare_state *state)
{
    struct bare_state copy = *state;

    KVM_CALL(vm->vcpu, KVM_SET_SREGS, &copy.sregs);
    KVM_CALL(vm->vcpu, KVM_SET_REGS, &copy.regs);
}

static void run_to_ready(struct bare *bare, int image, const struct workload *workload)
{
    struct bare_vm vm;
    struct stop stop = {.mark = WORKLOAD_READY};
    struct bare_state *state = &bare->ready;

    vm_open(bare, &vm, MAP_SHARED);
    KVM_CALL(vm.vcpu, KVM_GET_SREGS, &state->sregs);
    bare_boot(vm.window, bare->size, workload, &state->regs, &state->sregs);
    if (pread(image, vm.window + GUEST_LOAD_ADDRESS, bare->size - GUEST_LOAD_ADDRESS, 0) <= 0)
        die(EXIT_RUNTIME, "bare KVM: cannot read the guest's file");
    set_state(&vm, state);
    run_to_mark(&vm, &stop);
    complete_out(&vm);
    KVM_CALL(vm.vcpu, KVM_GET_REGS, &state->regs);
    KVM_CALL(vm.vcpu, KVM_GET_SREGS, &state->sregs);
    state->tsc = read_tsc(vm.vcpu);
    vm_close(bare, &vm);
}

struct bare *bare_start(int fd, uint64_t memory, const struct workload *workload)
{
    struct bare *bare = calloc(1, sizeof(*bare));

    if (!bare)
        die(EXIT_RUNTIME, "out of memory");
    bare->size = memory;
    bare->cpuid = calloc(1, sizeof(*bare->cpuid) + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2));
    if (!bare->cpuid)
        die(EXIT_RUNTIME, "out of memory");
    bare->cpuid->nent = CPUID_ENTRIES;
    bare->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (bare->kvm < 0)
        failed("cannot open /dev/kvm");
    KVM_CALL(bare->kvm, KVM_GET_SUPPORTED_CPUID, bare->cpuid);
    bare->run_size = (size_t)KVM_CALL(bare->kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
    bare->memory = memfd_create("ptstat-bare", MFD_CLOEXEC);
    if (bare->memory < 0 || ftruncate(bare->memory, (off_t)memory))
        failed("cannot make guest RAM");
    run_to_ready(bare, fd, workload);
    return bare;
}

uint64_t bare_round(struct bare *bare)
{
    struct bare_vm vm;
    struct stop output = {.mark = WORKLOAD_OUTPUT};
    struct stop paid = {.mark = WORKLOAD_PAID};

    vm_open(bare, &vm, MAP_PRIVATE);
    set_state(&vm, &bare->ready);
    write_tsc(vm.vcpu, bare->ready.tsc);
    bare_boot_forked(vm.window);
    run_to_mark(&vm, &output);
    run_to_mark(&vm, &paid);
    vm_close(bare, &vm);
    return paid.at_ns - output.at_ns;
}

void bare_end(struct bare *bare)
{
    close(bare->kvm);
    close(bare->memory);
    free(bare->cpuid);
    free(bare);
}
