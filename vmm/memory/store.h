/*
 * The store: what the memories of all guests of a family have in common: layers and the arena that is published into,
 * the tables of their views, the addresses of their windows.
 *
 * Locking: the owner's thread only; the windows any thread.
 */
#ifndef VMM_MEMORY_STORE_H
#define VMM_MEMORY_STORE_H

#include "vmm/memory/arena.h"
#include "vmm/memory/view.h"
#include "vmm/memory/window.h"

struct store {
    uint64_t memory; /* bytes of RAM of each guest */
    struct background *background;
    struct layers *layers;
    struct arena *arena;
    struct views *views;
    struct windows *windows;
    struct layer *zeros; /* memory that restored guests have never touched; NULL before the first of them */
};

/* For guests with `memory` bytes of RAM each. `background` gets what can wait. -1 with *failure; store_free() must
 * follow all the same. */
int store_init(struct store *store, uint64_t memory, struct background *background, struct cleave_failure *failure);

/* Every memory must be gone. Waits for what the background has to do. */
void store_free(struct store *store);

/* After frames have been published: what is due now and can wait goes to the background, and room for more is prepared. */
void store_settle(struct store *store);

/* After frames have been given up: their memory goes back, in the background. */
void store_reclaim(struct store *store);

/* As many zeros as a guest has RAM, in store->zeros. -1 with *failure. */
int store_need_zeros(struct store *store, struct cleave_failure *failure);

#endif
