/* A growing set of measured values and its summary: count, minimum, percentiles, maximum. Pure; used by every mode. */
#ifndef PTSTAT_SAMPLES_H
#define PTSTAT_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
    uint64_t *values; /* in the figure's unit, nanoseconds for times */
    size_t count;
    size_t capacity;
};

/* Percentiles are by nearest rank, so each is a value that was measured. All zero where count is 0. */
struct summary {
    size_t count;
    uint64_t min, p50, p90, p99, max;
};

/* 0, or -ENOMEM with the set unchanged. */
__attribute__((warn_unused_result)) int samples_add(struct samples *samples, uint64_t value);

/* Sorts the values in place. */
struct summary samples_summarize(struct samples *samples);

void samples_free(struct samples *samples);

#endif
