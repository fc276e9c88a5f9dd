/* vmctl as people and scripts use it: what it prints, and its exit status. */
#include "tests/kvm/vmctl_common.h"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

START_TEST(guests_and_their_tree_are_shown)
{
    expect_output("fork 0 --count 2", "parent paused for ");
    expect_output("fork --guest 2 --paused", "(paused)");
    expect_output("kill 1", "");
    ck_assert_str_eq(output, "");
    expect_output("checkpoint 2", "paused for ");
    ck_assert_ptr_nonnull(strstr(output, "\npublished "));
    expect_output("guests", "ID  PARENT  STATE    GEN  VCPUS  MEMORY  CHILDREN  END     RESET TO\n"
                            "0   -       running  0    1      16 MiB  2         -       -\n"
                            "1   0       exited   1    1      16 MiB  0         killed  -\n"
                            "2   0       running  1    1      16 MiB  1         -       checkpoint\n"
                            "3   2       paused   2    1      16 MiB  0         -       fork\n");
    expect_output("tree", "g0  running\n"
                          "|- g1  exited (killed)\n"
                          "`- g2  running\n"
                          "   `- g3  paused\n");
}
END_TEST

START_TEST(json_is_what_the_vmm_returns)
{
    const char *commands[] = {"guests",       "tree",      "fork",    "stats 0",  "translate 0 0x200000",
                              "marks 0",      "console 0", "version", "commands", "read-memory 0 2M 16",
                              "checkpoint 0", "reset 0",   "pause 0"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char words[128];
        snprintf(words, sizeof words, "--json %s", commands[i]);
        ck_assert_msg(vmctl(words) == 0, "%s: %s", words, output);
        json_t *value = json_loads(output, 0, NULL);
        ck_assert_msg(value != NULL, "%s: %s", words, output);
        json_decref(value);
        ck_assert_ptr_eq(strchr(output, '\n'), output + strlen(output) - 1);
    }
}
END_TEST

START_TEST(memory_and_console_are_shown)
{
    expect_output("read-memory 0 0x200000 40", "0000000000200020  ");
    expect_output("read-memory --raw 0 2M 100000", "");
    expect_output("translate 0 0x200000", "LEVEL  ENTRY\n4      0x");
    expect_status("translate 0 1G", 3, "no page there\nLEVEL  ENTRY\n4      0x");
    expect_status("--json translate 0 1G", 3, "\"mapped\":false");
    expect_output("stats 0", "exits_io");
    expect_output("console 0", "counter ");
}
END_TEST

START_TEST(checkpoints_and_resets_say_what_they_cost)
{
    expect_output("checkpoint 0", "paused for ");
    expect_output("reset 0", "reset in ");
    ck_assert_ptr_nonnull(strstr(output, "(stop "));
    ck_assert_ptr_nonnull(strstr(output, ", memory "));
    ck_assert_ptr_nonnull(strstr(output, "dropped "));
    expect_output("stats 0", "resets                 1\n");
}
END_TEST

/* In the folder of the test: paths mean what they mean to the caller, whatever the VMM's own folder is. */
START_TEST(guests_are_saved_and_restored)
{
    char program[PATH_MAX], words[PATH_MAX + 200], folder[] = "/tmp/vmctl-XXXXXX", old[PATH_MAX];
    vmm_build_path(words, sizeof words, "tools/vmctl");
    ck_assert(realpath(words, program) && getcwd(old, sizeof old) && mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    snprintf(words, sizeof words, "%s --socket %s ", program, vmm_process_socket(vmm));
    char *end = words + strlen(words);
    static const char *const commands[][2] = {
        {"snapshot 0 full.snap", " pages in "},
        {"snapshot --diff --compress 0 ./diff.snap", " of file in "},
        {"snapshot 0 full.snap", "\npaused for "},
        {"restore full.snap", "g1 ready after "},
        {"restore --paused --eager diff.snap", "snapshot"},
        {"--json restore --paused full.snap", "{\"id\":2,\"ready_ns\":0}\n"},
        {"--json snapshot 2 other.snap", "{\"bytes\":"},
        {"restore none.snap", "/none.snap"},
        {"snapshot 0 none/none.snap", "/none/none.snap"},
        {"restore ''", "\"path\""},
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        snprintf(end, sizeof words - (size_t)(end - words), "%s 2>&1", commands[i][0]);
        FILE *pipe = popen(words, "r");
        ck_assert_ptr_nonnull(pipe);
        output[fread(output, 1, sizeof output - 1, pipe)] = '\0';
        bool failed = pclose(pipe) != 0;
        ck_assert_msg(strstr(output, commands[i][1]) != NULL, "%s: %s", commands[i][0], output);
        ck_assert_int_eq(failed, strstr(output, "failed") != NULL);
    }
    ck_assert_int_eq(unlink("full.snap") | unlink("diff.snap") | unlink("other.snap") | chdir(old) | rmdir(folder), 0);
}
END_TEST

START_TEST(several_guests_are_killed_at_once)
{
    expect_output("fork --count 4", "");
    expect_output("kill 1 3", "");
    ck_assert_str_eq(output, "");
    expect_status("kill 1 2", 1, "vmctl: kill failed: ");
    expect_output("guests", "");
    ck_assert_ptr_nonnull(strstr(output, "\n2   0       exited "));
    ck_assert_ptr_nonnull(strstr(output, "\n4   0       running "));
}
END_TEST

/* With the last guest the VMM ends, as after any kill of the last one. */
START_TEST(all_guests_are_killed)
{
    expect_output("fork 0", "");
    expect_output("fork 1 --paused", "");
    expect_output("checkpoint 1", "");
    expect_output("kill --all", "");
    ck_assert_str_eq(output, "");
    ck_assert_int_eq(vmm_process_wait(vmm, 20000), 124);
}
END_TEST

START_TEST(failures_say_what_and_exit_with_1)
{
    expect_status("kill 99", 1, "vmctl: kill failed: ");
    ck_assert_ptr_nonnull(strstr(output, "(GuestNotFound)\n"));
    expect_status("read-memory 0 1G 4", 1, "(InvalidArgument)\n");
    expect_status("reset 0", 1, "vmctl: reset failed: guest 0 has nothing to return to");
    ck_assert_ptr_nonnull(strstr(output, "(Unsupported)\n"));
    expect_status("--socket /nonexistent guests", 1, "/nonexistent");
}
END_TEST

START_TEST(wrong_command_lines_exit_with_2)
{
    expect_status("", 2, "no command");
    expect_status("--socket= guests", 2, "no socket");
    expect_status("frobnicate", 2, "\"frobnicate\"");
    expect_status("kill", 2, "GUEST is missing");
    expect_status("pause 1 2", 2, "one argument too many");
    expect_status("kill one", 2, "\"one\" is not a number");
    expect_status("kill -1", 2, "");
    expect_status("kill --raw 1", 2, "kill does not take --raw");
    expect_status("kill 99999999999999999999", 2, "too large");
    expect_status("translate 0 9999999999G", 2, "too large");
    expect_status("read-memory 0 0", 2, "LENGTH is missing");
    expect_status("--bogus", 2, "bogus");
}
END_TEST

START_TEST(events_are_followed_to_the_end)
{
    FILE *events = begin_vmctl("events");
    char text[256] = "";
    for (int i = 0; i < 200 && !*text; i++) { /* until it is connected and shows something */
        expect_output("pause 0", "");
        expect_output("resume 0", "");
        struct pollfd poller = {.fd = fileno(events), .events = POLLIN};
        if (poll(&poller, 1, 50) == 1)
            ck_assert_ptr_nonnull(fgets(text, sizeof text, events));
    }
    ck_assert_ptr_nonnull(strstr(text, "  g0    "));
    expect_output("fork --count 2", "");
    expect_output("quit", "");
    bool forked = false, exited = false;
    while (fgets(text, sizeof text, events)) {
        forked |= strstr(text, "g0    FORKED into g1 g2\n") != NULL;
        exited |= strstr(text, "g2    EXITED killed\n") != NULL;
    }
    ck_assert_int_eq(pclose(events), 0);
    ck_assert(forked && exited);
    ck_assert_int_eq(vmm_process_wait(vmm, 20000), 124);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("vmctl");
    tcase_add_checked_fixture(tests, start_vmm, end_vmm);
    tcase_add_test(tests, guests_and_their_tree_are_shown);
    tcase_add_test(tests, json_is_what_the_vmm_returns);
    tcase_add_test(tests, memory_and_console_are_shown);
    tcase_add_test(tests, checkpoints_and_resets_say_what_they_cost);
    tcase_add_test(tests, guests_are_saved_and_restored);
    tcase_add_test(tests, several_guests_are_killed_at_once);
    tcase_add_test(tests, all_guests_are_killed);
    tcase_add_test(tests, failures_say_what_and_exit_with_1);
    tcase_add_test(tests, wrong_command_lines_exit_with_2);
    tcase_add_test(tests, events_are_followed_to_the_end);
    return run_suite(tests);
}
