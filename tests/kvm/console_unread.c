/*
 * A guest whose console nobody reads: it waits, and nothing else does. Every command is answered, also about that
 * guest; its other vCPUs run; it is paused, forked, reset and killed at once; and the VMM ends when it is told to.
 */
#include "tests/support/kvm_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A FIFO without room, whose reader never reads. */
struct unread {
    char option[600], *path;
    int reader;
};

static void make_unread(struct unread *unread)
{
    snprintf(unread->option, sizeof unread->option, "file:%s/unread-%d", getenv("TMPDIR"), getpid());
    unread->path = unread->option + 5;
    ck_assert_int_eq(mkfifo(unread->path, 0600), 0);
    unread->reader = open(unread->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(unread->reader, 0);
    const int writer = open(unread->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(writer, 0);
    while (write(writer, "\n", 1) == 1) {
    }
    close(writer);
}

static void remove_unread(struct unread *unread)
{
    close(unread->reader);
    unlink(unread->path);
}

static bool stands_still(struct rig *rig, uint64_t guest)
{
    const uint64_t before = rig_stat(rig, guest, "exits_io");
    rig_sleep_ms(500);
    return before && rig_stat(rig, guest, "exits_io") == before;
}

/* The console's own text. */
static void check_console(struct rig *rig, uint64_t guest)
{
    char *text = rig_console(rig, guest);
    ck_assert_ptr_nonnull(strstr(text, "nobody does"));
    free(text);
}

START_TEST(guest_that_waits_for_its_reader_delays_no_command)
{
    struct unread unread;
    make_unread(&unread);
    struct rig rig = RIG("--memory", "8M", "--console", unread.option, "@flood");
    RIG_UNTIL(stands_still(&rig, 0));
    check_console(&rig, 0);
    uint64_t children[2];
    rig_fork(&rig, 0, 2, false, children);
    RIG_UNTIL(stands_still(&rig, children[0]));
    json_decref(rig_call(&rig, "reset", "{s:I}", "guest", (json_int_t)children[0]));
    json_decref(rig_call(&rig, "checkpoint", "{s:I}", "guest", (json_int_t)0));
    json_decref(rig_call(&rig, "reset", "{s:I}", "guest", (json_int_t)0));
    RIG_UNTIL(stands_still(&rig, 0));
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "resume", 0);
    rig_do(&rig, "kill", children[1]);
    check_console(&rig, 0);
    ck_assert_uint_eq(rig_live(&rig), 2);
    vmm_process_signal(rig.process, SIGTERM);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
    remove_unread(&unread);
}
END_TEST

START_TEST(vcpu_that_waits_for_its_reader_delays_no_fork_of_another_vcpu)
{
    struct unread unread;
    make_unread(&unread);
    struct rig rig = RIG("--memory", "8M", "--cpus", "2", "--console", unread.option, "@flood", "forks=1", "after=150");
    RIG_UNTIL(rig_probe(&rig, 0).cpu[0].counter > 4); /* a few lines more fill what the VMM keeps of them */
    check_console(&rig, 0);
    vmm_process_signal(rig.process, SIGTERM);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
    remove_unread(&unread);
}
END_TEST

START_TEST(reader_who_comes_back_gets_whole_lines)
{
    struct unread unread;
    make_unread(&unread);
    struct rig rig = RIG("--memory", "8M", "--console", unread.option, "@flood");
    RIG_UNTIL(stands_still(&rig, 0));
    FILE *reader = fdopen(unread.reader, "r");
    ck_assert_ptr_nonnull(reader);
    ck_assert_int_eq(fcntl(unread.reader, F_SETFL, 0), 0);
    char line[256];
    do
        ck_assert_ptr_nonnull(fgets(line, sizeof line, reader));
    while (line[0] == '\n');
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert_ptr_nonnull(fgets(line, sizeof line, reader));
        ck_assert_msg(strncmp(line, "a line that", 11) == 0 && strstr(line, "it here\n"), "line %u: %s", i, line);
    }
    rig_quit(&rig);
    fclose(reader);
    unlink(unread.path);
}
END_TEST

/* The guest ends at once; what it has written keeps the VMM for a while, with nobody left to talk to. */
START_TEST(signal_while_the_vmm_ends_changes_no_exit_status)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct unread unread;
    make_unread(&unread);
    signal(SIGHUP, SIG_DFL); /* nohup(1) may have been here */
    struct rig rig = RIG("--memory", "8M", "--paused", "--console", unread.option, "@hello", "code=3");
    rig_do(&rig, "resume", 0);
    RIG_UNTIL(access(vmm_process_socket(rig.process), F_OK) < 0);
    unsigned sent = 0;
    for (; vmm_process_wait(rig.process, 20) < 0; sent++)
        vmm_process_signal(rig.process, signals[sent % 3]);
    ck_assert_uint_gt(sent, 3);
    ck_assert_int_eq(rig_wait_exit(&rig), 3);
    remove_unread(&unread);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("console_unread");
    TCase *tests = tcase_create("unread");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, guest_that_waits_for_its_reader_delays_no_command);
    tcase_add_test(tests, vcpu_that_waits_for_its_reader_delays_no_fork_of_another_vcpu);
    tcase_add_test(tests, reader_who_comes_back_gets_whole_lines);
    tcase_add_test(tests, signal_while_the_vmm_ends_changes_no_exit_status);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
