/* The fixture of the cursor tests, for one format and number of levels: a tree with one cursor, `w` and `c`, and where
 * a test needs it a second one, `w2` and `c2`, that takes tables and frames from the same place. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/ept_format.h"

/* Assertions for loops over thousands of cases: Check's own write to a file each time, also when all is well. */
#define IS(call, value)                                                                                                \
    do {                                                                                                               \
        enum pt_status status_ = (call), wanted_ = (value);                                                            \
        if (status_ != wanted_)                                                                                        \
            ck_abort_msg("%s is %s, not %s", #call, pt_status_name(status_), pt_status_name(wanted_));                 \
    } while (0)
#define OK(call) IS(call, PT_OK)
#define EQ(a, b)                                                                                                       \
    do {                                                                                                               \
        unsigned long long a_ = (unsigned long long)(a), b_ = (unsigned long long)(b);                                 \
        if (a_ != b_)                                                                                                  \
            ck_abort_msg("%s is 0x%llx, not 0x%llx: %s", #a, a_, b_, #b);                                              \
    } while (0)
#define HOLDS(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("not so: %s", #condition);                                                                    \
    } while (0)

static const struct pt_change nothing, read_only = {0, PT_W};

static struct world w, w2;
static struct pt_cursor c, c2;

static inline void setup(void)
{
    world_open(&w, PT_TEST_LEVELS);
    world_watch(&w);
    OK(F(init)(&w.pt, &w.config));
    F(gather_init)(&w.gather, &w.pt);
}

static inline void claim(uint64_t start, uint64_t length)
{
    world_arm(&w);
    OK(F(cursor_init)(&c, &w.pt, start, length, PT_WRITE, &w.gather));
}

static inline void at(uint64_t address)
{
    OK(F(cursor_jump)(&c, address));
}

/* Is every invariant of the tree true? No cursor may be open on it. */
static inline void sound(struct world *tree)
{
    struct pt_fault fault;

    if (F(check)(&tree->pt, NULL, NULL, &fault) != PT_OK)
        ck_abort_msg("%s at %lx", fault.what, (unsigned long)fault.address);
}

/* Ends the cursor, puts what left the tree, and checks it. */
static inline void done(void)
{
    F(cursor_end)(&c);
    F(gather_sync)(&w.gather);
    sound(&w);
    ck_assert_uint_eq(w.early, 0);
    ck_assert_uint_eq(w.underflows, 0);
    ck_assert_uint_eq(w.reading, 0);
}

static inline void teardown(void)
{
    done();
    F(destroy)(&w.pt);
    ck_assert_uint_eq(pt_arena_used(&w.arena), 0);
    for (unsigned level = 1; level <= 3; level++)
        ck_assert_int_eq(w.held[level], 0);
    world_close(&w);
}

static inline uint64_t tables(void)
{
    return pt_arena_used(&w.arena);
}

/* Counting claims the whole tree, so an open cursor is ended meanwhile. */
static inline struct pt_statistics counted(void)
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

static inline struct pt_item look(uint64_t address)
{
    struct pt_item item;

    at(address);
    OK(F(cursor_query)(&c, &item));
    return item;
}

/* --- A second tree ----------------------------------------------------------------------------------------------- */

/* Makes a tree that can share with `w`. */
static inline void open_tree(struct world *tree)
{
    memset(tree, 0, sizeof(*tree));
    tree->config = w.config;
    OK(F(init)(&tree->pt, &tree->config));
    F(gather_init)(&tree->gather, &tree->pt);
}

static inline void close_tree(struct world *tree)
{
    F(gather_sync)(&tree->gather);
    sound(tree);
    F(destroy)(&tree->pt);
}

static inline void setup_two(void)
{
    setup();
    open_tree(&w2);
}

static inline void claim_two(uint64_t start, uint64_t length)
{
    OK(F(cursor_init)(&c2, &w2.pt, start, length, PT_WRITE, &w2.gather));
}

static inline void at_two(uint64_t address)
{
    OK(F(cursor_jump)(&c2, address));
}

static inline struct pt_item look_two(uint64_t address)
{
    struct pt_item item;

    at_two(address);
    OK(F(cursor_query)(&c2, &item));
    return item;
}

/* Cursors over all of both trees. */
static inline void open_both(uint64_t from, uint64_t to)
{
    claim(0, w.pt.size);
    at(from);
    claim_two(0, w2.pt.size);
    at_two(to);
}

/* Ends both cursors and syncs both gathers, then checks both trees. */
static inline void done_two(void)
{
    F(cursor_end)(&c2);
    F(cursor_end)(&c);
    F(gather_sync)(&w2.gather);
    done();
    sound(&w2);
}

static inline void teardown_two(void)
{
    done_two();
    F(destroy)(&w2.pt);
    teardown();
}

/* --- Programs ---------------------------------------------------------------------------------------------------- */

/* Adds a group of tests, each of which finds what `before` makes. */
static inline TCase *add_group(Suite *suite, const char *name, void (*before)(void), void (*after)(void))
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 250);
    tcase_add_checked_fixture(tcase, before, after);
    suite_add_tcase(suite, tcase);
    return tcase;
}

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
