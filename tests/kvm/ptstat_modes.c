/*
 * ptstat as its users and scripts see it: the JSON object with its names and shape, one line for each error, and no
 * trace left behind. Says nothing about how long anything takes.
 */
#include "tests/kvm/ptstat_common.h"

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

START_TEST(snapshot_reports_memory_and_file)
{
    static const char *const names[] = {"checkpoint", "fork_pause", "pause", "write"};
    char place[PATH_MAX];
    json_t *report;
    const json_t *figures, *baselines;

    make_place(place);
    report = report_of(PTSTAT("snapshot", "--json", "-n", "3", SMALL, "--snapshot-dir", place), "snapshot");
    figures = json_object_get(report, "figures");
    baselines = json_object_get(report, "baselines");
    check_environment(json_object_get(report, "environment"), SMALL_MEMORY, 8 << 20, 256 << 10);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        check_figure(figures, names[i], 3);
    ck_assert_uint_eq(json_object_size(figures), sizeof(names) / sizeof(names[0]));
    check_figure(baselines, "fork2", 3);
    check_figure(baselines, "cp", 3);
    ck_assert_uint_eq(json_object_size(baselines), 2);
    ck_assert_int_gt(integer(json_object_get(figures, "write"), "min"),
                     integer(json_object_get(figures, "pause"), "min")); /* the guest runs on while it is written */
    json_decref(report);
    ck_assert_msg(rmdir(place) == 0, "something is left in %s", place);
}
END_TEST

START_TEST(restore_reports_lazy_and_eager_beside_forks)
{
    static const char *const names[] = {"first_instruction", "first_output", "debt_paid"};
    char place[PATH_MAX], name[32];
    json_t *report;
    const json_t *figures, *baselines;

    make_place(place);
    report = report_of(PTSTAT("restore", "--json", "-n", "11", SMALL, "--snapshot-dir", place), "restore");
    figures = json_object_get(report, "figures");
    baselines = json_object_get(report, "baselines");
    check_environment(json_object_get(report, "environment"), SMALL_MEMORY, 8 << 20, 256 << 10);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        check_figure(figures, names[i], 11);
        snprintf(name, sizeof(name), "fork_%s", names[i]);
        check_figure(baselines, name, 11);
    }
    check_figure(figures, "eager_first_instruction", 2);
    check_figure(figures, "eager_first_output", 2);
    ck_assert_uint_eq(json_object_size(figures), 5);
    check_figure(baselines, "fork2", 11);
    check_figure(baselines, "full_copy", 2);
    ck_assert_uint_eq(json_object_size(baselines), 5);
    json_decref(report);
    ck_assert_msg(rmdir(place) == 0, "something is left in %s", place);
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

START_TEST(run_reports_four_ways_for_each_number_of_pages)
{
    static const char *const figure_names[] = {"library", "socket"}, *const baseline_names[] = {"bare", "fork2_exit"};
    static const unsigned pages[] = {1, 16, 100, 1000};
    json_t *report = report_of(PTSTAT("run", "--json", "-n", "2"), "run");
    const json_t *figures = json_object_get(report, "figures"), *baselines = json_object_get(report, "baselines");

    check_environment(json_object_get(report, "environment"), 16 << 20, 4096000, 4096000);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
        for (size_t k = 0; k < 2; k++) {
            char name[32];

            snprintf(name, sizeof(name), "%s_%u", figure_names[k], pages[i]);
            check_figure(figures, name, 2 * 10); /* executions in a round */
            snprintf(name, sizeof(name), "%s_%u", baseline_names[k], pages[i]);
            check_figure(baselines, name, 2 * 10);
        }
    ck_assert_uint_eq(json_object_size(figures), 8);
    ck_assert_uint_eq(json_object_size(baselines), 8);
    json_decref(report);
}
END_TEST

START_TEST(start_reports_launches_and_restores)
{
    static const char *const names[] = {"first_byte", "end", "restore_first_byte", "restore_end"};
    char place[PATH_MAX];
    json_t *report;
    const json_t *figures, *baselines;

    make_place(place);
    report = report_of(PTSTAT("start", "--json", "-n", "2", "--snapshot-dir", place), "start");
    figures = json_object_get(report, "figures");
    baselines = json_object_get(report, "baselines");
    check_environment(json_object_get(report, "environment"), 128 << 20, 0, 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        check_figure(figures, names[i], 2);
    ck_assert_uint_eq(json_object_size(figures), sizeof(names) / sizeof(names[0]));
    check_figure(baselines, "bare_first_byte", 2);
    check_figure(baselines, "bare_end", 2);
    ck_assert_uint_eq(json_object_size(baselines), 2);
    ck_assert_int_gt(integer(json_object_get(figures, "end"), "min"),
                     integer(json_object_get(figures, "first_byte"), "min"));
    json_decref(report);
    ck_assert_msg(rmdir(place) == 0, "something is left in %s", place);
}
END_TEST

/* Every row of a figure "NAME_N" is about N children, from none to as many as asked for, beside its own baseline. */
static void check_levels(const json_t *report, const unsigned *levels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char name[32];

        snprintf(name, sizeof(name), "fork_at_%u", levels[i]);
        check_figure(json_object_get(report, "figures"), name, 5);
        snprintf(name, sizeof(name), "fork2_at_%u", levels[i]);
        check_figure(json_object_get(report, "baselines"), name, 5);
    }
}

START_TEST(density_reports_bytes_and_forks_at_each_number_of_children)
{
    static const unsigned levels[] = {0, 1, 2, 5, 7};
    json_t *report = report_of(PTSTAT("density", "--json", "-n", "7", SMALL), "density");
    const json_t *figures = json_object_get(report, "figures"), *baselines = json_object_get(report, "baselines");
    const json_int_t dirty = 256 << 10;

    check_environment(json_object_get(report, "environment"), SMALL_MEMORY, 8 << 20, (uint64_t)dirty);
    check_levels(report, levels, 5);
    ck_assert_ptr_null(json_object_get(figures, "fork_at_10"));
    check_figure_in(figures, "bytes_per_child", "bytes", 7);
    check_figure_in(baselines, "fork2_bytes_per_child", "bytes", 7);
    /* A child has written its dirty set, so it takes that much; and far less than the resident set that it shares. */
    ck_assert_int_ge(integer(json_object_get(figures, "bytes_per_child"), "p50"), dirty);
    ck_assert_int_lt(integer(json_object_get(figures, "bytes_per_child"), "p50"), 8 << 20);
    ck_assert_int_ge(integer(json_object_get(baselines, "fork2_bytes_per_child"), "min"), dirty);
    ck_assert_int_lt(integer(json_object_get(baselines, "fork2_bytes_per_child"), "max"), 8 << 20);
    json_decref(report);
}
END_TEST

START_TEST(scattered_writes_take_as_much_memory)
{
    json_t *report = report_of(PTSTAT("density", "--json", "-n", "7", "--scatter", SMALL), "density");
    const json_int_t dirty = 256 << 10;

    ck_assert_int_ge(integer(json_object_get(json_object_get(report, "figures"), "bytes_per_child"), "p50"), dirty);
    ck_assert_int_ge(integer(json_object_get(json_object_get(report, "baselines"), "fork2_bytes_per_child"), "min"),
                     dirty);
    json_decref(report);
    report = report_of(PTSTAT("fault", "--json", "-n", "2", "--scatter", SMALL), "fault");
    check_figure(json_object_get(report, "figures"), "cow_fault", 2);
    json_decref(report);
}
END_TEST

START_TEST(tables_reports_the_library)
{
    static const char *const names[] = {"share_from", "copy_from", "unshare_one", "map",
                                        "query",      "protect",   "harvest",     "unmap"};
    json_t *report = report_of(PTSTAT("tables", "--json", "-n", "3", SMALL), "tables");
    const json_t *figures = json_object_get(report, "figures");
    const json_t *baselines = json_object_get(report, "baselines");

    check_environment(json_object_get(report, "environment"), SMALL_MEMORY, 8 << 20, 256 << 10);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        check_figure(figures, names[i], 3);
    ck_assert_uint_eq(json_object_size(figures), sizeof(names) / sizeof(names[0]));
    check_figure(baselines, "fork2", 3);
    check_figure(baselines, "full_copy", 3);
    ck_assert_uint_eq(json_object_size(baselines), 2);
    json_decref(report);
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
        {{"run", "--dirty", "64K"}, "--dirty"},
        {{"start", "--guest", "/x"}, "--guest"},
        {{"run", "--socket", "/x"}, "--socket"},
        {{"run", "--scatter"}, "--scatter"},
        {{"run", "--plot", "x.svg"}, "--plot"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_refusal(run_ptstat(bad[i].words), EXIT_USAGE, bad[i].names);
}
END_TEST

START_TEST(options_that_are_wrong_get_advice)
{
    static const char *const bad[][3] = {{"fork", "--bogus"}, {"fork", "--dirty"}};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct outcome outcome = run_ptstat(bad[i]);

        ck_assert_int_eq(outcome.status, EXIT_USAGE);
        ck_assert_msg(!strncmp(outcome.errors, "ptstat: ", 8) && strstr(outcome.errors, bad[i][1]) &&
                          strstr(outcome.errors, "\nTry 'ptstat --help'.\n"),
                      "%s", outcome.errors);
        outcome_free(&outcome);
    }
}
END_TEST

START_TEST(what_cannot_be_measured_is_one_line_and_exits_with_1)
{
    check_refusal(PTSTAT("snapshot", SMALL, "--snapshot-dir", "/nowhere"), EXIT_RUNTIME, "/nowhere");
    check_refusal(PTSTAT("restore", SMALL, "--snapshot-dir", "/proc"), EXIT_RUNTIME, "--snapshot-dir");
    check_refusal(PTSTAT("start", "--snapshot-dir", "/nowhere"), EXIT_RUNTIME, "/nowhere");
    check_refusal(PTSTAT("fork", "--socket", "/nowhere/socket"), EXIT_RUNTIME, "/nowhere/socket");
    check_refusal(PTSTAT("fork", "--guest", "/nowhere/guest", SMALL), EXIT_RUNTIME, "/nowhere/guest");
    check_refusal(PTSTAT("fork", "--resident", "1024G"), EXIT_RUNTIME, "1024 GiB");
    check_refusal(PTSTAT("density", "-n", "1000000", SMALL), EXIT_RUNTIME, "1000000 children");
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
    ck_assert_ptr_nonnull(strstr(outcome.output, "\n  density "));
    ck_assert_ptr_nonnull(strstr(outcome.output, "\n  tables "));
    ck_assert_ptr_nonnull(strstr(outcome.output, "\n  restore "));
    ck_assert_ptr_nonnull(strstr(outcome.output, "\n  run "));
    ck_assert_ptr_nonnull(strstr(outcome.output, "\n  start "));
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
    tcase_add_test(modes, snapshot_reports_memory_and_file);
    tcase_add_test(modes, restore_reports_lazy_and_eager_beside_forks);
    tcase_add_test(modes, reset_reports_both_sides);
    tcase_add_test(modes, reset_of_a_running_vmm_leaves_it_running);
    tcase_add_test(modes, run_reports_four_ways_for_each_number_of_pages);
    tcase_add_test(modes, start_reports_launches_and_restores);
    tcase_add_test(modes, density_reports_bytes_and_forks_at_each_number_of_children);
    tcase_add_test(modes, scattered_writes_take_as_much_memory);
    tcase_add_test(modes, tables_reports_the_library);
    tcase_add_test(modes, table_names_the_environment_and_every_figure);
    tcase_add_test(errors, usage_errors_are_one_line_and_exit_with_2);
    tcase_add_test(errors, options_that_are_wrong_get_advice);
    tcase_add_test(errors, what_cannot_be_measured_is_one_line_and_exits_with_1);
    tcase_add_test(errors, help_lists_the_modes_that_exist);
    suite_add_tcase(suite, modes);
    suite_add_tcase(suite, errors);
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
