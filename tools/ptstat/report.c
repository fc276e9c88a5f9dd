/* See report.h. */
#include "tools/ptstat/report.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/terminal.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

void figure_add(struct figure_list *list, const char *name, uint64_t ns)
{
    size_t i = 0;

    while (i < list->count && strcmp(list->figures[i].name, name) != 0)
        i++;
    if (i == REPORT_FIGURES)
        die(EXIT_RUNTIME, "a report holds at most %d figures", REPORT_FIGURES);
    if (i == list->count)
        list->figures[list->count++] = (struct figure){.name = name};
    if (samples_add(&list->figures[i].samples, ns))
        die(EXIT_RUNTIME, "out of memory");
}

static void print_row(struct figure *figure, uint64_t baseline_ns, FILE *to)
{
    struct summary s = samples_summarize(&figure->samples);

    fprintf(to, "%-18s %6zu %10.1f %10.1f %10.1f %10.1f %10.1f", figure->name, s.count, (double)s.min / 1e3,
            (double)s.p50 / 1e3, (double)s.p90 / 1e3, (double)s.p99 / 1e3, (double)s.max / 1e3);
    if (baseline_ns)
        fprintf(to, " %8.2f", (double)s.p50 / (double)baseline_ns);
    fputc('\n', to);
}

static void print_environment(const struct environment *e, FILE *to)
{
    char memory[BYTES_TEXT], resident[BYTES_TEXT], dirty[BYTES_TEXT], page[BYTES_TEXT];

    fprintf(to, "kernel %s, cpu %s, kvm %s\n", e->kernel, e->cpu, e->kvm);
    fprintf(to, "memory %s, resident %s in pages of %s, dirty %s\n", bytes_text(memory, e->memory),
            bytes_text(resident, e->resident), bytes_text(page, e->page_size), bytes_text(dirty, e->dirty));
}

void report_print_table(struct report *report, FILE *to)
{
    uint64_t baseline_ns = 0;
    char ratio[40] = "";

    if (report->baselines.count) {
        baseline_ns = samples_summarize(&report->baselines.figures[0].samples).p50;
        snprintf(ratio, sizeof(ratio), "p50/%s", report->baselines.figures[0].name);
    }
    fprintf(to, "ptstat %s: times in microseconds\n", report->mode);
    print_environment(&report->environment, to);
    fprintf(to, "\n%-18s %6s %10s %10s %10s %10s %10s  %s\n", "", "count", "min", "p50", "p90", "p99", "max", ratio);
    for (size_t i = 0; i < report->figures.count; i++)
        print_row(&report->figures.figures[i], baseline_ns, to);
    fprintf(to, "baselines\n");
    for (size_t i = 0; i < report->baselines.count; i++)
        print_row(&report->baselines.figures[i], baseline_ns, to);
}

static json_t *list_to_json(struct figure_list *list)
{
    json_t *object = json_object();

    for (size_t i = 0; i < list->count; i++) {
        struct summary s = samples_summarize(&list->figures[i].samples);
        json_t *figure = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "unit", "ns", "count", (json_int_t)s.count,
                                   "min", (json_int_t)s.min, "p50", (json_int_t)s.p50, "p90", (json_int_t)s.p90, "p99",
                                   (json_int_t)s.p99, "max", (json_int_t)s.max);

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
