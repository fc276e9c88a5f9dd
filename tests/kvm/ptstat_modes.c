/*
 * ptstat as its users and scripts see it: the JSON object with its names and shape, one line for each error, and no
 * trace left behind. Says nothing about how long anything takes.
 */
#include "tools/client/client.h"
#include "tools/client/vmm_process.h"

#include <check.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS    16
#define TIME_LIMIT_S 120
#define EXIT_RUNTIME 1
#define EXIT_USAGE   2
#define SMALL        "--resident", "8M", "--dirty", "256K"
#define SMALL_MEMORY (UINT64_C(40) << 20)
#define PTSTAT(...)  run_ptstat((const char *const[]){__VA_ARGS__, NULL})

struct outcome {
    int status; /* exit status, or 128 + the signal */
    char *output;
    char *errors;
};

static char *read_all(FILE *file)
{
    char *text = NULL;
    size_t size = 0;

    rewind(file);
    if (getdelim(&text, &size, '\0', file) < 0 && text)
        text[0] = '\0';
    fclose(file);
    ck_assert_ptr_nonnull(text);
    return text;
}

/* Runs the built ptstat with these words and keeps what it says. */
static struct outcome run_ptstat(const char *const words[])
{
    FILE *output = tmpfile(), *errors = tmpfile();
    char *argv[MAX_WORDS + 2] = {NULL};
    char path[PATH_MAX];
    int status;
    pid_t child;

    vmm_build_path(path, sizeof(path), "tools/ptstat");
    argv[0] = path;
    for (size_t i = 0; words[i]; i++) {
        ck_assert_uint_lt(i, MAX_WORDS);
        argv[i + 1] = (char *)words[i];
    }
    ck_assert(output && errors);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(fileno(output), STDOUT_FILENO);
        dup2(fileno(errors), STDERR_FILENO);
        execv(path, argv);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return (struct outcome){
        .status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
        .output = read_all(output),
        .errors = read_all(errors),
    };
}

static void outcome_free(struct outcome *outcome)
{
    free(outcome->output);
    free(outcome->errors);
}

/* Ends with `status`, prints nothing but one line on stderr, and that line has `word` in it. */
static void check_refusal(struct outcome outcome, int status, const char *word)
{
    const size_t length = strlen(outcome.errors);

    ck_assert_msg(outcome.status == status, "exit status %d, want %d: %s", outcome.status, status, outcome.errors);
    ck_assert_str_eq(outcome.output, "");
    ck_assert_msg(!strncmp(outcome.errors, "ptstat: ", 8), "no 'ptstat: ' in: %s", outcome.errors);
    ck_assert_msg(length && strchr(outcome.errors, '\n') == outcome.errors + length - 1, "not one line: %s",
                  outcome.errors);
    ck_assert_msg(strstr(outcome.errors, word) != NULL, "no '%s' in: %s", word, outcome.errors);
    outcome_free(&outcome);
}

static json_int_t integer(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    ck_assert_msg(json_is_integer(value), "'%s' is no integer", key);
    return json_integer_value(value);
}

/* One figure: nanoseconds, this many, and percentiles that never fall. */
static void check_figure(const json_t *figures, const char *name, json_int_t count)
{
    static const char *const rising[] = {"min", "p50", "p90", "p99", "max"};
    const json_t *figure = json_object_get(figures, name);
    json_int_t last = 1;

    ck_assert_msg(json_is_object(figure), "no figure '%s'", name);
    ck_assert_uint_eq(json_object_size(figure), 7);
    ck_assert_str_eq(json_string_value(json_object_get(figure, "unit")), "ns");
    ck_assert_int_eq(integer(figure, "count"), count);
    for (size_t i = 0; i < 5; i++) {
        const json_int_t value = integer(figure, rising[i]);

        ck_assert_msg(value >= last, "%s: %s falls", name, rising[i]);
        last = value;
    }
}

static void check_environment(const json_t *environment, uint64_t memory, uint64_t resident, uint64_t dirty)
{
    static const char *const texts[] = {"kernel", "cpu", "kvm"};

    ck_assert_uint_eq(json_object_size(environment), 7);
    for (size_t i = 0; i < 3; i++)
        ck_assert_msg(json_string_length(json_object_get(environment, texts[i])) > 0, "no '%s'", texts[i]);
    ck_assert_int_eq(integer(environment, "page_size"), 4096);
    ck_assert_uint_eq((uint64_t)integer(environment, "memory_bytes"), memory);
    ck_assert_uint_eq((uint64_t)integer(environment, "resident_bytes"), resident);
    ck_assert_uint_eq((uint64_t)integer(environment, "dirty_bytes"), dirty);
}

/* The report of a run that must have worked, with its four members; the caller frees it. */
static json_t *report_of(struct outcome outcome, const char *mode)
{
    json_error_t error;
    json_t *report;

    ck_assert_msg(outcome.status == 0, "exit status %d: %s", outcome.status, outcome.errors);
    ck_assert_str_eq(outcome.errors, "");
    report = json_loads(outcome.output, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(report != NULL, "not JSON: %s", outcome.output);
    ck_assert_uint_eq(json_object_size(report), 4);
    ck_assert_str_eq(json_string_value(json_object_get(report, "mode")), mode);
    outcome_free(&outcome);
    return report;
}

/* `starts`: how many VMMs were measured; `firsts`: how many of them had never been forked. */
static void check_fork_report(const json_t *report, json_int_t rounds, json_int_t starts, json_int_t firsts)
{
    const json_t *figures = json_object_get(report, "figures");
    const json_t *baselines = json_object_get(report, "baselines");

    check_figure(figures, "pause", rounds);
    check_figure(figures, "first_instruction", rounds);
    check_figure(figures, "first_output", rounds);
    check_figure(figures, "debt_paid", rounds);
    if (firsts)
        check_figure(figures, "first_pause", firsts);
    ck_assert_uint_eq(json_object_size(figures), firsts ? 5 : 4);
    check_figure(baselines, "fork2", rounds);
    check_figure(baselines, "full_copy", starts);
    ck_assert_uint_eq(json_object_size(baselines), 2);
}

START_TEST(fork_reports_every_figure)
{
    json_t *report = report_of(PTSTAT("fork", "--json", "-n", "3", SMALL), "fork");

    check_environment(json_object_get(report, "environment"), SMALL_MEMORY, 8 << 20, 256 << 10);
    check_fork_report(report, 3, 3, 3);
    json_decref(report);
}
END_TEST

START_TEST(fork_restarts_the_guest_for_its_first_forks)
{
    json_t *report = report_of(PTSTAT("fork", "--json", "-n", "7", SMALL), "fork");

    check_fork_report(report, 7, 5, 5);
    json_decref(report);
}
END_TEST

START_TEST(fork_of_a_running_vmm_leaves_it_running)
{
    char vmm[PATH_MAX], guest[PATH_MAX];
    struct client_error error;
    struct vmm_process *process;
    struct client *client;
    json_t *report;

    vmm_build_path(vmm, sizeof(vmm), "vmm");
    vmm_build_path(guest, sizeof(guest), "guest/workload.bin");
    process = vmm_process_start((const char *const[]){vmm, "--memory", "24M", guest, "resident=8M", "dirty=256K", NULL},
                                0, &error);
    ck_assert_ptr_nonnull(process);
    client = vmm_process_connect(process, &error);
    ck_assert_msg(client != NULL, "%s", error.text);

    report = report_of(PTSTAT("fork", "--json", "-n", "2", SMALL, "--socket", vmm_process_socket(process)), "fork");
    check_environment(json_object_get(report, "environment"), 24 << 20, 8 << 20, 256 << 10);
    check_fork_report(report, 2, 1, 1);
    json_decref(report);

    report = report_of(PTSTAT("fork", "--json", "-n", "2", SMALL, "--socket", vmm_process_socket(process)), "fork");
    check_fork_report(report, 2, 1, 0);
    json_decref(report);

    ck_assert(vmm_process_running(process));
    client_close(client);
    vmm_process_end(process);
}
END_TEST

START_TEST(fault_reports_both_sides)
{
    json_t *report = report_of(PTSTAT("fault", "--json", "-n", "3", SMALL), "fault");
    const json_t *figures = json_object_get(report, "figures");
    const json_t *baselines = json_object_get(report, "baselines");

    check_environment(json_object_get(report, "environment"), SMALL_MEMORY, 8 << 20, 256 << 10);
    check_figure(figures, "cow_fault", 3);
    ck_assert_uint_eq(json_object_size(figures), 1);
    check_figure(baselines, "bare_cow_fault", 3);
    ck_assert_uint_eq(json_object_size(baselines), 1);
    json_decref(report);
}
END_TEST

START_TEST(snapshot_reports_checkpoints)
{
    json_t *report = report_of(PTSTAT("snapshot", "--json", "-n", "3", SMALL), "snapshot");
    const json_t *figures = json_object_get(report, "figures");
    const json_t *baselines = json_object_get(report, "baselines");

    check_environment(json_object_get(report, "environment"), SMALL_MEMORY, 8 << 20, 256 << 10);
    check_figure(figures, "checkpoint", 3);
    ck_assert_uint_eq(json_object_size(figures), 1);
    check_figure(baselines, "fork2", 3);
    ck_assert_uint_eq(json_object_size(baselines), 1);
    json_decref(report);
}
END_TEST

static void check_reset_report(const json_t *report, json_int_t rounds)
{
    const json_t *figures = json_object_get(report, "figures");
    const json_t *baselines = json_object_get(report, "baselines");

    check_figure(figures, "reset", rounds);
    check_figure(figures, "reset_and_run", rounds);
    ck_assert_uint_eq(json_object_size(figures), 2);
    check_figure(baselines, "bare_reset", rounds);
    ck_assert_uint_eq(json_object_size(baselines), 1);
}

START_TEST(reset_reports_both_sides)
{
    json_t *report = report_of(PTSTAT("reset", "--json", "-n", "3", SMALL), "reset");

    check_environment(json_object_get(report, "environment"), SMALL_MEMORY, 8 << 20, 256 << 10);
    check_reset_report(report, 3);
    json_decref(report);
    report = report_of(PTSTAT("reset", "--json", "-n", "1", "--resident", "8M"), "reset");
    check_environment(json_object_get(report, "environment"), SMALL_MEMORY, 8 << 20, 64 << 10);
    json_decref(report);
}
END_TEST

START_TEST(reset_of_a_running_vmm_leaves_it_running)
{
    char vmm[PATH_MAX], guest[PATH_MAX];
    struct client_error error;
    struct vmm_process *process;
    struct client *client;
    json_t *report, *mark;

    vmm_build_path(vmm, sizeof(vmm), "vmm");
    vmm_build_path(guest, sizeof(guest), "guest/workload.bin");
    process = vmm_process_start((const char *const[]){vmm, "--memory", "24M", guest, "resident=8M", "dirty=256K",
                                                      "period_us=50000", "marks=1", NULL},
                                0, &error);
    ck_assert_ptr_nonnull(process);
    client = vmm_process_connect(process, &error);
    ck_assert_msg(client != NULL, "%s", error.text);
    report = report_of(PTSTAT("reset", "--json", "-n", "2", SMALL, "--socket", vmm_process_socket(process)), "reset");
    check_environment(json_object_get(report, "environment"), 24 << 20, 8 << 20, 256 << 10);
    check_reset_report(report, 2);
    json_decref(report);
    client_drop_events(client);
    mark = client_wait_mark(client, 0, 0x10, 20000);
    ck_assert_ptr_nonnull(mark);
    json_decref(mark);
    client_close(client);
    vmm_process_end(process);
}
END_TEST

START_TEST(table_names_the_environment_and_every_figure)
{
    static const char *const words[] = {
        "kernel",         "cpu",   "kvm",       "memory 40 MiB", "resident 8 MiB", "dirty 256 KiB",
        "pages of 4 KiB", "pause", "debt_paid", "fork2",         "full_copy",      "p50/fork2"};
    struct outcome outcome = PTSTAT("fork", "-n", "2", SMALL);

    ck_assert_msg(outcome.status == 0, "%s", outcome.errors);
    ck_assert_str_eq(outcome.errors, "");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        ck_assert_msg(strstr(outcome.output, words[i]) != NULL, "no '%s' in:\n%s", words[i], outcome.output);
    outcome_free(&outcome);
}
END_TEST

START_TEST(usage_errors_are_one_line_and_exit_with_2)
{
    static const struct {
        const char *words[6];
        const char *names; /* what the line has to name */
    } bad[] = {
        {{NULL}, "MODE"},
        {{"bogus"}, "bogus"},
        {{"fork", "fault"}, "fault"},
        {{"fork", "--bogus"}, "--bogus"},
        {{"fork", "--dirty"}, "--dirty"},
        {{"fork", "--dirty", "0"}, "--dirty"},
        {{"fork", "--dirty", "4097"}, "--dirty"},
        {{"fork", "--resident", "1E"}, "--resident"},
        {{"fork", "--resident", "99999999999999999999"}, "--resident"},
        {{"fork", "--resident", "8M", "--dirty", "16M"}, "--dirty"},
        {{"fork", "--resident", "64M", "--memory", "64M"}, "--resident"},
        {{"fork", "--memory", "-1"}, "--memory"},
        {{"fork", "-n", "0"}, "-n"},
        {{"fork", "-n", "many"}, "-n"},
        {{"fork", "--socket", "/x", "--guest", "/y"}, "--guest"},
        {{"fork", "--socket", "/x", "--memory", "1G"}, "--memory"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_refusal(run_ptstat(bad[i].words), EXIT_USAGE, bad[i].names);
}
END_TEST

START_TEST(what_cannot_be_measured_is_one_line_and_exits_with_1)
{
    check_refusal(PTSTAT("restore"), EXIT_RUNTIME, "restore");
    check_refusal(PTSTAT("fork", "--socket", "/nowhere/socket"), EXIT_RUNTIME, "/nowhere/socket");
    check_refusal(PTSTAT("fork", "--guest", "/nowhere/guest", SMALL), EXIT_RUNTIME, "/nowhere/guest");
    check_refusal(PTSTAT("fork", "--resident", "1024G"), EXIT_RUNTIME, "1024 GiB");
    /* The guest itself refuses this, for it needs room beside its resident set. */
    check_refusal(PTSTAT("fork", "--memory", "16M", "--resident", "15M"), EXIT_RUNTIME, "resident");
}
END_TEST

START_TEST(help_lists_the_modes_that_exist)
{
    struct outcome outcome = PTSTAT("--help");

    ck_assert_int_eq(outcome.status, 0);
    ck_assert_ptr_nonnull(strstr(outcome.output, "\n  fork "));
    ck_assert_ptr_nonnull(strstr(outcome.output, "\n  fault "));
    ck_assert_ptr_nonnull(strstr(outcome.output, "\n  snapshot "));
    ck_assert_ptr_nonnull(strstr(outcome.output, "\n  reset "));
    ck_assert_ptr_null(strstr(outcome.output, "restore"));
    outcome_free(&outcome);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ptstat_modes");
    TCase *modes = tcase_create("modes");
    TCase *errors = tcase_create("errors");
    SRunner *runner = srunner_create(suite);
    int failures;

    tcase_set_timeout(modes, TIME_LIMIT_S);
    tcase_set_timeout(errors, TIME_LIMIT_S);
    tcase_add_test(modes, fork_reports_every_figure);
    tcase_add_test(modes, fork_restarts_the_guest_for_its_first_forks);
    tcase_add_test(modes, fork_of_a_running_vmm_leaves_it_running);
    tcase_add_test(modes, fault_reports_both_sides);
    tcase_add_test(modes, snapshot_reports_checkpoints);
    tcase_add_test(modes, reset_reports_both_sides);
    tcase_add_test(modes, reset_of_a_running_vmm_leaves_it_running);
    tcase_add_test(modes, table_names_the_environment_and_every_figure);
    tcase_add_test(errors, usage_errors_are_one_line_and_exit_with_2);
    tcase_add_test(errors, what_cannot_be_measured_is_one_line_and_exits_with_1);
    tcase_add_test(errors, help_lists_the_modes_that_exist);
    suite_add_tcase(suite, modes);
    suite_add_tcase(suite, errors);
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
