/*
 * The arena: where published pages go. Room in a layer that only the VMM writes, faulted in ahead of time so that
 * publishing a page in a pause is one copy of 4 KiB and no page fault.
 *
 * Locking: the owner's thread only.
 */
#ifndef VMM_MEMORY_ARENA_H
#define VMM_MEMORY_ARENA_H

#include "vmm/memory/layer.h"

struct arena;

/* Takes its layers from `layers`; `background` gets what can wait. NULL: out of memory. */
struct arena *arena_new(struct layers *layers, struct background *background);

/* What is referenced in its layer stays. NULL is allowed. */
void arena_free(struct arena *arena);

/*
 * Pages to publish into: `pages` contiguous frames, written through *memory until arena_settle(). With `block` the run
 * is aligned to 2 MiB. They are faulted in ahead of time as far as earlier use suggests. -1 with *failure.
 */
int arena_allocate(struct arena *arena, uint64_t pages, bool block, uint64_t *hpa, void **memory,
                   struct cleave_failure *failure);

/* Gives back the newest arena_allocate() that nothing has mapped. */
void arena_unallocate(struct arena *arena, uint64_t hpa, uint64_t pages);

/* After publishing: has the background thread write-protect what was published and prepare room for about as much
 * again.
 */
void arena_settle(struct arena *arena);

#endif
