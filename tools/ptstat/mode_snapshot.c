/* The mode `snapshot`: checkpoints, which are snapshots in memory, of a guest that keeps writing, each beside fork(2).
 */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/baseline.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/session.h"
#include "tools/ptstat/terminal.h"

void mode_snapshot(const struct arguments *arguments, struct report *report)
{
    struct baseline *baseline = baseline_start(arguments);
    struct session *session;

    progress("snapshot: starting the guest");
    session = session_open(arguments, &(struct session_needs){.period_us = session_period(arguments->dirty)});
    report->environment.memory = session_memory(session);
    session_checkpoint(session); /* a guest's first one moves it to another VM, as a first fork does */
    for (unsigned round = 0; round < arguments->rounds; round++) {
        progress("snapshot: round %u of %u", round + 1, arguments->rounds);
        session_settle(session);
        figure_add(&report->figures, "checkpoint", session_checkpoint(session));
        figure_add(&report->baselines, "fork2", baseline_fork(baseline));
    }
    session_close(session);
    baseline_end(baseline);
}
