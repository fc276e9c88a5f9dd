/* See ept_world.h. */
#include "tests/support/ept_world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        abort();
    return memory;
}

/* May tables and frames that hardware and readers may have seen be released now? */
static bool is_safe(const struct world *world)
{
    return world->undoing || (world->flushed && (world->quiesced || !world->watched) && world->reading == 0);
}

/* Is it a huge leaf's reference that goes while its pieces have theirs? Then nothing is released. */
static bool is_divided(const struct world *world, uint64_t hpa, unsigned level)
{
    if (level == 1)
        return false;
    return world->light ? world->held[level - 1] >= (int64_t)PT_ENTRIES
                        : pt_frames_count(&world->frames, hpa, level - 1) > 0 &&
                              pt_frames_count(&world->frames, hpa + pt_slot_size(level) - PT_PAGE_SIZE, level - 1) > 0;
}

static bool world_alloc(void *ctx, uint64_t *pa)
{
    struct world *world = ctx;

    if (world->allocations_left == 0) {
        *pa = world->bad_table;
        world->bad_tables += world->bad_table != 0;
        return world->bad_table != 0;
    }
    if (world->allocations_left > 0)
        world->allocations_left--;
    return pt_arena_alloc(&world->arena, pa);
}

static void world_free(void *ctx, uint64_t pa)
{
    struct world *world = ctx;

    if (world->bad_table != 0 && pa == world->bad_table) {
        world->bad_tables--;
        return;
    }
    if (!is_safe(world))
        world->early++;
    pt_arena_free(&world->arena, pa);
}

/* Counts references, or with a negative `one` their end. */
static void world_hold(struct world *world, uint64_t hpa, unsigned level, uint64_t count, int one)
{
    world->held[level] += one * (int64_t)count;
    for (uint64_t i = 0; i < count; i++)
        world->sums[level] += (uint64_t)one * world_mark(hpa + i * pt_slot_size(level));
}

static bool world_get(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    struct world *world = ctx;

    if (world->gets_left == 0)
        return false;
    if (world->gets_left > 0)
        world->gets_left--;
    if (!world->light && !pt_frames_get(&world->frames, hpa, level, count))
        return false;
    world_hold(world, hpa, level, count, 1);
    return true;
}

static void world_put(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    struct world *world = ctx;

    if (!is_safe(world) && !is_divided(world, hpa, level))
        world->early++;
    for (uint64_t i = 0; i < count && !world->light; i++)
        if (pt_frames_count(&world->frames, hpa + i * pt_slot_size(level), level) == 0)
            world->underflows++;
    world_hold(world, hpa, level, count, -1);
    if (!world->light)
        pt_frames_put(&world->frames, hpa, level, count);
}

static bool world_shared(void *ctx, uint64_t hpa, unsigned level)
{
    struct world *world = ctx;

    return pt_frames_shared(&world->frames, hpa, level);
}

void world_flush(void *ctx, const struct pt *pt, unsigned why, const struct pt_range *ranges, size_t count)
{
    struct world *world = ctx;

    world->flushed = true;
    world->quiesced = false;
    world->flushes++;
    world->why |= why;
    world->flushed_tree = pt;
    for (size_t i = 0; i < count && world->nranges < WORLD_RANGES; i++)
        world->ranges[world->nranges++] = ranges[i];
}

void world_open(struct world *world, unsigned levels)
{
    size_t size = WORLD_TABLES * PT_PAGE_SIZE;

    memset(world, 0, sizeof(*world));
    world->tables = reserve(size);
    world->meta = reserve(WORLD_TABLES * sizeof(*world->meta));
    world->counts_size = pt_frames_bytes(WORLD_FRAMES);
    world->counts = reserve(world->counts_size);
    pt_arena_init(&world->arena, world->tables, WORLD_PA, WORLD_TABLES);
    pt_arena_configure(&world->arena, world->meta, &world->config);
    if (!pt_frames_init(&world->frames, world->counts, WORLD_HPA, WORLD_FRAMES, NULL, NULL))
        abort();
    world->allocations_left = world->gets_left = -1;
    world->config.ctx = world;
    world->config.alloc_table = world_alloc;
    world->config.free_table = world_free;
    world->config.frame_get = world_get;
    world->config.frame_put = world_put;
    world->config.frame_shared = world_shared;
    world->config.flush = world_flush;
    world->config.levels = levels;
    world->config.maxphyaddr = 46;
    world->config.caps = PT_CAP_2M | PT_CAP_1G | PT_CAP_EXEC_ONLY | PT_CAP_AD;
}

static void world_read_begin(void *ctx)
{
    struct world *world = ctx;

    world->reading++;
    world->reads++;
}

static void world_read_end(void *ctx)
{
    struct world *world = ctx;

    world->reading--;
}

static void world_quiesce(void *ctx)
{
    struct world *world = ctx;

    world->quiesced = true;
    world->quiesces++;
    if (world->reading > 0)
        world->early++; /* would wait for its own caller */
}

void world_watch(struct world *world)
{
    world->watched = true;
    world->config.read_begin = world_read_begin;
    world->config.read_end = world_read_end;
    world->config.quiesce = world_quiesce;
}

void world_close(struct world *world)
{
    munmap(world->tables, WORLD_TABLES * PT_PAGE_SIZE);
    munmap(world->meta, WORLD_TABLES * sizeof(*world->meta));
    munmap(world->counts, world->counts_size);
}

void world_arm(struct world *world)
{
    world->flushed = false;
    world->nranges = 0;
    world->why = 0;
    world->flushed_tree = NULL;
}

bool world_flushed(const struct world *world, uint64_t start, uint64_t length)
{
    uint64_t end = start + length;

    for (bool moved = true; moved && start < end;) {
        moved = false;
        for (size_t i = 0; i < world->nranges; i++) {
            const struct pt_range *range = &world->ranges[i];

            if (range->start <= start && start - range->start < range->length) {
                start = range->start + range->length;
                moved = true;
            }
        }
    }
    return start >= end;
}
