/* See world.h. */
#include "tests/hw/microvisor/world.h"

#include <ept/arena.h>
#include <ept/frames.h>

#include "tests/hw/microvisor/expect.h"
#include "tests/hw/rom/guest.h"
#include "tests/hw/rom/machine.h"
#include "tests/hw/rom/memory.h"

#define TABLES       512u
#define FRAMES_START (32 * MIB) /* single frames, then blocks */
#define BLOCKS_START (64 * MIB)
#define FRAMES_END   (128 * MIB)
#define COUNTED      (FRAMES_END / PT_PAGE_SIZE)
#define COUNTERS     ((1u << 18) + 512 + 2) /* of one GiB by pt_frames_bytes: pages, blocks, the unit and its lock */
#define POISON       0xdbdbdbdbdbdbdbdbull
#define MAXPHYADDR   40u /* of the least of the processors */

static _Alignas(4096) char tables[TABLES * PT_PAGE_SIZE];
static _Alignas(8) uint32_t counters[COUNTERS];
static struct pt_table meta[TABLES];
static struct pt_arena arena;
static struct pt_frames frames;
static struct pt_config common;
struct world world;

/* Where frames, or blocks of them, come from. */
struct area {
    uint64_t start, end, size; /* size of one */
    uint64_t lowest, highest;  /* below the one nothing is free; from the other on nothing was ever handed out */
};

static struct area single = {FRAMES_START, BLOCKS_START, PT_PAGE_SIZE, FRAMES_START, FRAMES_START};
static struct area blocks = {BLOCKS_START, FRAMES_END, BLOCK, BLOCKS_START, BLOCKS_START};

static bool alloc_table(void *ctx, uint64_t *pa)
{
    (void)ctx;
    return pt_arena_alloc(&arena, pa);
}

/* A processor that still walks a table that was freed finds nothing in it. */
static void free_table(void *ctx, uint64_t pa)
{
    (void)ctx;
    memset((void *)pa, 0, PT_PAGE_SIZE);
    pt_arena_free(&arena, pa);
}

static bool frame_get(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    (void)ctx;
    return pt_frames_get(&frames, hpa, level, count);
}

static void frame_put(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    (void)ctx;
    pt_frames_put(&frames, hpa, level, count);
}

static void forget_use(struct area *area, uint64_t hpa)
{
    uint64_t start = hpa & ~(area->size - 1);

    if (hpa >= area->start && hpa < area->end && start < area->lowest)
        area->lowest = start;
}

/* Whoever still uses a frame that was released reads something else than he wrote there. */
static void released(void *ctx, uint64_t hpa, uint64_t count)
{
    (void)ctx;
    EXPECT(hpa >= FRAMES_START && count <= world.frames_in_use);
    for (uint64_t at = hpa; at < hpa + count * PT_PAGE_SIZE; at += PT_PAGE_SIZE) {
        *(uint64_t *)at = POISON;
        *(uint64_t *)(at + PT_PAGE_SIZE - sizeof(uint64_t)) = POISON;
    }
    forget_use(&single, hpa);
    forget_use(&blocks, hpa);
    world.frames_in_use -= count;
}

void world_open(void)
{
    enum guest_kind kind = guest_open();
    uint64_t pa = (uint64_t)(uintptr_t)tables;

    EXPECT(kind != GUEST_NONE);
    world.format = kind == GUEST_VMX ? &format_ept : &format_x86;
    world.levels = kind == GUEST_SVM && (read_cr4() & CR4_LA57) ? 5 : 4;
    EXPECT(pt_frames_bytes(COUNTED) <= sizeof(counters));
    pt_arena_init(&arena, tables, pa, TABLES);
    EXPECT(pt_frames_init(&frames, counters, 0, COUNTED, released, NULL));
    pt_arena_configure(&arena, meta, &common);
    common.alloc_table = alloc_table;
    common.free_table = free_table;
    common.frame_get = frame_get;
    common.frame_put = frame_put;
    common.levels = world.levels;
    common.maxphyaddr = MAXPHYADDR;
    common.caps = PT_CAP_2M | PT_CAP_AD;
}

void world_configure(struct pt_config *config)
{
    *config = common;
}

static bool is_free(uint64_t hpa, uint64_t length)
{
    for (uint64_t at = hpa; at < hpa + length; at += PT_PAGE_SIZE)
        if (pt_frames_references(&frames, at) != 0)
            return false;
    return true;
}

/* The first that is free, so that what was released is soon used again. */
static uint64_t take_first(struct area *area)
{
    uint64_t found = area->lowest;

    while (found < area->end && !is_free(found, area->size))
        found += area->size;
    EXPECT(found < area->end);
    area->lowest = found + area->size;
    if (area->highest < area->lowest)
        area->highest = area->lowest;
    world.frames_in_use += area->size / PT_PAGE_SIZE;
    return found;
}

uint64_t world_frame(void)
{
    return take_first(&single);
}

uint64_t world_block(void)
{
    return take_first(&blocks);
}

bool world_is_alone(uint64_t hpa, uint64_t length)
{
    for (uint64_t at = hpa; at < hpa + length; at += PT_PAGE_SIZE)
        if (pt_frames_references(&frames, at) != 1)
            return false;
    return true;
}

void world_expect_empty(void)
{
    EXPECT(pt_arena_used(&arena) == 0);
    EXPECT(world.frames_in_use == 0);
    EXPECT(is_free(single.start, single.highest - single.start));
    EXPECT(is_free(blocks.start, blocks.highest - blocks.start));
}
