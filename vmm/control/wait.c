/* Clients that wait for guests to end: see wait.h. */
#include "vmm/control/wait.h"
#include "vmm/control/answer.h"
#include "vmm/control/command_functions.h"
#include "vmm/control/request.h"
#include "vmm/control/values.h"

#include <inttypes.h>
#include <stdlib.h>

struct wait {
    uv_timer_t deadline;
    struct service *service;
    struct wait *previous, *next;
    struct answer *answer;
    uint64_t guest;
};

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void finish(struct wait *wait, json_t *value)
{
    if (wait->previous)
        wait->previous->next = wait->next;
    else
        wait->service->waits = wait->next;
    if (wait->next)
        wait->next->previous = wait->previous;
    wait->answer->gone = NULL;
    answer_give(wait->answer, value, NULL);
    uv_close((uv_handle_t *)&wait->deadline, on_closed);
}

void waits_take_event(struct service *service, const struct cleave_event *event)
{
    if (event->kind != CLEAVE_EVENT_EXITED && event->kind != CLEAVE_EVENT_CRASHED)
        return;
    struct wait *next;
    for (struct wait *wait = service->waits; wait; wait = next) {
        next = wait->next;
        if (wait->guest == event->guest)
            finish(wait, ending_json(event->end, event->exit_code, event->crash));
    }
}

static void on_deadline(uv_timer_t *timer)
{
    finish(timer->data, ending_json(CLEAVE_END_NONE, 0, NULL));
}

static void gone(void *context)
{
    finish(context, NULL);
}

/* How the guest has ended, if it has. -1 with *failure where there is none. */
static int find_end(struct service *service, uint64_t guest, struct cleave_guest_info *found,
                    struct cleave_failure *failure)
{
    struct cleave_guest_info *guests;
    size_t count, i = 0;
    if (cleave_family_guests(service->family, &guests, &count, failure) < 0)
        return -1;
    while (i < count && guests[i].id != guest)
        i++;
    if (i < count)
        *found = guests[i];
    free(guests);
    return i < count ? 0
                     : fail(failure, CLEAVE_GUEST_NOT_FOUND, "there is no guest %" PRIu64 "; see query-guests", guest);
}

static void add(struct wait *wait)
{
    struct service *service = wait->service;
    wait->next = service->waits;
    if (wait->next)
        wait->next->previous = wait;
    service->waits = wait;
}

int start_wait(struct service *service, const struct request *request, struct answer *answer,
               struct cleave_failure *failure)
{
    struct cleave_guest_info guest = {0};
    if (find_end(service, request->values[0], &guest, failure) < 0)
        return -1;
    if (guest.end != CLEAVE_END_NONE) {
        answer_give(answer, ending_json(guest.end, guest.exit_code, NULL), NULL);
        return 0;
    }
    struct wait *wait = calloc(1, sizeof *wait);
    if (!wait)
        return -1;
    *wait = (struct wait){.service = service, .answer = answer, .guest = guest.id};
    if (uv_timer_init(service->loop, &wait->deadline) < 0) {
        free(wait);
        return fail(failure, CLEAVE_INTERNAL, "wait: cannot make a timer");
    }
    wait->deadline.data = wait;
    if (request->values[2] != ARGUMENT_ABSENT)
        uv_timer_start(&wait->deadline, on_deadline, request->values[2], 0);
    answer->gone = gone;
    answer->context = wait;
    add(wait);
    return 0;
}
