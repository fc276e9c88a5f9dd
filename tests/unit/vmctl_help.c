/* What vmctl says of itself, and to whom its command line is wrong; without a VMM. */
#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char output[1 << 16];

/* Runs the vmctl of this build without a socket, errors going where output goes. Its exit status. */
static int vmctl(const char *words)
{
    char self[PATH_MAX] = "", line[2 * PATH_MAX];
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    char *tests = strstr(self, "/tests/unit/");
    ck_assert_ptr_nonnull(tests);
    *tests = '\0';
    snprintf(line, sizeof line, "env -u CLEAVE_SOCKET LC_ALL=C '%s/tools/vmctl' %s 2>&1", self, words);
    FILE *pipe = popen(line, "r");
    ck_assert_ptr_nonnull(pipe);
    output[fread(output, 1, sizeof output - 1, pipe)] = '\0';
    int status = pclose(pipe);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(const char *words, int status, const char *phrase)
{
    ck_assert_msg(vmctl(words) == status, "vmctl %s: %s", words, output);
    ck_assert_msg(strstr(output, phrase) != NULL, "vmctl %s: no \"%s\" in: %s", words, phrase, output);
}

START_TEST(help_lists_the_commands)
{
    expect("help", 0, "Usage: vmctl [OPTION...] COMMAND");
    ck_assert_ptr_nonnull(strstr(output, "\n  fork [GUEST] "));
    ck_assert_ptr_nonnull(strstr(output, "\n  kill GUEST... "));
    ck_assert_ptr_nonnull(strstr(output, "fork, reset, restore: do not start"));
    char *same = strdup(output);
    expect("--help", 0, "Usage");
    ck_assert_str_eq(output, same);
    expect("-?", 0, "Usage");
    ck_assert_str_eq(output, same);
    free(same);
    expect("--usage", 0, "Usage: vmctl ");
    expect("--version", 0, "vmctl ");
    expect("-V", 0, "vmctl ");
}
END_TEST

/* Each command that help lists has a help of its own, which names its options, and `COMMAND --help` is the same. */
START_TEST(every_command_has_help_of_its_own)
{
    char list[sizeof output], *next = list;
    size_t count = 0;
    ck_assert_int_eq(vmctl("help"), 0);
    snprintf(list, sizeof list, "%s", output);
    next = strstr(list, "Commands:\n");
    ck_assert_ptr_nonnull(next);
    next = strchr(next, '\n') + 1;
    for (; strncmp(next, "  ", 2) == 0; next = strchr(next, '\n') + 1, count++) {
        char name[32], words[64], usage[64];
        ck_assert_int_eq(sscanf(next, " %31s", name), 1);
        snprintf(words, sizeof words, "help %s", name);
        snprintf(usage, sizeof usage, " %s", name);
        expect(words, 0, usage);
        ck_assert(strncmp(output, "Usage: vmctl", 12) == 0);
        char *same = strdup(output);
        snprintf(words, sizeof words, "%s --help", name);
        expect(words, 0, usage);
        ck_assert_str_eq(output, same);
        free(same);
    }
    ck_assert_uint_gt(count, 20);
    expect("help fork", 0, "Usage: vmctl [OPTION...] fork [GUEST]\n");
    ck_assert_ptr_nonnull(strstr(output, "  -n, --count=N "));
    ck_assert_ptr_nonnull(strstr(output, "      --paused "));
    ck_assert_ptr_null(strstr(output, "--raw"));
    expect("help snapshot-info", 0, "--json");
    ck_assert_ptr_null(strstr(output, "--socket"));
    expect("events --help", 0, "OVERLAY_LIMIT");
}
END_TEST

START_TEST(what_is_mistyped_gets_a_hint)
{
    static const char *const wrong[][2] = {
        {"", "no command; 'vmctl help' lists them"},
        {"forc", "no command \"forc\"; did you mean \"fork\"? 'vmctl help' lists them"},
        {"snapshoot 0 x", "did you mean \"snapshot\"?"},
        {"frobnicate", "no command \"frobnicate\"; 'vmctl help' lists them"},
        {"help frobnicate", "no command \"frobnicate\"; 'vmctl help' lists them"},
        {"--help kil", "no command \"kil\"; did you mean \"kill\"?"},
        {"x", "no command \"x\"; 'vmctl help' lists them"},
        {"--bogus", "unrecognized option '--bogus'\nTry 'vmctl help'.\n"},
        {"kill -x", "invalid option -- 'x'\nTry 'vmctl help'.\n"},
        {"fork --count", "requires an argument\nTry 'vmctl help'.\n"},
        {"kill", "kill: GUEST is missing; try 'vmctl help kill'"},
        {"kill --raw 1", "kill does not take --raw; try 'vmctl help kill'"},
        {"kill --all 1", "kill: both \"1\" and --all: give one of them"},
        {"kill 1 two", "GUEST: \"two\" is not a number"},
        {"pause 1 2", "\"2\" is one argument too many; try 'vmctl help pause'"},
        {"fork 1 2", "\"2\" is one argument too many; try 'vmctl help fork'"},
        {"fork one", "GUEST: \"one\" is not a number"},
        {"fork 0 --guest 0", "fork: both \"0\" and --guest: give one of them"},
        {"help fork kill", "\"kill\" is one argument too many"},
        {"console --follow --json 0", "does not go with --json"},
        {"fork", "no socket: give --socket PATH or set CLEAVE_SOCKET"},
        {"kill 9223372036854775808", "too large"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        expect(wrong[i][0], 2, wrong[i][1]);
        ck_assert_msg(strncmp(output, "vmctl: ", 7) == 0, "%s", output);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vmctl_help");
    TCase *tests = tcase_create("help");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, help_lists_the_commands);
    tcase_add_test(tests, every_command_has_help_of_its_own);
    tcase_add_test(tests, what_is_mistyped_gets_a_hint);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
