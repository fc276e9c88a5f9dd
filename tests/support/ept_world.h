/* A place for page tables to live in during tests: an arena, counted frames, and hooks that can fail on demand and that
 * notice when something is released before it was flushed. */
#ifndef TESTS_EPT_WORLD_H
#define TESTS_EPT_WORLD_H

#include <ept/arena.h>
#include <ept/frames.h>
#include <ept/types.h>

#define WORLD_PA     0x40000000ull /* of the first table */
#define WORLD_TABLES 16384u
#define WORLD_HPA    0x100000000ull /* of the first counted frame */
#define WORLD_FRAMES (6ull << 18)   /* 6 GiB */
#define WORLD_RANGES 256u

struct world {
    struct pt pt;
    struct pt_config config;
    struct pt_gather gather;
    struct pt_arena arena;
    struct pt_frames frames;
    void *tables, *counts;
    size_t counts_size;
    struct pt_table *meta;

    long allocations_left; /* before alloc_table fails; -1: never */
    long gets_left;        /* before frame_get fails; -1: never */
    bool flushed;          /* a flush since world_arm */
    bool undoing;          /* releases without a flush are expected: an operation fails */
    unsigned early;        /* releases without a flush that were not */
    unsigned underflows;   /* puts of frames that had no reference */
    unsigned flushes;      /* calls */
    size_t nranges;        /* flushed since world_arm */
    struct pt_range ranges[WORLD_RANGES];
    _Atomic int64_t held[4]; /* references by level */
};

/* All capabilities; the tree is not made yet. */
void world_open(struct world *world, unsigned levels);
void world_close(struct world *world);

/* Forgets flushes: from now on whatever is released must be flushed first. */
void world_arm(struct world *world);

/* Was all of [start, start + length) flushed since world_arm? */
bool world_flushed(const struct world *world, uint64_t start, uint64_t length);

#endif
