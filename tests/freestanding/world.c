/* The guest's tables, frames and hooks: see world.h. RAM is identity-mapped, so a table's pa is its address. */
#include "tests/freestanding/world.h"
#include "tests/freestanding/expect.h"

/* Counters of one GiB by pt_frames_bytes: 2^18 pages, 512 blocks, the unit and its lock. */
#define COUNTERS (WORLD_FRAMES + 512 + 2)

static _Alignas(4096) char tables[WORLD_TABLES * PT_PAGE_SIZE];
static struct pt_table meta[WORLD_TABLES];
static _Alignas(8) char counters[COUNTERS * sizeof(uint32_t)];
static _Alignas(4096) char image[WORLD_IMAGE];
static struct world world;

/* pt_arena_configure wants ctx for itself, so its hooks are wrapped: ctx here is the world. */
static bool alloc_table(void *ctx, uint64_t *pa)
{
    struct world *w = ctx;

    return pt_arena_alloc(&w->arena, pa);
}

static void free_table(void *ctx, uint64_t pa)
{
    struct world *w = ctx;

    pt_arena_free(&w->arena, pa);
}

static bool frame_get(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    struct world *w = ctx;

    return pt_frames_get(&w->frames, hpa, level, count);
}

static void frame_put(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    struct world *w = ctx;

    pt_frames_put(&w->frames, hpa, level, count);
}

static bool frame_shared(void *ctx, uint64_t hpa, unsigned level)
{
    struct world *w = ctx;

    return pt_frames_shared(&w->frames, hpa, level);
}

static void flush(void *ctx, const struct pt *pt, unsigned why, const struct pt_range *ranges, size_t count)
{
    struct world *w = ctx;

    EXPECT(pt && why != 0);
    for (size_t i = 0; i < count; i++)
        w->flushed += ranges[i].length;
}

static void released(void *ctx, uint64_t hpa, uint64_t frames)
{
    struct world *w = ctx;

    EXPECT(hpa >= WORLD_HPA && hpa + frames * PT_PAGE_SIZE <= WORLD_HPA + WORLD_FRAMES * PT_PAGE_SIZE);
    w->released += frames;
}

static void read_begin(void *ctx)
{
    struct world *w = ctx;

    w->sections++;
    w->depth++;
}

static void read_end(void *ctx)
{
    struct world *w = ctx;

    EXPECT(w->depth > 0);
    w->depth--;
}

/* There is one processor, so to wait for a section would be to wait for ever. */
static void quiesce(void *ctx)
{
    struct world *w = ctx;

    EXPECT(w->depth == 0);
}

struct world *world_start(unsigned levels)
{
    struct world *w = &world;
    uint64_t pa = (uint64_t)(uintptr_t)tables;

    __builtin_memset(tables, 0, sizeof(tables));
    __builtin_memset(meta, 0, sizeof(meta));
    EXPECT(pt_frames_bytes(WORLD_FRAMES) <= sizeof(counters));
    *w = (struct world){.image = image, .memory = {.pa = pa, .length = sizeof(tables), .offset = 0}};
    pt_arena_init(&w->arena, tables, pa, WORLD_TABLES);
    EXPECT(pt_frames_init(&w->frames, counters, WORLD_HPA, WORLD_FRAMES, released, w));
    pt_arena_configure(&w->arena, meta, &w->config);
    w->config.ctx = w;
    w->config.alloc_table = alloc_table;
    w->config.free_table = free_table;
    w->config.frame_get = frame_get;
    w->config.frame_put = frame_put;
    w->config.frame_shared = frame_shared;
    w->config.flush = flush;
    w->config.read_begin = read_begin;
    w->config.read_end = read_end;
    w->config.quiesce = quiesce;
    w->config.levels = levels;
    w->config.maxphyaddr = 40;
    w->config.caps = PT_CAP_2M | PT_CAP_AD;
    EXPECT(w->config.entries_offset == 0);
    return w;
}
