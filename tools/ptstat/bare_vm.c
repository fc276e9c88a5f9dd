/* See bare_vm.h. */
#include "tools/ptstat/bare_vm.h"
#include "cleave/guest_abi.h"
#include "tools/ptstat/terminal.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MSR_TSC 0x10

void bare_failed(const char *what)
{
    die(EXIT_RUNTIME, "bare KVM: %s: %s", what, strerror(errno));
}

int bare_ioctl(int fd, unsigned long request, const char *name, void *argument)
{
    int result = ioctl(fd, request, argument);

    if (result < 0)
        bare_failed(name);
    return result;
}

/* Room for one MSR: the kernel's struct ends in an array without a length. */
union one_msr {
    struct kvm_msrs list;
    char space[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

uint64_t bare_vm_tsc(const struct bare_vm *vm)
{
    union one_msr msr = {.list.nmsrs = 1};

    msr.list.entries[0].index = MSR_TSC;
    KVM_CALL(vm->vcpu, KVM_GET_MSRS, &msr);
    return msr.list.entries[0].data;
}

void bare_vm_set_tsc(const struct bare_vm *vm, uint64_t tsc)
{
    union one_msr msr = {.list.nmsrs = 1};

    msr.list.entries[0] = (struct kvm_msr_entry){.index = MSR_TSC, .data = tsc};
    KVM_CALL(vm->vcpu, KVM_SET_MSRS, &msr);
}

void bare_vm_open(const struct bare *bare, struct bare_vm *vm, int map_flags, uint32_t slot_flags)
{
    struct kvm_userspace_memory_region slot = {.flags = slot_flags, .memory_size = bare->size};

    vm->window = mmap(NULL, bare->size, PROT_READ | PROT_WRITE, map_flags | MAP_NORESERVE, bare->memory, 0);
    if (vm->window == MAP_FAILED)
        bare_failed("cannot map guest RAM");
    slot.userspace_addr = (uintptr_t)vm->window;
    vm->vm = KVM_CALL(bare->kvm, KVM_CREATE_VM, NULL);
    KVM_CALL(vm->vm, KVM_SET_USER_MEMORY_REGION, &slot);
    vm->vcpu = KVM_CALL(vm->vm, KVM_CREATE_VCPU, NULL);
    KVM_CALL(vm->vcpu, KVM_SET_CPUID2, bare->cpuid);
    vm->run = mmap(NULL, bare->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
    if (vm->run == MAP_FAILED)
        bare_failed("cannot map the vCPU");
}

void bare_vm_close(const struct bare *bare, struct bare_vm *vm)
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

uint32_t bare_vm_run_to_port(struct bare_vm *vm, unsigned port, uint64_t *at)
{
    uint32_t value;

    for (;;) {
        if (ioctl(vm->vcpu, KVM_RUN, 0) < 0) {
            if (errno != EINTR && errno != EAGAIN)
                bare_failed("KVM_RUN");
            exit_if_interrupted();
            continue;
        }
        *at = now_ns();
        if (is_out(vm->run, port, &value))
            return value;
        if (is_out(vm->run, PORT_EXIT, &value))
            die(EXIT_RUNTIME, "bare KVM: the guest ended with code %u before it wrote what it should to port 0x%x",
                value, port);
        if (vm->run->exit_reason != KVM_EXIT_IO)
            die(EXIT_RUNTIME, "bare KVM: the guest crashed before it wrote to port 0x%x (exit reason %u)", port,
                vm->run->exit_reason);
    }
}

uint64_t bare_vm_run_to(struct bare_vm *vm, uint32_t mark)
{
    uint64_t at;

    while (bare_vm_run_to_port(vm, PORT_MARK, &at) != mark)
        ;
    return at;
}

void bare_vm_complete_out(struct bare_vm *vm)
{
    vm->run->immediate_exit = 1;
    if (ioctl(vm->vcpu, KVM_RUN, 0) == 0 || errno != EINTR)
        bare_failed("KVM_RUN did not stop where asked");
    vm->run->immediate_exit = 0;
}

void bare_vm_set(const struct bare_vm *vm, const struct bare_state *state)
{
    struct bare_state copy = *state;

    KVM_CALL(vm->vcpu, KVM_SET_SREGS, &copy.sregs);
    KVM_CALL(vm->vcpu, KVM_SET_REGS, &copy.regs);
}
