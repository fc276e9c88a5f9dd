/*
 * How often something may be said that a guest can cause as often as it likes: a few times at once, then once a second.
 * What is left out is counted, to be told with what is said next. One thread, or under a lock of the owner's.
 */
#ifndef VMM_BASE_RATE_H
#define VMM_BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_BURST 5

/* All zero is a fresh one. */
struct rate {
    uint64_t full_ns; /* when it has its whole burst again, by clock_ns() */
    uint64_t left_out;
};

/* May it be said now? If so, *left_out is how many there were since the last time that were not; else it counts. */
bool rate_allows(struct rate *rate, uint64_t now_ns, uint64_t *left_out);

/* How many have been left out since something was said, once. */
uint64_t rate_take_left_out(struct rate *rate);

#endif
