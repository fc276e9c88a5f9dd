/*
 * The mode `restore`: guests are made of one snapshot file, which is mapped and read as they need it, each beside a
 * fork of the guest that was saved; now and then also of the file read as a whole.
 */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/baseline.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/session.h"
#include "tools/ptstat/snapshot_files.h"
#include "tools/ptstat/terminal.h"

#define SAVED      "saved"
#define LESS_EAGER 10 /* one round in so many is eager too, which takes as long as copying all the memory */

static void measure_fork(struct session *session, struct report *report)
{
    struct fork_times times;

    session_settle(session);
    session_fork(session, &times);
    figure_add(&report->baselines, "fork_first_instruction", times.first_instruction);
    figure_add(&report->baselines, "fork_first_output", times.first_output);
    figure_add(&report->baselines, "fork_debt_paid", times.debt_paid);
}

static void measure_restore(struct session *session, const char *path, struct report *report)
{
    struct fork_times times;

    session_settle(session);
    session_restore(session, path, false, &times);
    figure_add(&report->figures, "first_instruction", times.first_instruction);
    figure_add(&report->figures, "first_output", times.first_output);
    figure_add(&report->figures, "debt_paid", times.debt_paid);
}

static void measure_eager(struct session *session, const char *path, struct report *report)
{
    struct fork_times times;

    session_settle(session);
    session_restore(session, path, true, &times);
    figure_add(&report->figures, "eager_first_instruction", times.first_instruction);
    figure_add(&report->figures, "eager_first_output", times.first_output);
}

static void compare(struct report *report)
{
    figure_compare(&report->figures, "first_instruction", "fork_first_instruction");
    figure_compare(&report->figures, "first_output", "fork_first_output");
    figure_compare(&report->figures, "debt_paid", "fork_debt_paid");
    figure_compare(&report->figures, "eager_first_instruction", "full_copy");
    figure_compare(&report->figures, "eager_first_output", "full_copy");
}

static void measure(const struct arguments *arguments, struct session *session, struct baseline *baseline,
                    struct report *report)
{
    const unsigned eager = (arguments->rounds + LESS_EAGER - 1) / LESS_EAGER;
    struct snapshot_times saved;
    struct fork_times first;
    char path[SNAPSHOT_PATH];

    session_fork(session, &first); /* a guest's first fork does more than later ones */
    session_settle(session);
    session_snapshot(session, snapshot_file(path, SAVED), &saved);
    for (unsigned round = 0; round < arguments->rounds; round++) {
        progress("restore: round %u of %u", round + 1, arguments->rounds);
        measure_fork(session, report);
        measure_restore(session, path, report);
        figure_add(&report->baselines, "fork2", baseline_fork(baseline));
    }
    for (unsigned round = 0; round < eager; round++) {
        progress("restore: eager round %u of %u", round + 1, eager);
        measure_eager(session, path, report);
        figure_add(&report->baselines, "full_copy", baseline_copy(baseline));
    }
    compare(report);
}

void mode_restore(const struct arguments *arguments, struct report *report)
{
    struct baseline *baseline = baseline_start(arguments);
    struct session *session;

    snapshot_files_start(arguments);
    progress("restore: starting the guest");
    session = session_open(arguments, &(struct session_needs){.period_us = session_period(arguments->dirty)});
    report->environment.memory = session_memory(session);
    measure(arguments, session, baseline, report);
    session_close(session);
    snapshot_file_remove(SAVED);
    baseline_end(baseline);
}
