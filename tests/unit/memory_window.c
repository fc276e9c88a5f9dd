/* Windows: address ranges that are apart, are unmapped when they are given back, and are used again. */
#include "vmm/memory/window.h"

#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

START_TEST(windows_do_not_overlap_and_are_reused)
{
    struct windows *windows = windows_new(UINT64_C(3) << 20);
    uint64_t taken[200];
    for (int i = 0; i < 200; i++) {
        taken[i] = windows_take(windows);
        ck_assert_uint_ne(taken[i], 0);
        for (int k = 0; k < i; k++)
            ck_assert(taken[k] + (3 << 20) <= taken[i] || taken[i] + (3 << 20) <= taken[k]);
    }
    windows_release(windows, taken[17]);
    ck_assert_uint_eq(windows_take(windows), taken[17]);
    windows_free(windows);
}
END_TEST

START_TEST(a_released_window_is_unmapped_wherever_it_was_mapped)
{
    struct windows *windows = windows_new(UINT64_C(32) << 20);
    int fd = memfd_create("test", 0);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    uint64_t window = windows_take(windows);
    ck_assert_int_eq(window_map(window, 4096, fd, 0, true), 0);
    ck_assert_int_eq(window_map(window + (32 << 20) - 4096, 4096, fd, 0, false), 0);
    ck_assert_int_eq(window_map(window, 4096, fd, 0, true), -1); /* never over another mapping */
    windows_release(windows, window);
    ck_assert_uint_eq(windows_take(windows), window);
    ck_assert_int_eq(window_map(window, 4096, fd, 0, true), 0);
    windows_release(windows, window);
    windows_free(windows);
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_window");
    TCase *tests = tcase_create("memory_window");
    tcase_add_test(tests, windows_do_not_overlap_and_are_reused);
    tcase_add_test(tests, a_released_window_is_unmapped_wherever_it_was_mapped);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
