/*
 * The mode `run`: a guest runs from its checkpoint to its end again and again, as a fuzzer's does, each time with
 * another input: through libcleave and through the control socket, beside bare KVM and beside fork(2) of a process.
 */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/bare_run.h"
#include "tools/ptstat/baseline.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/embedded.h"
#include "tools/ptstat/holder.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/session.h"
#include "tools/ptstat/session_target.h"
#include "tools/ptstat/target.h"
#include "tools/ptstat/terminal.h"

#include <stdio.h>

#define BURST   10 /* executions in a round, of each way */
#define WARM_UP 4  /* rounds in which what is written again and again is learnt, and mapped */

static const unsigned sizes[] = {1, 16, 100, TARGET_PAGES};

/* The four ways, each with a guest or process that writes so many pages. */
struct ways {
    struct embedded *embedded;
    struct session *session;
    struct bare_run *bare;
    struct baseline *baseline;
    uint64_t executions;
};

/* What forks, forks before there are guests in this process. */
static void start(struct ways *ways, unsigned pages)
{
    const struct holder_memory memory = {pages * PAGE_BYTES, pages * PAGE_BYTES, false};

    *ways = (struct ways){.baseline = baseline_start_with(&memory)};
    ways->session = session_target_start(pages);
    ways->bare = bare_run_start(pages);
    ways->embedded = embedded_start(pages);
}

static void end(struct ways *ways)
{
    embedded_end(ways->embedded);
    bare_run_end(ways->bare);
    session_close(ways->session);
    baseline_end(ways->baseline);
}

/* One figure for each execution; NULL lists: nobody wants them. */
static void add(struct figure_list *list, const char *way, unsigned pages, const char *beside, uint64_t ns)
{
    char name[REPORT_NAME], baseline[REPORT_NAME];

    if (!list)
        return;
    snprintf(name, sizeof(name), "%s_%u", way, pages);
    snprintf(baseline, sizeof(baseline), "%s_%u", beside, pages);
    figure_add(list, name, ns);
    figure_compare(list, name, baseline);
}

/* The ways take turns, and each executes a few times in its turn, as whoever executes does nothing else meanwhile. */
static void measure(struct ways *ways, unsigned pages, struct report *report)
{
    struct figure_list *figures = report ? &report->figures : NULL, *baselines = report ? &report->baselines : NULL;
    struct target_input input;

    exit_if_interrupted();
    for (unsigned i = 0; i < BURST; i++) {
        target_input(&input, (unsigned)ways->executions++);
        add(figures, "library", pages, "bare", embedded_round(ways->embedded, &input));
    }
    for (unsigned i = 0; i < BURST; i++) {
        target_input(&input, (unsigned)ways->executions++);
        add(baselines, "bare", pages, "bare", bare_run_round(ways->bare, &input));
    }
    for (unsigned i = 0; i < BURST; i++) {
        target_input(&input, (unsigned)ways->executions++);
        add(figures, "socket", pages, "bare", session_target_round(ways->session, &input));
    }
    for (unsigned i = 0; i < BURST; i++)
        add(baselines, "fork2_exit", pages, "bare", baseline_run(ways->baseline));
}

void mode_run(const struct arguments *arguments, struct report *report)
{
    struct ways ways;

    report->environment.memory = TARGET_MEMORY;
    report->environment.resident = report->environment.dirty = TARGET_PAGES * PAGE_BYTES;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        progress("run: starting the guests that write %u pages", sizes[i]);
        start(&ways, sizes[i]);
        for (unsigned round = 0; round < WARM_UP; round++)
            measure(&ways, sizes[i], NULL);
        for (unsigned round = 0; round < arguments->rounds; round++) {
            progress("run: %u pages, round %u of %u", sizes[i], round + 1, arguments->rounds);
            measure(&ways, sizes[i], report);
        }
        end(&ways);
    }
}
