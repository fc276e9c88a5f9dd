/* The result of a run: figures next to the baselines measured beside them, as a table for people or as JSON. */
#ifndef PTSTAT_REPORT_H
#define PTSTAT_REPORT_H

#include "tools/ptstat/environment.h"
#include "tools/ptstat/samples.h"

#include <stdbool.h>
#include <stdio.h>

#define REPORT_FIGURES 24
#define REPORT_NAME    40

enum unit { UNIT_NS, UNIT_BYTES };

struct figure {
    char name[REPORT_NAME];
    char beside[REPORT_NAME]; /* the baseline that the table's ratio is to; empty: the first of the same unit */
    enum unit unit;
    struct samples samples;
};

struct figure_list {
    struct figure figures[REPORT_FIGURES]; /* in the order they first came */
    size_t count;
};

struct report {
    const char *mode;
    struct environment environment;
    struct figure_list figures;
    struct figure_list baselines;
};

/* Adds a sample to the figure `name`. Out of memory ends the program. */
void figure_add(struct figure_list *list, const char *name, uint64_t ns);
void figure_add_bytes(struct figure_list *list, const char *name, uint64_t bytes);

/* Has the table show the ratio of the figure `name`, which has a sample, to another one, in whichever list that is. */
void figure_compare(struct figure_list *list, const char *name, const char *beside);

/* NULL where there is none. */
struct figure *figure_find(struct figure_list *list, const char *name);

/* The table of a run, with its environment; times in microseconds, sizes in KiB. */
void report_print_table(struct report *report, FILE *to);

/* The one object that ptstat(1) describes, on one line. */
void report_print_json(struct report *report, FILE *to);

void report_free(struct report *report);

#endif
