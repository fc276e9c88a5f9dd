/* The modes of ptstat: what each measures, by which function, and with which defaults. */
#ifndef PTSTAT_MODE_H
#define PTSTAT_MODE_H

#include <stdbool.h>
#include <stdint.h>

struct arguments;
struct report;

enum plots {
    PLOT_DIRTY = 1,    /* time against the dirty size, */
    PLOT_RESIDENT = 2, /* against the resident size, */
    PLOT_CHILDREN = 4, /* against the number of children; */
    PLOT_MEMORY = 8,   /* memory against the dirty size */
};

struct mode {
    const char *name;
    const char *summary;    /* one line for --help */
    uint64_t default_dirty; /* bytes */
    bool own_sizes;         /* the options about the guest and its sizes do not apply */
    void (*run)(const struct arguments *arguments, struct report *report);
    const char *plot_title;
    unsigned plots;         /* what --plot draws: up to PLOT_PANELS of enum plots; 0: it has no plot */
    uint64_t plot_dirty;    /* the largest dirty size of the series, in bytes */
    uint64_t plot_resident; /* the largest resident size, as a multiple of that on the command line */
};

/* Ends with an entry whose name is NULL. */
extern const struct mode modes[];

/* Fill *report, or print one line and exit with EXIT_RUNTIME. */
void mode_fork(const struct arguments *arguments, struct report *report);
void mode_snapshot(const struct arguments *arguments, struct report *report);
void mode_restore(const struct arguments *arguments, struct report *report);
void mode_reset(const struct arguments *arguments, struct report *report);
void mode_fault(const struct arguments *arguments, struct report *report);
void mode_density(const struct arguments *arguments, struct report *report);
void mode_run(const struct arguments *arguments, struct report *report);
void mode_start(const struct arguments *arguments, struct report *report);
void mode_tables(const struct arguments *arguments, struct report *report);

#endif
