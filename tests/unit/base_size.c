/* Sizes: what is one, with each suffix and at the end of the range, and what is none. */
#include "vmm/base/size.h"

#include <check.h>
#include <stdlib.h>

START_TEST(sizes_are_parsed_with_binary_suffixes)
{
    uint64_t bytes;
    ck_assert(size_parse("0", &bytes) && bytes == 0);
    ck_assert(size_parse("4096", &bytes) && bytes == 4096);
    ck_assert(size_parse("64K", &bytes) && bytes == 65536);
    ck_assert(size_parse("3M", &bytes) && bytes == 3u << 20);
    ck_assert(size_parse("2G", &bytes) && bytes == UINT64_C(2) << 30);
    ck_assert(size_parse("18446744073709551615", &bytes) && bytes == UINT64_MAX);
}
END_TEST

START_TEST(anything_else_is_no_size)
{
    const char *const bad[] = {"",
                               "K",
                               "-1",
                               "+1",
                               " 1",
                               "1 ",
                               "1KB",
                               "1k",
                               "0x1",
                               "1E",
                               "1.5M",
                               "1MM",
                               "18446744073709551616",
                               "17179869184G",
                               "99999999999999999999K"};
    uint64_t bytes;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!size_parse(bad[i], &bytes), "\"%s\" was taken for a size", bad[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_size");
    TCase *tests = tcase_create("base_size");
    tcase_add_test(tests, sizes_are_parsed_with_binary_suffixes);
    tcase_add_test(tests, anything_else_is_no_size);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
