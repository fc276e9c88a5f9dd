/*
 * What the VMM says on stderr: nobody who does not read it stops anything, and no guest can fill it.
 */
#include "tests/support/kvm_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Starts the vmm with `errors` as its stderr, and a control socket at `path`. */
static pid_t start_with_errors(int errors, const char *path, const char *const words[])
{
    char vmm[4096];
    vmm_build_path(vmm, sizeof vmm, "vmm");
    char **argv = rig_words(vmm, words);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(2 * RIG_PATIENCE_MS / 1000);
        dup2(errors, STDERR_FILENO);
        execv(argv[0], argv);
        _exit(127);
    }
    rig_free_words(argv);
    for (int i = 0; i < RIG_PATIENCE_MS / 5 && access(path, F_OK) < 0; i++)
        rig_sleep_ms(5);
    return child;
}

/* A pipe without any room left. */
static void make_full_pipe(int ends[2])
{
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(ends[1], "x", 1) == 1) {
    }
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
}

START_TEST(stderr_that_nobody_reads_stops_nothing)
{
    char path[512];
    snprintf(path, sizeof path, "%s/control", getenv("TMPDIR"));
    int ends[2];
    make_full_pipe(ends);
    const char *const words[] = {"--control", path,    "--memory", "8M",        "--limit-guests", "1",
                                 "--log",     "debug", "@flood",   "console=0", "forks=1",        NULL};
    const pid_t child = start_with_errors(ends[1], path, words);
    struct client_error error;
    struct rig rig = {.client = client_open(path, RIG_PATIENCE_MS, &error)};
    ck_assert_msg(rig.client != NULL, "%s", error.text);
    RIG_UNTIL(rig_probe(&rig, 0).cpu[1].counter > 20);
    ck_assert(rig_state_is(&rig, 0, "running"));
    json_decref(rig_call(&rig, "quit", NULL));
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_VMM_QUIT, "status %#x", (unsigned)status);
    client_close(rig.client);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

static unsigned count_lines(const char *text, const char *word)
{
    unsigned count = 0;
    for (; (text = strstr(text, word)); text++)
        count++;
    return count;
}

START_TEST(guest_that_asks_for_forks_in_vain_says_so_a_few_times_and_how_often_in_all)
{
    const uint64_t start = rig_now_ms();
    struct rig rig = RIG("--memory", "8M", "--limit-guests", "1", "@flood", "console=0", "forks=1");
    RIG_UNTIL(rig_probe(&rig, 0).cpu[1].counter > 300);
    rig_do(&rig, "pause", 0);
    const uint64_t refused = rig_probe(&rig, 0).cpu[1].counter;
    json_decref(rig_call(&rig, "quit", NULL));
    ck_assert_int_eq(vmm_process_wait(rig.process, RIG_PATIENCE_MS), EXIT_VMM_QUIT);
    char *errors = vmm_process_errors(rig.process);
    const unsigned told = count_lines(errors, "its fork into 1 was refused");
    const uint64_t seconds = (rig_now_ms() - start) / 1000;
    ck_assert_msg(told >= 1 && told <= 6 + seconds, "%u lines in %llu s", told, (unsigned long long)seconds);
    uint64_t all = told;
    for (const char *at = errors; (at = strstr(at, "guest 0: ")); at++) {
        unsigned long long more;
        if (sscanf(at, "guest 0: %llu more of its forks were refused", &more) == 1)
            all += more;
    }
    /* One may have been refused that the guest has not counted yet. */
    ck_assert_msg(all == refused || all == refused + 1, "%llu told, %llu refused: %s", (unsigned long long)all,
                  (unsigned long long)refused, errors);
    free(errors);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
}
END_TEST

START_TEST(children_that_crash_one_after_the_other_are_told_of_a_few_times)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "--paused", "@crash", "how=ud");
    uint64_t children[20];
    rig_fork(&rig, 0, 20, true, children);
    const uint64_t start = rig_now_ms();
    for (int i = 0; i < 20; i++)
        rig_do(&rig, "resume", children[i]);
    for (int i = 0; i < 20; i++)
        RIG_UNTIL(rig_state_is(&rig, children[i], "crashed"));
    rig_do(&rig, "resume", 0);
    RIG_UNTIL(rig_state_is(&rig, 0, "crashed"));
    json_decref(rig_call(&rig, "quit", NULL));
    ck_assert_int_eq(vmm_process_wait(rig.process, RIG_PATIENCE_MS), EXIT_VMM_QUIT);
    char *errors = vmm_process_errors(rig.process);
    ck_assert_ptr_nonnull(strstr(errors, "vmm: guest 0 crashed: ")); /* not held back by its children */
    unsigned told = count_lines(errors, " crashed: "), all = told;
    for (const char *at = errors; (at = strstr(at, "vmm: ")); at++) {
        unsigned more;
        if (sscanf(at, "vmm: %u more crashes", &more) == 1)
            all += more;
    }
    ck_assert_uint_eq(all, 21);
    const uint64_t seconds = (rig_now_ms() - start) / 1000;
    ck_assert_msg(told <= 7 + seconds, "%u reports in %llu s", told, (unsigned long long)seconds);
    free(errors);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_unread");
    TCase *tests = tcase_create("unread");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, stderr_that_nobody_reads_stops_nothing);
    tcase_add_test(tests, guest_that_asks_for_forks_in_vain_says_so_a_few_times_and_how_often_in_all);
    tcase_add_test(tests, children_that_crash_one_after_the_other_are_told_of_a_few_times);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
