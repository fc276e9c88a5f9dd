/* Hashing and filling memory with general registers only: fast enough for a guest's whole RAM. */
#ifndef GUEST_LIB_HASH_H
#define GUEST_LIB_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_MULTIPLIER 0x9e3779b97f4a7c15

/* A 64-bit mix in which every bit of the input changes about half of the output's (the finalizer of splitmix64). */
static inline uint64_t hash_mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

/*
 * Hash of `count` words, a multiple of 4; `seed` chains calls. A test on the host can compute the same: four lanes take
 * words 4i to 4i+3, each lane = (lane ^ word) * HASH_MULTIPLIER rotated left by 29; hash = mix of the lanes in turn.
 */
uint64_t hash_words(const volatile uint64_t *words, size_t count, uint64_t seed);

#endif
