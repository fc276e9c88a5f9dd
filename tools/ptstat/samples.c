/* See samples.h. */
#include "tools/ptstat/samples.h"

#include <errno.h>
#include <stdlib.h>

int samples_add(struct samples *samples, uint64_t value)
{
    if (samples->count == samples->capacity) {
        size_t capacity = samples->capacity ? samples->capacity * 2 : 64;
        uint64_t *values = reallocarray(samples->values, capacity, sizeof(*values));

        if (!values)
            return -ENOMEM;
        samples->values = values;
        samples->capacity = capacity;
    }
    samples->values[samples->count++] = value;
    return 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The smallest value that at least `percent` of the values do not exceed. */
static uint64_t nearest_rank(const struct samples *sorted, unsigned percent)
{
    size_t rank = (sorted->count * percent + 99) / 100;

    return sorted->values[rank ? rank - 1 : 0];
}

struct summary samples_summarize(struct samples *samples)
{
    struct summary summary = {.count = samples->count};

    if (!samples->count)
        return summary;
    qsort(samples->values, samples->count, sizeof(*samples->values), compare);
    summary.min = samples->values[0];
    summary.p50 = nearest_rank(samples, 50);
    summary.p90 = nearest_rank(samples, 90);
    summary.p99 = nearest_rank(samples, 99);
    summary.max = samples->values[samples->count - 1];
    return summary;
}

void samples_free(struct samples *samples)
{
    free(samples->values);
    *samples = (struct samples){0};
}
