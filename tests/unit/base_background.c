/* Background threads: their jobs run in order, one after the other, and are waited for. */
#include "vmm/base/background.h"

#include <check.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

static _Atomic unsigned sequence;

static void check_turn(void *argument)
{
    unsigned turn = atomic_fetch_add(&sequence, 1);
    ck_assert_uint_eq(turn, (unsigned)(uintptr_t)argument);
}

START_TEST(background_jobs_run_in_order_and_drain_waits_for_them)
{
    struct background *background = background_new("test");
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 100; i++)
            background_add(background, check_turn, (void *)(uintptr_t)(round * 100 + i));
        background_drain(background);
        ck_assert_uint_eq(sequence, (round + 1) * 100);
    }
    background_add(background, check_turn, (void *)(uintptr_t)1000);
    background_free(background);
    ck_assert_uint_eq(sequence, 1001);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_background");
    TCase *tests = tcase_create("base_background");
    tcase_add_test(tests, background_jobs_run_in_order_and_drain_waits_for_them);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
