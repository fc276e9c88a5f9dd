/*
 * ptstat --plot as its users see it: what is measured for it, that the file is there whole or not at all, and one line
 * for each error. A stand-in for gnuplot hands back the script it is given, so that this runs where there is none; what
 * gnuplot makes of scripts is tested by tests/unit/ptstat_plot.c.
 */
#include "tests/kvm/ptstat_common.h"
#include "tests/support/rounds.h"

#include <dirent.h>
#include <sys/stat.h>

#define OLD "what was there before"

static char place[PATH_MAX];
static char target[PATH_MAX + 16];

static void write_text(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fchmod(fileno(file), mode), 0);
    ck_assert_int_eq(fclose(file), 0);
}

/* Puts a gnuplot that runs these commands of the shell first in $PATH. */
static void set_gnuplot(const char *commands)
{
    char path[PATH_MAX + 16], script[256], search[2 * PATH_MAX];

    snprintf(path, sizeof(path), "%s/gnuplot", place);
    snprintf(script, sizeof(script), "#!/bin/sh\n%s\n", commands);
    write_text(path, script, 0755);
    snprintf(search, sizeof(search), "%s:%s", place, getenv("PATH"));
    ck_assert_int_eq(setenv("PATH", search, 1), 0);
}

static void setup(void)
{
    make_place(place);
    snprintf(target, sizeof(target), "%s/plot.svg", place);
}

/* Nothing is left but the stand-in and, if it should be there, the plot. */
static void check_left(bool has_plot)
{
    const struct dirent *entry;
    DIR *folder = opendir(place);

    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder)))
        ck_assert_msg(entry->d_name[0] == '.' || !strcmp(entry->d_name, "gnuplot") ||
                          (has_plot && !strcmp(entry->d_name, "plot.svg")),
                      "%s is left", entry->d_name);
    closedir(folder);
    ck_assert_int_eq(access(target, F_OK) == 0, has_plot);
}

static void teardown(void)
{
    char path[PATH_MAX + 16];

    snprintf(path, sizeof(path), "%s/gnuplot", place);
    unlink(path);
    unlink(target);
    ck_assert_int_eq(rmdir(place), 0);
}

static char *read_target(void)
{
    FILE *file = fopen(target, "r");

    ck_assert_ptr_nonnull(file);
    return read_all(file);
}

static void check_words(const char *text, const char *const words[])
{
    for (size_t i = 0; words[i]; i++)
        ck_assert_msg(strstr(text, words[i]) != NULL, "no %s", words[i]);
}

/* Of every curve the legend says what it means, and below it stands what follows. */
static void check_meanings(const char *script)
{
    size_t titles = 0;

    for (const char *at = script; (at = strstr(at, "' title '")); at++, titles++)
        ck_assert_msg(strcspn(at + 9, ":") < strcspn(at + 9, "'"), "no meaning: %.60s", at);
    ck_assert_uint_gt(titles, 1);
    ck_assert_ptr_nonnull(strstr(script, "'What follows: "));
}

START_TEST(fork_is_drawn_by_dirty_and_resident_size)
{
    static const char *const words[] = {"'ptstat fork: ",
                                        "Linux ",
                                        "'8 MiB resident'",
                                        "'256 KiB dirty'",
                                        "'pause: ",
                                        "'first_output: ",
                                        "'dirty ",
                                        "'fork2 (baseline): ",
                                        "'full_copy (baseline): ",
                                        "'resident size",
                                        "'4K' 4096",
                                        "'64K' ",
                                        "'256K' ",
                                        "'1M' 1048576",
                                        "'512K' 524288",
                                        "'8M' ",
                                        "'32M' 33554432",
                                        NULL};
    const bool once = on_slow_machine();
    json_t *report;
    struct stat status;
    char *script;

    set_gnuplot("cat");
    umask(022);
    report = report_of(PTSTAT("fork", "--json", "-n", once ? "1" : "2", SMALL, "--plot", target), "fork");
    check_environment(json_object_get(report, "environment"), SMALL_MEMORY, 8 << 20, 256 << 10);
    check_figure(json_object_get(report, "figures"), "pause", once ? 1 : 2);
    json_decref(report);
    script = read_target();
    check_words(script, words);
    check_meanings(script);
    free(script);
    ck_assert_int_eq(stat(target, &status), 0);
    ck_assert_uint_eq(status.st_mode, S_IFREG | 0644);
    check_left(true);
}
END_TEST

START_TEST(density_is_drawn_by_children_and_by_dirty_size)
{
    static const char *const words[] = {"'fork_at_N: ",
                                        "'fork2_at_N (baseline): ",
                                        "'1' 1",
                                        "'4' 4",
                                        "'bytes_per_child: ",
                                        "'fork2_bytes_per_child (baseline): ",
                                        "'1M' 1048576",
                                        NULL};
    char *script;

    set_gnuplot("cat");
    json_decref(report_of(PTSTAT("density", "--json", "-n", "3", SMALL, "--plot", target), "density"));
    script = read_target();
    check_words(script, words);
    check_meanings(script);
    ck_assert_ptr_null(strstr(script, "resident size"));
    free(script);
    check_left(true);
}
END_TEST

/* Every mode has something to draw; the file that was there is replaced. */
START_TEST(each_mode_is_drawn)
{
    static const struct {
        const char *mode, *figure, *baseline;
    } modes[] = {
        {"snapshot", "'write: ", "'cp (baseline): "},
        {"restore", "'first_instruction: ", "'fork_first_instruction (baseline): "},
        {"reset", "'reset: ", "'bare_reset (baseline): "},
        {"fault", "'cow_fault: ", "'bare_cow_fault (baseline): "},
        {"tables", "'share_from: ", "'fork2 (baseline): "},
    };

    const char *resident = on_slow_machine() ? "256K" : "2M"; /* which says how many sizes are drawn */

    set_gnuplot("cat");
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        char *script;

        write_text(target, OLD, 0600);
        json_decref(report_of(PTSTAT(modes[i].mode, "--json", "-n", "1", "--resident", resident, "--dirty", "16K",
                                     "--plot", target, "--snapshot-dir", place),
                              modes[i].mode));
        script = read_target();
        check_words(script, (const char *const[]){modes[i].figure, modes[i].baseline, NULL});
        check_meanings(script);
        free(script);
        check_left(true);
    }
}
END_TEST

/* Nothing is measured in vain: what can be seen at the start is said there. */
START_TEST(what_cannot_be_drawn_is_one_line)
{
    set_gnuplot("cat");
    check_refusal(PTSTAT("fork", SMALL, "--plot", place), EXIT_RUNTIME, place);
    check_refusal(PTSTAT("fork", SMALL, "--plot", "/nowhere/plot.svg"), EXIT_RUNTIME, "/nowhere/plot.svg");
    check_refusal(PTSTAT("fork", SMALL, "--plot", "/dev/null"), EXIT_RUNTIME, "/dev/null");
    check_refusal(PTSTAT("fork", SMALL, "--plot", ""), EXIT_USAGE, "--plot");
    check_refusal(PTSTAT("fork", "--socket", "/x", "--plot", target), EXIT_USAGE, "--plot");
    check_left(false);
    setenv("PATH", "/nowhere", 1);
    check_refusal(PTSTAT("fork", SMALL, "--plot", target), EXIT_RUNTIME, "gnuplot-nox");
    check_left(false);
}
END_TEST

START_TEST(a_gnuplot_that_fails_leaves_the_old_file)
{
    static const char *const failing[] = {"echo; echo 'line 7: no such terminal' >&2; exit 1", "exit 0",
                                          "cat; kill -9 $$"};
    static const char *const says[] = {"no such terminal", "gnuplot failed", "gnuplot failed"};

    for (size_t i = 0; i < 3; i++) {
        char *text;

        set_gnuplot(failing[i]);
        write_text(target, OLD, 0600);
        check_refusal(PTSTAT("tables", "-n", "1", "--resident", "64K", "--dirty", "4K", "--plot", target), EXIT_RUNTIME,
                      says[i]);
        text = read_target();
        ck_assert_str_eq(text, OLD);
        free(text);
        check_left(true);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ptstat_plot");
    TCase *plots = tcase_create("plots");
    SRunner *runner = srunner_create(suite);
    int failures;

    tcase_set_timeout(plots, TIME_LIMIT_S);
    tcase_add_checked_fixture(plots, setup, teardown);
    tcase_add_test(plots, fork_is_drawn_by_dirty_and_resident_size);
    tcase_add_test(plots, density_is_drawn_by_children_and_by_dirty_size);
    tcase_add_test(plots, each_mode_is_drawn);
    tcase_add_test(plots, what_cannot_be_drawn_is_one_line);
    tcase_add_test(plots, a_gnuplot_that_fails_leaves_the_old_file);
    suite_add_tcase(suite, plots);
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
