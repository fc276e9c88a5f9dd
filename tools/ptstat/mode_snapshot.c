/*
 * The mode `snapshot`: a guest that keeps writing is saved, in memory (a checkpoint) and to a file. Its pauses are seen
 * beside those of its forks and beside fork(2), the writing of the file beside a copy of that very file.
 */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/baseline.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/session.h"
#include "tools/ptstat/snapshot_files.h"
#include "tools/ptstat/terminal.h"

#define SAVED "saved"
#define COPY  "copy"

static void measure_memory(struct session *session, struct report *report)
{
    struct fork_times times;

    session_settle(session);
    figure_add(&report->figures, "checkpoint", session_checkpoint(session));
    session_settle(session);
    session_fork(session, &times);
    figure_add(&report->figures, "fork_pause", times.pause);
}

static void measure_file(struct session *session, struct report *report)
{
    struct snapshot_times times;
    char path[SNAPSHOT_PATH];

    session_settle(session);
    session_snapshot(session, snapshot_file(path, SAVED), &times);
    figure_add(&report->figures, "pause", times.pause);
    figure_add(&report->figures, "write", times.total);
    figure_add(&report->baselines, "cp", snapshot_file_copy(SAVED, COPY));
    snapshot_file_remove(SAVED);
    snapshot_file_remove(COPY);
}

void mode_snapshot(const struct arguments *arguments, struct report *report)
{
    struct baseline *baseline = baseline_start(arguments);
    struct session *session;

    snapshot_files_start(arguments);
    progress("snapshot: starting the guest");
    session = session_open(arguments, &(struct session_needs){.period_us = session_period(arguments->dirty)});
    report->environment.memory = session_memory(session);
    session_checkpoint(session); /* a guest's first one moves it to another VM, as a first fork does */
    for (unsigned round = 0; round < arguments->rounds; round++) {
        progress("snapshot: round %u of %u", round + 1, arguments->rounds);
        measure_memory(session, report);
        figure_add(&report->baselines, "fork2", baseline_fork(baseline));
        measure_file(session, report);
    }
    figure_compare(&report->figures, "pause", "fork_pause");
    figure_compare(&report->figures, "write", "cp");
    session_close(session);
    baseline_end(baseline);
}
