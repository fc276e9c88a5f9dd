/* ptstat's arithmetic: percentiles of what was measured, and sizes as people write them. */
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/samples.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

/* 1 to n, in an order that is not sorted. */
static void add_shuffled(struct samples *samples, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        ck_assert_int_eq(samples_add(samples, (i * 7919) % n + 1), 0);
}

START_TEST(empty_set_is_all_zero)
{
    struct samples samples = {0};
    struct summary s = samples_summarize(&samples);

    ck_assert_uint_eq(s.count, 0);
    ck_assert_uint_eq(s.min | s.p50 | s.p90 | s.p99 | s.max, 0);
}
END_TEST

START_TEST(one_sample_is_every_percentile)
{
    struct samples samples = {0};
    struct summary s;

    ck_assert_int_eq(samples_add(&samples, 42), 0);
    s = samples_summarize(&samples);
    ck_assert_uint_eq(s.count, 1);
    ck_assert_uint_eq(s.min, 42);
    ck_assert_uint_eq(s.p50, 42);
    ck_assert_uint_eq(s.p99, 42);
    ck_assert_uint_eq(s.max, 42);
    samples_free(&samples);
}
END_TEST

START_TEST(percentiles_are_by_nearest_rank)
{
    struct samples samples = {0};
    struct summary s;

    add_shuffled(&samples, 100);
    s = samples_summarize(&samples);
    ck_assert_uint_eq(s.count, 100);
    ck_assert_uint_eq(s.min, 1);
    ck_assert_uint_eq(s.p50, 50);
    ck_assert_uint_eq(s.p90, 90);
    ck_assert_uint_eq(s.p99, 99);
    ck_assert_uint_eq(s.max, 100);
    samples_free(&samples);
}
END_TEST

START_TEST(percentiles_round_the_rank_up)
{
    struct samples samples = {0};
    struct summary s;

    add_shuffled(&samples, 5);
    s = samples_summarize(&samples);
    ck_assert_uint_eq(s.p50, 3);
    ck_assert_uint_eq(s.p90, 5);
    ck_assert_uint_eq(s.p99, 5);
    samples_free(&samples);
}
END_TEST

START_TEST(summary_may_be_taken_twice_and_in_between)
{
    struct samples samples = {0};

    add_shuffled(&samples, 1000);
    ck_assert_uint_eq(samples_summarize(&samples).p50, 500);
    ck_assert_int_eq(samples_add(&samples, 0), 0);
    ck_assert_uint_eq(samples_summarize(&samples).min, 0);
    ck_assert_uint_eq(samples_summarize(&samples).count, 1001);
    samples_free(&samples);
}
END_TEST

START_TEST(large_values_keep_their_order)
{
    struct samples samples = {0};

    ck_assert_int_eq(samples_add(&samples, UINT64_MAX), 0);
    ck_assert_int_eq(samples_add(&samples, 0), 0);
    ck_assert_int_eq(samples_add(&samples, UINT64_C(1) << 63), 0);
    ck_assert_uint_eq(samples_summarize(&samples).min, 0);
    ck_assert_uint_eq(samples_summarize(&samples).p50, UINT64_C(1) << 63);
    ck_assert_uint_eq(samples_summarize(&samples).max, UINT64_MAX);
    samples_free(&samples);
}
END_TEST

START_TEST(sizes_take_suffixes)
{
    uint64_t bytes;

    ck_assert_int_eq(bytes_parse("4096", &bytes), 0);
    ck_assert_uint_eq(bytes, 4096);
    ck_assert_int_eq(bytes_parse("64K", &bytes), 0);
    ck_assert_uint_eq(bytes, 65536);
    ck_assert_int_eq(bytes_parse("256M", &bytes), 0);
    ck_assert_uint_eq(bytes, UINT64_C(256) << 20);
    ck_assert_int_eq(bytes_parse("2G", &bytes), 0);
    ck_assert_uint_eq(bytes, UINT64_C(2) << 30);
}
END_TEST

START_TEST(bad_sizes_are_refused_and_leave_the_value)
{
    static const char *const bad[] = {"",      "0",     "0M",    "1",  "4097", "K",   "-4096",
                                      "+4096", " 4096", "4096 ", "1E", "4k",   "4KB", "0x1000"};
    uint64_t bytes = 7;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(bytes_parse(bad[i], &bytes) == -EINVAL, "'%s'", bad[i]);
    ck_assert_uint_eq(bytes, 7);
}
END_TEST

START_TEST(sizes_that_overflow_are_told_apart)
{
    static const char *const large[] = {"9223372036854775808", "18446744073709551616", "8589934592G",
                                        "99999999999999999999M"};
    uint64_t bytes = 7;

    for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
        ck_assert_msg(bytes_parse(large[i], &bytes) == -ERANGE, "'%s'", large[i]);
    ck_assert_uint_eq(bytes, 7);
}
END_TEST

START_TEST(sizes_print_in_the_largest_unit_that_divides_them)
{
    char text[BYTES_TEXT];

    ck_assert_str_eq(bytes_text(text, 0), "0 bytes");
    ck_assert_str_eq(bytes_text(text, 4096), "4 KiB");
    ck_assert_str_eq(bytes_text(text, UINT64_C(288) << 20), "288 MiB");
    ck_assert_str_eq(bytes_text(text, UINT64_C(4096) << 30), "4096 GiB");
    ck_assert_str_eq(bytes_option(text, (UINT64_C(1) << 20) + 4096), "1028K");
    ck_assert_str_eq(bytes_option(text, UINT64_C(1) << 30), "1G");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ptstat_samples");
    TCase *percentiles = tcase_create("percentiles");
    TCase *sizes = tcase_create("sizes");
    SRunner *runner = srunner_create(suite);
    int failures;

    tcase_add_test(percentiles, empty_set_is_all_zero);
    tcase_add_test(percentiles, one_sample_is_every_percentile);
    tcase_add_test(percentiles, percentiles_are_by_nearest_rank);
    tcase_add_test(percentiles, percentiles_round_the_rank_up);
    tcase_add_test(percentiles, summary_may_be_taken_twice_and_in_between);
    tcase_add_test(percentiles, large_values_keep_their_order);
    tcase_add_test(sizes, sizes_take_suffixes);
    tcase_add_test(sizes, bad_sizes_are_refused_and_leave_the_value);
    tcase_add_test(sizes, sizes_that_overflow_are_told_apart);
    tcase_add_test(sizes, sizes_print_in_the_largest_unit_that_divides_them);
    suite_add_tcase(suite, percentiles);
    suite_add_tcase(suite, sizes);
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
