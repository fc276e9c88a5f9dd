/* vmctl runs guests, waits for them, and gives them bytes. */
#include "tests/kvm/vmctl_common.h"

static void start(const char *file, const char *first, const char *second)
{
    char program[256], path[256];
    vmm_build_path(program, sizeof program, "vmm");
    vmm_build_path(path, sizeof path, file);
    const char *words[] = {program, "--memory", "16M", "--linger", "--paused", path, first, second, NULL};
    struct client_error error;
    vmm = vmm_process_start(words, 0, &error);
    ck_assert_msg(vmm != NULL, "%s", error.text);
    client_close(connect_to_vmm());
    expect_output("run 0 --until ready", "ready ");
    expect_output("checkpoint 0", "paused for ");
}

/* vmctl reads `input` as its standard input. */
static void expect_output_of(const char *input, const char *words, const char *phrase)
{
    char program[256], line[1024];
    vmm_build_path(program, sizeof program, "tools/vmctl");
    snprintf(line, sizeof line, "printf '%s' | LC_ALL=C CLEAVE_SOCKET=%s %s %s 2>&1", input, vmm_process_socket(vmm),
             program, words);
    FILE *pipe = popen(line, "r");
    ck_assert_ptr_nonnull(pipe);
    ck_assert_msg(end_vmctl(pipe) == 0 && strstr(output, phrase), "vmctl %s: %s", words, output);
}

static void start_target(void)
{
    start("guest/target.bin", "input=8388608", "result=8392704");
}

static void start_echo(void)
{
    start("guest/echo.bin", NULL, NULL);
}

static void give_input(const char *input)
{
    expect_output("reset 0 --paused", "reset in ");
    expect_output("guests", "paused");
    expect_output_of(input, "write-memory 0 8M -", "");
    ck_assert_str_eq(output, "");
}

START_TEST(a_guest_is_run_with_inputs)
{
    give_input("\\001\\002\\003");
    expect_output("run 0", "exit 6\n");
    expect_output("wait 0", "exit 6\n");
    expect_output("read-memory 0 0x801000 4", " 06 00 00 00 ");
    give_input("m");
    expect_output("run 0 --until mark,ready", "mark 109\n");
    expect_output("--json run 0", "{\"reason\":\"exit\",");
    give_input("n");
    expect_output("run 0", "crash: unhandled exception 14");
    ck_assert_ptr_nonnull(strstr(output, "cr2 0x0000600000000000\n"));
}
END_TEST

START_TEST(time_that_passes_is_status_4)
{
    give_input("l");
    expect_status("wait 0 --timeout 50", 4, "lives\n");
    expect_status("run 0 --timeout 50", 4, "time\n");
    expect_status("--json run 0 --timeout 50", 4, "{\"reason\":\"time\"}\n");
}
END_TEST

START_TEST(what_is_wrong_is_refused)
{
    expect_status("run 9", 1, "(GuestNotFound)");
    expect_status("run 0 --until never", 1, "must be \"exit\" or");
    expect_status("run 0 --timeout 0", 1, "must be from 1");
    expect_status("run 0 --timeout soon", 2, "not a number");
    expect_status("wait 0 --until mark", 2, "does not take --until");
    expect_status("write-memory 0 16M /dev/null", 0, "");
    expect_status("write-memory 0 16M /proc/version", 1, "(InvalidArgument)");
    expect_status("write-memory 0 0 /nowhere", 1, "/nowhere: No such file");
    expect_status("console-write 0 /dev", 1, "/dev: Is a directory");
}
END_TEST

START_TEST(registers_are_shown)
{
    expect_output("registers 0", "vCPU 0\nrax ");
    ck_assert_ptr_nonnull(strstr(output, "\ncs "));
    expect_output("--json registers 0", "\"rip\":\"0x");
}
END_TEST

START_TEST(a_guest_reads_what_is_typed)
{
    expect_output_of("hello\\n", "console-write 0 -", "");
    expect_output("run 0 --until mark", "mark 6\n");
    expect_output("console 0", "hello\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control: vmctl run");
    TCase *tests = tcase_create("target");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, start_target, end_vmm);
    tcase_add_test(tests, a_guest_is_run_with_inputs);
    tcase_add_test(tests, time_that_passes_is_status_4);
    tcase_add_test(tests, what_is_wrong_is_refused);
    tcase_add_test(tests, registers_are_shown);
    suite_add_tcase(suite, tests);
    tests = tcase_create("echo");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, start_echo, end_vmm);
    tcase_add_test(tests, a_guest_reads_what_is_typed);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
