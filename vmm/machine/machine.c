/* Machines: making and ending them, who they are, their state at an instant. See machine.h. */
#include "vmm/machine/machine.h"

#include "vmm/base/clock.h"
#include "vmm/base/failure.h"
#include "vmm/machine/exits.h"
#include "vmm/machine/registers.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct machine *machine_new(uint64_t id, struct store *store, struct terminal *terminal, struct mailbox *mailbox,
                            struct cleave_failure *failure)
{
    struct machine *machine = calloc(1, sizeof *machine);
    if (!machine) {
        fail(failure, CLEAVE_NO_MEMORY, "out of memory for a guest");
        return NULL;
    }
    machine->id = id;
    machine->mailbox = mailbox;
    console_init(&machine->console, terminal, id);
    marks_init(&machine->marks);
    pthread_mutex_init(&machine->report.lock, NULL);
    if (memory_init(&machine->memory, store, failure) == 0)
        return machine;
    machine_free(machine);
    return NULL;
}

void machine_free(struct machine *machine)
{
    memory_end(&machine->memory);
    console_free(&machine->console);
    marks_free(&machine->marks);
    pthread_mutex_destroy(&machine->report.lock);
    free(machine->saved.path);
    free(machine);
}

void machine_take_vm(struct machine *machine, struct vm *vm)
{
    vm->runner = &machine_runner;
    vm->guest = machine;
    machine->vm = vm;
    machine->memory.window = vm->window;
    machine->memory.log_is_cleared = !vm->kvm->has_manual_log;
}

static void drop_instant(struct machine *machine)
{
    machine_state_put(machine->instant.state);
    machine->instant = (struct instant){0};
}

struct vm *machine_end(struct machine *machine)
{
    struct vm *vm = machine->vm;
    machine->vm = NULL;
    vm_stop(vm);
    vm->guest = NULL;
    console_flush(&machine->console);
    drop_instant(machine);
    memory_end(&machine->memory);
    return vm;
}

int machine_save(struct machine *machine, struct machine_state *state, struct cleave_failure *failure)
{
    for (unsigned i = 0; i < state->cpus; i++) {
        struct vcpu *vcpu = &machine->vm->vcpus[i];
        if (vcpu_state_save(state->kvm, vcpu->fd, vcpu->run, &state->vcpus[i], failure) < 0)
            return -1;
        state->vcpus[i].halted = vcpu->halted;
        /* A fork that a vCPU has asked for is made for this guest alone, and not for who goes on from the same state.
         */
        state->fork_results[i] = vcpu->waiting ? FORK_REFUSED : machine->fork_results[i];
    }
    if (kvm_get_clock(machine->vm->fd, &state->clock) < 0)
        return fail_errno(failure, errno, "KVM_GET_CLOCK");
    state->host_tsc = kvm_host_tsc();
    state->unix_ns = clock_real_ns();
    state->uart = machine->uart;
    console_get_line(&machine->console, &state->line);
    return 0;
}

/* The clock goes last: it runs on from the moment it is set. */
int machine_restore_vm(struct vm *vm, const struct machine_state *state, struct cleave_failure *failure)
{
    for (unsigned i = 0; i < state->cpus; i++) {
        struct vcpu *vcpu = &vm->vcpus[i];
        if (vcpu_state_restore(state->kvm, vcpu->fd, vcpu->run, &state->vcpus[i], failure) < 0)
            return -1;
        vcpu->halted = state->vcpus[i].halted;
    }
    if (kvm_set_clock(vm->fd, &state->clock) < 0)
        return fail_errno(failure, errno, "KVM_SET_CLOCK");
    return 0;
}

void machine_take_devices(struct machine *machine, const struct machine_state *state)
{
    unsigned halted = 0;
    for (unsigned i = 0; i < state->cpus; i++)
        halted += state->vcpus[i].halted;
    report_reset(machine, halted);
    machine->uart = state->uart;
    for (unsigned i = 0; i < state->cpus; i++)
        machine->fork_results[i] = state->fork_results[i];
}

int machine_registers(struct machine *machine, struct cleave_registers *registers, struct cleave_failure *failure)
{
    for (unsigned i = 0; i < machine->vm->cpus; i++) {
        struct kvm_regs regs;
        struct kvm_sregs sregs;
        if (vcpu_get_registers(machine->vm->vcpus[i].fd, machine->vm->vcpus[i].run, &regs, &sregs) < 0)
            return fail_errno(failure, errno, "cannot read the registers of vCPU %u", i);
        registers_fill(&registers[i], &regs, &sregs);
    }
    return 0;
}

static int return_vcpu(const struct machine *machine, unsigned i, struct cleave_failure *failure)
{
    const struct machine_state *state = machine->instant.state;
    const struct vcpu_state *from = &state->vcpus[i];
    struct vcpu *vcpu = &machine->vm->vcpus[i];
    /* How KVM leaves a vCPU that has crashed is its own matter: then nothing is taken for granted. */
    int result = machine_has_ended(machine) ? vcpu_state_restore(state->kvm, vcpu->fd, vcpu->run, from, failure)
                                            : vcpu_state_return(state->kvm, vcpu->fd, vcpu->run, from, failure);
    if (result < 0)
        return -1;
    vcpu->halted = from->halted;
    vcpu->ended = vcpu->waiting = vcpu->incomplete = false;
    return 0;
}

int machine_return(struct machine *machine, struct cleave_failure *failure)
{
    const struct machine_state *state = machine->instant.state;
    for (unsigned i = 0; i < state->cpus; i++)
        if (return_vcpu(machine, i, failure) < 0)
            return -1;
    machine_take_devices(machine, state);
    memcpy(machine->fork_results, machine->instant.fork_results, sizeof machine->fork_results);
    return 0;
}

int machine_read_log(struct machine *machine, struct cleave_failure *failure)
{
    if (kvm_get_dirty_log(machine->vm->fd, machine->memory.pages.log) < 0)
        return fail_errno(failure, errno, "KVM_GET_DIRTY_LOG");
    return 0;
}

int machine_clear_log(struct machine *machine, struct cleave_failure *failure)
{
    const struct memory *memory = &machine->memory;
    if (kvm_clear_dirty_log(machine->vm->kvm, machine->vm->fd, memory->pages.log, memory->bytes / PAGE_BYTES) < 0)
        return fail_errno(failure, errno, "KVM_CLEAR_DIRTY_LOG");
    return 0;
}

int machine_look(struct machine *machine, struct cleave_failure *failure)
{
    if (machine->memory.window_shared)
        return 0; /* nothing is frozen, so nothing is in an overlay */
    if (machine_read_log(machine, failure) < 0)
        return -1;
    memory_leave_out_unchanged(&machine->memory);
    return memory_harvest(&machine->memory, failure);
}

int machine_harvest(struct machine *machine, struct cleave_failure *failure)
{
    if (machine->memory.window_shared)
        return 0;
    if (machine_read_log(machine, failure) < 0 || machine_clear_log(machine, failure) < 0)
        return -1;
    memory_forget_hot(&machine->memory);
    return memory_harvest(&machine->memory, failure);
}

int machine_draw_identity(const struct machine *machine, struct identity *identity, struct cleave_failure *failure)
{
    *identity = (struct identity){.guest_id = machine->id, .generation = machine->generation};
    if (getrandom(identity->entropy, sizeof identity->entropy, 0) != sizeof identity->entropy)
        return fail_errno(failure, errno, "getrandom");
    return 0;
}

/* The two structs lay these fields out alike. */
_Static_assert(offsetof(struct boot_info, generation) - offsetof(struct boot_info, guest_id) ==
                   offsetof(struct identity, generation),
               "generation follows guest_id");
_Static_assert(offsetof(struct boot_info, args_length) - offsetof(struct boot_info, guest_id) ==
                   sizeof(struct identity),
               "entropy is last");

int machine_write_identity(struct machine *machine, const struct identity *identity, struct cleave_failure *failure)
{
    uint64_t gpa = BOOT_INFO_GPA + offsetof(struct boot_info, guest_id);
    return memory_write(&machine->memory, gpa, identity, sizeof *identity, failure);
}

void machine_set_birth(struct machine *machine, enum cleave_reset_target kind, struct machine_state *state,
                       const struct identity *identity)
{
    machine->instant = (struct instant){
        .kind = kind,
        .state = machine_state_get(state),
        .has_identity = true,
        .identity = *identity,
    };
    memcpy(machine->instant.fork_results, machine->fork_results, sizeof machine->fork_results);
    memory_set_birth(&machine->memory);
}

void machine_set_checkpoint(struct machine *machine, struct machine_state *state)
{
    drop_instant(machine);
    machine->instant = (struct instant){
        .kind = CLEAVE_RESET_TO_CHECKPOINT,
        .state = machine_state_get(state),
    };
    memcpy(machine->instant.fork_results, state->fork_results, sizeof state->fork_results);
    memory_set_instant(&machine->memory);
}
