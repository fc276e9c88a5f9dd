/* Threads on one tree: cursors that overlap exclude each other and lose nothing, tables vanish under waiting cursors
 * without harm, and a thread that sets A and D bits as hardware does never loses one. Run under ThreadSanitizer too. */
#define PT_TEST_FORMAT ept
#define PT_TEST_LEVELS 4
#include "tests/support/ept_cursor_fixture.h"

#include "tests/support/ept_threads_body.h"

/* The HPA of each page counts how often it was visited: +1 page for each. */
#define COUNTERS 6u
static const uint64_t counters[COUNTERS] = {0, KIB4, MIB2 - KIB4, MIB2, GIB1 - KIB4, GIB1};
static _Atomic uint64_t visits[COUNTERS];
static _Atomic uint64_t claimed_by[COUNTERS];

/* Takes the page and maps it again, one further; in between other cursors must not see it gone. */
static void visit(struct pt_cursor *cursor, unsigned which, uint64_t me)
{
    struct pt_item item;
    uint64_t nobody = 0;

    MUST(ept_cursor_jump(cursor, counters[which]) == PT_OK);
    MUST(ept_cursor_take_next(cursor, KIB4, &item) == PT_OK);
    MUST(atomic_compare_exchange_strong(&claimed_by[which], &nobody, me));
    MUST(ept_cursor_jump(cursor, 2 * MIB2) == PT_OK); /* leaves the table, which may now be empty */
    MUST(ept_cursor_query(cursor, &item) == PT_OK);
    MUST(ept_cursor_jump(cursor, counters[which]) == PT_OK);
    atomic_store(&claimed_by[which], 0);
    MUST(ept_cursor_map(cursor, (visits[which] + 1) * KIB4, 1, RAM) == PT_OK);
    visits[which]++;
}

static void overlapping_body(unsigned number)
{
    uint64_t random = number * 77 + 1234567, me = number + 1;
    struct pt_gather gather;
    struct pt_cursor cursor;

    ept_gather_init(&gather, &w.pt);
    for (unsigned i = 0; i < 1500; i++) {
        unsigned which = (unsigned)(next_random(&random) % COUNTERS);
        uint64_t lengths[3] = {KIB4, MIB2, 2 * GIB1}, length = lengths[next_random(&random) % 3];
        struct pt_item item;

        if (length == 2 * GIB1) {
            MUST(ept_cursor_init(&cursor, &w.pt, 0, length, PT_WRITE, &gather) == PT_OK);
            visit(&cursor, which, me);
            visit(&cursor, (which + 1) % COUNTERS, me);
        } else {
            uint64_t start = counters[which] & ~(length - 1), hpa;

            MUST(ept_cursor_init(&cursor, &w.pt, start, length, PT_WRITE, &gather) == PT_OK);
            MUST(ept_cursor_jump(&cursor, counters[which]) == PT_OK);
            MUST(ept_cursor_take_next(&cursor, KIB4, &item) == PT_OK);
            hpa = item.hpa;
            MUST(ept_cursor_jump(&cursor, counters[which]) == PT_OK);
            MUST(ept_cursor_map(&cursor, hpa + KIB4, 1, RAM) == PT_OK);
            visits[which]++;
        }
        ept_cursor_end(&cursor);
        ept_gather_sync(&gather);
    }
}

START_TEST(overlapping_cursors_lose_no_update)
{
    struct pt_fault fault;
    struct pt_cursor cursor;

    ept_gather_init(&w.gather, &w.pt);
    MUST(ept_cursor_init(&cursor, &w.pt, 0, 2 * GIB1, PT_WRITE, &w.gather) == PT_OK);
    for (unsigned i = 0; i < COUNTERS; i++) {
        visits[i] = claimed_by[i] = 0;
        MUST(ept_cursor_jump(&cursor, counters[i]) == PT_OK);
        MUST(ept_cursor_map(&cursor, 0, 1, RAM) == PT_OK);
    }
    ept_cursor_end(&cursor);
    run_threads(overlapping_body, 4);
    MUST(ept_check(&w.pt, NULL, NULL, &fault) == PT_OK);
    for (unsigned i = 0; i < COUNTERS; i++)
        MUST(walk(&w, counters[i], WALK_READ).pa == visits[i] * KIB4);
    ept_gather_sync(&w.gather);
}
END_TEST

/* Claims of exactly one slot replace small pages by a huge one and back, while wide claims hold the parent and wait for
 * just these tables: every removal has to borrow, or to win, the parent. */
static void exact_slot_body(unsigned number)
{
    uint64_t random = number * 99 + 4242;
    struct pt_gather gather;
    struct pt_cursor cursor;
    struct pt_item item;

    ept_gather_init(&gather, &w.pt);
    for (unsigned i = 0; i < 1500; i++) {
        uint64_t start = next_random(&random) % 3 * MIB2;

        if (number % 2 == 0) {
            MUST(ept_cursor_init(&cursor, &w.pt, start, MIB2, PT_WRITE, &gather) == PT_OK);
            MUST(ept_cursor_unmap_range(&cursor, MIB2) == PT_OK);
            MUST(ept_cursor_jump(&cursor, start) == PT_OK);
            MUST(ept_cursor_map(&cursor, GIB1, 2, RAM) == PT_OK);
            sched_yield(); /* the slot stays ours though its table went */
            MUST(ept_cursor_jump(&cursor, start + 5 * KIB4) == PT_OK);
            MUST(ept_cursor_query(&cursor, &item) == PT_OK);
            MUST(item.level == 2);
            MUST(ept_cursor_unmap_range(&cursor, KIB4) == PT_OK);
            MUST(ept_cursor_jump(&cursor, start + 5 * KIB4) == PT_OK);
            MUST(ept_cursor_map(&cursor, 2 * GIB1, 1, RAM) == PT_OK);
        } else {
            MUST(ept_cursor_init(&cursor, &w.pt, 0, 4 * MIB2, PT_WRITE, &gather) == PT_OK);
            MUST(ept_cursor_jump(&cursor, start) == PT_OK);
            MUST(ept_cursor_unmap_range(&cursor, MIB2) == PT_OK);
            MUST(ept_cursor_jump(&cursor, start) == PT_OK);
            MUST(ept_cursor_map(&cursor, 3 * GIB1, 1, RAM) == PT_OK);
        }
        ept_cursor_end(&cursor);
        ept_gather_sync(&gather);
    }
}

START_TEST(tables_are_replaced_under_waiting_cursors)
{
    struct pt_fault fault;

    run_threads(exact_slot_body, 4);
    MUST(ept_check(&w.pt, NULL, NULL, &fault) == PT_OK);
}
END_TEST

/* Each thread empties and fills its own pages, so tables appear and vanish next to each other all the time. */
static void disjoint_body(unsigned number)
{
    uint64_t base = number * 64 * KIB4;
    struct pt_gather gather;
    struct pt_cursor cursor;

    ept_gather_init(&gather, &w.pt);
    for (unsigned i = 0; i < 1500; i++) {
        uint64_t start = base + (i % 3 == 2 ? MIB2 : 0) + (i % 5 == 4 ? 512 * GIB1 : 0);

        MUST(ept_cursor_init(&cursor, &w.pt, start, 64 * KIB4, PT_WRITE, &gather) == PT_OK);
        MUST(ept_cursor_map_range(&cursor, start % GIB1, 64 * KIB4, RAM) == PT_OK);
        ept_cursor_end(&cursor);
        MUST(ept_cursor_init(&cursor, &w.pt, start, 64 * KIB4, PT_WRITE, &gather) == PT_OK);
        MUST(ept_cursor_unmap_range(&cursor, 64 * KIB4) == PT_OK);
        ept_cursor_end(&cursor);
        ept_gather_sync(&gather);
    }
}

START_TEST(disjoint_cursors_leave_no_table_behind)
{
    run_threads(disjoint_body, 4);
    MUST(pt_arena_used(&w.arena) == 1);
}
END_TEST

static void *wider_body(void *arg)
{
    struct pt_gather gather;
    struct pt_cursor cursor;
    struct pt_item item;

    (void)arg;
    urcu_memb_register_thread();
    ept_gather_init(&gather, &w.pt);
    MUST(ept_cursor_init(&cursor, &w.pt, 0, 4 * MIB2, PT_WRITE, &gather) == PT_OK);
    MUST(ept_cursor_query(&cursor, &item) == PT_OK); /* waits in the table of level 2 for that below */
    MUST(item.kind == PT_LEAF && item.level == 2);
    ept_cursor_end(&cursor);
    ept_gather_sync(&gather);
    urcu_memb_unregister_thread();
    return NULL;
}

static struct pt_table *meta_of_step(uint64_t address, unsigned step)
{
    return &w.meta[(walk(&w, address, WALK_READ).steps[step].pa - WORLD_PA) / KIB4];
}

START_TEST(a_cursor_inside_one_that_borrowed_its_table_leaves_it_locked)
{
    struct pt_table *upper, *pages;
    struct pt_cursor inside;
    uintptr_t holder;
    pthread_t wider;

    claim(0, GIB1);
    OK(ept_cursor_map(&c, HPA, 1, RAM));
    at(2 * MIB2);
    OK(ept_cursor_map(&c, HPA, 1, RAM));
    done();
    upper = meta_of_step(0, 2);
    pages = meta_of_step(0, 3);
    claim(0, MIB2);
    OK(ept_cursor_unmap_range(&c, MIB2));
    at(0);
    MUST(pthread_create(&wider, NULL, wider_body, NULL) == 0);
    while (!pages->lender)
        sched_yield();
    OK(ept_cursor_map(&c, HPA, 2, RAM));
    at(0);
    holder = upper->holder;
    MUST(holder != 0 && holder != c.holder);
    OK(ept_cursor_init_inside(&inside, &c, MIB2 - KIB4, KIB4));
    ept_cursor_end(&inside);
    MUST(upper->holder == holder);
    ept_cursor_end(&c);
    pthread_join(wider, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ept threads: ranges");
    TCase *tcase = add_group(suite, "ranges", setup_threads, teardown_threads);

    tcase_add_test(tcase, overlapping_cursors_lose_no_update);
    tcase_add_test(tcase, tables_are_replaced_under_waiting_cursors);
    tcase_add_test(tcase, a_cursor_inside_one_that_borrowed_its_table_leaves_it_locked);
    tcase_add_test(tcase, disjoint_cursors_leave_no_table_behind);
    return run_suite(suite);
}
