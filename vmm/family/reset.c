/*
 * Reset: a guest goes back, in place, to its last checkpoint or to the fork or restore that made it. memory/drop.c has
 * what becomes of its memory.
 */
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"
#include "vmm/base/log.h"

#include <inttypes.h>

const char *const cleave_reset_phase_names[CLEAVE_RESET_PHASES] = {"stop", "memory", "state", "resume"};

/* A reset under way. */
struct resetting {
    struct machine *machine;
    uint64_t phase_start;
    struct cleave_reset_report *report;
    struct cleave_failure *failure;
};

static void end_phase(struct resetting *r, enum cleave_reset_phase phase)
{
    uint64_t now = clock_ns();
    r->report->phases_ns[phase] = now - r->phase_start;
    r->phase_start = now;
}

/*
 * A child's identity was written over its parent's at birth and is no part of its view yet. The first reset writes it
 * again and publishes that page, so that later ones find it in the view like all else. Should that fail for want of
 * memory, the page stays in the overlay, and the next reset tries again.
 */
static int return_identity(struct resetting *r)
{
    struct machine *machine = r->machine;
    struct instant *instant = &machine->instant;
    if (!instant->has_identity)
        return 0;
    if (machine_write_identity(machine, &instant->identity, r->failure) < 0)
        return -1;
    uint64_t published = 0;
    if (memory_publish(&machine->memory, &published, r->failure) < 0)
        return 0;
    memory_advance_instant(&machine->memory);
    instant->has_identity = false;
    store_settle(machine->memory.store);
    return 0;
}

static int return_memory(struct resetting *r)
{
    struct machine *machine = r->machine;
    if (machine_read_log(machine, r->failure) < 0)
        return -1;
    if (!machine->vm->ran)
        memory_leave_out_hot(&machine->memory); /* they only look written */
    if (memory_return(&machine->memory, &r->report->dropped_pages, r->failure) < 0 ||
        machine_clear_log(machine, r->failure) < 0)
        return -1;
    machine->vm->ran = false;
    return return_identity(r);
}

static void resume(struct cleave_family *family, struct resetting *r)
{
    struct machine *machine = r->machine;
    machine->state = CLEAVE_RUNNING;
    vm_start(machine->vm);
    vm_wait_entered(machine->vm, r->phase_start);
    family_report_started(family, machine);
}

/* A guest that is neither what it was nor what it should be must not run; an ended one does not anyway. */
static void stay_paused(struct cleave_family *family, struct machine *machine, struct cleave_failure *failure)
{
    family_blame_lost_file(machine, failure);
    if (machine->state != CLEAVE_RUNNING)
        return;
    machine->state = CLEAVE_PAUSED;
    log_warning("guest %" PRIu64 " is paused: it could not be reset", machine->id);
    family_emit_plain(family, machine, CLEAVE_EVENT_PAUSED);
    family_end_run(machine, &(struct cleave_stop){.reason = CLEAVE_STOP_INTERRUPT});
}

/* The guest, if it has something to return to. */
static struct machine *find(struct cleave_family *family, uint64_t guest, struct cleave_failure *failure)
{
    family_take_reports(family);
    struct machine *machine = family_find(family, guest, failure);
    if (machine && !machine->vm) {
        fail(failure, CLEAVE_GUEST_NOT_FOUND, "guest %" PRIu64 " has ended, and had no checkpoint to return to", guest);
        return NULL;
    }
    if (machine && !machine->instant.state) {
        fail(failure, CLEAVE_UNSUPPORTED,
             "guest %" PRIu64 " has nothing to return to: no fork made it, so make a checkpoint first", guest);
        return NULL;
    }
    return machine;
}

/* The guest, stopped. Where it has ended just now, that is reported before it lives again. */
static struct machine *stop(struct cleave_family *family, uint64_t guest, struct cleave_failure *failure)
{
    struct machine *machine = find(family, guest, failure);
    if (!machine || memory_track(&machine->memory, failure) < 0)
        return NULL;
    vm_stop(machine->vm);
    if (report_has_end(machine) && !machine_has_ended(machine))
        return find(family, guest, failure);
    return machine;
}

/* Lets the guest live on, as it should now or as it did before. */
static void go_on(struct cleave_family *family, struct resetting *r, enum cleave_reset_then then)
{
    struct machine *machine = r->machine;
    const enum cleave_state before = machine->state;
    machine->end = CLEAVE_END_NONE;
    machine->state = CLEAVE_PAUSED;
    if (then == CLEAVE_RESET_RUNNING || (then == CLEAVE_RESET_AS_IT_WAS && before != CLEAVE_PAUSED))
        resume(family, r);
    end_phase(r, CLEAVE_RESET_RESUME);
    machine->resets++;
    family_emit_plain(family, machine, CLEAVE_EVENT_RESET);
    if (machine->state == CLEAVE_PAUSED && before != CLEAVE_PAUSED)
        family_emit_plain(family, machine, CLEAVE_EVENT_PAUSED);
    if (machine->state == CLEAVE_RUNNING && before == CLEAVE_PAUSED)
        family_emit_plain(family, machine, CLEAVE_EVENT_RESUMED);
}

int cleave_guest_reset(struct cleave_family *family, uint64_t guest, enum cleave_reset_then then,
                       struct cleave_reset_report *report, struct cleave_failure *failure)
{
    *report = (struct cleave_reset_report){0};
    uint64_t start = clock_ns();
    struct machine *machine = stop(family, guest, failure);
    if (!machine)
        return -1;
    struct resetting r = {
        .machine = machine,
        .phase_start = start,
        .report = report,
        .failure = failure,
    };
    end_phase(&r, CLEAVE_RESET_STOP);
    int result = return_memory(&r);
    end_phase(&r, CLEAVE_RESET_MEMORY);
    if (result == 0)
        result = machine_return(machine, failure);
    end_phase(&r, CLEAVE_RESET_STATE);
    if (result < 0) {
        stay_paused(family, machine, failure);
        return -1;
    }
    go_on(family, &r, then);
    report->total_ns = r.phase_start - start;
    family_end_run(machine, &(struct cleave_stop){.reason = CLEAVE_STOP_INTERRUPT});
    return 0;
}
