/*
 * The guest that ptstat measures, unless --guest names another: its bytes, the arguments it understands and the marks
 * that it makes. It touches `resident` bytes, marks WORKLOAD_READY, then writes the same `dirty` bytes every period and
 * may mark WORKLOAD_ROUND each time. A fork of it finds its generation changed, marks WORKLOAD_OUTPUT at once, writes
 * those bytes, marks WORKLOAD_PAID and exits, or stays.
 */
#ifndef PTSTAT_WORKLOAD_H
#define PTSTAT_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKLOAD_READY  0x1
#define WORKLOAD_ROUND  0x10
#define WORKLOAD_OUTPUT 0x100
#define WORKLOAD_PAID   0x101

#define WORKLOAD_ARGUMENTS 6
#define WORKLOAD_ARGUMENT  40

/* What a workload does, in bytes and microseconds. */
struct workload_rounds {
    uint64_t resident; /* kept resident */
    uint64_t dirty;    /* written every period */
    uint64_t period_us;
    bool scatter; /* what is written lies apart, spread evenly over what is resident */
    bool marks;   /* each round is marked */
    bool stay;    /* a fork goes on with rounds of its own, where it would exit */
};

/* The same as the guest's arguments: resident=, dirty=, period_us=, marks=, and scatter=1, stay=1 only where they are
 * wanted, so that a guest of somebody's own need not know them. */
struct workload {
    char text[WORKLOAD_ARGUMENTS][WORKLOAD_ARGUMENT];
    unsigned count;
};

void workload_arguments(struct workload *workload, const struct workload_rounds *rounds);

#endif
