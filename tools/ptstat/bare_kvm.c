/* See bare_kvm.h. The guest's start is laid out in bare_boot.c; bare_vm.c drives KVM. */
#include "tools/ptstat/bare_kvm.h"
#include "cleave/guest_abi.h"
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/bare_boot.h"
#include "tools/ptstat/bare_vm.h"
#include "tools/ptstat/guest_image.h"
#include "tools/ptstat/terminal.h"
#include "tools/ptstat/workload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CPUID_ENTRIES 256

static void run_to_ready(struct bare *bare, const struct bare_guest *guest)
{
    struct bare_vm vm;
    struct bare_state *state = &bare->ready;
    uint64_t at;

    bare_vm_open(bare, &vm, MAP_SHARED, 0);
    KVM_CALL(vm.vcpu, KVM_GET_SREGS, &state->sregs);
    bare_boot(vm.window, bare->size, guest->words, &state->regs, &state->sregs);
    if (pread(guest->image, vm.window + GUEST_LOAD_ADDRESS, bare->size - GUEST_LOAD_ADDRESS, 0) <= 0)
        die(EXIT_RUNTIME, "bare KVM: cannot read the guest's file");
    bare_vm_set(&vm, state);
    while (bare_vm_run_to_port(&vm, guest->port, &at) != guest->value)
        ;
    bare_vm_complete_out(&vm);
    KVM_CALL(vm.vcpu, KVM_GET_REGS, &state->regs);
    KVM_CALL(vm.vcpu, KVM_GET_SREGS, &state->sregs);
    state->tsc = bare_vm_tsc(&vm);
    bare_vm_close(bare, &vm);
}

static int open_image(const struct arguments *arguments)
{
    char path[IMAGE_PATH];
    int image;

    if (!arguments->guest)
        return guest_image_file(IMAGE_WORKLOAD, path, sizeof(path));
    image = open(arguments->guest, O_RDONLY | O_CLOEXEC);
    if (image < 0)
        die(EXIT_RUNTIME, "%s: %s", arguments->guest, strerror(errno));
    return image;
}

struct bare *bare_open(uint64_t memory)
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
        bare_failed("cannot open /dev/kvm");
    KVM_CALL(bare->kvm, KVM_GET_SUPPORTED_CPUID, bare->cpuid);
    bare->run_size = (size_t)KVM_CALL(bare->kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
    bare->memory = memfd_create("ptstat-bare", MFD_CLOEXEC);
    if (bare->memory < 0 || ftruncate(bare->memory, (off_t)bare->size))
        bare_failed("cannot make guest RAM");
    return bare;
}

struct bare *bare_start_guest(const struct bare_guest *guest)
{
    struct bare *bare = bare_open(guest->memory);

    run_to_ready(bare, guest);
    close(guest->image);
    return bare;
}

struct bare *bare_start(const struct arguments *arguments, uint64_t period_us)
{
    struct workload workload;

    workload_arguments(&workload, &(struct workload_rounds){.resident = arguments->resident,
                                                            .dirty = arguments->dirty,
                                                            .period_us = period_us,
                                                            .scatter = arguments->scatter});
    return bare_start_guest(&(struct bare_guest){.image = open_image(arguments),
                                                 .memory = arguments->memory,
                                                 .words = &workload,
                                                 .port = PORT_MARK,
                                                 .value = WORKLOAD_READY});
}

void bare_continue(const struct bare *bare, struct bare_vm *vm, uint32_t slot_flags)
{
    bare_vm_open(bare, vm, MAP_PRIVATE, slot_flags);
    bare_vm_set(vm, &bare->ready);
    bare_vm_set_tsc(vm, bare->ready.tsc);
    bare_boot_forked(vm->window);
}

uint64_t bare_round(struct bare *bare)
{
    struct bare_vm vm;
    uint64_t output, paid;

    bare_continue(bare, &vm, 0);
    output = bare_vm_run_to(&vm, WORKLOAD_OUTPUT);
    paid = bare_vm_run_to(&vm, WORKLOAD_PAID);
    bare_vm_close(bare, &vm);
    return paid - output;
}

void bare_end(struct bare *bare)
{
    close(bare->kvm);
    close(bare->memory);
    free(bare->cpuid);
    free(bare);
}
