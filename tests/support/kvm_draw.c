/* Random decisions that can be repeated: see kvm_draw.h. */
#include "tests/support/kvm_draw.h"

#include "guest/lib/hash.h"
#include "tests/support/rounds.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

uint64_t draw_seed(void)
{
    const char *text = getenv("SEED");
    uint64_t seed = 0;
    if (text && *text)
        seed = strtoull(text, NULL, 0);
    else if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = 1;
    seed &= INT64_MAX;
    printf("SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    return seed;
}

uint64_t draw(uint64_t *state, uint64_t below)
{
    *state += HASH_MULTIPLIER;
    return hash_mix(*state) % below;
}

uint64_t draw_operations(unsigned usual, unsigned least)
{
    const char *text = getenv("OPERATIONS");
    return text && *text ? strtoull(text, NULL, 10) : rounds(usual, least);
}
