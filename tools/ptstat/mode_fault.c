/*
 * The mode `fault`: what a forked guest pays for its own copy-on-write faults, beside the same guest code taking the
 * same faults under bare KVM. Both sides write as many pages that nobody of theirs has mapped yet, and the clock is
 * read on the host, at the exits that the guest's marks cause.
 */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/bare_kvm.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/session.h"
#include "tools/ptstat/terminal.h"

/* The parent is paused all the time, so its period only has to be long enough for it to be stopped first. */
#define PERIOD_US UINT64_C(100000)

static void measure_fork(struct session *session, uint64_t pages, struct report *report)
{
    struct fork_times times;

    session_settle(session);
    session_fork(session, &times);
    figure_add(&report->figures, "cow_fault", (times.debt_paid - times.first_output) / pages);
}

void mode_fault(const struct arguments *arguments, struct report *report)
{
    const uint64_t pages = arguments->dirty / PAGE_BYTES;
    struct session *session;
    struct bare *bare;

    progress("fault: starting the guests");
    session = session_open(arguments, &(struct session_needs){.period_us = PERIOD_US});
    report->environment.memory = session_memory(session);
    session_pause(session, 0);
    bare = bare_start(arguments, PERIOD_US);
    for (unsigned round = 0; round < arguments->rounds; round++) {
        progress("fault: round %u of %u", round + 1, arguments->rounds);
        measure_fork(session, pages, report);
        figure_add(&report->baselines, "bare_cow_fault", bare_round(bare) / pages);
    }
    bare_end(bare);
    session_close(session);
}
