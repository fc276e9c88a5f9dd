/* The store of all guests' memory: see store.h. */
#include "vmm/memory/store.h"

#include "vmm/base/failure.h"

int store_init(struct store *store, uint64_t memory, struct background *background, struct cleave_failure *failure)
{
    *store = (struct store){.memory = memory, .background = background};
    store->windows = windows_new(memory);
    store->layers = layers_new(background);
    store->arena = store->layers ? arena_new(store->layers, background) : NULL;
    if (!store->windows || !store->arena)
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for the guests' memory");
    store->views = views_new(store->layers, failure);
    return store->views ? 0 : -1;
}

/* Windows last: what the background still has to free may lie in one. */
void store_free(struct store *store)
{
    if (store->zeros)
        layer_close(store->layers, store->zeros);
    arena_free(store->arena);
    layers_free(store->layers);
    if (store->background)
        background_drain(store->background);
    views_free(store->views);
    windows_free(store->windows);
    *store = (struct store){0};
}

void store_settle(struct store *store)
{
    arena_settle(store->arena);
    layers_settle(store->layers);
}

void store_reclaim(struct store *store)
{
    layers_settle(store->layers);
}

int store_need_zeros(struct store *store, struct cleave_failure *failure)
{
    return store->zeros ? 0 : layer_zeros(store->layers, store->memory, &store->zeros, failure);
}
