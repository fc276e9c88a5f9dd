/* Bitmaps over pages, in whole 64-bit words as KVM's dirty log has them: bit i of word i / 64 is page i. */
#ifndef VMM_BASE_BITMAP_H
#define VMM_BASE_BITMAP_H

#include <stddef.h>
#include <stdint.h>

static inline size_t bitmap_words(uint64_t pages)
{
    return (pages + 63) / 64;
}

/* The next run of set bits at or after `from`: [*first, returned end); *first == pages when there is none. */
uint64_t bitmap_next_run(const uint64_t *bitmap, uint64_t pages, uint64_t from, uint64_t *first);

/* Of the pages [first, end). */
void bitmap_set(uint64_t *bitmap, uint64_t first, uint64_t end);
void bitmap_clear(uint64_t *bitmap, uint64_t first, uint64_t end);

/* How many bits are set. */
uint64_t bitmap_count(const uint64_t *bitmap, uint64_t pages);

#endif
