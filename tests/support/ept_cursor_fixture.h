/* The fixture of the cursor tests, for one format and number of levels: one tree, one cursor that claims and is done. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/ept_format.h"

#define OK(call)        ck_assert_int_eq(call, PT_OK)
#define IS(call, value) ck_assert_int_eq(call, value)

static const struct pt_change nothing, read_only = {0, PT_W};

static struct world w;
static struct pt_cursor c;

static void setup(void)
{
    world_open(&w, PT_TEST_LEVELS);
    OK(F(init)(&w.pt, &w.config));
    F(gather_init)(&w.gather, &w.pt);
}

static void claim(uint64_t start, uint64_t length)
{
    world_arm(&w);
    OK(F(cursor_init)(&c, &w.pt, start, length, PT_WRITE, &w.gather));
}

static void at(uint64_t address)
{
    OK(F(cursor_jump)(&c, address));
}

/* Ends the cursor, checks the tree, and puts what left it. */
static void done(void)
{
    struct pt_fault fault;

    F(cursor_end)(&c);
    F(gather_sync)(&w.gather);
    ck_assert_msg(F(check)(&w.pt, NULL, NULL, &fault) == PT_OK, "%s at %lx", fault.what, (unsigned long)fault.address);
    ck_assert_uint_eq(w.early, 0);
    ck_assert_uint_eq(w.underflows, 0);
}

static void teardown(void)
{
    done();
    F(destroy)(&w.pt);
    ck_assert_uint_eq(pt_arena_used(&w.arena), 0);
    for (unsigned level = 1; level <= 3; level++)
        ck_assert_int_eq(w.held[level], 0);
    world_close(&w);
}

static uint64_t tables(void)
{
    return pt_arena_used(&w.arena);
}

/* Counting claims the whole tree, so an open cursor is ended meanwhile. */
static struct pt_statistics counted(void)
{
    struct pt_statistics statistics;
    uint64_t start = c.start, length = c.end - c.start, position = c.at;
    bool open = c.top != 0;

    F(cursor_end)(&c);
    F(count)(&w.pt, &statistics);
    if (open) {
        claim(start, length);
        at(position);
    }
    return statistics;
}

static struct pt_item look(uint64_t address)
{
    struct pt_item item;

    at(address);
    OK(F(cursor_query)(&c, &item));
    return item;
}
