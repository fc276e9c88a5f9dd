/* Launching guests that are fine: flat and ELF, at either level, with all options, and where their output goes. */
#include "tests/support/kvm_rig.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void check_output(struct outcome outcome, int status, const char *output)
{
    ck_assert_msg(outcome.status == status, "exit status %d, want %d; stderr: %s", outcome.status, status,
                  outcome.errors);
    ck_assert_str_eq(outcome.output, output);
    ck_assert_str_eq(outcome.errors, "");
    outcome_free(&outcome);
}

#define HELLO_OF(cpus, ram) "hello from guest 0 generation 0 vcpus " cpus " ram " ram "\n"
#define HELLO               HELLO_OF("1", "67108864")

START_TEST(flat_binary_and_elf_executable_say_hello)
{
    check_output(RUN("@hello"), 0, HELLO);
    check_output(RUN("@hello.elf"), 0, HELLO);
}
END_TEST

START_TEST(guest_may_start_at_either_level)
{
    check_output(RUN("--cpl", "0", "@hello"), 0, HELLO);
    check_output(RUN("--cpl", "3", "@hello"), 0, HELLO);
    check_output(RUN("--cpl=3", "@hello.elf"), 0, HELLO);
}
END_TEST

START_TEST(exit_code_of_the_guest_is_the_vmms)
{
    check_output(RUN("@hello", "code=1"), 1, HELLO);
    check_output(RUN("@hello", "code=42"), 42, HELLO);
    check_output(RUN("@hello", "code=255"), 255, HELLO);
    check_output(RUN("@hello", "code=259"), 3, HELLO); /* modulo 256 */
}
END_TEST

START_TEST(words_after_the_guest_are_its_arguments)
{
    struct outcome outcome = RUN("@hello", "--memory", "code=3");
    ck_assert_int_eq(outcome.status, 2);
    ck_assert_str_eq(outcome.output, "bad argument: --memory: not of the form key=value\n");
    ck_assert_ptr_nonnull(strstr(outcome.errors, "--memory comes after the guest")); /* it may have been meant for us */
    outcome_free(&outcome);
    outcome = RUN("@hello", "--", "--memory", "code=3");
    ck_assert_str_eq(outcome.errors, ""); /* no doubt about these */
    outcome_free(&outcome);
    outcome = RUN("@hello", "--memories", "memory=1");
    ck_assert_str_eq(outcome.errors, "");
    outcome_free(&outcome);
    check_output(RUN("--", "@hello", "code=3"), 3, HELLO);
}
END_TEST

START_TEST(arguments_up_to_a_page_reach_the_guest)
{
    char word[3000];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    struct outcome outcome = RUN("@hello", word);
    ck_assert_int_eq(outcome.status, 2);
    ck_assert_msg(strstr(outcome.output, word) != NULL, "%s", outcome.output);
    outcome_free(&outcome);
}
END_TEST

START_TEST(guest_has_the_memory_it_was_given)
{
    check_output(RUN("--memory", "4M", "@hello"), 0, HELLO_OF("1", "4194304"));
    check_output(RUN("--memory", "4100K", "@hello"), 0, HELLO_OF("1", "4198400"));
    check_output(RUN("--memory", "7340032", "@hello"), 0, HELLO_OF("1", "7340032"));
    check_output(RUN("--memory=1G", "@hello"), 0, HELLO_OF("1", "1073741824"));
    check_output(RUN("--memory", "5G", "@hello"), 0, HELLO_OF("1", "5368709120"));
}
END_TEST

START_TEST(all_memory_can_be_written_to_the_last_page)
{
    struct rig rig = RIG("--memory", "6M", "--linger", "@pattern", "mode=hold", "passes=1");
    rig_wait_exited(&rig, 0, 0);
    rig_quit(&rig);
    rig = RIG("--memory", "5124K", "--linger", "@pattern", "mode=hold", "passes=1");
    rig_wait_exited(&rig, 0, 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(every_vcpu_runs)
{
    struct outcome outcome = RUN("--cpus", "8", "@smp", "rounds=2", "times=1000");
    ck_assert_msg(outcome.status == 0, "%s", outcome.errors);
    ck_assert_str_eq(outcome.output, "smp done guest 0 generation 0 vcpus 8 shared 16000\n");
    outcome_free(&outcome);
    check_output(RUN("--cpus", "8", "@hello"), 0, HELLO_OF("8", "67108864"));
    check_output(RUN("--cpus", "2", "--cpl", "3", "@hello"), 0, HELLO_OF("2", "67108864"));
}
END_TEST

START_TEST(console_goes_nowhere_or_to_a_file)
{
    check_output(RUN("--console", "none", "@hello", "code=5"), 5, "");
    check_output(RUN("--console", "stdio", "@hello"), 0, HELLO);

    char path[512], option[600], text[256] = {0};
    snprintf(path, sizeof path, "%s/console", getenv("TMPDIR"));
    snprintf(option, sizeof option, "file:%s", path);
    check_output(RUN("--console", option, "@hello"), 0, "");
    check_output(RUN("--console", option, "@hello"), 0, ""); /* appended to */
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_lt(fread(text, 1, sizeof text - 1, file), sizeof text - 1);
    fclose(file);
    ck_assert_str_eq(text, HELLO HELLO);
    unlink(path);
}
END_TEST

/* Runs the vmm with `output` as its stdout. Its exit status, or 128 + the signal. */
static int run_to(int output, const char *const words[])
{
    char vmm[4096];
    vmm_build_path(vmm, sizeof vmm, "vmm");
    char **argv = rig_words(vmm, words);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(RIG_PATIENCE_MS / 1000);
        if (output >= 0)
            dup2(output, STDOUT_FILENO);
        else
            close(STDOUT_FILENO);
        execv(argv[0], argv);
        _exit(127);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    rig_free_words(argv);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
#define RUN_TO(output, ...) run_to(output, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(stdout_that_nobody_reads_ends_no_guest)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    ck_assert_int_eq(RUN_TO(ends[1], "--log", "error", "@hello", "code=6"), 6);
    ck_assert_int_eq(RUN_TO(ends[1], "--log", "error", "@counter", "every=1", "limit=300"), 0);
    close(ends[1]);
}
END_TEST

START_TEST(full_device_as_stdout_ends_no_guest)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(full, 0);
    ck_assert_int_eq(RUN_TO(full, "--log", "error", "@hello", "code=6"), 6);
    close(full);
}
END_TEST

START_TEST(closed_stdout_ends_no_guest)
{
    ck_assert_int_eq(RUN_TO(-1, "--log", "error", "@hello", "code=6"), 6);
}
END_TEST

START_TEST(paused_guest_waits_until_it_is_resumed)
{
    struct rig rig = RIG("--memory", "8M", "--paused", "@hello", "code=11");
    ck_assert(rig_state_is(&rig, 0, "paused"));
    rig_sleep_ms(50);
    char *console = rig_console(&rig, 0);
    ck_assert_str_eq(console, "");
    free(console);
    rig_do(&rig, "resume", 0);
    ck_assert_int_eq(rig_wait_exit(&rig), 11);
}
END_TEST

START_TEST(unknown_ports_and_addresses_read_as_all_ones)
{
    struct outcome outcome = RUN("--memory", "8M", "@crash", "how=port");
    ck_assert_msg(outcome.status == 0, "%s%s", outcome.output, outcome.errors);
    ck_assert_ptr_nonnull(strstr(outcome.output, "port reads 00000000ffffffff"));
    outcome_free(&outcome);
    outcome = RUN("--memory", "8M", "@crash", "how=mmio");
    ck_assert_msg(outcome.status == 0, "%s%s", outcome.output, outcome.errors);
    ck_assert_ptr_nonnull(strstr(outcome.output, "mmio reads ffffffffffffffff"));
    outcome_free(&outcome);
}
END_TEST

/* What KVM says itself, in kHz. */
static unsigned long tsc_khz(void)
{
    const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0);
    const int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0), khz = ioctl(vcpu, KVM_GET_TSC_KHZ);
    ck_assert_int_gt(khz, 0);
    close(vcpu);
    close(vm);
    close(kvm);
    return (unsigned long)khz;
}

static bool says(struct rig *rig, const char *words)
{
    char *console = rig_console(rig, 0);
    const bool found = strstr(console, words) != NULL;
    free(console);
    return found;
}

START_TEST(guest_is_told_how_fast_its_tsc_is)
{
    char words[64];
    snprintf(words, sizeof words, " khz %lu\n", tsc_khz());
    struct rig rig = RIG("--memory", "4M", "@system");
    RIG_UNTIL(says(&rig, words));
    rig_quit(&rig);
}
END_TEST

START_TEST(help_and_version_exit_with_0)
{
    struct outcome outcome = RUN("--help");
    ck_assert_int_eq(outcome.status, 0);
    ck_assert_str_eq(outcome.errors, "");
    static const char *const options[] = {"--memory",  "--cpus", "--control", "--cpl",          "--paused",
                                          "--console", "--log",  "--linger",  "--limit-guests", "--version"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        ck_assert_msg(strstr(outcome.output, options[i]) != NULL, "no %s in --help", options[i]);
    outcome_free(&outcome);
    outcome = RUN("--version");
    ck_assert_int_eq(outcome.status, 0);
    ck_assert_ptr_nonnull(strstr(outcome.output, "Cleave"));
    outcome_free(&outcome);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("launch_guests");
    TCase *tests = tcase_create("launch");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, flat_binary_and_elf_executable_say_hello);
    tcase_add_test(tests, guest_may_start_at_either_level);
    tcase_add_test(tests, exit_code_of_the_guest_is_the_vmms);
    tcase_add_test(tests, words_after_the_guest_are_its_arguments);
    tcase_add_test(tests, arguments_up_to_a_page_reach_the_guest);
    tcase_add_test(tests, guest_has_the_memory_it_was_given);
    tcase_add_test(tests, all_memory_can_be_written_to_the_last_page);
    tcase_add_test(tests, every_vcpu_runs);
    tcase_add_test(tests, console_goes_nowhere_or_to_a_file);
    tcase_add_test(tests, stdout_that_nobody_reads_ends_no_guest);
    tcase_add_test(tests, full_device_as_stdout_ends_no_guest);
    tcase_add_test(tests, closed_stdout_ends_no_guest);
    tcase_add_test(tests, paused_guest_waits_until_it_is_resumed);
    tcase_add_test(tests, unknown_ports_and_addresses_read_as_all_ones);
    tcase_add_test(tests, guest_is_told_how_fast_its_tsc_is);
    tcase_add_test(tests, help_and_version_exit_with_0);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
