/*
 * Runs that somebody waits for the end of: on the library's threads, begun and ended here, with the end told by done();
 * or on the caller's thread, where vCPU 0 runs in cleave_guest_run() itself. What a guest reports meanwhile is taken up
 * as always (reports.c), and ends the run like any other.
 */
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND UINT64_C(1000000000)

static int begin(struct machine *machine, unsigned until, cleave_stop_fn *done, void *context,
                 struct cleave_failure *failure)
{
    if (machine->run.done)
        return fail(failure, CLEAVE_BUSY, "guest %" PRIu64 " is being run already; wait until that has ended",
                    machine->id);
    machine->run = (struct machine_run){done, context};
    atomic_store(&machine->until, until);
    return 0;
}

int cleave_guest_begin_run(struct cleave_family *family, uint64_t guest, unsigned until, cleave_stop_fn *done,
                           void *context, struct cleave_failure *failure)
{
    struct machine *machine = family_find_live(family, guest, failure);
    if (!machine || begin(machine, until, done, context, failure) < 0)
        return -1;
    if (machine->state == CLEAVE_RUNNING)
        return 0;
    family_start(family, machine);
    family_emit_plain(family, machine, CLEAVE_EVENT_RESUMED);
    return 0;
}

void cleave_guest_end_run(struct cleave_family *family, uint64_t guest, enum cleave_stop_reason reason)
{
    const struct cleave_stop stop = {.reason = reason};
    struct machine *machine = family_find_live(family, guest, NULL);
    if (machine && machine->run.done)
        family_pause_or_end(family, machine, &stop);
}

/* A run on this thread. */
struct here {
    struct cleave_family *family;
    struct machine *machine; /* NULL once it has ended */
    uint64_t deadline_ns;    /* 0: none */
    bool ended;
    struct cleave_stop *stop;
};

/* The machine is there still; an ended one may be forgotten after this. */
static void on_stop(void *context, const struct cleave_stop *stop)
{
    struct here *here = context;
    if (here->machine->vm)
        vm_leave_caller(here->machine->vm);
    here->machine = NULL;
    here->ended = true;
    *here->stop = *stop;
}

/* The timer that kicks this thread, made when it is first needed. -1 with *failure. */
static int need_timer(struct cleave_family *family, struct cleave_failure *failure)
{
    pid_t thread = gettid();
    if (family->timer_thread == thread)
        return 0;
    if (family->timer_thread)
        timer_delete(family->timer);
    family->timer_thread = 0;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = CLEAVE_KICK_SIGNAL};
    event._sigev_un._tid = thread;
    if (timer_create(CLOCK_MONOTONIC, &event, &family->timer) < 0)
        return fail_errno(failure, errno, "cannot make a timer for a run");
    family->timer_thread = thread;
    return 0;
}

static void set_timer_at(const struct here *here, uint64_t ns)
{
    const struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(ns / NS_PER_SECOND), .tv_nsec = (long)(ns % NS_PER_SECOND)}};
    timer_settime(here->family->timer, TIMER_ABSTIME, &when, NULL);
}

static void set_timer(const struct here *here)
{
    if (here->deadline_ns)
        set_timer_at(here, here->deadline_ns);
}

/* It may have gone off just now, and its kick be pending. */
static void stop_timer(const struct here *here)
{
    if (!here->deadline_ns)
        return;
    set_timer_at(here, 0);
    atomic_store(&here->family->mailbox.runner.sent, true);
}

/* What others have for this thread, while vCPU 0 waits for them. */
static void wait_for_bell(const struct here *here)
{
    struct timespec left, *patience = NULL;
    if (here->deadline_ns) {
        uint64_t now = clock_ns(), ns = here->deadline_ns > now ? here->deadline_ns - now : 0;
        left = (struct timespec){(time_t)(ns / NS_PER_SECOND), (long)(ns % NS_PER_SECOND)};
        patience = &left;
    }
    struct pollfd bell = {.fd = here->family->bell, .events = POLLIN};
    ppoll(&bell, 1, patience, NULL);
}

/* Ends a run that the guest has not ended: then the guest is paused. */
static void look_at_time(struct here *here)
{
    struct cleave_stop stop = {.reason = CLEAVE_STOP_INTERRUPT};
    if (here->ended)
        return;
    if (!atomic_exchange(&here->family->interrupted, false)) {
        if (!here->deadline_ns || clock_ns() < here->deadline_ns)
            return;
        stop.reason = CLEAVE_STOP_TIME;
    }
    family_pause_or_end(here->family, here->machine, &stop);
}

/* Whoever has something for this thread kicks it once it is entered as the runner; what came before is taken up before
 * the guest is entered. So is what vCPU 0 itself has reported, for which it leaves the guest. */
static void run_here(struct here *here)
{
    struct cleave_family *family = here->family;
    struct machine *machine = here->machine;
    struct kick_target *runner = &family->mailbox.runner;
    kick_enter(runner);
    set_timer(here);
    vm_enter_caller(machine->vm, runner);
    family_start(family, machine);
    for (;;) {
        atomic_store(&runner->attention, false);
        cleave_family_dispatch(family);
        look_at_time(here);
        if (here->ended)
            break;
        if (vm_caller_can_run(machine->vm))
            vm_run_caller(machine->vm);
        else
            wait_for_bell(here);
    }
    stop_timer(here);
    kick_leave(runner);
}

int cleave_guest_run(struct cleave_family *family, uint64_t guest, unsigned until, uint64_t timeout_ns,
                     struct cleave_stop *stop, struct cleave_failure *failure)
{
    struct machine *machine = family_find_live(family, guest, failure);
    if (!machine)
        return -1;
    if (machine->state == CLEAVE_RUNNING)
        return fail(failure, CLEAVE_BUSY, "guest %" PRIu64 " runs already; pause it first", guest);
    struct here here = {.family = family, .machine = machine, .stop = stop};
    if (timeout_ns) {
        uint64_t now = clock_ns();
        here.deadline_ns = timeout_ns < INT64_MAX - now ? now + timeout_ns : INT64_MAX;
        if (need_timer(family, failure) < 0)
            return -1;
    }
    if (begin(machine, until, on_stop, &here, failure) < 0)
        return -1;
    run_here(&here);
    return 0;
}

void cleave_family_interrupt(struct cleave_family *family)
{
    atomic_store(&family->interrupted, true);
    mailbox_ring(&family->mailbox);
}
