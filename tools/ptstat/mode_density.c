/*
 * The mode `density`: how many guests fit. Children of one guest are forked one after the other and stay; what each
 * adds to the memory that is taken, and how long a fork takes beside so many, next to children of fork(2).
 */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/baseline.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/process_memory.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/session.h"
#include "tools/ptstat/terminal.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#define PERIOD_US UINT64_C(100000) /* guest 0 is paused; a child is soon after its first round */
#define SAMPLES   5                /* forks at each number of children */

/* The VMM's memory is read when it has stayed as it is over so many readings. */
#define STILL_US       4000
#define STILL_READINGS 6
#define STILL_TRIES    250

/* What a child takes beside its dirty set, here and as a process, with a good margin. */
#define CHILD_BYTES (UINT64_C(4) << 20)

struct density {
    const struct arguments *arguments;
    struct session *session;
    struct baseline *baseline;
    struct report *report;
    pid_t vmm;
    uint64_t bytes;                          /* that the VMM takes, as last read */
    int64_t kernel_guests, kernel_processes; /* bytes that the kernel took for all children of either kind */
};

/* Better one line now than the kernel's out-of-memory killer in the middle. */
static void check_memory(const struct arguments *arguments)
{
    const uint64_t each = 2 * (arguments->dirty + CHILD_BYTES);
    char dirty[BYTES_TEXT];
    struct sysinfo host;

    if (sysinfo(&host) || arguments->rounds <= (uint64_t)host.totalram * host.mem_unit / 2 / each)
        return;
    die(EXIT_RUNTIME, "%u children, each with a dirty set of %s, are more than half of this host's memory can hold",
        arguments->rounds, bytes_text(dirty, arguments->dirty));
}

static uint64_t whole_memory(const struct density *density)
{
    uint64_t bytes;
    const int error = process_memory_whole(density->vmm, &bytes);

    if (error)
        die(EXIT_RUNTIME, "cannot tell how much memory the VMM takes: /proc/%d: %s", (int)density->vmm,
            strerror(-error));
    return bytes;
}

/* The VMM frees memory and makes machines in the background: waits until nothing changes any more, within reason. */
static uint64_t still_memory(const struct density *density)
{
    uint64_t last = whole_memory(density);

    for (unsigned i = 0, alike = 1; i < STILL_TRIES && alike < STILL_READINGS; i++) {
        uint64_t now;

        sleep_us(STILL_US);
        now = whole_memory(density);
        alike = now == last ? alike + 1 : 1;
        last = now;
    }
    return last;
}

/* Not everywhere does the kernel show it; then it does not grow either, and the figures are left out. */
static int64_t kernel_bytes(void)
{
    uint64_t bytes;

    return kernel_memory(&bytes) ? 0 : (int64_t)bytes;
}

/* One child more that stays, and what it adds once it stands still and the VMM has a machine ready again. */
static void add_guest(struct density *density)
{
    const uint64_t before = density->bytes;
    const int64_t kernel_before = kernel_bytes();
    struct fork_times times;

    session_pause(density->session, session_fork(density->session, &times));
    session_settle(density->session);
    density->bytes = still_memory(density);
    density->kernel_guests += kernel_bytes() - kernel_before;
    figure_add_bytes(&density->report->figures, "bytes_per_child",
                     density->bytes > before ? density->bytes - before : 0);
}

static void add_process(struct density *density)
{
    const int64_t before = kernel_bytes();

    baseline_add(density->baseline);
    density->kernel_processes += kernel_bytes() - before;
    figure_add_bytes(&density->report->baselines, "fork2_bytes_per_child", baseline_weigh(density->baseline));
}

/* Forks whose child is ended at once, so that there are as many as before. */
static void measure_forks(struct density *density, unsigned children)
{
    char name[REPORT_NAME], base[REPORT_NAME];

    snprintf(name, sizeof(name), "fork_at_%u", children);
    snprintf(base, sizeof(base), "fork2_at_%u", children);
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct fork_times times;

        session_kill(density->session, session_fork(density->session, &times));
        session_settle(density->session);
        figure_add(&density->report->figures, name, times.first_instruction);
        figure_add(&density->report->baselines, base, baseline_fork(density->baseline));
    }
    figure_compare(&density->report->figures, name, base);
    density->bytes = still_memory(density);
}

/* 0, 1, 2, 5, 10, 20, 50 and so on: two to four figures a decade, and the last. */
static unsigned next_level(unsigned level, unsigned last)
{
    unsigned decade = 1, next;

    while (level >= 10 * decade)
        decade *= 10;
    if (level < decade)
        next = decade;
    else
        next = level < 2 * decade ? 2 * decade : level < 5 * decade ? 5 * decade : 10 * decade;
    return next < last ? next : last;
}

static void add_kernel(struct figure_list *list, const char *name, int64_t bytes, unsigned children)
{
    if (bytes > 0)
        figure_add_bytes(list, name, (uint64_t)bytes / children);
}

static void measure(struct density *density)
{
    const unsigned last = density->arguments->rounds;
    unsigned children = 0, level = 0;
    struct fork_times times;

    session_kill(density->session, session_fork(density->session, &times)); /* the first does more than later ones */
    session_settle(density->session);
    measure_forks(density, 0);
    while (children < last) {
        level = next_level(level, last);
        for (; children < level; children++) {
            progress("density: child %u of %u", children + 1, last);
            add_guest(density);
            add_process(density);
        }
        measure_forks(density, level);
    }
    figure_compare(&density->report->figures, "bytes_per_child", "fork2_bytes_per_child");
    add_kernel(&density->report->figures, "kernel_bytes_per_child", density->kernel_guests, last);
    add_kernel(&density->report->baselines, "fork2_kernel_bytes", density->kernel_processes, last);
    if (figure_find(&density->report->figures, "kernel_bytes_per_child"))
        figure_compare(&density->report->figures, "kernel_bytes_per_child", "fork2_kernel_bytes");
}

void mode_density(const struct arguments *arguments, struct report *report)
{
    struct density density = {.arguments = arguments, .report = report};

    check_memory(arguments);
    density.baseline = baseline_start(arguments);
    progress("density: starting the guest");
    density.session = session_open(arguments, &(struct session_needs){.period_us = PERIOD_US, .stay = true});
    density.vmm = session_pid(density.session);
    report->environment.memory = session_memory(density.session);
    session_pause(density.session, 0);
    measure(&density);
    session_close(density.session);
    baseline_end(density.baseline);
}
