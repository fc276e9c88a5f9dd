/* A table allocator over one contiguous region: usable as the alloc_table and free_table hooks of a pt_config.
 * For embedders without a page allocator of their own; freestanding. */
#ifndef EPT_ARENA_H
#define EPT_ARENA_H

#include <ept/types.h>

PT_START

struct pt_arena {
    char *base;     /* virtual address of the region; 4 KiB aligned */
    uint64_t pa;    /* what the hardware's walker calls it */
    uint64_t pages; /* size of the region */
    uint64_t fresh; /* pages never handed out start here; by lock */
    uint64_t used;  /* pages handed out now; by lock */
    uint64_t free;  /* index + 1 of the first returned page; 0: none; by lock */
    uint64_t limit; /* never hand out more than this many at once; by lock */
    PT_ATOMIC(bool) lock;
};

/* The region must be zeroed (fresh anonymous memory is) and outlive the arena. */
void pt_arena_init(struct pt_arena *arena, void *base, uint64_t pa, uint64_t pages);

/* Sets the fields of a config that concern tables: table_ctx, hooks, entries_offset and where the metadata is. `meta`
 * is an array of at least arena->pages, zeroed. ctx stays free for the other hooks. */
void pt_arena_supply(struct pt_arena *arena, struct pt_table *meta, struct pt_config *config);

/* The same but for ctx, which it sets instead of table_ctx: for embedders whose own hooks wrap these. */
void pt_arena_configure(struct pt_arena *arena, struct pt_table *meta, struct pt_config *config);

/* The hooks; ctx is the arena. */
bool pt_arena_alloc(void *arena, uint64_t *pa);
void pt_arena_free(void *arena, uint64_t pa);

/* Pages handed out now. */
uint64_t pt_arena_used(struct pt_arena *arena);

PT_FINISH

#endif
