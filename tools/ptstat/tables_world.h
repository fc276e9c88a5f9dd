/*
 * What the page-table library's operations are timed on, in ptstat's mode `tables` and in tests/bench alike: two trees
 * over one arena, and counted frames for them to map. The file that includes this has declared now_ns(), and
 * give_up(what, why), which ends the program.
 */
#ifndef PTSTAT_TABLES_WORLD_H
#define PTSTAT_TABLES_WORLD_H

#include <ept/arena.h>
#include <ept/frames.h>
#include <ept/types.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE  UINT64_C(0x1000)
#define LARGE UINT64_C(0x200000)
#define GIB   UINT64_C(0x40000000)

#define FRAMES_AT GIB                /* HPA of the first frame */
#define SMALL_AT  (FRAMES_AT + PAGE) /* 4 KiB leaves map from here, where no larger page fits */

struct world {
    struct pt pt, other;
    struct pt_gather gather, other_gather;
    struct pt_arena arena;
    struct pt_frames frames;
    uint64_t bytes;       /* the range of guest addresses that operations on all of it work on */
    uint64_t dirty;       /* bytes of it that are dirty when it is harvested */
    pt_prop prop;         /* of every leaf: readable, writable, executable, tracked or not */
    uint64_t frame_count; /* twice as many as the range has pages */
    uint64_t table_count; /* twice what two trees of the range need */
    void *tables;         /* the arena's region */
    void *meta;           /* its struct pt_table array */
    void *counts;         /* the frames' counts */
};

/* To time what does not work is worth nothing. */
static inline void check_status(enum pt_status status, const char *what)
{
    if (status != PT_OK)
        give_up(what, pt_status_name(status));
}

/* Zeroed and resident, in 4 KiB pages. */
static inline void *world_memory(size_t length)
{
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (memory == MAP_FAILED)
        give_up("memory for page tables", "there is not enough");
    return memory;
}

/* The hooks: the world is the context of all four. */
static inline bool world_alloc(void *world, uint64_t *pa)
{
    return pt_arena_alloc(&((struct world *)world)->arena, pa);
}

static inline void world_free(void *world, uint64_t pa)
{
    pt_arena_free(&((struct world *)world)->arena, pa);
}

static inline bool world_get(void *world, uint64_t hpa, unsigned level, uint64_t count)
{
    return pt_frames_get(&((struct world *)world)->frames, hpa, level, count);
}

static inline void world_put(void *world, uint64_t hpa, unsigned level, uint64_t count)
{
    pt_frames_put(&((struct world *)world)->frames, hpa, level, count);
}

static inline void world_start(struct world *w, uint64_t bytes, uint64_t dirty, struct pt_config *config)
{
    memset(w, 0, sizeof(*w));
    w->bytes = bytes;
    w->dirty = dirty;
    w->frame_count = 2 * (bytes / PAGE);
    w->table_count = 4 * (bytes / LARGE + bytes / GIB + 8);
    w->tables = world_memory(w->table_count * PAGE);
    w->meta = world_memory(w->table_count * sizeof(struct pt_table));
    w->counts = world_memory(pt_frames_bytes(w->frame_count));
    if (!pt_frames_init(&w->frames, w->counts, FRAMES_AT, w->frame_count, NULL, NULL))
        give_up("pt_frames_init", "refused");
    pt_arena_init(&w->arena, w->tables, PAGE, w->table_count);
    memset(config, 0, sizeof(*config));
    pt_arena_configure(&w->arena, w->meta, config);
    config->ctx = w;
    config->alloc_table = world_alloc;
    config->free_table = world_free;
    config->frame_get = world_get;
    config->frame_put = world_put;
    config->levels = 4;
    config->maxphyaddr = 46;
    config->caps = PT_CAP_2M | PT_CAP_1G;
}

static inline void world_end(struct world *w)
{
    munmap(w->tables, w->table_count * PAGE);
    munmap(w->meta, w->table_count * sizeof(struct pt_table));
    munmap(w->counts, pt_frames_bytes(w->frame_count));
}

#endif
