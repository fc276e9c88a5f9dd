/* Bitmaps over pages, against a plain array of booleans: every operation near every word's edges. */
#include "vmm/base/bitmap.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 200 /* not a multiple of 64 */

static uint64_t bitmap[4];
static bool plain[256];

static void clear_all(void)
{
    memset(bitmap, 0, sizeof bitmap);
    memset(plain, 0, sizeof plain);
}

/* Check notes every assertion in a file, which takes too long for one a bit. */
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("%s", #condition);                                                                            \
    } while (0)

static void compare(void)
{
    uint64_t set = 0;
    for (uint64_t i = 0; i < 256; i++) {
        EXPECT((bitmap[i / 64] >> (i % 64) & 1) == plain[i]);
        set += plain[i];
    }
    EXPECT(bitmap_count(bitmap, 256) == set);
}

/* The runs from `from` on must be exactly those of the plain array. */
static void compare_runs(uint64_t from)
{
    uint64_t first, end = from, at = from;
    while ((end = bitmap_next_run(bitmap, PAGES, end, &first)), first < PAGES) {
        for (; at < first; at++)
            EXPECT(!plain[at]);
        EXPECT(first < end);
        for (; at < end; at++)
            EXPECT(plain[at]);
        EXPECT(end == PAGES || !plain[end]);
    }
    EXPECT(end == PAGES);
    for (; at < PAGES; at++)
        EXPECT(!plain[at]);
}

START_TEST(every_range_is_set_and_cleared_alone)
{
    for (uint64_t first = 0; first<PAGES; first += first % 64> 2 && first % 64 < 61 ? 29 : 1) {
        for (uint64_t end = first; end <= PAGES; end++) {
            clear_all();
            bitmap_set(bitmap, first, end);
            memset(plain + first, true, end - first);
            compare();
            compare_runs(0);

            memset(bitmap, 0xff, sizeof bitmap);
            memset(plain, true, sizeof plain);
            bitmap_clear(bitmap, first, end);
            memset(plain + first, false, end - first);
            compare();
            compare_runs(0);
        }
    }
}
END_TEST

START_TEST(runs_of_random_bits_are_found_from_anywhere)
{
    srandom(1);
    for (int round = 0; round < 300; round++) {
        clear_all();
        for (int i = 0; i < round % 30; i++) {
            uint64_t first = (uint64_t)random() % PAGES, end = first + (uint64_t)random() % (PAGES - first + 1);
            bool set = random() % 3 != 0;
            (set ? bitmap_set : bitmap_clear)(bitmap, first, end);
            memset(plain + first, set, end - first);
        }
        compare();
        for (uint64_t from = 0; from <= PAGES; from += 1 + (uint64_t)random() % 40)
            compare_runs(from);
    }
}
END_TEST

START_TEST(bits_beyond_the_last_page_are_no_run)
{
    clear_all();
    bitmap_set(bitmap, PAGES, 256);
    uint64_t first;
    ck_assert_uint_eq(bitmap_next_run(bitmap, PAGES, 0, &first), PAGES);
    ck_assert_uint_eq(first, PAGES);
    bitmap_set(bitmap, PAGES - 1, PAGES);
    ck_assert_uint_eq(bitmap_next_run(bitmap, PAGES, 0, &first), PAGES);
    ck_assert_uint_eq(first, PAGES - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_bitmap");
    TCase *tests = tcase_create("bitmap");
    tcase_add_test(tests, every_range_is_set_and_cleared_alone);
    tcase_add_test(tests, runs_of_random_bits_are_found_from_anywhere);
    tcase_add_test(tests, bits_beyond_the_last_page_are_no_run);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
