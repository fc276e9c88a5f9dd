/* See model_driver.h. */
#include "tests/support/model_driver.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/model_cases.h"

#define RUNS    1500u
#define STEPS   1000u
#define SECONDS 300u /* without an end, a run counts as stuck */

static const struct model_format *tested;

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Runs seeds one after the other; *at is the one that runs. It ends by exit(), so that its coverage is counted. */
static void run_seeds(_Atomic uint64_t *at, uint64_t last, size_t steps, bool failing)
{
    struct lab *lab = lab_new();
    bool good = true;

    for (; good && *at <= last; ++*at) {
        struct script script = script_of_seed(*at, steps, tested->levels, failing);

        alarm(SECONDS);
        good = model_run(lab, tested, &script, false);
        free(script.ops);
        if (!good)
            break;
    }
    lab_free(lab);
    exit(good ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void random_runs(uint64_t runs, bool failing)
{
    uint64_t seed = setting("SEED", 0), last = seed ? seed : runs;
    size_t steps = (size_t)setting("STEPS", STEPS);
    _Atomic uint64_t *at = mmap(NULL, sizeof(*at), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct script script;
    int status;
    pid_t child;

    ck_assert_ptr_ne((void *)at, MAP_FAILED);
    *at = seed ? seed : 1;
    fflush(NULL);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        run_seeds(at, last, steps, failing);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    seed = *at;
    printf("%s: the run of SEED=%llu STEPS=%zu fails; shortening it\n", tested->name, (unsigned long long)seed, steps);
    script = script_of_seed(seed, steps, tested->levels, failing);
    model_explain(tested, &script);
    ck_abort_msg("SEED=%llu STEPS=%zu fails; see above", (unsigned long long)seed, steps);
}

START_TEST(random_operations_match_the_reference)
{
    random_runs(setting("RUNS", RUNS), false);
}
END_TEST

/* Every second operation is tried with each call of alloc_table or frame_get failing. */
START_TEST(operations_whose_hooks_fail_change_nothing)
{
    random_runs((setting("RUNS", RUNS) + 4) / 5, true);
}
END_TEST

START_TEST(cases_match_the_reference)
{
    struct script script = model_case((size_t)_i);
    struct lab *lab = lab_new();

    ck_assert_msg(model_run(lab, tested, &script, true), "%s: operation %zu: %s", model_case_name((size_t)_i),
                  lab->step + 1, lab->failure);
    lab_free(lab);
}
END_TEST

START_TEST(statuses_have_names_of_their_own)
{
    for (int a = PT_OK; a <= PT_ECORRUPT; a++)
        for (int b = PT_OK; b < a; b++)
            ck_assert_str_ne(pt_status_name((enum pt_status)a), pt_status_name((enum pt_status)b));
    ck_assert_str_eq(pt_status_name((enum pt_status)(PT_ECORRUPT + 1)), "unknown status");
}
END_TEST

int model_main(const struct model_format *format)
{
    Suite *suite = suite_create(format->name);
    TCase *tcase = tcase_create("model");
    SRunner *runner;
    int failed;

    tested = format;
    tcase_set_timeout(tcase, 1200);
    tcase_add_loop_test(tcase, cases_match_the_reference, 0, (int)model_cases());
    tcase_add_test(tcase, random_operations_match_the_reference);
    tcase_add_test(tcase, operations_whose_hooks_fail_change_nothing);
    tcase_add_test(tcase, statuses_have_names_of_their_own);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
