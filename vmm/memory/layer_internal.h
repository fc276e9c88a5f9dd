/* What layer.c and arena.c share and nobody else sees. */
#ifndef VMM_MEMORY_LAYER_INTERNAL_H
#define VMM_MEMORY_LAYER_INTERNAL_H

#include "vmm/memory/layer.h"

#include <stdatomic.h>

/* HPAs stay below 2^46, what every EPT processor can hold. */
#define LAYERS_HPA_END (UINT64_C(1) << 46)

struct run {
    uint64_t first, count; /* pages of a layer */
};

struct layer {
    int fd;                 /* -1: zeros */
    struct layer_file file; /* where it is a snapshot's: path is set */
    uint64_t hpa, size;     /* bytes */
    uint64_t gib;           /* units of LAYER_ALIGN taken */
    bool open;              /* its creator still holds it */
    const uint8_t *read;    /* all of it, mapped for layers_read(); NULL before the first */
    uint64_t live;          /* sum of all counts */
    uint64_t live_pages;    /* pages that some count holds */
    uint32_t *refs[3];      /* by level - 1, one a unit of that level */
    uint16_t *small;        /* by unit of level 2: pages in it that are counted one by one */
    struct run *dead;       /* not yet punched */
    size_t dead_count, dead_room;
    struct layer *next;
};

/* The layer that is being published into: single pages grow from its start, 2 MiB blocks from its end. */
struct arena {
    struct layer *layer;
    uint8_t *memory;    /* the layer, mapped shared; outside [frozen_low, frozen_high) read-only */
    uint64_t low, high; /* bytes: what is free is [low, high) */
    uint64_t frozen_low, frozen_high;
    uint64_t prepared;     /* bytes: the kernel has been asked to fault in [0, prepared) */
    uint64_t since_settle; /* bytes allocated since the last layers_settle() */
};

struct layers {
    struct background *background;
    struct layer **by_gib; /* by HPA / LAYER_ALIGN */
    uint64_t gib_count;
    struct layer *first;
    struct arena arena;
};

/* Write-protects what was published and prepares for more; part of layers_settle(). */
void arena_settle(struct layers *layers);

/* Gives up the arena; what is referenced in it stays. */
void arena_close(struct layers *layers);

#endif
