/*
 * The guest that ptstat measures, unless --guest names another: its bytes, the arguments it understands and the marks
 * that it makes. It touches `resident` bytes, marks WORKLOAD_READY, then writes the same `dirty` bytes every period and
 * may mark WORKLOAD_ROUND each time. A fork of it finds its generation changed, marks WORKLOAD_OUTPUT at once, writes
 * those bytes, marks WORKLOAD_PAID and exits.
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

extern const unsigned char workload_start[], workload_end[];

#define WORKLOAD_ARGUMENTS 4 /* resident=, dirty=, period_us=, marks= */
#define WORKLOAD_ARGUMENT  40

/* The guest's arguments, in bytes and microseconds. */
struct workload {
    char text[WORKLOAD_ARGUMENTS][WORKLOAD_ARGUMENT];
};

/* What a workload does every period. */
struct workload_rounds {
    uint64_t dirty; /* bytes written */
    uint64_t period_us;
    bool marks; /* each is marked */
};

void workload_arguments(struct workload *workload, uint64_t resident, const struct workload_rounds *rounds);

/* Writes the guest to a memfd whose path other programs can open while this one runs. Returns the descriptor. */
int workload_file(char *path, size_t size);

#endif
