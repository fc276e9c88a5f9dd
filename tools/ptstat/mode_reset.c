/*
 * The mode `reset`: a guest returns to a checkpoint again and again after it has written its dirty set, beside what the
 * kernel alone needs for that.
 */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/bare_kvm.h"
#include "tools/ptstat/bare_reset.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/session.h"
#include "tools/ptstat/terminal.h"

/* A round must be over, and the guest idle, well before the next is due. */
#define PERIODS 5

/* A reset first drops pages and then keeps them, so the first few are not like those that follow. */
#define WARM_UP 3

/*
 * The guest's next round is due a period after its last one, by its clock, which runs on through a reset. So once a
 * period has passed since the checkpoint, each reset lets it start a round at once.
 */
static void make_checkpoint(struct session *session, uint64_t period_us)
{
    session_pause(session, 0);
    session_checkpoint(session);
    session_resume(session);
    sleep_us(period_us);
}

/* The guest is idle after a round; how long the VMM takes for a guest that stands still. */
static uint64_t measure_reset(struct session *session, uint64_t pages)
{
    struct reset_times times;
    uint64_t start;

    session_pause(session, 0);
    session_reset(session, &times);
    if (times.dropped_pages < pages)
        die(EXIT_RUNTIME, "a reset dropped %u pages only: has the guest written its dirty set?",
            (unsigned)times.dropped_pages);
    start = now_ns();
    session_resume(session);
    session_wait_round(session, start);
    return times.total;
}

/* The same while it runs, and until it has done a round more: one turn of a fuzzer's loop. */
static uint64_t measure_reset_and_run(struct session *session)
{
    struct reset_times times;
    const uint64_t start = now_ns();

    session_reset(session, &times);
    return session_wait_round(session, start) - start;
}

void mode_reset(const struct arguments *arguments, struct report *report)
{
    const uint64_t period_us = PERIODS * session_period(arguments->dirty), pages = arguments->dirty / PAGE_BYTES;
    struct session *session;
    struct bare *bare;
    struct bare_reset *bare_reset;

    progress("reset: starting the guests");
    session = session_open(arguments, &(struct session_needs){.period_us = period_us, .marks = true});
    report->environment.memory = session_memory(session);
    bare = bare_start(arguments, period_us);
    bare_reset = bare_reset_start(bare);
    make_checkpoint(session, period_us);
    for (unsigned i = 0; i < WARM_UP; i++) {
        measure_reset_and_run(session);
        bare_reset_round(bare_reset);
    }
    for (unsigned round = 0; round < arguments->rounds; round++) {
        progress("reset: round %u of %u", round + 1, arguments->rounds);
        figure_add(&report->figures, "reset", measure_reset(session, pages));
        figure_add(&report->figures, "reset_and_run", measure_reset_and_run(session));
        figure_add(&report->baselines, "bare_reset", bare_reset_round(bare_reset));
    }
    bare_reset_end(bare_reset);
    bare_end(bare);
    session_close(session);
}
