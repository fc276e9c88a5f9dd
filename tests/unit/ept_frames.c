/* Frame reference counts and the table arena. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <ept/arena.h>
#include <ept/frames.h>

#define HPA    ((uint64_t)4 << 30)
#define COUNT  ((uint64_t)3 << 18)
#define KIB4   ((uint64_t)0x1000)
#define MIB2   ((uint64_t)0x200000)
#define GIB1   ((uint64_t)0x40000000)
#define OK(is) ck_assert(is)
#define NO(is) ck_assert(!(is))

static struct pt_frames frames;
static void *memory;
static _Atomic uint64_t released, calls;
static uint64_t last_hpa, last_frames;

static void on_release(void *ctx, uint64_t hpa, uint64_t count)
{
    ck_assert_ptr_eq(ctx, &frames);
    released += count;
    calls++;
    last_hpa = hpa;
    last_frames = count;
}

static void setup(void)
{
    released = calls = 0;
    memory = calloc(1, pt_frames_bytes(COUNT));
    OK(pt_frames_init(&frames, memory, HPA, COUNT, on_release, &frames));
}

static void teardown(void)
{
    free(memory);
}

START_TEST(frames_are_released_as_runs)
{
    OK(pt_frames_get(&frames, HPA + KIB4, 1, 1000));
    OK(pt_frames_get(&frames, HPA + 500 * KIB4, 1, 1));
    pt_frames_put(&frames, HPA + KIB4, 1, 1000);
    ck_assert_uint_eq(released, 999);
    ck_assert_uint_eq(calls, 2);
    pt_frames_put(&frames, HPA + 500 * KIB4, 1, 1);
    ck_assert_uint_eq(last_hpa, HPA + 500 * KIB4);
    ck_assert_uint_eq(last_frames, 1);
}
END_TEST

START_TEST(a_frame_lives_while_any_level_counts_it)
{
    OK(pt_frames_get(&frames, HPA + GIB1, 3, 1));
    OK(pt_frames_get(&frames, HPA + GIB1 + MIB2, 2, 2));
    OK(pt_frames_get(&frames, HPA + GIB1 + 3 * KIB4, 1, 1));
    ck_assert_uint_eq(pt_frames_references(&frames, HPA + GIB1 + 3 * KIB4), 2);
    ck_assert_uint_eq(pt_frames_count(&frames, HPA + GIB1 + MIB2, 2), 1);
    pt_frames_put(&frames, HPA + GIB1, 3, 1);
    ck_assert_uint_eq(released, (1 << 18) - 1024 - 1);
    pt_frames_put(&frames, HPA + GIB1 + MIB2, 2, 2);
    ck_assert_uint_eq(last_hpa, HPA + GIB1 + MIB2);
    ck_assert_uint_eq(last_frames, 1024);
    pt_frames_put(&frames, HPA + GIB1 + 3 * KIB4, 1, 1);
    ck_assert_uint_eq(released, 1 << 18);
}
END_TEST

START_TEST(runs_cross_units)
{
    OK(pt_frames_get(&frames, HPA + GIB1 - 2 * KIB4, 1, 4));
    ck_assert_uint_eq(pt_frames_references(&frames, HPA + GIB1 + KIB4), 1);
    pt_frames_put(&frames, HPA + GIB1 - 2 * KIB4, 1, 4);
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_eq(last_frames, 4);
}
END_TEST

START_TEST(what_is_not_counted_is_refused)
{
    struct pt_frames bad;

    NO(pt_frames_get(&frames, HPA - KIB4, 1, 1));
    NO(pt_frames_get(&frames, HPA + 3 * GIB1, 1, 1));
    NO(pt_frames_get(&frames, HPA + 3 * GIB1 - KIB4, 1, 2));
    NO(pt_frames_get(&frames, HPA + KIB4, 2, 1));
    NO(pt_frames_get(&frames, HPA, 0, 1));
    NO(pt_frames_get(&frames, HPA, 4, 1));
    NO(pt_frames_get(&frames, HPA, 1, UINT64_MAX));
    NO(pt_frames_init(&bad, memory, KIB4, 1, NULL, NULL));
    NO(pt_frames_init(&bad, memory, 0, 0, NULL, NULL));
}
END_TEST

START_TEST(a_count_that_would_overflow_is_refused_whole)
{
    OK(pt_frames_get(&frames, HPA + GIB1, 1, 1));
    frames.counts[1][(GIB1 >> 12) + 1] = UINT32_MAX - 1;
    NO(pt_frames_get(&frames, HPA + GIB1 - KIB4, 1, 4));
    ck_assert_uint_eq(pt_frames_count(&frames, HPA + GIB1 - KIB4, 1), 0);
    ck_assert_uint_eq(pt_frames_count(&frames, HPA + GIB1, 1), 1);
}
END_TEST

START_TEST(a_leaf_is_shared_when_anything_of_it_is)
{
    static const uint64_t inside[3] = {KIB4, MIB2, 0};

    for (unsigned level = 1; level <= 3; level++) {
        uint64_t leaf = HPA + GIB1;

        OK(pt_frames_get(&frames, leaf, level, 1));
        NO(pt_frames_shared(&frames, leaf, level));
        for (unsigned other = 1; other <= 3; other++) {
            uint64_t hpa = other < level ? leaf + inside[other - 1] : leaf;

            OK(pt_frames_get(&frames, hpa, other, 1));
            OK(pt_frames_shared(&frames, leaf, level));
            pt_frames_put(&frames, hpa, other, 1);
            NO(pt_frames_shared(&frames, leaf, level));
        }
        if (level < 3) {
            OK(pt_frames_get(&frames, leaf + pt_slot_size(level), level, 1)); /* the neighbour */
            NO(pt_frames_shared(&frames, leaf, level));
            pt_frames_put(&frames, leaf + pt_slot_size(level), level, 1);
        }
        pt_frames_put(&frames, leaf, level, 1);
    }
    OK(pt_frames_shared(&frames, HPA + 4 * GIB1, 1)); /* not counted here: who knows */
}
END_TEST

/* Every counter of every level is inside the bytes that were asked for, and in nobody else's place. */
START_TEST(counts_need_no_more_memory_than_they_say)
{
    static const uint64_t counts[] = {1, 2, 511, 512, 513, 1024, 0x3ffff, 0x40000, 0x40001, 0x40200};
    uint64_t count = counts[_i], bytes = pt_frames_bytes(count), all = 0;
    unsigned char *place = malloc(bytes + 64);
    struct pt_frames small;

    ck_assert_uint_eq(bytes, PT_FRAMES_BYTES(count));
    ck_assert_uint_le(bytes, 4 * count + count / 64 + 12);
    memset(place, 0, bytes);
    memset(place + bytes, 0xaa, 64);
    OK(pt_frames_init(&small, place, HPA, count, NULL, NULL));
    for (unsigned level = 1; level <= 3; level++) {
        uint64_t leaves = count >> 9 * (level - 1), size = pt_slot_size(level);

        if (leaves > 0)
            OK(pt_frames_get(&small, HPA, level, leaves));
        NO(pt_frames_get(&small, HPA + leaves * size, level, 1)); /* not whole, or not there */
        all += leaves;
    }
    for (unsigned level = 1; level <= 3; level++)
        for (uint64_t i = 0; i < count; i++)
            if (pt_frames_count(&small, HPA + i * KIB4, level) != (i >> 9 * (level - 1) < count >> 9 * (level - 1)))
                ck_abort_msg("frame %llu has another count of level %u", (unsigned long long)i, level);
    for (unsigned level = 1; level <= 3; level++)
        if (count >> 9 * (level - 1) > 0)
            pt_frames_put(&small, HPA, level, count >> 9 * (level - 1));
    for (uint64_t i = 0; i < bytes; i++)
        if (place[i] != 0)
            ck_abort_msg("byte %llu is not 0 again", (unsigned long long)i);
    for (unsigned i = 0; i < 64; i++)
        ck_assert_uint_eq(place[bytes + i], 0xaa);
    ck_assert_uint_gt(all, 0);
    free(place);
}
END_TEST

START_TEST(counts_can_be_a_static_array)
{
    static uint32_t counts[PT_FRAMES_BYTES(700) / 4];
    struct pt_frames small;

    ck_assert_uint_eq(sizeof(counts), pt_frames_bytes(700));
    ck_assert_uint_lt(sizeof(counts), 3000);
    OK(pt_frames_init(&small, counts, HPA, 700, NULL, NULL));
    OK(pt_frames_get(&small, HPA, 2, 1));
    OK(pt_frames_get(&small, HPA + 511 * KIB4, 1, 189));
    ck_assert_uint_eq(pt_frames_references(&small, HPA + 511 * KIB4), 2);
    ck_assert_uint_eq(pt_frames_references(&small, HPA + 699 * KIB4), 1);
    pt_frames_put(&small, HPA, 2, 1);
    pt_frames_put(&small, HPA + 511 * KIB4, 1, 189);
    ck_assert_uint_eq(pt_frames_references(&small, HPA + 511 * KIB4), 0);
}
END_TEST

static void *hammer(void *arg)
{
    uint64_t random = (uintptr_t)arg + 3;

    for (unsigned i = 0; i < 3000; i++) {
        unsigned level;
        uint64_t hpa;

        random = random * 6364136223846793005u + 1442695040888963407u;
        level = random >> 60 == 0 ? 3 : (random >> 62) ? 1 : 2;
        hpa = HPA + ((random >> 33) % (4 * MIB2) & ~(pt_slot_size(level) - 1));
        if (!pt_frames_get(&frames, hpa, level, 1))
            abort();
        pt_frames_put(&frames, hpa, level, 1);
    }
    return NULL;
}

/* Every frame keeps a reference but one, which only the threads use: nothing else may ever be released. */
START_TEST(threads_release_nothing_twice)
{
    pthread_t threads[4];

    OK(pt_frames_get(&frames, HPA, 1, COUNT));
    for (uintptr_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hammer, (void *)i), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(released, 0);
    pt_frames_put(&frames, HPA, 1, COUNT);
    ck_assert_uint_eq(released, COUNT);
}
END_TEST

START_TEST(the_arena_gives_zeroed_pages_and_takes_them_back)
{
    static _Alignas(4096) char region[4 * 4096];
    struct pt_arena arena;
    struct pt_table meta[4] = {0};
    struct pt_config config = {0};
    uint64_t pa[5];

    pt_arena_init(&arena, region, 0x10000, 4);
    pt_arena_configure(&arena, meta, &config);
    ck_assert_ptr_eq((void *)(uintptr_t)(0x10000 + config.entries_offset), region);
    for (unsigned i = 0; i < 4; i++)
        OK(pt_arena_alloc(&arena, &pa[i]));
    NO(pt_arena_alloc(&arena, &pa[4]));
    memset(region, 0xff, sizeof(region));
    pt_arena_free(&arena, pa[1]);
    pt_arena_free(&arena, pa[3]);
    ck_assert_uint_eq(pt_arena_used(&arena), 2);
    OK(pt_arena_alloc(&arena, &pa[4]));
    ck_assert_uint_eq(pa[4], pa[3]);
    for (unsigned i = 0; i < 4096; i++)
        ck_assert_int_eq(region[3 * 4096 + i], 0);
    OK(pt_arena_alloc(&arena, &pa[3]));
    NO(pt_arena_alloc(&arena, &pa[4]));
    arena.limit = 1;
    pt_arena_free(&arena, pa[0]);
    NO(pt_arena_alloc(&arena, &pa[0]));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ept frames");
    TCase *tcase = tcase_create("frames");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, frames_are_released_as_runs);
    tcase_add_test(tcase, a_frame_lives_while_any_level_counts_it);
    tcase_add_test(tcase, runs_cross_units);
    tcase_add_test(tcase, what_is_not_counted_is_refused);
    tcase_add_test(tcase, a_count_that_would_overflow_is_refused_whole);
    tcase_add_test(tcase, a_leaf_is_shared_when_anything_of_it_is);
    tcase_add_loop_test(tcase, counts_need_no_more_memory_than_they_say, 0, 10);
    tcase_add_test(tcase, counts_can_be_a_static_array);
    tcase_add_test(tcase, threads_release_nothing_twice);
    tcase_add_test(tcase, the_arena_gives_zeroed_pages_and_takes_them_back);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
