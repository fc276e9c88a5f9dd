/* Machines: making and ending them, their state, and how vCPU threads report. See machine.h. */
#include "vmm/machine/machine.h"

#include "vmm/base/bitmap.h"
#include "vmm/boot/boot.h"
#include "vmm/base/clock.h"

#include <cleave/guest_abi.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

static uint64_t *new_bitmap(uint64_t memory)
{
    return calloc(bitmap_words(memory / PAGE_BYTES), sizeof(uint64_t));
}

static void free_bitmaps(struct machine *machine)
{
    struct pages *pages = &machine->pages;
    uint64_t *const all[] = {pages->written,  pages->log,  pages->published,
                             pages->outdated, pages->kept, pages->unsaved};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    *pages = (struct pages){0};
}

struct machine *machine_new(struct host *host, uint64_t id, uint64_t memory, struct terminal *terminal,
                            struct failure *failure)
{
    struct machine *machine = calloc(1, sizeof *machine);
    if (machine) {
        machine->pages.written = new_bitmap(memory);
        machine->pages.log = new_bitmap(memory);
    }
    if (!machine || !machine->pages.written || !machine->pages.log) {
        if (machine)
            free_bitmaps(machine);
        free(machine);
        fail(failure, FAIL_NO_MEMORY, "out of memory for a guest");
        return NULL;
    }
    machine->host = host;
    machine->id = id;
    machine->view.memory = memory;
    console_init(&machine->console, terminal, id);
    marks_init(&machine->marks);
    pthread_mutex_init(&machine->report.lock, NULL);
    return machine;
}

int machine_track(struct machine *machine, struct failure *failure)
{
    struct pages *pages = &machine->pages;
    uint64_t **const wanted[] = {&pages->published, &pages->outdated, &pages->kept};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (!*wanted[i])
            *wanted[i] = new_bitmap(machine->view.memory);
        if (!*wanted[i])
            return fail(failure, FAIL_NO_MEMORY, "out of memory for a guest's bitmaps");
    }
    return 0;
}

int machine_track_unsaved(struct machine *machine, struct failure *failure)
{
    struct pages *pages = &machine->pages;
    if (!pages->unsaved)
        pages->unsaved = new_bitmap(machine->view.memory);
    return pages->unsaved ? 0 : fail(failure, FAIL_NO_MEMORY, "out of memory for a guest's bitmaps");
}

void machine_free(struct machine *machine)
{
    console_free(&machine->console);
    marks_free(&machine->marks);
    pthread_mutex_destroy(&machine->report.lock);
    free_bitmaps(machine);
    free(machine->saved.path);
    free(machine);
}

struct vm *machine_end(struct machine *machine)
{
    struct vm *vm = machine->vm;
    machine->vm = NULL;
    vm_stop(vm);
    vm->machine = NULL;
    console_flush(&machine->console);
    instant_drop(machine);
    view_free(&machine->view);
    machine_drop_retained(machine);
    free_bitmaps(machine);
    return vm;
}

struct machine_state *machine_state_new(const struct kvm *kvm, unsigned cpus, struct failure *failure)
{
    struct machine_state *state = calloc(1, sizeof *state + cpus * sizeof state->vcpus[0]);
    if (state) {
        state->owners = 1;
        state->kvm = kvm;
        while (state->cpus < cpus && vcpu_state_init(kvm, &state->vcpus[state->cpus]) == 0)
            state->cpus++;
        if (state->cpus == cpus)
            return state;
        machine_state_put(state);
    }
    fail(failure, FAIL_NO_MEMORY, "out of memory for vCPU state");
    return NULL;
}

struct machine_state *machine_state_get(struct machine_state *state)
{
    state->owners++;
    return state;
}

void machine_state_put(struct machine_state *state)
{
    if (!state || --state->owners)
        return;
    for (unsigned i = 0; i < state->cpus; i++)
        vcpu_state_free(&state->vcpus[i]);
    free(state);
}

int machine_save(struct machine *machine, struct machine_state *state, struct failure *failure)
{
    for (unsigned i = 0; i < state->cpus; i++) {
        struct vcpu *vcpu = &machine->vm->vcpus[i];
        if (vcpu_state_save(state->kvm, vcpu->fd, vcpu->run, &state->vcpus[i], failure) < 0)
            return -1;
        state->vcpus[i].halted = vcpu->halted;
    }
    if (kvm_get_clock(machine->vm->fd, &state->clock) < 0)
        return fail_errno(failure, errno, "KVM_GET_CLOCK");
    state->host_tsc = kvm_host_tsc();
    state->unix_ns = clock_real_ns();
    state->uart = machine->uart;
    return 0;
}

/* The clock goes last: it runs on from the moment it is set. */
int machine_restore_vm(struct vm *vm, const struct machine_state *state, struct failure *failure)
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

/* The kernel does the copy, so that a page that cannot be had is an error here and not a signal. */
static int copy_memory(const struct machine *machine, uint64_t gpa, void *local, size_t length, bool write,
                       struct failure *failure)
{
    if (gpa > machine->view.memory || length > machine->view.memory - gpa)
        return fail(failure, FAIL_INVALID_ARGUMENT,
                    "guest addresses %#llx to %#llx are not all RAM, which ends at %#llx", (unsigned long long)gpa,
                    (unsigned long long)(gpa + length), (unsigned long long)machine->view.memory);
    struct iovec here = {local, length};
    struct iovec there = {(void *)(uintptr_t)(machine->vm->window + gpa), length};
    ssize_t n = write ? process_vm_writev(getpid(), &here, 1, &there, 1, 0)
                      : process_vm_readv(getpid(), &here, 1, &there, 1, 0);
    if (n != (ssize_t)length)
        return fail_errno(failure, n < 0 ? errno : ENOMEM, "cannot access guest memory at %#llx",
                          (unsigned long long)gpa);
    return 0;
}

int machine_read(const struct machine *machine, uint64_t gpa, void *to, size_t length, struct failure *failure)
{
    return copy_memory(machine, gpa, to, length, false, failure);
}

int machine_write(struct machine *machine, uint64_t gpa, const void *from, size_t length, struct failure *failure)
{
    if (copy_memory(machine, gpa, (void *)(uintptr_t)from, length, true, failure) < 0)
        return -1;
    if (!machine->window_shared && length)
        bitmap_set(machine->pages.written, gpa / PAGE_BYTES, (gpa + length - 1) / PAGE_BYTES + 1);
    return 0;
}

int machine_draw_identity(const struct machine *machine, struct identity *identity, struct failure *failure)
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

int machine_write_identity(struct machine *machine, const struct identity *identity, struct failure *failure)
{
    uint64_t gpa = BOOT_INFO_GPA + offsetof(struct boot_info, guest_id);
    return machine_write(machine, gpa, identity, sizeof *identity, failure);
}

void machine_report_end(struct machine *machine, enum guest_end end, uint32_t exit_code, const char *reason,
                        const char *registers)
{
    struct machine_report *report = &machine->report;
    pthread_mutex_lock(&report->lock);
    if (report->end == END_NONE) {
        report->end = end;
        report->exit_code = exit_code;
        if (reason)
            snprintf(report->reason, sizeof report->reason, "%s", reason);
        if (registers)
            snprintf(report->registers, sizeof report->registers, "%s", registers);
    }
    pthread_mutex_unlock(&report->lock);
    host_post(machine->host, machine);
}

bool machine_end_reported(struct machine *machine)
{
    pthread_mutex_lock(&machine->report.lock);
    bool reported = machine->report.end != END_NONE;
    pthread_mutex_unlock(&machine->report.lock);
    return reported;
}

void machine_report_halt(struct machine *machine)
{
    pthread_mutex_lock(&machine->report.lock);
    bool all = ++machine->report.halted == machine->vm->cpus;
    pthread_mutex_unlock(&machine->report.lock);
    if (all) /* without an interrupt controller nothing can wake any of them */
        machine_report_end(machine, END_EXIT, 0, NULL, NULL);
}

void machine_report_fork(struct machine *machine, unsigned vcpu, uint32_t count)
{
    pthread_mutex_lock(&machine->report.lock);
    machine->report.forks[vcpu] = count;
    pthread_mutex_unlock(&machine->report.lock);
    host_post(machine->host, machine);
}

void machine_report_mark(struct machine *machine, uint32_t value)
{
    marks_add(&machine->marks, value);
    host_post(machine->host, machine);
}
