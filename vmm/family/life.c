/* A guest's life: how it starts and how it ends. See internal.h. */
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"

#include <string.h>

void family_report_started(struct cleave_family *family, struct machine *machine)
{
    if (machine->started)
        return;
    machine->started = true;
    /* Where this thread is to run the only vCPU itself, nobody has entered yet. */
    const uint64_t entered = vm_wait_entered(machine->vm, 1);
    const struct cleave_event event = {
        .kind = CLEAVE_EVENT_STARTED, .guest = machine->id, .timestamp_ns = entered ? entered : clock_ns()};
    family_emit(family, &event);
}

void family_start(struct cleave_family *family, struct machine *machine)
{
    machine->state = CLEAVE_RUNNING;
    vm_start(machine->vm);
    family_report_started(family, machine);
}

/* Forgets the oldest ended guest beyond those that are kept, but never the root. */
void family_forget_oldest(struct cleave_family *family)
{
    for (size_t i = 1; i < family->count && family->ended > ENDED_KEPT; i++) {
        struct machine *machine = family->machines[i];
        if (machine->vm || mailbox_holds(&family->mailbox, machine)) /* its last words are still to be taken */
            continue;
        memmove(family->machines + i, family->machines + i + 1, (family->count - i - 1) * sizeof(struct machine *));
        family->count--;
        family->ended--;
        machine_free(machine);
        return;
    }
}

void family_release(struct cleave_family *family, struct machine *machine)
{
    vm_free_later(family->reaper, machine_end(machine));
    store_reclaim(&family->store);
    family->live--;
    family->ended++;
}

void family_check_idle(struct cleave_family *family)
{
    if (!family->live && !cleave_family_is_busy(family) && family->on_idle)
        family->on_idle(family->idle_context);
}

void family_end_run(struct machine *machine, const struct cleave_stop *stop)
{
    struct machine_run run = machine->run;
    machine->run = (struct machine_run){0};
    atomic_store(&machine->until, 0);
    if (run.done)
        run.done(run.context, stop);
}

void family_pause(struct cleave_family *family, struct machine *machine, const struct cleave_stop *stop)
{
    struct cleave_stop own = {.reason = CLEAVE_STOP_INTERRUPT};
    vm_stop(machine->vm);
    /* What the guest has stopped at just now is not lost, or it would be run on to wait for what has been. */
    const bool stopped = report_take_stop(machine, &own);
    machine->state = CLEAVE_PAUSED;
    family_emit_plain(family, machine, CLEAVE_EVENT_PAUSED);
    family_end_run(machine, stop && !stopped ? stop : &own);
}

/* How a run ended by the guest's end. */
static struct cleave_stop stop_of(const struct machine *machine, const struct cleave_crash *crash)
{
    struct cleave_stop stop = {.reason = CLEAVE_STOP_EXIT, .value = machine->exit_code};
    if (crash) {
        stop.reason = CLEAVE_STOP_CRASH;
        stop.vcpu = crash->vcpu;
        stop.crash = *crash;
    } else if (machine->end == CLEAVE_END_KILLED) {
        stop.reason = CLEAVE_STOP_KILLED;
    } else if (machine->report.all_halted) {
        stop.reason = CLEAVE_STOP_HALT;
    }
    return stop;
}

void family_end(struct cleave_family *family, struct machine *machine, enum cleave_end end, uint32_t exit_code,
                const struct cleave_crash *crash)
{
    if (end != CLEAVE_END_KILLED && machine->instant.kind == CLEAVE_RESET_TO_CHECKPOINT) {
        vm_stop(machine->vm);
        console_flush(&machine->console);
    } else {
        family_release(family, machine);
    }
    machine->state = end == CLEAVE_END_CRASH ? CLEAVE_CRASHED : CLEAVE_EXITED;
    machine->end = end;
    machine->exit_code = exit_code;
    complain_of_rest(machine);
    const struct cleave_event event = {
        .kind = end == CLEAVE_END_CRASH ? CLEAVE_EVENT_CRASHED : CLEAVE_EVENT_EXITED,
        .guest = machine->id,
        .timestamp_ns = clock_ns(),
        .end = end,
        .exit_code = exit_code,
        .reason = crash ? crash->reason : NULL,
        .crash = crash,
    };
    const struct cleave_stop stop = stop_of(machine, crash);
    family_emit(family, &event);
    family_end_run(machine, &stop);
    family_forget_oldest(family);
    family_check_idle(family);
}
