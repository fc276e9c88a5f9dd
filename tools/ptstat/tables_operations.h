/*
 * The page-table library's operations on the whole range of a world, for the format whose prefix PT_FORMAT is: each
 * function prepares, does it, tidies up, and returns the nanoseconds of the middle part. For ptstat's mode `tables` and
 * for tests/bench. Includer: as for tables_world.h.
 */
#ifndef PTSTAT_TABLES_OPERATIONS_H
#define PTSTAT_TABLES_OPERATIONS_H

#include "tools/ptstat/tables_world.h"

#define JOIN_(a, b) a##_##b
#define JOIN(a, b)  JOIN_(a, b)
#define PT(name)    JOIN(PT_FORMAT, name)

#define LOOKUPS UINT64_C(65536)

#define CHECK(call) check_status(call, #call)

static inline void open_at(struct world *w, struct pt_cursor *cursor, uint64_t start, uint64_t length)
{
    CHECK(PT(cursor_init)(cursor, &w->pt, start, length, PT_WRITE, &w->gather));
}

static inline void map(struct world *w, uint64_t start, uint64_t hpa, uint64_t length)
{
    struct pt_cursor cursor;

    open_at(w, &cursor, start, length);
    CHECK(PT(cursor_map_range)(&cursor, hpa, length, w->prop));
    PT(cursor_end)(&cursor);
}

static inline void unmap(struct world *w, uint64_t start, uint64_t length)
{
    struct pt_cursor cursor;

    open_at(w, &cursor, start, length);
    CHECK(PT(cursor_unmap_range)(&cursor, length));
    PT(cursor_end)(&cursor);
    PT(gather_sync)(&w->gather);
}

static inline uint64_t time_map(struct world *w, uint64_t hpa, uint64_t length)
{
    const uint64_t start = now_ns();

    map(w, 0, hpa, length);

    const uint64_t end = now_ns();

    unmap(w, 0, length);
    return end - start;
}

static inline uint64_t time_unmap(struct world *w, uint64_t length)
{
    map(w, 0, SMALL_AT, length);

    const uint64_t start = now_ns();

    unmap(w, 0, length);
    return now_ns() - start;
}

static inline uint64_t run_map(struct world *w)
{
    return time_map(w, SMALL_AT, w->bytes);
}

static inline uint64_t run_unmap(struct world *w)
{
    return time_unmap(w, w->bytes);
}

static inline uint64_t run_protect(struct world *w)
{
    struct pt_cursor cursor;

    map(w, 0, SMALL_AT, w->bytes);

    const uint64_t start = now_ns();

    open_at(w, &cursor, 0, w->bytes);
    CHECK(PT(cursor_protect_range)(&cursor, w->bytes, (struct pt_change){.clear = PT_W}));
    PT(cursor_end)(&cursor);
    PT(gather_sync)(&w->gather);

    const uint64_t end = now_ns();

    unmap(w, 0, w->bytes);
    return end - start;
}

static inline uint64_t run_harvest(struct world *w)
{
    struct pt_cursor cursor;
    struct pt_range run;
    enum pt_status status;

    w->prop |= PT_A | PT_D;
    map(w, 0, SMALL_AT, w->dirty);
    w->prop &= ~(PT_A | PT_D);
    if (w->dirty < w->bytes)
        map(w, w->dirty, SMALL_AT + w->dirty, w->bytes - w->dirty);

    const uint64_t start = now_ns();

    open_at(w, &cursor, 0, w->bytes);
    do {
        status = PT(cursor_harvest)(&cursor, w->bytes - PT(cursor_at)(&cursor), PT_D, true, &run);
    } while (status == PT_OK && PT(cursor_at)(&cursor) < w->bytes);
    PT(cursor_end)(&cursor);
    PT(gather_sync)(&w->gather);

    const uint64_t end = now_ns();

    if (status != PT_END)
        CHECK(status);
    unmap(w, 0, w->bytes);
    return end - start;
}

/* Addresses `stride` apart, modulo the range. */
static inline uint64_t time_lookups(struct world *w, uint64_t stride)
{
    struct pt_item item;

    map(w, 0, SMALL_AT, w->bytes);

    const uint64_t start = now_ns();

    for (uint64_t i = 0, address = 0; i < LOOKUPS; i++, address = (address + stride) % w->bytes)
        CHECK(PT(lookup)(&w->pt, address, &item));

    const uint64_t end = now_ns();

    unmap(w, 0, w->bytes);
    return end - start;
}

static inline uint64_t run_lookup_random(struct world *w)
{
    return time_lookups(w, 166667 * PAGE); /* prime to the range in pages: jumps about, and comes everywhere */
}

static inline uint64_t run_lookup_hot(struct world *w)
{
    return time_lookups(w, 0);
}

/* Each leaf, by one cursor that walks over them. */
static inline uint64_t run_query(struct world *w)
{
    struct pt_cursor cursor;
    struct pt_item item;

    map(w, 0, SMALL_AT, w->bytes);

    const uint64_t start = now_ns();

    CHECK(PT(cursor_init)(&cursor, &w->pt, 0, w->bytes, PT_READ, &w->gather));
    for (uint64_t at = 0; at < w->bytes; at += PAGE) {
        CHECK(PT(cursor_query)(&cursor, &item));
        CHECK(PT(cursor_next)(&cursor));
    }
    PT(cursor_end)(&cursor);

    const uint64_t end = now_ns();

    unmap(w, 0, w->bytes);
    return end - start;
}

static inline void unmap_other(struct world *w)
{
    struct pt_cursor cursor;

    CHECK(PT(cursor_init)(&cursor, &w->other, 0, w->bytes, PT_WRITE, &w->other_gather));
    CHECK(PT(cursor_unmap_range)(&cursor, w->bytes));
    PT(cursor_end)(&cursor);
    PT(gather_sync)(&w->other_gather);
}

/* A fork by sharing tables: the whole operation, whatever is mapped. */
static inline uint64_t run_share(struct world *w)
{
    struct pt_cursor from, to;

    map(w, 0, SMALL_AT, w->bytes);

    const uint64_t start = now_ns();

    open_at(w, &from, 0, w->bytes);
    CHECK(PT(cursor_init)(&to, &w->other, 0, w->bytes, PT_WRITE, &w->other_gather));
    CHECK(PT(cursor_share_from)(&to, &from, w->bytes));
    PT(cursor_end)(&to);
    PT(cursor_end)(&from);
    PT(gather_sync)(&w->gather);

    const uint64_t end = now_ns();

    unmap_other(w);
    unmap(w, 0, w->bytes);
    return end - start;
}

/* The first change below tables that are shared: two tables are copied on the way, then one page changes. */
static inline uint64_t run_unshare_one(struct world *w)
{
    struct pt_cursor from, to;

    map(w, 0, SMALL_AT, w->bytes);
    open_at(w, &from, 0, w->bytes);
    CHECK(PT(cursor_init)(&to, &w->other, 0, w->bytes, PT_WRITE, &w->other_gather));
    CHECK(PT(cursor_share_from)(&to, &from, w->bytes));
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
    unmap(w, 0, w->bytes);
    return end - start;
}

/* As a copy-on-write fork does it: both sides lose W. */
static inline uint64_t run_copy(struct world *w)
{
    const struct pt_change lose_write = {.clear = PT_W};
    struct pt_cursor from, to;

    map(w, 0, SMALL_AT, w->bytes);

    const uint64_t start = now_ns();

    open_at(w, &from, 0, w->bytes);
    CHECK(PT(cursor_init)(&to, &w->other, 0, w->bytes, PT_WRITE, &w->other_gather));
    CHECK(PT(cursor_copy_from)(&to, &from, w->bytes, lose_write, lose_write));
    PT(cursor_end)(&to);
    PT(cursor_end)(&from);
    PT(gather_sync)(&w->gather);

    const uint64_t end = now_ns();

    unmap_other(w);
    unmap(w, 0, w->bytes);
    return end - start;
}

/* Both trees of `config`, empty. */
static inline void trees_start(struct world *w, const struct pt_config *config)
{
    w->prop = PT_RWX | PT_WB;
    CHECK(PT(init)(&w->pt, config));
    CHECK(PT(init)(&w->other, config));
    PT(gather_init)(&w->gather, &w->pt);
    PT(gather_init)(&w->other_gather, &w->other);
}

static inline void trees_end(struct world *w)
{
    PT(destroy)(&w->other);
    PT(destroy)(&w->pt);
}

#endif
