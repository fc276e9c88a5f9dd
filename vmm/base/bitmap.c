/* Bitmaps over pages: see bitmap.h. */
#include "vmm/base/bitmap.h"

uint64_t bitmap_next_run(const uint64_t *bitmap, uint64_t pages, uint64_t from, uint64_t *first)
{
    uint64_t at = from;
    while (at < pages) {
        uint64_t word = bitmap[at / 64] >> (at % 64);
        if (word) {
            at += (unsigned)__builtin_ctzll(word);
            break;
        }
        at = (at / 64 + 1) * 64;
    }
    if (at >= pages) {
        *first = pages;
        return pages;
    }
    *first = at;
    while (at < pages) {
        uint64_t clear = ~(bitmap[at / 64] >> (at % 64));
        unsigned ones = clear ? (unsigned)__builtin_ctzll(clear) : 64;
        unsigned left = 64 - (unsigned)(at % 64);
        at += ones < left ? ones : left;
        if (ones < left)
            break;
    }
    return at < pages ? at : pages;
}

/* The bits of [first, end) that lie in the word that `first` is in. */
static uint64_t mask_of(uint64_t first, uint64_t end)
{
    uint64_t from = ~UINT64_C(0) << (first % 64);
    return end / 64 == first / 64 ? from & ~(~UINT64_C(0) << (end % 64)) : from;
}

void bitmap_set(uint64_t *bitmap, uint64_t first, uint64_t end)
{
    for (; first < end; first = (first / 64 + 1) * 64)
        bitmap[first / 64] |= mask_of(first, end);
}

void bitmap_clear(uint64_t *bitmap, uint64_t first, uint64_t end)
{
    for (; first < end; first = (first / 64 + 1) * 64)
        bitmap[first / 64] &= ~mask_of(first, end);
}

uint64_t bitmap_count(const uint64_t *bitmap, uint64_t pages)
{
    uint64_t count = 0;
    for (size_t i = 0; i < bitmap_words(pages); i++)
        count += (unsigned)__builtin_popcountll(bitmap[i]);
    return count;
}
