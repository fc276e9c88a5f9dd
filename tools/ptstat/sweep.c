/* See sweep.h. */
#include "tools/ptstat/sweep.h"
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/meanings.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/plot.h"
#include "tools/ptstat/terminal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#define STEP           4  /* from one size to the next */
#define LEAST_PART     16 /* of the resident size of the command line */
#define SHARE          5  /* of the host's memory may be resident: the baselines need as much several times over */
#define MEMORY_BESIDES (UINT64_C(32) << 20)
#define LESS_ROUNDS    5 /* a point of a series takes a fifth of the rounds, */
#define LEAST_ROUNDS   3 /* but no fewer than these */

struct series {
    uint64_t sizes[PLOT_POINTS];
    size_t count;
};

/* Sizes a factor of STEP apart, and the one that has been measured already at its place among them. */
static void make_series(struct series *series, uint64_t least, uint64_t most, uint64_t measured)
{
    series->count = 0;
    for (uint64_t size = least; size <= most && series->count < PLOT_POINTS - 1; size *= STEP) {
        if (series->count ? series->sizes[series->count - 1] < measured && measured < size : measured < size)
            series->sizes[series->count++] = measured;
        series->sizes[series->count++] = size;
    }
    if (!series->count || series->sizes[series->count - 1] < measured)
        series->sizes[series->count++] = measured;
}

static uint64_t host_share(void)
{
    struct sysinfo host;

    return sysinfo(&host) ? UINT64_MAX : (uint64_t)host.totalram * host.mem_unit / SHARE;
}

static void add_report(struct panel *panel, struct report *report, uint64_t x)
{
    for (size_t i = 0; i < report->figures.count; i++) {
        struct figure *figure = &report->figures.figures[i];

        panel_add(panel, figure, false, figure->name, x, samples_summarize(&figure->samples));
    }
    for (size_t i = 0; i < report->baselines.count; i++) {
        struct figure *figure = &report->baselines.figures[i];

        panel_add(panel, figure, true, figure->name, x, samples_summarize(&figure->samples));
    }
}

/* Runs the mode once more, with other sizes and fewer rounds. */
static void run_point(const struct arguments *arguments, uint64_t resident, uint64_t dirty, struct report *report)
{
    struct arguments point = *arguments;

    point.resident = resident;
    point.dirty = dirty;
    if (point.memory < resident + MEMORY_BESIDES)
        point.memory = resident + MEMORY_BESIDES;
    point.rounds = arguments->rounds / LESS_ROUNDS;
    if (point.rounds < LEAST_ROUNDS)
        point.rounds = arguments->rounds < LEAST_ROUNDS ? arguments->rounds : LEAST_ROUNDS;
    exit_if_interrupted();
    point.mode->run(&point, report);
}

static void draw_series(const struct arguments *arguments, struct report *measured, bool is_dirty,
                        const struct series *series, struct panel *panel)
{
    for (size_t i = 0; i < series->count; i++) {
        const uint64_t size = series->sizes[i];
        struct report report = {.mode = measured->mode};
        char text[BYTES_TEXT];

        if (size == (is_dirty ? arguments->dirty : arguments->resident)) {
            add_report(panel, measured, size);
            continue;
        }
        progress_prefix("plot: %s %s (%zu of %zu): ", bytes_text(text, size), is_dirty ? "dirty" : "resident", i + 1,
                        series->count);
        run_point(arguments, is_dirty ? arguments->resident : size, is_dirty ? size : arguments->dirty, &report);
        add_report(panel, &report, size);
        report_free(&report);
    }
    progress_prefix("%s", "");
}

static void sweep_dirty(const struct arguments *arguments, struct report *measured, enum unit unit, struct panel *panel)
{
    const uint64_t quarter = arguments->resident / 4, most = arguments->mode->plot_dirty;
    struct series series;
    char resident[BYTES_TEXT];

    make_series(&series, PAGE_BYTES, quarter < most ? quarter : most, arguments->dirty);
    *panel = (struct panel){.x_label = "dirty size (bytes written between rounds)", .x_is_size = true, .unit = unit};
    snprintf(panel->title, sizeof(panel->title), "%s resident%s", bytes_text(resident, arguments->resident),
             arguments->scatter ? ", dirty pages scattered" : "");
    panel->y_label = unit == UNIT_NS ? "time" : "memory";
    draw_series(arguments, measured, true, &series, panel);
}

static void sweep_resident(const struct arguments *arguments, struct report *measured, struct panel *panel)
{
    const uint64_t share = host_share(), most = arguments->resident * arguments->mode->plot_resident;
    uint64_t least = arguments->resident / LEAST_PART / PAGE_BYTES * PAGE_BYTES;
    struct series series;
    char dirty[BYTES_TEXT];

    if (!least)
        least = PAGE_BYTES;
    while (least < arguments->dirty)
        least *= STEP;
    make_series(&series, least, share < most ? share : most, arguments->resident);
    *panel = (struct panel){.x_label = "resident size (bytes)", .y_label = "time", .x_is_size = true, .unit = UNIT_NS};
    snprintf(panel->title, sizeof(panel->title), "%s dirty%s", bytes_text(dirty, arguments->dirty),
             arguments->scatter ? ", scattered" : "");
    draw_series(arguments, measured, false, &series, panel);
}

/* The figures NAME_at_N of the list as a curve NAME over N + 1 guests: the axis is logarithmic, and N may be 0. */
static void add_levels(struct panel *panel, struct figure_list *list, bool is_baseline, const char *name)
{
    const size_t length = strlen(name);

    for (size_t i = 0; i < list->count; i++) {
        struct figure *figure = &list->figures[i];
        struct figure plain = *figure;

        if (strncmp(figure->name, name, length) != 0 || strncmp(figure->name + length, "_at_", 4) != 0)
            continue;
        snprintf(plain.beside, sizeof(plain.beside), "%s", is_baseline ? "" : "fork2_at_N");
        panel_add(panel, &plain, is_baseline, is_baseline ? "fork2_at_N" : "fork_at_N",
                  1 + strtoull(figure->name + length + 4, NULL, 10), samples_summarize(&figure->samples));
    }
}

static void draw_children(const struct arguments *arguments, struct report *measured, struct panel *panel)
{
    char resident[BYTES_TEXT], dirty[BYTES_TEXT];

    *panel = (struct panel){.x_label = "live guests or processes before the fork, the parent included",
                            .y_label = "time of one more fork",
                            .unit = UNIT_NS};
    snprintf(panel->title, sizeof(panel->title), "%s resident, %s dirty in each child",
             bytes_text(resident, arguments->resident), bytes_text(dirty, arguments->dirty));
    add_levels(panel, &measured->figures, false, "fork");
    add_levels(panel, &measured->baselines, true, "fork2");
}

void sweep_draw(const struct arguments *arguments, struct report *report)
{
    const struct environment *e = &report->environment;
    struct plot *plot = calloc(1, sizeof(*plot));
    char page[BYTES_TEXT];

    if (!plot)
        die(EXIT_RUNTIME, "out of memory");
    snprintf(plot->title, sizeof(plot->title), "ptstat %s: %s", report->mode, arguments->mode->plot_title);
    snprintf(plot->place, sizeof(plot->place),
             "%s, cpu %s, kvm %s, pages of %s; lines: p50; bars: from min to p90; "
             "[..]: least and most of the baseline's p50",
             e->kernel, e->cpu, e->kvm, bytes_text(page, e->page_size));
    if (arguments->mode->plots & PLOT_CHILDREN)
        draw_children(arguments, report, &plot->panels[plot->count++]);
    if (arguments->mode->plots & PLOT_MEMORY)
        sweep_dirty(arguments, report, UNIT_BYTES, &plot->panels[plot->count++]);
    if (arguments->mode->plots & PLOT_DIRTY)
        sweep_dirty(arguments, report, UNIT_NS, &plot->panels[plot->count++]);
    if (arguments->mode->plots & PLOT_RESIDENT)
        sweep_resident(arguments, report, &plot->panels[plot->count++]);
    meanings_set(plot, report->mode);
    progress("plot: drawing");
    plot_draw(plot);
    free(plot);
}
