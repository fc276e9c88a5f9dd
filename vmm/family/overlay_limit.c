/* The limit of what a guest may write between forks: see cleave_family_look(). */
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"
#include "vmm/base/log.h"

#include <inttypes.h>

static void look_at(struct cleave_family *family, struct machine *machine)
{
    struct cleave_failure failure;
    if (machine_look(machine, &failure) < 0) {
        log_warning("guest %" PRIu64 ": its overlay cannot be measured: %s", machine->id, failure.text);
        return;
    }
    uint64_t bytes = memory_overlay_bytes(&machine->memory);
    if (bytes <= family->config.limit_overlay)
        return;
    vm_stop(machine->vm);
    machine->state = CLEAVE_PAUSED;
    log_warning("guest %" PRIu64 " is paused: it has written %" PRIu64 " bytes, --limit-overlay allows %" PRIu64,
                machine->id, bytes, family->config.limit_overlay);
    const struct cleave_event event = {
        .kind = CLEAVE_EVENT_OVERLAY_LIMIT, .guest = machine->id, .timestamp_ns = clock_ns(), .overlay_bytes = bytes};
    family_emit(family, &event);
    struct cleave_stop stop = {.reason = CLEAVE_STOP_INTERRUPT};
    report_take_stop(machine, &stop); /* where it has stopped by itself just now, that is how its run has ended */
    family_end_run(machine, &stop);
}

/* A guest whose window is its own layer has no overlay: nobody shares what it writes. */
void cleave_family_look(struct cleave_family *family)
{
    family_take_reports(family);
    for (size_t i = 0; i < family->count && family->config.limit_overlay; i++) {
        struct machine *machine = family->machines[i];
        if (machine->vm && machine->state == CLEAVE_RUNNING && !machine->memory.window_shared)
            look_at(family, machine);
    }
}
