/* --limit-overlay: a timer that takes each running guest's dirty log and pauses those that have written too much. */
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"
#include "vmm/base/log.h"

#include <inttypes.h>

#define LOOK_MS 50

static void look_at(struct host *host, struct machine *machine)
{
    struct failure failure;
    if (machine_harvest(machine, &failure) < 0) {
        log_warning("guest %" PRIu64 ": its overlay cannot be measured: %s", machine->id, failure.text);
        return;
    }
    uint64_t bytes = machine_overlay_bytes(machine);
    if (bytes <= host->options->limit_overlay)
        return;
    vm_stop(machine->vm);
    machine->state = GUEST_PAUSED;
    log_warning("guest %" PRIu64 " is paused: it has written %" PRIu64 " bytes, --limit-overlay allows %" PRIu64,
                machine->id, bytes, host->options->limit_overlay);
    struct host_event event = {
        .kind = EVENT_OVERLAY_LIMIT, .guest = machine->id, .timestamp_ns = clock_ns(), .overlay_bytes = bytes};
    host_emit(host, &event);
}

/* A guest whose window is its own layer has no overlay: nobody shares what it writes. */
static void on_timer(uv_timer_t *timer)
{
    struct host *host = timer->data;
    host_take_reports(host);
    for (size_t i = 0; i < host->count; i++) {
        struct machine *machine = host->machines[i];
        if (machine->vm && machine->state == GUEST_RUNNING && !machine->window_shared)
            look_at(host, machine);
    }
}

void host_watch_overlays(struct host *host)
{
    if (!host->options->limit_overlay)
        return;
    host->overlay_timer.data = host;
    uv_timer_start(&host->overlay_timer, on_timer, LOOK_MS, LOOK_MS);
    uv_unref((uv_handle_t *)&host->overlay_timer);
}
