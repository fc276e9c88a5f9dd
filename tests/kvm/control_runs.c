/* Guests that are run, written to, looked into and typed to through the control socket. */
#include "tests/kvm/control_common.h"

#include <unistd.h>

#define INPUT  (8 << 20)
#define RESULT (INPUT + 4096)

static struct client *client;

/* Launched paused, and run until it is ready. */
static void start_ready(const char *file, const char *first, const char *second)
{
    char program[256], path[256];
    vmm_build_path(program, sizeof program, "vmm");
    vmm_build_path(path, sizeof path, file);
    const char *words[] = {program, "--memory", "16M", "--linger", "--paused", path, first, second, NULL};
    struct client_error error;
    vmm = vmm_process_start(words, 0, &error);
    ck_assert_msg(vmm != NULL, "%s", error.text);
    client = connect_to_vmm();
    json_t *stop = must_call(client, "run", json_pack("{s:i, s:[s]}", "guest", 0, "until", "ready"));
    ck_assert_str_eq(json_string_value(json_object_get(stop, "reason")), "ready");
    json_decref(stop);
    json_decref(must_call(client, "checkpoint", json_pack("{s:i}", "guest", 0)));
}

static void start_target(void)
{
    start_ready("guest/target.bin", "input=8388608", "result=8392704");
}

static void start_echo(void)
{
    start_ready("guest/echo.bin", NULL, NULL);
}

static void end_client(void)
{
    client_close(client);
    end_vmm();
}

static json_t *run(struct client *by, json_t *more)
{
    json_t *arguments = json_pack("{s:i}", "guest", 0);
    if (more)
        json_object_update(arguments, more);
    json_decref(more);
    return must_call(by, "run", arguments);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "(none)";
}

static void expect_stop(json_t *stop, const char *reason)
{
    ck_assert_str_eq(text_of(stop, "reason"), reason);
    json_decref(stop);
}

static void expect_refused(struct client *by, const char *command, json_t *arguments, const char *class)
{
    struct client_error error = {0};
    ck_assert_msg(client_call(by, command, arguments, NULL, &error) < 0, "%s was done", command);
    ck_assert_msg(strcmp(error.class, class) == 0, "%s: %s: %s", command, error.class, error.text);
}

static const char *state_now(void)
{
    static char state[16];
    json_t *guests = must_call(client, "query-guests", NULL);
    snprintf(state, sizeof state, "%s", text_of(json_array_get(guests, 0), "state"));
    json_decref(guests);
    return state;
}

static void wait_for_state(const char *state)
{
    for (int i = 0; i < 400 && strcmp(state_now(), state) != 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    ck_assert_str_eq(state_now(), state);
}

static void reset_paused(void)
{
    json_decref(must_call(client, "reset", json_pack("{s:i, s:b}", "guest", 0, "paused", 1)));
    ck_assert_str_eq(state_now(), "paused");
}

static void write_input(const char *base64)
{
    json_t *reply =
        must_call(client, "write-memory", json_pack("{s:i, s:i, s:s}", "guest", 0, "gpa", INPUT, "data", base64));
    ck_assert_uint_eq(json_object_size(reply), 0);
    json_decref(reply);
}

/* Back to where it is ready, with this input, and run. */
static json_t *run_with(const char *base64, json_t *more)
{
    reset_paused();
    write_input(base64);
    return run(client, more);
}

static void expect_pages_written(void)
{
    uint32_t sum;
    struct client_error error;
    ck_assert_msg(client_read_memory(client, 0, RESULT, sizeof sum, &sum, &error) == 0, "%s", error.text);
    ck_assert_uint_eq(sum, 6);
}

START_TEST(a_guest_is_reset_written_to_and_run_again_and_again)
{
    for (int i = 0; i < 3; i++) {
        json_t *stop = run_with("AQID", NULL); /* 1, 2, 3 */
        ck_assert_str_eq(text_of(stop, "reason"), "exit");
        ck_assert_int_eq(json_integer_value(json_object_get(stop, "exit_code")), 6);
        json_decref(stop);
        ck_assert_str_eq(state_now(), "exited");
        expect_pages_written();
    }
}
END_TEST

START_TEST(a_crash_is_told_with_all_there_is)
{
    json_t *stop = run_with("bg==", NULL); /* n: a write where nothing is mapped */
    ck_assert_str_eq(text_of(stop, "reason"), "crash");
    ck_assert_int_eq(json_integer_value(json_object_get(stop, "vector")), 14);
    ck_assert_int_eq(json_integer_value(json_object_get(stop, "error_code")) & 3, 2);
    ck_assert_str_eq(text_of(stop, "cr2"), "0x0000600000000000");
    ck_assert_str_eq(text_of(stop, "rip"), text_of(json_object_get(stop, "registers"), "rip"));
    json_t *event = client_wait_event(client, "CRASHED", 0, 20000);
    ck_assert_ptr_nonnull(event);
    ck_assert_str_eq(text_of(event_data(event), "cr2"), "0x0000600000000000");
    ck_assert(json_equal(json_object_get(event_data(event), "registers"), json_object_get(stop, "registers")));
    json_decref(event);
    json_decref(stop);
    expect_stop(run_with("Yw==", NULL), "crash"); /* c: #UD */
}
END_TEST

START_TEST(a_run_ends_at_what_it_is_to_end_at)
{
    expect_stop(run_with("aA==", NULL), "halt");
    expect_stop(run_with("bQ==", json_pack("{s:[s]}", "until", "mark")), "mark");
    ck_assert_str_eq(state_now(), "paused");
    expect_stop(run(client, NULL), "exit");
    expect_stop(run_with("bQ==", json_pack("{s:[]}", "until")), "exit");
    expect_stop(run_with("bA==", json_pack("{s:i}", "timeout_ms", 200)), "time"); /* l: for ever */
    ck_assert_str_eq(state_now(), "paused");
}
END_TEST

/* Another client runs the guest, which does not stop. */
static struct client *begin_endless_run(void)
{
    reset_paused();
    write_input("bA==");
    struct client *runner = connect_to_vmm();
    send_text(runner, "{\"execute\":\"run\",\"arguments\":{\"guest\":0},\"id\":1}\n");
    wait_for_state("running");
    return runner;
}

static void expect_stop_reply(struct client *runner, const char *reason)
{
    json_t *reply = next_reply(runner);
    expect_stop(json_incref(json_object_get(reply, "return")), reason);
    json_decref(reply);
    client_close(runner);
}

START_TEST(others_are_served_during_a_run_and_can_end_it)
{
    struct client *runner = begin_endless_run();
    expect_refused(client, "run", json_pack("{s:i}", "guest", 0), "Busy");
    json_decref(must_call(client, "query-registers", json_pack("{s:i}", "guest", 0)));
    json_decref(must_call(client, "fork", json_pack("{s:b}", "paused", 1)));
    ck_assert_str_eq(state_now(), "running");
    json_decref(must_call(client, "pause", json_pack("{s:i}", "guest", 0)));
    expect_stop_reply(runner, "interrupt");
    runner = begin_endless_run();
    reset_paused();
    expect_stop_reply(runner, "interrupt");
    runner = begin_endless_run();
    json_decref(must_call(client, "kill", json_pack("{s:i}", "guest", 0)));
    expect_stop_reply(runner, "killed");
}
END_TEST

START_TEST(the_guest_of_a_client_that_vanishes_is_paused)
{
    client_close(begin_endless_run());
    wait_for_state("paused");
    expect_stop(run(client, json_pack("{s:i}", "timeout_ms", 50)), "time");
}
END_TEST

START_TEST(several_wait_for_an_end)
{
    struct client *waiting[3];
    reset_paused();
    for (int i = 0; i < 3; i++) {
        waiting[i] = connect_to_vmm();
        send_text(waiting[i], "{\"execute\":\"wait\",\"arguments\":{\"guest\":0},\"id\":1}\n");
    }
    client_close(waiting[1]);
    expect_stop(run_with("AQID", NULL), "exit");
    for (int i = 0; i < 3; i += 2) {
        json_t *reply = next_reply(waiting[i]), *how = json_object_get(reply, "return");
        ck_assert_str_eq(text_of(how, "reason"), "exit");
        ck_assert_int_eq(json_integer_value(json_object_get(how, "exit_code")), 6);
        json_decref(reply);
        client_close(waiting[i]);
    }
    expect_stop(must_call(client, "wait", json_pack("{s:i}", "guest", 0)), "exit");
    reset_paused();
    json_t *lives = must_call(client, "wait", json_pack("{s:i, s:i}", "guest", 0, "timeout_ms", 50));
    ck_assert(json_is_null(json_object_get(lives, "reason")));
    json_decref(lives);
}
END_TEST

START_TEST(a_reset_leaves_the_guest_as_it_was_or_as_is_asked)
{
    reset_paused();
    json_decref(must_call(client, "reset", json_pack("{s:i}", "guest", 0)));
    ck_assert_str_eq(state_now(), "paused");
    write_input("bA==");
    client_drop_events(client);
    json_decref(must_call(client, "resume", json_pack("{s:i}", "guest", 0)));
    json_decref(must_call(client, "reset", json_pack("{s:i, s:b}", "guest", 0, "paused", 1)));
    json_t *event = client_wait_event(client, "PAUSED", 0, 20000);
    ck_assert_ptr_nonnull(event);
    json_decref(event);
    ck_assert_str_eq(state_now(), "paused");
    client_drop_events(client);
    json_decref(must_call(client, "reset", json_pack("{s:i, s:b}", "guest", 0, "paused", 0)));
    event = client_wait_event(client, "RESUMED", 0, 20000);
    ck_assert_ptr_nonnull(event);
    json_decref(event);
    wait_for_state("exited"); /* with no input, it exits with 0 */
    json_decref(must_call(client, "reset", json_pack("{s:i}", "guest", 0)));
    wait_for_state("exited");
}
END_TEST

START_TEST(registers_are_those_of_each_vcpu)
{
    reset_paused();
    json_t *list = must_call(client, "query-registers", json_pack("{s:i}", "guest", 0));
    ck_assert_uint_eq(json_array_size(list), 1);
    const json_t *registers = json_array_get(list, 0);
    ck_assert_uint_eq(strlen(text_of(registers, "rip")), 18);
    ck_assert_str_ne(text_of(registers, "rip"), "0x0000000000000000");
    ck_assert(json_is_true(json_object_get(json_object_get(registers, "cs"), "long_mode")));
    json_t *again = must_call(client, "query-registers", json_pack("{s:i}", "guest", 0));
    ck_assert(json_equal(list, again));
    json_decref(again);
    json_decref(list);
}
END_TEST

START_TEST(what_cannot_be_done_is_refused)
{
    expect_refused(client, "write-memory",
                   json_pack("{s:i, s:i, s:s}", "guest", 0, "gpa", (16 << 20) - 1, "data", "AAA="), "InvalidArgument");
    expect_refused(client, "write-memory",
                   json_pack("{s:i, s:I, s:s}", "guest", 0, "gpa", (json_int_t)INT64_MAX, "data", "AA=="),
                   "InvalidArgument");
    static const char *const commands[] = {"run", "wait", "query-registers", "reset"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        expect_refused(client, commands[i], json_pack("{s:i}", "guest", 99), "GuestNotFound");
    for (int guest = 0; guest < 100; guest += 99) { /* one that has ended, and one that never was */
        if (guest == 0)
            json_decref(must_call(client, "kill", json_pack("{s:i}", "guest", 0)));
        expect_refused(client, "run", json_pack("{s:i}", "guest", guest), "GuestNotFound");
        expect_refused(client, "query-registers", json_pack("{s:i}", "guest", guest), "GuestNotFound");
        expect_refused(client, "console-write", json_pack("{s:i, s:s}", "guest", guest, "data", "AA=="),
                       "GuestNotFound");
        expect_refused(client, "write-memory", json_pack("{s:i, s:i, s:s}", "guest", guest, "gpa", 0, "data", "AA=="),
                       "GuestNotFound");
    }
    expect_stop(must_call(client, "wait", json_pack("{s:i}", "guest", 0)), "killed");
}
END_TEST

static void type(int guest, const char *base64)
{
    json_decref(must_call(client, "console-write", json_pack("{s:i, s:s}", "guest", guest, "data", base64)));
}

static void expect_line(int guest, int bytes, const char *console)
{
    json_t *stop = must_call(client, "run", json_pack("{s:i, s:[s]}", "guest", guest, "until", "mark"));
    ck_assert_str_eq(text_of(stop, "reason"), "mark");
    ck_assert_int_eq(json_integer_value(json_object_get(stop, "value")), bytes);
    json_decref(stop);
    json_t *reply = must_call(client, "query-console", json_pack("{s:i}", "guest", guest));
    ck_assert_str_eq(text_of(reply, "text"), console);
    json_decref(reply);
}

START_TEST(a_guest_reads_what_is_typed)
{
    type(0, "aGVs");     /* hel */
    type(0, "bG8KCg=="); /* lo, and two lines end */
    expect_line(0, 6, "hello\n");
    expect_line(0, 7, "hello\n\n");
}
END_TEST

START_TEST(a_child_reads_its_own_copy_of_what_is_typed)
{
    type(0, "YWI="); /* ab */
    json_decref(must_call(client, "fork", json_pack("{s:b}", "paused", 1)));
    type(1, "YwoK"); /* c and two ends of lines */
    type(0, "Cg==");
    expect_line(1, 4, "abc\n");
    expect_line(0, 3, "ab\n");
    json_decref(must_call(client, "reset", json_pack("{s:i}", "guest", 1))); /* to its birth: paused, "ab" unread */
    type(1, "Cg==");
    expect_line(1, 3, "abc\nab\n");
}
END_TEST

START_TEST(a_snapshot_holds_what_is_typed)
{
    char path[128];
    snprintf(path, sizeof path, "%s/typed.snap", vmm_process_directory(vmm));
    type(0, "YWIK"); /* ab */
    json_decref(must_call(client, "snapshot", json_pack("{s:i, s:s}", "guest", 0, "path", path)));
    json_decref(must_call(client, "restore", json_pack("{s:s, s:b}", "path", path, "paused", 1)));
    expect_line(1, 3, "ab\n");
    unlink(path);
}
END_TEST

START_TEST(what_does_not_fit_is_refused_whole)
{
    char *most = malloc(4096 / 3 * 4 + 8); /* 4095 bytes */
    memset(most, 'A', 4095 / 3 * 4);
    most[4095 / 3 * 4] = '\0';
    type(0, most);
    free(most);
    expect_refused(client, "console-write", json_pack("{s:i, s:s}", "guest", 0, "data", "AAA="), "Busy");
    type(0, "Cg==");
    expect_refused(client, "console-write", json_pack("{s:i, s:s}", "guest", 0, "data", "AA=="), "Busy");
    json_t *stop = must_call(client, "run", json_pack("{s:i, s:[s]}", "guest", 0, "until", "mark"));
    ck_assert_int_eq(json_integer_value(json_object_get(stop, "value")), 4096);
    json_decref(stop);
    type(0, "BA=="); /* the end */
    expect_stop(run(client, NULL), "exit");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control: runs");
    TCase *tests = tcase_create("target");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, start_target, end_client);
    tcase_add_test(tests, a_guest_is_reset_written_to_and_run_again_and_again);
    tcase_add_test(tests, a_crash_is_told_with_all_there_is);
    tcase_add_test(tests, a_run_ends_at_what_it_is_to_end_at);
    tcase_add_test(tests, others_are_served_during_a_run_and_can_end_it);
    tcase_add_test(tests, the_guest_of_a_client_that_vanishes_is_paused);
    tcase_add_test(tests, several_wait_for_an_end);
    tcase_add_test(tests, a_reset_leaves_the_guest_as_it_was_or_as_is_asked);
    tcase_add_test(tests, registers_are_those_of_each_vcpu);
    tcase_add_test(tests, what_cannot_be_done_is_refused);
    suite_add_tcase(suite, tests);
    tests = tcase_create("echo");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, start_echo, end_client);
    tcase_add_test(tests, a_guest_reads_what_is_typed);
    tcase_add_test(tests, a_child_reads_its_own_copy_of_what_is_typed);
    tcase_add_test(tests, a_snapshot_holds_what_is_typed);
    tcase_add_test(tests, what_does_not_fit_is_refused_whole);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
