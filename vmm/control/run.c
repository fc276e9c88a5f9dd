/*
 * `run`: a guest runs until it stops, while everybody else is served. A run ends by the guest, by its deadline, by
 * whatever else pauses or ends the guest, or because its client has gone; then the guest is paused.
 */
#include "vmm/control/answer.h"
#include "vmm/control/command_functions.h"
#include "vmm/control/request.h"
#include "vmm/control/values.h"

#include <stdlib.h>

struct run {
    uv_timer_t deadline;
    struct service *service;
    struct answer *answer;
    uint64_t guest;
};

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_stop(void *context, const struct cleave_stop *stop)
{
    struct run *run = context;
    answer_give(run->answer, stop_json(stop), NULL);
    uv_close((uv_handle_t *)&run->deadline, on_closed);
}

static void on_deadline(uv_timer_t *timer)
{
    const struct run *run = timer->data;
    cleave_guest_end_run(run->service->family, run->guest, CLEAVE_STOP_TIME);
}

static void on_client_gone(uv_timer_t *timer)
{
    const struct run *run = timer->data;
    cleave_guest_end_run(run->service->family, run->guest, CLEAVE_STOP_INTERRUPT);
}

/* A connection may close while the family tells of an event, and must not be called back from there. */
static void gone(void *context)
{
    struct run *run = context;
    uv_timer_start(&run->deadline, on_client_gone, 0, 0);
}

int start_run(struct service *service, const struct request *request, struct answer *answer,
              struct cleave_failure *failure)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return -1;
    *run = (struct run){.service = service, .answer = answer, .guest = request->values[0]};
    if (uv_timer_init(service->loop, &run->deadline) < 0) {
        free(run);
        return fail(failure, CLEAVE_INTERNAL, "run: cannot make a timer");
    }
    run->deadline.data = run;
    answer->gone = gone;
    answer->context = run;
    if (request->values[2] != ARGUMENT_ABSENT)
        uv_timer_start(&run->deadline, on_deadline, request->values[2], 0);
    const unsigned until = (unsigned)request->values[1] & (CLEAVE_UNTIL_MARK | CLEAVE_UNTIL_READY);
    if (cleave_guest_begin_run(service->family, run->guest, until, on_stop, run, failure) == 0)
        return 0;
    answer->gone = NULL;
    uv_close((uv_handle_t *)&run->deadline, on_closed);
    return -1;
}
