/* Tables: from a pa to entries and bookkeeping, and lists of spare tables. For every part of the library; knows no
 * format. */
#ifndef EPT_TABLE_H
#define EPT_TABLE_H

#include <ept/types.h>

typedef _Atomic uint64_t pt_entry;

static inline pt_entry *pt_entries(const struct pt *pt, uint64_t pa)
{
    return (pt_entry *)(uintptr_t)(pa + pt->config.entries_offset);
}

static inline struct pt_table *pt_meta(const struct pt *pt, uint64_t pa)
{
    uint64_t index = (pa - pt->config.pa_base) >> PT_PAGE_SHIFT;

    return (struct pt_table *)(void *)((char *)pt->config.meta_base + index * pt->config.meta_stride);
}

static inline uint64_t pt_load(pt_entry *entry)
{
    return atomic_load_explicit(entry, memory_order_relaxed);
}

/* For who holds no lock that orders it: what the entry points at is seen complete. */
static inline uint64_t pt_follow(pt_entry *entry)
{
    return atomic_load_explicit(entry, memory_order_acquire);
}

/* Release: whoever, hardware included, follows a new entry finds what it points at complete. */
static inline void pt_store(pt_entry *entry, uint64_t value)
{
    atomic_store_explicit(entry, value, memory_order_release);
}

/* Which entry of a table of this level covers the address. */
static inline unsigned pt_index(uint64_t address, unsigned level)
{
    return (unsigned)(address >> pt_slot_shift(level)) & (PT_ENTRIES - 1u);
}

static inline uint64_t pt_slot_start(uint64_t address, unsigned level)
{
    return address & ~(pt_slot_size(level) - 1u);
}

/* Exclusive; fits, because address spaces have at most 57 bits. */
static inline uint64_t pt_slot_end(uint64_t address, unsigned level)
{
    return pt_slot_start(address, level) + pt_slot_size(level);
}

static inline uint64_t pt_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t pt_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline bool pt_aligned(uint64_t value, unsigned level)
{
    return (value & (pt_slot_size(level) - 1u)) == 0;
}

/* Tables allocated before an operation commits, so that it cannot run out half way. */
struct pt_spares {
    uint64_t first; /* pa; linked through pt_table.next */
    uint64_t count;
};

static inline void pt_spares_free(const struct pt *pt, struct pt_spares *spares)
{
    while (spares->count > 0) {
        uint64_t pa = spares->first;

        spares->first = pt_meta(pt, pa)->next;
        spares->count--;
        pt->config.free_table(pt->config.table_ctx, pa);
    }
}

/* Can an entry point at a table there, and is there metadata for it? */
static inline bool pt_table_allowed(const struct pt_config *config, uint64_t pa)
{
    return pt_aligned(pa, 1) && pa <= ((uint64_t)1 << config->maxphyaddr) - PT_PAGE_SIZE && pa >= config->pa_base;
}

/* All `count` of them; or none, and PT_ENOMEM or PT_ETABLE. */
static inline enum pt_status pt_spares_fill(const struct pt *pt, struct pt_spares *spares, uint64_t count)
{
    const struct pt_config *config = &pt->config;

    *spares = (struct pt_spares){0};
    while (spares->count < count) {
        uint64_t pa;
        enum pt_status status = PT_OK;

        if (!config->alloc_table(config->table_ctx, &pa)) {
            status = PT_ENOMEM;
        } else if (!pt_table_allowed(config, pa)) {
            config->free_table(config->table_ctx, pa);
            status = PT_ETABLE;
        }
        if (status != PT_OK) {
            pt_spares_free(pt, spares);
            return status;
        }
        pt_meta(pt, pa)->next = spares->first;
        spares->first = pa;
        spares->count++;
    }
    return PT_OK;
}

/* The next spare, as an empty unlocked table of this level. */
static inline uint64_t pt_spares_take(const struct pt *pt, struct pt_spares *spares, unsigned level)
{
    uint64_t pa = spares->first;
    struct pt_table *table = pt_meta(pt, pa);

    spares->first = table->next;
    spares->count--;
    atomic_store_explicit(&table->holder, 0, memory_order_relaxed);
    atomic_store_explicit(&table->owners, 1, memory_order_relaxed);
    atomic_store_explicit(&table->lender, 0, memory_order_relaxed);
    table->depth = 0;
    table->live = 0;
    table->level = (uint8_t)level;
    return pa;
}

#endif
