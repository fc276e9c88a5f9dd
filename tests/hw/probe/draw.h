/* Random numbers for images: the same seed gives the same image. */
#ifndef TESTS_HW_PROBE_DRAW_H
#define TESTS_HW_PROBE_DRAW_H

#include <stdint.h>

struct draw {
    uint64_t state;
};

static inline struct draw draw_from(uint64_t seed)
{
    return (struct draw){(seed + 1) * 0x9e3779b97f4a7c15ull | 1};
}

static inline uint64_t draw(struct draw *from, uint64_t below)
{
    from->state ^= from->state << 13;
    from->state ^= from->state >> 7;
    from->state ^= from->state << 17;
    return (from->state >> 11) % below;
}

#endif
