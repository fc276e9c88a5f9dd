/*
 * The mode `fork`: live forks of a guest that keeps writing, each beside fork(2) and a full copy of the same amount of
 * memory. The VMM is started anew a few times, because a guest's first fork is a figure of its own.
 */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/baseline.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/session.h"
#include "tools/ptstat/terminal.h"

#define MAX_RUNS 5

static void measure_fork(struct session *session, struct report *report)
{
    struct fork_times times;

    session_settle(session);
    session_fork(session, &times);
    if (times.is_first) {
        figure_add(&report->figures, "first_pause", times.pause);
        session_settle(session);
        session_fork(session, &times);
    }
    figure_add(&report->figures, "pause", times.pause);
    figure_add(&report->figures, "first_instruction", times.first_instruction);
    figure_add(&report->figures, "first_output", times.first_output);
    figure_add(&report->figures, "debt_paid", times.debt_paid);
}

void mode_fork(const struct arguments *arguments, struct report *report)
{
    const unsigned wanted_runs = arguments->socket ? 1 : MAX_RUNS;
    const unsigned runs = arguments->rounds < wanted_runs ? arguments->rounds : wanted_runs;
    struct baseline *baseline = baseline_start(arguments);
    unsigned round = 0;

    for (unsigned run = 1; run <= runs; run++) {
        struct session *session;

        progress("fork: starting guest %u of %u", run, runs);
        session = session_open(arguments, &(struct session_needs){.period_us = session_period(arguments->dirty)});
        report->environment.memory = session_memory(session);
        for (; round < (uint64_t)arguments->rounds * run / runs; round++) {
            progress("fork: round %u of %u", round + 1, arguments->rounds);
            measure_fork(session, report);
            figure_add(&report->baselines, "fork2", baseline_fork(baseline));
        }
        session_close(session);
        /* Not between rounds: giving that much memory back keeps the kernel busy beyond the call, and so would be seen.
         */
        figure_add(&report->baselines, "full_copy", baseline_copy(baseline));
    }
    baseline_end(baseline);
}
