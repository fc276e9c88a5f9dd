/*
 * workload: what ptstat measures. The parent keeps `resident` bytes resident and dirties the same `dirty` bytes over
 * and over; a child says at once that it runs, rewrites that set, and says that its copy-on-write debt is paid.
 */
#include "guest/lib/args.h"
#include "guest/lib/clock.h"
#include "guest/lib/console.h"
#include "guest/lib/hash.h"
#include "guest/lib/identity.h"
#include "guest/lib/marks.h"

#define PAGE  4096
#define WORDS (PAGE / sizeof(uint64_t))

struct workload {
    boot_info *info;
    uint64_t first;    /* address of the resident pages */
    uint64_t resident; /* pages */
    uint64_t dirty;    /* pages dirtied in a round */
    uint64_t stride;   /* pages from one dirtied page to the next: 1, or more where they are scattered */
    bool full;         /* whole pages are written, with contents that neither compress nor merge */
};

static void write_page(const struct workload *w, uint64_t page, uint64_t value)
{
    volatile uint64_t *words = (volatile uint64_t *)(w->first + page * PAGE);
    words[0] = value;
    if (w->full)
        for (size_t i = 1; i < WORDS; i++)
            words[i] = hash_mix(page * WORDS + i) ^ value;
}

/* One write to each page of the set; false where this guest has become a child before the end. */
static bool dirty_set(const struct workload *w, uint64_t value)
{
    for (uint64_t i = 0; i < w->dirty; i++) {
        write_page(w, i * w->stride, value);
        if (w->info->generation != PROBE->generation)
            return false;
    }
    return true;
}

static void settle_debt(const struct workload *w)
{
    mark(MARK_FIRST_OUTPUT);
    for (uint64_t i = 0; i < w->dirty; i++)
        write_page(w, i * w->stride, ~PROBE->counter);
    mark(MARK_DEBT_PAID);
}

static unsigned fail_setup(const char *why)
{
    print_text("workload: ");
    print_text(why);
    print_text("\n");
    return ARGS_EXIT;
}

static unsigned run(const struct workload *w)
{
    boot_info *info = w->info;
    volatile struct probe *probe = PROBE;
    const uint64_t period = arg_number(info, "period_us", 2000) * clock_ticks_per_us(info);
    const uint64_t rounds = arg_number(info, "rounds", 0);
    const bool marks = arg_number(info, "marks", 0) != 0;
    const bool stay = arg_number(info, "stay", 0) != 0;

    uint64_t last = read_tsc() - period;
    for (;;) {
        if (identity_changed(info)) {
            settle_debt(w);
            if (!stay)
                return 0;
        }
        if ((rounds && probe->counter == rounds) || read_tsc() - last < period) {
            cpu_pause();
            continue;
        }
        last = read_tsc();
        if (dirty_set(w, probe->counter)) {
            probe->counter++;
            if (marks)
                mark(MARK_ROUND);
        }
    }
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    args_check(info, "resident dirty scatter pattern period_us rounds marks stay tsc_mhz");
    struct workload w = {
        .info = info,
        .first = (uint64_t)image_end,
        .resident = arg_number(info, "resident", 16 << 20) / PAGE,
        .dirty = arg_number(info, "dirty", 1 << 20) / PAGE,
        .stride = 1,
        .full = arg_choice(info, "pattern", "word full") == 1,
    };
    if (w.resident > (info->ram_bytes - w.first) / PAGE)
        return fail_setup("resident= does not fit into RAM after the image");
    if (w.dirty > w.resident)
        return fail_setup("dirty= is more than resident=");
    if (arg_number(info, "scatter", 0) && w.dirty)
        w.stride = w.resident / w.dirty;

    probe_start(info, "workload");
    PROBE->first = w.first;
    PROBE->pages = w.resident;
    for (uint64_t page = 0; page < w.resident; page++)
        write_page(&w, page, page);
    mark(MARK_RESIDENT);
    return run(&w);
}
