/* The one clock of all timestamps and durations: CLOCK_MONOTONIC in nanoseconds; and the time of day. */
#ifndef VMM_BASE_CLOCK_H
#define VMM_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_of(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_ns(void)
{
    return clock_of(CLOCK_MONOTONIC);
}

/* Since 1970. */
static inline uint64_t clock_real_ns(void)
{
    return clock_of(CLOCK_REALTIME);
}

#endif
