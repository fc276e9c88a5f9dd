/* What guests report from their vCPU threads (machine/report.h), taken up: ends, forks by port, marks. */
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"

#include <cleave/guest_abi.h>

#include <inttypes.h>

static void pass_marks(struct cleave_family *family, struct machine *machine)
{
    struct cleave_mark mark;
    while (marks_next(&machine->marks, &mark)) {
        const struct cleave_event event = {
            .kind = CLEAVE_EVENT_MARK, .guest = machine->id, .timestamp_ns = mark.timestamp_ns, .mark = mark.value};
        family_emit(family, &event);
    }
}

/* Forks by port, one vCPU's after the other. The parent's vCPU waits meanwhile, and reads the outcome afterwards. */
static void fork_for(struct cleave_family *family, struct machine *machine, unsigned vcpu, uint32_t count)
{
    struct cleave_fork_report report;
    struct cleave_failure failure;
    bool done = family_fork(family, machine, count, false, (int)vcpu, &report, &failure) == 0;
    if (done)
        cleave_fork_report_free(&report);
    else
        complain_of_fork(machine, count, &failure);
    if (!machine->vm)
        return;
    vm_stop(machine->vm);
    machine->fork_results[vcpu] = done ? 0 : FORK_REFUSED;
    machine->vm->vcpus[vcpu].waiting = false;
    if (machine->state == CLEAVE_RUNNING && !report_has_stop(machine))
        vm_start(machine->vm);
}

static void pass_ready(struct cleave_family *family, struct machine *machine)
{
    uint32_t value;
    if (!report_take_ready(machine, &value))
        return;
    const struct cleave_event event = {
        .kind = CLEAVE_EVENT_READY, .guest = machine->id, .timestamp_ns = clock_ns(), .mark = value};
    family_emit(family, &event);
}

/* A guest whose memory is gone crashes for that reason, whatever KVM makes of it. */
static void end(struct cleave_family *family, struct machine *machine, enum cleave_end end, uint32_t exit_code)
{
    /* A copy: nothing is written to the report after its first end, but a reset of the machine may begin a new one. */
    struct cleave_crash crash = machine->report.crash;
    if (end == CLEAVE_END_CRASH)
        memory_lost_file(&machine->memory, crash.reason, sizeof crash.reason);
    family_end(family, machine, end, exit_code, end == CLEAVE_END_CRASH ? &crash : NULL);
}

static void take_report(struct cleave_family *family, struct machine *machine)
{
    pass_marks(family, machine);
    if (machine_has_ended(machine))
        return;
    pass_ready(family, machine);
    pthread_mutex_lock(&machine->report.lock);
    enum cleave_end reported = machine->report.end;
    uint32_t exit_code = machine->report.exit_code;
    pthread_mutex_unlock(&machine->report.lock);
    if (reported != CLEAVE_END_NONE) {
        end(family, machine, reported, exit_code);
        return;
    }
    for (unsigned i = 0; i < family->config.cpus && machine->vm; i++) {
        uint32_t count = report_take_fork(machine, i);
        if (count)
            fork_for(family, machine, i, count);
    }
    struct cleave_stop stop = {0};
    if (machine->vm && report_take_stop(machine, &stop))
        family_pause(family, machine, &stop);
}

/* Those that are there now. A guest that reports without rest has rung the bell again, and others get their turn. */
void family_take_reports(struct cleave_family *family)
{
    for (size_t left = mailbox_count(&family->mailbox); left; left--) {
        struct machine *machine = mailbox_take(&family->mailbox);
        if (machine)
            take_report(family, machine);
    }
}

void family_pause_or_end(struct cleave_family *family, struct machine *machine, const struct cleave_stop *stop)
{
    vm_stop(machine->vm);
    if (report_has_end(machine))
        family_take_reports(family);
    else
        family_pause(family, machine, stop);
}

struct machine *family_find_held(struct cleave_family *family, uint64_t id, struct cleave_failure *failure)
{
    family_take_reports(family);
    struct machine *machine = family_find(family, id, failure);
    if (machine && !machine->vm) {
        fail(failure, CLEAVE_GUEST_NOT_FOUND, "guest %" PRIu64 " has ended", id);
        return NULL;
    }
    return machine;
}

struct machine *family_find_live(struct cleave_family *family, uint64_t id, struct cleave_failure *failure)
{
    struct machine *machine = family_find_held(family, id, failure);
    if (machine && machine_has_ended(machine)) {
        fail(failure, CLEAVE_GUEST_NOT_FOUND, "guest %" PRIu64 " has ended; reset returns it to its checkpoint", id);
        return NULL;
    }
    return machine;
}
