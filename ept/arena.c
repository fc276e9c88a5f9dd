/* The arena: hands out fresh pages in order and returned pages first, all zeroed. A returned page's first word holds
 * the index of the next one; it is zeroed when it is handed out again. */
#include <ept/arena.h>

void pt_arena_init(struct pt_arena *arena, void *base, uint64_t pa, uint64_t pages)
{
    *arena = (struct pt_arena){.base = base, .pa = pa, .pages = pages, .limit = pages};
}

void pt_arena_supply(struct pt_arena *arena, struct pt_table *meta, struct pt_config *config)
{
    config->table_ctx = arena;
    config->alloc_table = pt_arena_alloc;
    config->free_table = pt_arena_free;
    config->entries_offset = (uint64_t)(uintptr_t)arena->base - arena->pa;
    config->meta_base = meta;
    config->pa_base = arena->pa;
    config->meta_stride = sizeof(*meta);
}

void pt_arena_configure(struct pt_arena *arena, struct pt_table *meta, struct pt_config *config)
{
    pt_arena_supply(arena, meta, config);
    config->table_ctx = NULL;
    config->ctx = arena;
}

static void arena_lock(struct pt_arena *arena)
{
    while (atomic_exchange_explicit(&arena->lock, true, memory_order_acquire))
        ;
}

static void arena_unlock(struct pt_arena *arena)
{
    atomic_store_explicit(&arena->lock, false, memory_order_release);
}

static uint64_t *arena_page(const struct pt_arena *arena, uint64_t index)
{
    return (uint64_t *)(void *)(arena->base + index * PT_PAGE_SIZE);
}

bool pt_arena_alloc(void *ctx, uint64_t *pa)
{
    struct pt_arena *arena = ctx;
    uint64_t index = 0;
    bool found = true, dirty = false;

    arena_lock(arena);
    if (arena->used >= arena->limit) {
        found = false;
    } else if (arena->free > 0) {
        index = arena->free - 1;
        arena->free = *arena_page(arena, index);
        dirty = true;
    } else if (arena->fresh < arena->pages) {
        index = arena->fresh++;
    } else {
        found = false;
    }
    arena->used += found;
    arena_unlock(arena);
    if (dirty)
        __builtin_memset(arena_page(arena, index), 0, PT_PAGE_SIZE); /* <string.h> is not a freestanding header */
    if (found)
        *pa = arena->pa + index * PT_PAGE_SIZE;
    return found;
}

void pt_arena_free(void *ctx, uint64_t pa)
{
    struct pt_arena *arena = ctx;
    uint64_t index = (pa - arena->pa) / PT_PAGE_SIZE;

    arena_lock(arena);
    *arena_page(arena, index) = arena->free;
    arena->free = index + 1;
    arena->used--;
    arena_unlock(arena);
}

uint64_t pt_arena_used(struct pt_arena *arena)
{
    uint64_t used;

    arena_lock(arena);
    used = arena->used;
    arena_unlock(arena);
    return used;
}
