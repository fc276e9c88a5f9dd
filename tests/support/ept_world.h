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
    uint64_t bad_table;    /* what it then gives, and gets back; 0: nothing, it fails */
    long bad_tables;       /* how often it gave that and did not get it back */
    long gets_left;        /* before frame_get fails; -1: never */
    bool flushed;          /* a flush since world_arm */
    bool watched;          /* world_watch: releases need a quiesce behind the flush too */
    bool quiesced;         /* since the last flush */
    unsigned reading;      /* read_begin without its read_end */
    unsigned reads;        /* read_begin calls */
    unsigned quiesces;     /* calls */
    bool undoing;          /* releases without a flush are expected: an operation fails */
    unsigned early;        /* releases without a flush that were not */
    unsigned underflows;   /* puts of frames that had no reference */
    unsigned flushes;      /* calls */
    unsigned why;          /* since world_arm: PT_FLUSH_* */
    const struct pt *flushed_tree;
    size_t nranges; /* flushed since world_arm */
    struct pt_range ranges[WORLD_RANGES];
    _Atomic int64_t held[4]; /* references by level */
    uint64_t sums[4];        /* of world_mark() over them: which frames they are */
    bool light;              /* no counts a frame, but held and sums: for tests with many leaves of 1 GiB */
};

/* All capabilities; the tree is not made yet. */
void world_open(struct world *world, unsigned levels);
void world_close(struct world *world);

/* The flush hook. */
void world_flush(void *ctx, const struct pt *pt, unsigned why, const struct pt_range *ranges, size_t count);

/* Sets the hooks for readers, for one thread: they count, and what is released must be quiesced as well as flushed. */
void world_watch(struct world *world);

/* Forgets flushes: from now on whatever is released must be flushed first. */
void world_arm(struct world *world);

/* What one reference adds to sums. */
static inline uint64_t world_mark(uint64_t hpa)
{
    return ((hpa >> PT_PAGE_SHIFT) + 1) * 0x9e3779b97f4a7c15ull;
}

/* Was all of [start, start + length) flushed since world_arm? */
bool world_flushed(const struct world *world, uint64_t start, uint64_t length);

#endif
