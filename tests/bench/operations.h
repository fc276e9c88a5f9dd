/*
 * The library's operations that are timed, for the format whose prefix PT_FORMAT is: ept_bench.c and x86_bench.c are
 * this file with one format each.
 */
#include "tests/bench/harness.h"

#define JOIN_(a, b) a##_##b
#define JOIN(a, b)  JOIN_(a, b)
#define PT(name)    JOIN(PT_FORMAT, name)
#define TEXT_(a)    #a
#define TEXT(a)     TEXT_(a)

#define ONES    UINT64_C(511) /* single operations are timed over the free slots of one table */
#define QUERIES UINT64_C(1000)
#define LOOKUPS UINT64_C(65536)

#define CHECK(call) check_status(call, #call)

static void open_at(struct world *w, struct pt_cursor *cursor, uint64_t start, uint64_t length)
{
    CHECK(PT(cursor_init)(cursor, &w->pt, start, length, PT_WRITE, &w->gather));
}

static void map(struct world *w, uint64_t start, uint64_t hpa, uint64_t length)
{
    struct pt_cursor cursor;

    open_at(w, &cursor, start, length);
    CHECK(PT(cursor_map_range)(&cursor, hpa, length, w->prop));
    PT(cursor_end)(&cursor);
}

static void unmap(struct world *w, uint64_t start, uint64_t length)
{
    struct pt_cursor cursor;

    open_at(w, &cursor, start, length);
    CHECK(PT(cursor_unmap_range)(&cursor, length));
    PT(cursor_end)(&cursor);
    PT(gather_sync)(&w->gather);
}

static uint64_t time_map(struct world *w, uint64_t hpa, uint64_t length)
{
    const uint64_t start = now_ns();

    map(w, 0, hpa, length);

    const uint64_t end = now_ns();

    unmap(w, 0, length);
    return end - start;
}

static uint64_t time_unmap(struct world *w, uint64_t length)
{
    map(w, 0, SMALL_AT, length);

    const uint64_t start = now_ns();

    unmap(w, 0, length);
    return now_ns() - start;
}

static uint64_t run_map_256(struct world *w)
{
    map(w, 256 * PAGE, SMALL_AT + GIB / 2, PAGE); /* so that the table is there and stays */

    const uint64_t ns = time_map(w, SMALL_AT, 256 * PAGE);

    unmap(w, 256 * PAGE, PAGE);
    return ns;
}

static uint64_t run_map_1g(struct world *w)
{
    return time_map(w, SMALL_AT, GIB);
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

static uint64_t run_unmap_1g(struct world *w)
{
    return time_unmap(w, GIB);
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

static uint64_t run_query(struct world *w)
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

static uint64_t run_protect_1g(struct world *w)
{
    struct pt_cursor cursor;

    map(w, 0, SMALL_AT, GIB);

    const uint64_t start = now_ns();

    open_at(w, &cursor, 0, GIB);
    CHECK(PT(cursor_protect_range)(&cursor, GIB, (struct pt_change){.clear = PT_W}));
    PT(cursor_end)(&cursor);
    PT(gather_sync)(&w->gather);

    const uint64_t end = now_ns();

    unmap(w, 0, GIB);
    return end - start;
}

static uint64_t run_harvest_1g(struct world *w)
{
    struct pt_cursor cursor;
    struct pt_range run;

    w->prop |= PT_A | PT_D;
    map(w, 0, SMALL_AT, GIB);
    w->prop &= ~(PT_A | PT_D);

    const uint64_t start = now_ns();

    open_at(w, &cursor, 0, GIB);
    CHECK(PT(cursor_harvest)(&cursor, GIB, PT_D, true, &run));
    PT(cursor_end)(&cursor);
    PT(gather_sync)(&w->gather);

    const uint64_t end = now_ns();

    unmap(w, 0, GIB);
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

/* Addresses `stride` apart, modulo 1 GiB. */
static uint64_t time_lookups(struct world *w, uint64_t stride)
{
    struct pt_item item;

    map(w, 0, SMALL_AT, GIB);

    const uint64_t start = now_ns();

    for (uint64_t i = 0, address = 0; i < LOOKUPS; i++, address = (address + stride) % GIB)
        CHECK(PT(lookup)(&w->pt, address, &item));

    const uint64_t end = now_ns();

    unmap(w, 0, GIB);
    return end - start;
}

static uint64_t run_lookup_random(struct world *w)
{
    return time_lookups(w, 166667 * PAGE); /* prime to 1 GiB in pages: jumps about, and comes everywhere */
}

static uint64_t run_lookup_hot(struct world *w)
{
    return time_lookups(w, 0);
}

static void unmap_other(struct world *w)
{
    struct pt_cursor cursor;

    CHECK(PT(cursor_init)(&cursor, &w->other, 0, GIB, PT_WRITE, &w->other_gather));
    CHECK(PT(cursor_unmap_range)(&cursor, GIB));
    PT(cursor_end)(&cursor);
    PT(gather_sync)(&w->other_gather);
}

/* A fork by sharing tables: the whole operation, whatever is mapped. */
static uint64_t run_share_1g(struct world *w)
{
    struct pt_cursor from, to;

    map(w, 0, SMALL_AT, GIB);

    const uint64_t start = now_ns();

    open_at(w, &from, 0, GIB);
    CHECK(PT(cursor_init)(&to, &w->other, 0, GIB, PT_WRITE, &w->other_gather));
    CHECK(PT(cursor_share_from)(&to, &from, GIB));
    PT(cursor_end)(&to);
    PT(cursor_end)(&from);
    PT(gather_sync)(&w->gather);

    const uint64_t end = now_ns();

    unmap_other(w);
    unmap(w, 0, GIB);
    return end - start;
}

/* The first change below tables that are shared: two tables are copied on the way, then one page changes. */
static uint64_t run_unshare_one(struct world *w)
{
    struct pt_cursor from, to;

    map(w, 0, SMALL_AT, GIB);
    open_at(w, &from, 0, GIB);
    CHECK(PT(cursor_init)(&to, &w->other, 0, GIB, PT_WRITE, &w->other_gather));
    CHECK(PT(cursor_share_from)(&to, &from, GIB));
    PT(cursor_end)(&to);
    PT(cursor_end)(&from);
    PT(gather_sync)(&w->gather);

    const uint64_t start = now_ns();

    open_at(w, &from, 0, PAGE);
    CHECK(PT(cursor_protect_range)(&from, PAGE, (struct pt_change){.set = PT_W}));
    PT(cursor_end)(&from);
    PT(gather_sync)(&w->gather);

    const uint64_t end = now_ns();

    unmap_other(w);
    unmap(w, 0, GIB);
    return end - start;
}

/* As a copy-on-write fork does it: both sides lose W. */
static uint64_t run_copy_1g(struct world *w)
{
    const struct pt_change lose_write = {.clear = PT_W};
    struct pt_cursor from, to;

    map(w, 0, SMALL_AT, GIB);

    const uint64_t start = now_ns();

    open_at(w, &from, 0, GIB);
    CHECK(PT(cursor_init)(&to, &w->other, 0, GIB, PT_WRITE, &w->other_gather));
    CHECK(PT(cursor_copy_from)(&to, &from, GIB, lose_write, lose_write));
    PT(cursor_end)(&to);
    PT(cursor_end)(&from);
    PT(gather_sync)(&w->gather);

    const uint64_t end = now_ns();

    unmap_other(w);
    unmap(w, 0, GIB);
    return end - start;
}

static const struct operation operations[] = {
    {"cursor_only", ONES, FLOOR_LOCK, false, run_cursor},
    {"query_one", QUERIES, FLOOR_LOAD, false, run_query},
    {"lookup_hot", LOOKUPS, FLOOR_LOAD, false, run_lookup_hot},
    {"lookup_random_1g", LOOKUPS, FLOOR_LOAD, false, run_lookup_random},
    {"map_one", ONES, FLOOR_STORE, true, run_map_one},
    {"map_256_per_leaf", 256, FLOOR_STORE, true, run_map_256},
    {"map_1g_per_leaf", LEAVES, FLOOR_TABLE, true, run_map_1g},
    {"map_256x2m_per_leaf", 256, FLOOR_STORE, true, run_map_large},
    {"unmap_one", ONES, FLOOR_STORE, true, run_unmap_one},
    {"unmap_256_per_leaf", 256, FLOOR_STORE, true, run_unmap_256},
    {"unmap_1g_per_leaf", LEAVES, FLOOR_STORE, true, run_unmap_1g},
    {"protect_1g_per_leaf", LEAVES, FLOOR_CHANGE, false, run_protect_1g},
    {"harvest_1g_per_leaf", LEAVES, FLOOR_CHANGE, false, run_harvest_1g},
    {"split_collapse_2m", 256, FLOOR_TABLE_WHOLE, false, run_split_collapse},
    {"copy_from_1g_per_leaf", LEAVES, FLOOR_COPY, true, run_copy_1g},
    {"share_from_1g", 1, FLOOR_STORE, false, run_share_1g},
    {"unshare_one", 1, FLOOR_TABLE_WHOLE, false, run_unshare_one},
    {0},
};

int main(int argc, char **argv)
{
    struct world world;
    struct pt_config config;

    world_start(&world, &config);
    CHECK(PT(init)(&world.pt, &config));
    CHECK(PT(init)(&world.other, &config));
    PT(gather_init)(&world.gather, &world.pt);
    PT(gather_init)(&world.other_gather, &world.other);
    bench_run(&world, operations, TEXT(PT_FORMAT), argc > 1 ? argv[1] : NULL);
    PT(destroy)(&world.other);
    PT(destroy)(&world.pt);
    world_end(&world);
    return 0;
}
