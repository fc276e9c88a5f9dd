/* The result of a run: figures next to the baselines measured beside them, as a table for people or as JSON. */
#ifndef PTSTAT_REPORT_H
#define PTSTAT_REPORT_H

#include "tools/ptstat/environment.h"
#include "tools/ptstat/samples.h"

#include <stdio.h>

#define REPORT_FIGURES 8

struct figure {
    const char *name;
    struct samples samples; /* nanoseconds */
};

struct figure_list {
    struct figure figures[REPORT_FIGURES]; /* in the order they first came */
    size_t count;
};

struct report {
    const char *mode;
    struct environment environment;
    struct figure_list figures;
    struct figure_list baselines; /* the table's ratios are to the p50 of the first one */
};

/* Adds a sample to the figure `name`, a string that outlives the list. Out of memory ends the program. */
void figure_add(struct figure_list *list, const char *name, uint64_t ns);

/* The table of a run, with its environment; times in microseconds. */
void report_print_table(struct report *report, FILE *to);

/* The one object that ptstat(1) describes, on one line. */
void report_print_json(struct report *report, FILE *to);

void report_free(struct report *report);

#endif
