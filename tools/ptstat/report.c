/* See report.h. */
#include "tools/ptstat/report.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/terminal.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define ROW_NAME 22 /* columns */

static const struct {
    const char *name;   /* in JSON */
    const char *column; /* in the table, which divides by `scale` */
    double scale;
} units[] = {
    [UNIT_NS] = {"ns", "us", 1e3},
    [UNIT_BYTES] = {"bytes", "KiB", 1024},
};

struct figure *figure_find(struct figure_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->figures[i].name, name))
            return &list->figures[i];
    return NULL;
}

static void add(struct figure_list *list, const char *name, enum unit unit, uint64_t value)
{
    struct figure *figure = figure_find(list, name);

    if (!figure && list->count == REPORT_FIGURES)
        die(EXIT_RUNTIME, "a report holds at most %d figures", REPORT_FIGURES);
    if (!figure) {
        figure = &list->figures[list->count++];
        *figure = (struct figure){.unit = unit};
        snprintf(figure->name, sizeof(figure->name), "%s", name);
    }
    if (samples_add(&figure->samples, value))
        die(EXIT_RUNTIME, "out of memory");
}

void figure_add(struct figure_list *list, const char *name, uint64_t ns)
{
    add(list, name, UNIT_NS, ns);
}

void figure_add_bytes(struct figure_list *list, const char *name, uint64_t bytes)
{
    add(list, name, UNIT_BYTES, bytes);
}

void figure_compare(struct figure_list *list, const char *name, const char *beside)
{
    struct figure *figure = figure_find(list, name);

    snprintf(figure->beside, sizeof(figure->beside), "%s", beside);
}

/* The first baseline in this unit, which figures are compared with unless they say otherwise. */
static struct figure *first_baseline(struct report *report, enum unit unit)
{
    for (size_t i = 0; i < report->baselines.count; i++)
        if (report->baselines.figures[i].unit == unit)
            return &report->baselines.figures[i];
    return NULL;
}

static struct figure *compared_with(struct report *report, const struct figure *figure)
{
    struct figure *found;

    if (!figure->beside[0])
        return first_baseline(report, figure->unit);
    found = figure_find(&report->baselines, figure->beside);
    return found ? found : figure_find(&report->figures, figure->beside);
}

static void print_row(struct report *report, struct figure *figure, FILE *to)
{
    const struct summary s = samples_summarize(&figure->samples);
    const double scale = units[figure->unit].scale;
    struct figure *other = compared_with(report, figure);
    uint64_t other_p50 = other ? samples_summarize(&other->samples).p50 : 0;

    fprintf(to, "%-*s %6zu %10.1f %10.1f %10.1f %10.1f %10.1f", ROW_NAME, figure->name, s.count, (double)s.min / scale,
            (double)s.p50 / scale, (double)s.p90 / scale, (double)s.p99 / scale, (double)s.max / scale);
    if (other_p50)
        fprintf(to, " %8.*f", 200 * s.p50 < other_p50 ? 5 : 2, (double)s.p50 / (double)other_p50);
    if (other_p50 && figure->beside[0])
        fprintf(to, " of %s", figure->beside);
    fputc('\n', to);
}

static void print_rows(struct report *report, struct figure_list *list, enum unit unit, FILE *to)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->figures[i].unit == unit)
            print_row(report, &list->figures[i], to);
}

static void print_environment(const struct environment *e, FILE *to)
{
    char memory[BYTES_TEXT], resident[BYTES_TEXT], dirty[BYTES_TEXT], page[BYTES_TEXT];

    fprintf(to, "kernel %s, cpu %s, kvm %s\n", e->kernel, e->cpu, e->kvm);
    fprintf(to, "memory %s, resident %s in pages of %s, dirty %s%s\n", bytes_text(memory, e->memory),
            bytes_text(resident, e->resident), bytes_text(page, e->page_size), bytes_text(dirty, e->dirty),
            e->scattered ? ", scattered" : "");
}

/* What the column of ratios is called: by the baseline, where there is only one. */
static void print_heading(struct report *report, enum unit unit, FILE *to)
{
    const struct figure *baseline = first_baseline(report, unit);
    const char *name = baseline ? baseline->name : NULL;

    for (size_t i = 0; i < report->figures.count; i++)
        if (report->figures.figures[i].unit == unit && report->figures.figures[i].beside[0])
            name = "baseline";
    fprintf(to, "\n%-*s %6s %10s %10s %10s %10s %10s", ROW_NAME, units[unit].column, "count", "min", "p50", "p90",
            "p99", "max");
    if (name)
        fprintf(to, "  p50/%s", name);
    fputc('\n', to);
}

static bool has_unit(const struct figure_list *list, enum unit unit)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->figures[i].unit == unit)
            return true;
    return false;
}

static void print_unit(struct report *report, enum unit unit, FILE *to)
{
    print_heading(report, unit, to);
    print_rows(report, &report->figures, unit, to);
    if (!has_unit(&report->baselines, unit))
        return;
    fprintf(to, "baselines\n");
    print_rows(report, &report->baselines, unit, to);
}

void report_print_table(struct report *report, FILE *to)
{
    fprintf(to, "ptstat %s: times in microseconds%s\n", report->mode,
            has_unit(&report->figures, UNIT_BYTES) ? ", sizes in KiB" : "");
    print_environment(&report->environment, to);
    for (enum unit unit = UNIT_NS; unit <= UNIT_BYTES; unit++)
        if (has_unit(&report->figures, unit))
            print_unit(report, unit, to);
}

static json_t *list_to_json(struct figure_list *list)
{
    json_t *object = json_object();

    for (size_t i = 0; i < list->count; i++) {
        struct summary s = samples_summarize(&list->figures[i].samples);
        json_t *figure = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "unit", units[list->figures[i].unit].name,
                                   "count", (json_int_t)s.count, "min", (json_int_t)s.min, "p50", (json_int_t)s.p50,
                                   "p90", (json_int_t)s.p90, "p99", (json_int_t)s.p99, "max", (json_int_t)s.max);

        if (json_object_set_new(object, list->figures[i].name, figure))
            die(EXIT_RUNTIME, "out of memory");
    }
    return object;
}

void report_print_json(struct report *report, FILE *to)
{
    const struct environment *e = &report->environment;
    json_t *root = json_pack("{s:s, s:{s:s, s:s, s:s, s:I, s:I, s:I, s:I}, s:o, s:o}", "mode", report->mode,
                             "environment", "kernel", e->kernel, "cpu", e->cpu, "kvm", e->kvm, "page_size",
                             (json_int_t)e->page_size, "memory_bytes", (json_int_t)e->memory, "resident_bytes",
                             (json_int_t)e->resident, "dirty_bytes", (json_int_t)e->dirty, "figures",
                             list_to_json(&report->figures), "baselines", list_to_json(&report->baselines));

    if (!root || json_dumpf(root, to, JSON_COMPACT))
        die(EXIT_RUNTIME, "cannot write the report as JSON");
    fputc('\n', to);
    json_decref(root);
}

static void list_free(struct figure_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        samples_free(&list->figures[i].samples);
    list->count = 0;
}

void report_free(struct report *report)
{
    list_free(&report->figures);
    list_free(&report->baselines);
}
