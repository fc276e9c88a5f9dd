/* See cache.h. */
#include "tests/hw/microvisor/cache.h"

#include "tests/hw/microvisor/expect.h"
#include "tests/hw/rom/memory.h"

#define CACHED       1u
#define CACHED_WRITE 2u
#define CACHED_DIRTY 4u
#define CACHED_BITS  (CACHED | CACHED_WRITE | CACHED_DIRTY)

void cache_clear(struct cache *cache)
{
    memset(cache, 0, sizeof(*cache));
}

/* What the processor would cache of this leaf; the address is the leaf's first. */
static uint64_t translation(const struct pt_item *leaf)
{
    return leaf->hpa | CACHED | (leaf->prop & PT_W ? CACHED_WRITE : 0) | (leaf->prop & PT_D ? CACHED_DIRTY : 0);
}

static void note_leaf(struct cache *cache, const struct pt_item *leaf)
{
    for (uint64_t at = 0; at < leaf->length; at += PT_PAGE_SIZE)
        cache->pages[(leaf->start + at) / PT_PAGE_SIZE] = translation(leaf) + at;
}

void cache_note(struct cache *cache, struct pt *pt)
{
    const struct format *format = world.format;
    struct pt_gather gather;
    struct pt_cursor cursor;
    struct pt_item leaf;

    cache->is_suspect = true;
    if (!cache->has_run)
        return;
    cache->has_run = false;
    format->gather_init(&gather, pt);
    EXPECT(format->cursor_init(&cursor, pt, 0, CACHE_PAGES * PT_PAGE_SIZE, PT_READ, &gather) == PT_OK);
    while (format->find_next(&cursor, CACHE_PAGES * PT_PAGE_SIZE - cursor.at, &leaf) == PT_OK) {
        if (leaf.prop & PT_A)
            note_leaf(cache, &leaf);
        EXPECT(format->next(&cursor) == PT_OK);
        if (cursor.at == CACHE_PAGES * PT_PAGE_SIZE)
            break;
    }
    format->cursor_end(&cursor);
    format->gather_sync(&gather);
}

void cache_forget(struct cache *cache, const struct pt_range *range)
{
    uint64_t end = range->start + range->length;

    for (uint64_t at = range->start; at < end && at < CACHE_PAGES * PT_PAGE_SIZE; at += PT_PAGE_SIZE)
        cache->pages[at / PT_PAGE_SIZE] = 0;
}

static bool still_holds(uint64_t cached, const struct pt_item *leaf, uint64_t address)
{
    uint64_t now = translation(leaf) + (address - leaf->start);

    return leaf->kind == PT_LEAF && (cached & ~(uint64_t)CACHED_BITS) == (now & ~(uint64_t)CACHED_BITS) &&
           (cached & CACHED_BITS & ~now) == 0;
}

void cache_verify(struct cache *cache, const struct pt *pt)
{
    struct pt_item leaf = {0};

    cache->has_run = true;
    if (!cache->is_suspect)
        return;
    cache->is_suspect = false;
    for (uint64_t page = 0; page < CACHE_PAGES; page++) {
        uint64_t address = page * PT_PAGE_SIZE;

        if (!cache->pages[page])
            continue;
        if (address - leaf.start >= leaf.length)
            EXPECT(world.format->lookup(pt, address, &leaf) == PT_OK);
        EXPECT(still_holds(cache->pages[page], &leaf, address));
    }
}
