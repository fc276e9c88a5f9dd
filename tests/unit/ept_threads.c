/* Threads on one tree: cursors that overlap exclude each other and lose nothing, tables vanish under waiting cursors
 * without harm, and a thread that sets A and D bits as hardware does never loses one. Run under ThreadSanitizer too. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define PT_TEST_FORMAT ept
#define PT_TEST_LEVELS 4
#include "tests/support/ept_format.h"

static struct world world;

/* Check's assertions jump out of the test, which only its own thread may do. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 11;
}

static void relax(void *ctx)
{
    (void)ctx;
    sched_yield();
}

static void setup(void)
{
    world_open(&world, 4);
    world.undoing = true; /* several gathers: order is tested elsewhere */
    world.config.relax = relax;
    world.config.frame_get = NULL;
    world.config.frame_put = NULL;
    world.config.flush = NULL;
    MUST(ept_init(&world.pt, &world.config) == PT_OK);
}

static void teardown(void)
{
    ept_destroy(&world.pt);
    MUST(pt_arena_used(&world.arena) == 0);
    world_close(&world);
}

static void run_threads(void *(*body)(void *), unsigned count)
{
    pthread_t threads[8];

    for (uintptr_t i = 0; i < count; i++)
        MUST(pthread_create(&threads[i], NULL, body, (void *)i) == 0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

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

static void *overlapping_body(void *arg)
{
    uint64_t random = (uintptr_t)arg * 77 + 1234567, me = (uintptr_t)arg + 1;
    struct pt_gather gather;
    struct pt_cursor cursor;

    ept_gather_init(&gather, &world.pt);
    for (unsigned i = 0; i < 1500; i++) {
        unsigned which = (unsigned)(next_random(&random) % COUNTERS);
        uint64_t lengths[3] = {KIB4, MIB2, 2 * GIB1}, length = lengths[next_random(&random) % 3];
        struct pt_item item;

        if (length == 2 * GIB1) {
            MUST(ept_cursor_init(&cursor, &world.pt, 0, length, PT_WRITE, &gather) == PT_OK);
            visit(&cursor, which, me);
            visit(&cursor, (which + 1) % COUNTERS, me);
        } else {
            uint64_t start = counters[which] & ~(length - 1), hpa;

            MUST(ept_cursor_init(&cursor, &world.pt, start, length, PT_WRITE, &gather) == PT_OK);
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
    return NULL;
}

START_TEST(overlapping_cursors_lose_no_update)
{
    struct pt_fault fault;
    struct pt_cursor cursor;

    ept_gather_init(&world.gather, &world.pt);
    MUST(ept_cursor_init(&cursor, &world.pt, 0, 2 * GIB1, PT_WRITE, &world.gather) == PT_OK);
    for (unsigned i = 0; i < COUNTERS; i++) {
        visits[i] = claimed_by[i] = 0;
        MUST(ept_cursor_jump(&cursor, counters[i]) == PT_OK);
        MUST(ept_cursor_map(&cursor, 0, 1, RAM) == PT_OK);
    }
    ept_cursor_end(&cursor);
    run_threads(overlapping_body, 4);
    MUST(ept_check(&world.pt, NULL, NULL, &fault) == PT_OK);
    for (unsigned i = 0; i < COUNTERS; i++)
        MUST(walk(&world, counters[i], WALK_READ).pa == visits[i] * KIB4);
    ept_gather_sync(&world.gather);
}
END_TEST

/* Claims of exactly one slot replace small pages by a huge one and back, while wide claims hold the parent and wait for
 * just these tables: every removal has to borrow, or to win, the parent. */
static void *exact_slot_body(void *arg)
{
    uint64_t random = (uintptr_t)arg * 99 + 4242;
    struct pt_gather gather;
    struct pt_cursor cursor;
    struct pt_item item;

    ept_gather_init(&gather, &world.pt);
    for (unsigned i = 0; i < 1500; i++) {
        uint64_t start = next_random(&random) % 3 * MIB2;

        if ((uintptr_t)arg % 2 == 0) {
            MUST(ept_cursor_init(&cursor, &world.pt, start, MIB2, PT_WRITE, &gather) == PT_OK);
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
            MUST(ept_cursor_init(&cursor, &world.pt, 0, 4 * MIB2, PT_WRITE, &gather) == PT_OK);
            MUST(ept_cursor_jump(&cursor, start) == PT_OK);
            MUST(ept_cursor_unmap_range(&cursor, MIB2) == PT_OK);
            MUST(ept_cursor_jump(&cursor, start) == PT_OK);
            MUST(ept_cursor_map(&cursor, 3 * GIB1, 1, RAM) == PT_OK);
        }
        ept_cursor_end(&cursor);
        ept_gather_sync(&gather);
    }
    return NULL;
}

START_TEST(tables_are_replaced_under_waiting_cursors)
{
    struct pt_fault fault;

    run_threads(exact_slot_body, 4);
    MUST(ept_check(&world.pt, NULL, NULL, &fault) == PT_OK);
}
END_TEST

/* Each thread empties and fills its own pages, so tables appear and vanish next to each other all the time. */
static void *disjoint_body(void *arg)
{
    uint64_t base = (uintptr_t)arg * 64 * KIB4;
    struct pt_gather gather;
    struct pt_cursor cursor;

    ept_gather_init(&gather, &world.pt);
    for (unsigned i = 0; i < 1500; i++) {
        uint64_t start = base + (i % 3 == 2 ? MIB2 : 0) + (i % 5 == 4 ? 512 * GIB1 : 0);

        MUST(ept_cursor_init(&cursor, &world.pt, start, 64 * KIB4, PT_WRITE, &gather) == PT_OK);
        MUST(ept_cursor_map_range(&cursor, start % GIB1, 64 * KIB4, RAM) == PT_OK);
        ept_cursor_end(&cursor);
        MUST(ept_cursor_init(&cursor, &world.pt, start, 64 * KIB4, PT_WRITE, &gather) == PT_OK);
        MUST(ept_cursor_unmap_range(&cursor, 64 * KIB4) == PT_OK);
        ept_cursor_end(&cursor);
        ept_gather_sync(&gather);
    }
    return NULL;
}

START_TEST(disjoint_cursors_leave_no_table_behind)
{
    run_threads(disjoint_body, 4);
    MUST(pt_arena_used(&world.arena) == 1);
}
END_TEST

/* "Hardware" on pages of its own: writes through the walker, which sets A and D, and remembers what it has written. */
#define TOUCHED 64u
static atomic_bool stop;
static _Atomic uint64_t written[TOUCHED];

static void *hardware_body(void *arg)
{
    struct walk_memory memory = {
        .pa = WORLD_PA, .length = WORLD_TABLES * PT_PAGE_SIZE, .offset = world.config.entries_offset};
    struct walk_ept_mode mode = {.root = world.pt.root, .levels = 4, .maxphyaddr = 46, .pages_1g = true, .ad = true};
    uint64_t random = 5;
    struct walk_answer answer;

    (void)arg;
    while (!atomic_load(&stop)) {
        unsigned page = (unsigned)(next_random(&random) % TOUCHED);

        walk_ept(&memory, &mode, page * KIB4, WALK_WRITE, &answer);
        if (answer.result == WALK_OK)
            written[page]++;
    }
    return NULL;
}

/* One round of changes that must not lose a D bit; answers how many pages were harvested as dirty. */
static void change_all(struct pt_cursor *cursor, bool *dirty)
{
    struct pt_change soft = {PT_SOFT0, 0}, hard = {0, PT_SOFT0}, clean = {0, PT_D}, nothing = {0, 0};
    struct pt_item item;

    /* A part of the huge leaf, so that it is split under the hardware; then all of it. */
    MUST(ept_cursor_jump(cursor, 3 * KIB4) == PT_OK);
    MUST(ept_cursor_protect_range(cursor, 7 * KIB4, soft) == PT_OK);
    MUST(ept_cursor_jump(cursor, 0) == PT_OK);
    MUST(ept_cursor_protect_range(cursor, MIB2, hard) == PT_OK);
    MUST(ept_cursor_protect_range(cursor, MIB2, nothing) == PT_OK);
    MUST(ept_cursor_jump(cursor, 0) == PT_OK);
    for (unsigned page = 0; page < TOUCHED; page++) {
        MUST(ept_cursor_protect_next(cursor, KIB4, clean, &item) == PT_OK);
        dirty[page] = dirty[page] || (item.prop & PT_D);
    }
}

START_TEST(hardware_sets_d_while_leaves_change)
{
    struct pt_gather gather;
    struct pt_cursor cursor;
    pthread_t thread;
    bool dirty[TOUCHED];
    uint64_t before[TOUCHED];

    ept_gather_init(&gather, &world.pt);
    MUST(ept_cursor_init(&cursor, &world.pt, 0, 2 * MIB2, PT_WRITE, &gather) == PT_OK);
    MUST(ept_cursor_map(&cursor, GIB1, 2, RAM) == PT_OK);
    for (unsigned round = 0; round < 200; round++) {
        struct pt_item item;

        for (unsigned page = 0; page < TOUCHED; page++) {
            dirty[page] = false;
            before[page] = written[page];
        }
        atomic_store(&stop, false);
        MUST(pthread_create(&thread, NULL, hardware_body, NULL) == 0);
        for (unsigned i = 0; i < 20; i++)
            change_all(&cursor, dirty);
        atomic_store(&stop, true);
        pthread_join(thread, NULL);
        /* What was written must have been seen as dirty by some harvest, or still be dirty. */
        for (unsigned page = 0; page < TOUCHED; page++) {
            MUST(ept_cursor_jump(&cursor, page * KIB4) == PT_OK);
            MUST(ept_cursor_query(&cursor, &item) == PT_OK);
            MUST(written[page] == before[page] || dirty[page] || (item.prop & PT_D));
        }
        MUST(ept_cursor_jump(&cursor, 0) == PT_OK);
        MUST(ept_cursor_unmap_range(&cursor, 2 * MIB2) == PT_OK);
        MUST(ept_cursor_jump(&cursor, 0) == PT_OK);
        MUST(ept_cursor_map(&cursor, GIB1, 2, RAM) == PT_OK);
        ept_gather_sync(&gather);
    }
    ept_cursor_end(&cursor);
    ept_gather_sync(&gather);
}
END_TEST

/* The exact count: hardware dirties each page at most once a round, by compare and swap from clean, and every harvest
 * that finds D counts once. Copies that take D along must not make it two. */
static _Atomic uint64_t dirtied;

static void *dirtying_body(void *arg)
{
    struct walk_memory memory = {
        .pa = WORLD_PA, .length = WORLD_TABLES * PT_PAGE_SIZE, .offset = world.config.entries_offset};
    struct walk_ept_mode mode = {.root = world.pt.root, .levels = 4, .maxphyaddr = 46, .pages_1g = true, .ad = true};
    uint64_t random = 9;
    struct walk_answer answer;

    (void)arg;
    while (!atomic_load(&stop)) {
        walk_ept(&memory, &mode, next_random(&random) % TOUCHED * KIB4, WALK_WRITE, &answer);
        /* The last step shows the entry as it was when D was set. */
        if (answer.result == WALK_OK && !(answer.steps[answer.nsteps - 1].entry & ((uint64_t)1 << 9)))
            dirtied++;
    }
    return NULL;
}

START_TEST(every_d_is_harvested_exactly_once)
{
    struct pt_change clean = {0, PT_D}, read_only = {0, PT_W}, writable = {PT_W, 0}, nothing = {0, 0};
    struct pt_gather gather;
    struct pt_cursor cursor, src, dst;
    struct pt_item item;
    pthread_t thread;
    uint64_t harvested = 0;

    ept_gather_init(&gather, &world.pt);
    MUST(ept_cursor_init(&cursor, &world.pt, 0, 4 * MIB2, PT_WRITE, &gather) == PT_OK);
    MUST(ept_cursor_init_inside(&src, &cursor, 0, MIB2) == PT_OK);
    MUST(ept_cursor_init_inside(&dst, &cursor, MIB2, 2 * MIB2) == PT_OK);
    for (unsigned page = 0; page < TOUCHED; page++)
        MUST(ept_cursor_map(&src, GIB1 + page * KIB4, 1, RAM) == PT_OK);
    atomic_store(&stop, false);
    MUST(pthread_create(&thread, NULL, dirtying_body, NULL) == 0);
    for (unsigned round = 0; round < 3000; round++) {
        if (round == 2999) {
            atomic_store(&stop, true);
            pthread_join(thread, NULL);
        }
        MUST(ept_cursor_jump(&src, 0) == PT_OK);
        MUST(ept_cursor_protect_range(&src, TOUCHED * KIB4, round % 2 ? read_only : writable) == PT_OK);
        MUST(ept_cursor_jump(&src, 0) == PT_OK);
        /* The copy has the D bits that the source loses. */
        MUST(ept_cursor_copy_from(&dst, &src, TOUCHED * KIB4, nothing, clean) == PT_OK);
        MUST(ept_cursor_jump(&dst, MIB2) == PT_OK);
        while (ept_cursor_take_next(&dst, TOUCHED * KIB4 - (ept_cursor_at(&dst) - MIB2), &item) == PT_OK) {
            harvested += (item.prop & PT_D) != 0;
            if (ept_cursor_at(&dst) - MIB2 == TOUCHED * KIB4)
                break;
        }
        MUST(ept_cursor_jump(&dst, MIB2) == PT_OK);
    }
    MUST(harvested == dirtied);
    MUST(harvested > 0);
    ept_cursor_end(&dst);
    ept_cursor_end(&src);
    ept_cursor_end(&cursor);
    ept_gather_sync(&gather);
}
END_TEST

/* One write a round, at about the moment when the huge leaf is split: it must not get lost between the two. */
static _Atomic unsigned round_begun, round_written;

static void *one_write_body(void *arg)
{
    struct walk_memory memory = {
        .pa = WORLD_PA, .length = WORLD_TABLES * PT_PAGE_SIZE, .offset = world.config.entries_offset};
    struct walk_ept_mode mode = {.root = world.pt.root, .levels = 4, .maxphyaddr = 46, .pages_1g = true, .ad = true};
    struct walk_answer answer;

    (void)arg;
    for (unsigned round = 1; !atomic_load(&stop); round++) {
        while (atomic_load(&round_begun) != round)
            if (atomic_load(&stop))
                return NULL;
        walk_ept(&memory, &mode, 9 * KIB4, WALK_WRITE, &answer);
        MUST(answer.result == WALK_OK);
        atomic_store(&round_written, round);
    }
    return NULL;
}

START_TEST(a_split_keeps_the_d_that_arrives_meanwhile)
{
    struct pt_change soft = {PT_SOFT0, 0};
    struct pt_gather gather;
    struct pt_cursor cursor;
    struct pt_item item;
    uint64_t random = 11;
    pthread_t thread;

    ept_gather_init(&gather, &world.pt);
    MUST(ept_cursor_init(&cursor, &world.pt, 0, 2 * MIB2, PT_WRITE, &gather) == PT_OK);
    atomic_store(&stop, false);
    atomic_store(&round_begun, 0);
    for (unsigned round = 1; round <= 5000; round++) {
        MUST(ept_cursor_jump(&cursor, 0) == PT_OK);
        MUST(ept_cursor_map(&cursor, GIB1, 2, RAM) == PT_OK);
        MUST(ept_cursor_jump(&cursor, 0) == PT_OK);
        if (round == 1)
            MUST(pthread_create(&thread, NULL, one_write_body, NULL) == 0);
        atomic_store(&round_begun, round);
        for (volatile uint64_t wait = next_random(&random) % 300; wait > 0; wait--)
            ;
        MUST(ept_cursor_protect_range(&cursor, KIB4, soft) == PT_OK);
        while (atomic_load(&round_written) != round)
            sched_yield();
        MUST(ept_cursor_jump(&cursor, 9 * KIB4) == PT_OK);
        MUST(ept_cursor_query(&cursor, &item) == PT_OK);
        MUST(item.level == 1 && (item.prop & PT_D));
        MUST(ept_cursor_jump(&cursor, 0) == PT_OK);
        MUST(ept_cursor_unmap_range(&cursor, MIB2) == PT_OK);
        ept_gather_sync(&gather);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    ept_cursor_end(&cursor);
    ept_gather_sync(&gather);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ept threads");
    TCase *tcase = tcase_create("threads");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 300);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, overlapping_cursors_lose_no_update);
    tcase_add_test(tcase, tables_are_replaced_under_waiting_cursors);
    tcase_add_test(tcase, disjoint_cursors_leave_no_table_behind);
    tcase_add_test(tcase, hardware_sets_d_while_leaves_change);
    tcase_add_test(tcase, a_split_keeps_the_d_that_arrives_meanwhile);
    tcase_add_test(tcase, every_d_is_harvested_exactly_once);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
