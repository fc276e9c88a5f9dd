/* Hashing memory: see hash.h. */
#include "guest/lib/hash.h"

#define LANES 4

static inline uint64_t step(uint64_t lane, uint64_t word)
{
    const uint64_t product = (lane ^ word) * HASH_MULTIPLIER;
    return product << 29 | product >> 35;
}

uint64_t hash_words(const volatile uint64_t *words, size_t count, uint64_t seed)
{
    uint64_t a = seed + 1, b = seed + 2, c = seed + 3, d = seed + 4;
    for (size_t i = 0; i + LANES <= count; i += LANES) {
        a = step(a, words[i]);
        b = step(b, words[i + 1]);
        c = step(c, words[i + 2]);
        d = step(d, words[i + 3]);
    }
    return hash_mix(hash_mix(hash_mix(hash_mix(a) ^ b) ^ c) ^ d);
}
