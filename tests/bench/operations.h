/*
 * The library's operations that are timed, for the format whose prefix PT_FORMAT is: ept_bench.c and x86_bench.c are
 * this file with one format each. Those on the whole range are ptstat's too.
 */
#include "tests/bench/harness.h"
#include "tools/ptstat/tables_operations.h"

#define ONES     UINT64_C(511) /* single operations are timed over the free slots of one table */
#define QUERIES  UINT64_C(1000)
#define TEXT_(a) #a
#define TEXT(a)  TEXT_(a)

static uint64_t run_map_256(struct world *w)
{
    map(w, 256 * PAGE, SMALL_AT + GIB / 2, PAGE); /* so that the table is there and stays */

    const uint64_t ns = time_map(w, SMALL_AT, 256 * PAGE);

    unmap(w, 256 * PAGE, PAGE);
    return ns;
}

static uint64_t run_map_large(struct world *w)
{
    return time_map(w, FRAMES_AT, 256 * LARGE);
}

static uint64_t run_unmap_256(struct world *w)
{
    map(w, 256 * PAGE, SMALL_AT + GIB / 2, PAGE);

    const uint64_t ns = time_unmap(w, 256 * PAGE);

    unmap(w, 256 * PAGE, PAGE);
    return ns;
}

/* Cursor and lock included, each time; the table is there. */
static uint64_t run_map_one(struct world *w)
{
    struct pt_cursor cursor;

    map(w, 0, SMALL_AT, PAGE);

    const uint64_t start = now_ns();

    for (uint64_t i = 1; i <= ONES; i++) {
        open_at(w, &cursor, i * PAGE, PAGE);
        CHECK(PT(cursor_map)(&cursor, SMALL_AT + i * PAGE, 1, w->prop));
        PT(cursor_end)(&cursor);
    }

    const uint64_t end = now_ns();

    unmap(w, 0, (ONES + 1) * PAGE);
    return end - start;
}

/* Cursor, lock and gather included, each time; the table stays. */
static uint64_t run_unmap_one(struct world *w)
{
    map(w, 0, SMALL_AT, (ONES + 1) * PAGE);

    const uint64_t start = now_ns();

    for (uint64_t i = 1; i <= ONES; i++)
        unmap(w, i * PAGE, PAGE);

    const uint64_t end = now_ns();

    unmap(w, 0, PAGE);
    return end - start;
}

static uint64_t run_cursor(struct world *w)
{
    struct pt_cursor cursor;

    map(w, 0, SMALL_AT, (ONES + 1) * PAGE);

    const uint64_t start = now_ns();

    for (uint64_t i = 1; i <= ONES; i++) {
        open_at(w, &cursor, i * PAGE, PAGE);
        PT(cursor_end)(&cursor);
    }

    const uint64_t end = now_ns();

    unmap(w, 0, (ONES + 1) * PAGE);
    return end - start;
}

static uint64_t run_query_one(struct world *w)
{
    struct pt_cursor cursor;
    struct pt_item item;

    map(w, 0, SMALL_AT, PAGE);

    const uint64_t start = now_ns();

    for (uint64_t i = 0; i < QUERIES; i++) {
        CHECK(PT(cursor_init)(&cursor, &w->pt, 0, PAGE, PT_READ, &w->gather));
        CHECK(PT(cursor_query)(&cursor, &item));
        PT(cursor_end)(&cursor);
    }

    const uint64_t end = now_ns();

    unmap(w, 0, PAGE);
    return end - start;
}

/* Splitting 2 MiB leaves and collapsing their pieces again, each. */
static uint64_t run_split_collapse(struct world *w)
{
    struct pt_cursor cursor;

    map(w, 0, FRAMES_AT, 256 * LARGE);

    const uint64_t start = now_ns();

    open_at(w, &cursor, 0, 256 * LARGE);
    for (uint64_t i = 0; i < 256; i++) {
        CHECK(PT(cursor_split)(&cursor, 1));
        CHECK(PT(cursor_collapse)(&cursor, 2));
    }
    PT(cursor_end)(&cursor);
    PT(gather_sync)(&w->gather);

    const uint64_t end = now_ns();

    unmap(w, 0, 256 * LARGE);
    return end - start;
}

static const struct operation operations[] = {
    {"cursor_only", ONES, FLOOR_LOCK, false, run_cursor},
    {"query_one", QUERIES, FLOOR_LOAD, false, run_query_one},
    {"lookup_hot", LOOKUPS, FLOOR_LOAD, false, run_lookup_hot},
    {"lookup_random_1g", LOOKUPS, FLOOR_LOAD, false, run_lookup_random},
    {"map_one", ONES, FLOOR_STORE, true, run_map_one},
    {"map_256_per_leaf", 256, FLOOR_STORE, true, run_map_256},
    {"map_1g_per_leaf", LEAVES, FLOOR_TABLE, true, run_map},
    {"map_256x2m_per_leaf", 256, FLOOR_STORE, true, run_map_large},
    {"unmap_one", ONES, FLOOR_STORE, true, run_unmap_one},
    {"unmap_256_per_leaf", 256, FLOOR_STORE, true, run_unmap_256},
    {"unmap_1g_per_leaf", LEAVES, FLOOR_STORE, true, run_unmap},
    {"query_1g_per_leaf", LEAVES, FLOOR_LOAD, false, run_query},
    {"protect_1g_per_leaf", LEAVES, FLOOR_CHANGE, false, run_protect},
    {"harvest_1g_per_leaf", LEAVES, FLOOR_CHANGE, false, run_harvest},
    {"split_collapse_2m", 256, FLOOR_TABLE_WHOLE, false, run_split_collapse},
    {"copy_from_1g_per_leaf", LEAVES, FLOOR_COPY, true, run_copy},
    {"share_from_1g", 1, FLOOR_STORE, false, run_share},
    {"unshare_one", 1, FLOOR_TABLE_WHOLE, false, run_unshare_one},
    {0},
};

int main(int argc, char **argv)
{
    struct world world;
    struct floors floors;
    struct pt_config config;

    world_start(&world, GIB, GIB, &config);
    floors_start(&floors);
    trees_start(&world, &config);
    bench_run(&world, &floors, operations, TEXT(PT_FORMAT), argc > 1 ? argv[1] : NULL);
    trees_end(&world);
    floors_end(&floors);
    world_end(&world);
    return 0;
}
