/* libcleave as it is installed, its own names hidden: a program that is linked with it alone, as an embedder's is, runs
 * a guest ten thousand times. tests/install/check_install builds the same program by pkg-config from what is installed.
 */
#include "tests/support/rounds.h"
#include "tools/client/vmm_process.h"

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define TIMES 10000
#define LEAST 100

START_TEST(an_embedders_program_gets_each_runs_result)
{
    const unsigned times = rounds(TIMES, LEAST);
    char program[PATH_MAX], guest[PATH_MAX], command[2 * PATH_MAX + 32], wanted[64], said[256] = "";
    vmm_build_path(program, sizeof program, "tests/install/cleave_loop");
    vmm_build_path(guest, sizeof guest, "guest/target.bin");
    snprintf(command, sizeof command, "'%s' '%s' %u 2>&1", program, guest, times);
    FILE *output = popen(command, "re");
    ck_assert_ptr_nonnull(output);
    const size_t length = fread(said, 1, sizeof said - 1, output);
    const int status = pclose(output);
    said[length] = '\0';
    snprintf(wanted, sizeof wanted, "%u of %u runs gave their result\n", times, times);
    ck_assert_str_eq(said, wanted);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cleave_installed");
    TCase *tests = tcase_create("loop");
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, an_embedders_program_gets_each_runs_result);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
