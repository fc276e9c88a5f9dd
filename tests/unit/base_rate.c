/* Rates: how often something is said, and the count of what was left out. */
#include "vmm/base/rate.h"

#include <check.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000000)

START_TEST(rate_lets_a_burst_pass_and_then_one_a_second_and_counts_the_rest)
{
    struct rate rate = {0};
    uint64_t now = 5 * SECOND, left_out = 99;
    for (unsigned i = 0; i < RATE_BURST; i++) {
        ck_assert(rate_allows(&rate, now, &left_out));
        ck_assert_uint_eq(left_out, 0);
    }
    for (unsigned i = 0; i < 1000; i++)
        ck_assert(!rate_allows(&rate, now + i, &left_out));
    now += SECOND;
    ck_assert(rate_allows(&rate, now, &left_out));
    ck_assert_uint_eq(left_out, 1000);
    unsigned said = 0;
    for (uint64_t ms = 0; ms < 100000; ms++)
        said += rate_allows(&rate, now += SECOND / 1000, &left_out);
    ck_assert_uint_ge(said, 99);
    ck_assert_uint_le(said, 101);
    ck_assert_uint_ge(rate_take_left_out(&rate) + left_out, 900);
    ck_assert_uint_eq(rate_take_left_out(&rate), 0);
    now += 100 * SECOND; /* quiet for long: a burst again, and no more than one */
    said = 0;
    for (unsigned i = 0; i < 100; i++)
        said += rate_allows(&rate, now, &left_out);
    ck_assert_uint_eq(said, RATE_BURST);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_rate");
    TCase *tests = tcase_create("base_rate");
    tcase_add_test(tests, rate_lets_a_burst_pass_and_then_one_a_second_and_counts_the_rest);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
