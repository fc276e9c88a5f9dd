/* vmctl console --follow: which part of a console's last 64 KiB was not there at the last look. */
#include "tools/vmctl/console_tail.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CUT "\xEF\xBF\xBD" /* what stands for a byte of a character that is cut in two */

static void expect_fresh(const char *old, const char *now, const char *fresh)
{
    bool missed = true;
    size_t from = tail_fresh(old, strlen(old), now, strlen(now), &missed);
    ck_assert_uint_le(from, strlen(now));
    ck_assert_str_eq(now + from, fresh);
    ck_assert(!missed);
}

START_TEST(what_is_added_is_new)
{
    expect_fresh("", "", "");
    expect_fresh("", "first", "first");
    expect_fresh("first", "first", "");
    expect_fresh("first\n", "first\nsecond\n", "second\n");
}
END_TEST

START_TEST(what_has_gone_at_the_beginning_is_not_new)
{
    expect_fresh("one, two, three, four, five, ", "two, three, four, five, six", "six");
    expect_fresh("one, two, three, four, five, ", "three, four, five, ", "");
    expect_fresh("0123456789abcdefg", "123456789abcdefgh", "h");
}
END_TEST

START_TEST(a_character_cut_at_the_beginning_does_not_hide_the_rest)
{
    expect_fresh("xx\xC3\xA9 sixteen and more bytes", CUT " sixteen and more bytes, new", ", new");
    expect_fresh("\xF0\x9F\x98\x80 sixteen and more bytes", CUT CUT CUT " sixteen and more bytes!", "!");
}
END_TEST

START_TEST(nothing_in_common_is_a_gap)
{
    bool missed = false;
    const char *old = "all of this has gone long ago", *now = "and this is all new, whatever was between";
    ck_assert_uint_eq(tail_fresh(old, strlen(old), now, strlen(now), &missed), 0);
    ck_assert(missed);
}
END_TEST

/* Fewer bytes than could be chance are no proof that nothing was missed. */
START_TEST(a_few_bytes_in_common_are_a_gap)
{
    bool missed = false;
    const char *old = "what was there before\n", *now = "\nwhat is there now";
    ck_assert_uint_eq(tail_fresh(old, strlen(old), now, strlen(now), &missed), 0);
    ck_assert(missed);
}
END_TEST

START_TEST(of_text_that_repeats_itself_the_least_is_new)
{
    expect_fresh("tick tick tick tick tick ", "tick tick tick tick tick ", "");
    expect_fresh("aaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaab", "b");
}
END_TEST

START_TEST(an_unfinished_character_waits)
{
    static const struct {
        const char *text;
        size_t complete;
    } cases[] = {{"", 0}, {"abc", 3}, {"abc" CUT, 3}, {"abc" CUT CUT CUT, 3}, {"abc" CUT CUT CUT CUT, 6}, {CUT, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_uint_eq(tail_complete(cases[i].text, strlen(cases[i].text)), cases[i].complete);
    expect_fresh("abc", "abc\xC3\xA9", "\xC3\xA9");
}
END_TEST

/* As it is used: a stream through a window of its last bytes, looked at now and then, comes out whole. */
START_TEST(a_stream_seen_through_a_window_is_whole)
{
    enum { ALL = 20000, WINDOW = 512 };
    static char stream[ALL], seen[ALL];
    uint64_t state = 1;
    size_t shown = 0, last_start = 0, last_end = 0;
    for (size_t i = 0; i < ALL; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        stream[i] = (char)('a' + (state >> 33) % 20);
    }
    for (size_t end = 0; end <= ALL; end += 1 + (end * 7) % (WINDOW - 40)) {
        size_t start = end > WINDOW ? end - WINDOW : 0;
        bool missed;
        size_t from = tail_fresh(stream + last_start, last_end - last_start, stream + start, end - start, &missed);
        ck_assert(!missed);
        memcpy(seen + shown, stream + start + from, end - start - from);
        shown += end - start - from;
        ck_assert_uint_eq(shown, end);
        last_start = start;
        last_end = end;
    }
    ck_assert(memcmp(seen, stream, shown) == 0);
    ck_assert_uint_gt(shown, ALL - WINDOW);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vmctl_tail");
    TCase *tests = tcase_create("tail");
    tcase_add_test(tests, what_is_added_is_new);
    tcase_add_test(tests, what_has_gone_at_the_beginning_is_not_new);
    tcase_add_test(tests, a_character_cut_at_the_beginning_does_not_hide_the_rest);
    tcase_add_test(tests, nothing_in_common_is_a_gap);
    tcase_add_test(tests, a_few_bytes_in_common_are_a_gap);
    tcase_add_test(tests, of_text_that_repeats_itself_the_least_is_new);
    tcase_add_test(tests, an_unfinished_character_waits);
    tcase_add_test(tests, a_stream_seen_through_a_window_is_whole);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
