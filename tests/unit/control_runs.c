/*
 * `run` and `wait` through the socket: who is answered when, deadlines, and clients that vanish meanwhile. A stand-in
 * takes the family's place and decides when a guest stops. Clients and server share one thread, turn by turn.
 */
#include "tools/client/client.h"
#include "vmm/control/control.h"
#include "vmm/family/internal.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- the family: guest 7 lives, guest 8 has ended ---- */

static struct {
    cleave_stop_fn *done; /* NULL: guest 7 is not being run */
    void *context;
    unsigned until;
    unsigned begun;
    enum cleave_stop_reason ended_by; /* of the last run that was ended from here */
    unsigned ended;
} running;

int __wrap_cleave_guest_begin_run(struct cleave_family *of, uint64_t guest, unsigned until, cleave_stop_fn *done,
                                  void *context, struct cleave_failure *failure);
void __wrap_cleave_guest_end_run(struct cleave_family *of, uint64_t guest, enum cleave_stop_reason reason);
int __wrap_cleave_family_guests(struct cleave_family *of, struct cleave_guest_info **guests, size_t *count,
                                struct cleave_failure *failure);

int __wrap_cleave_guest_begin_run(struct cleave_family *of, uint64_t guest, unsigned until, cleave_stop_fn *done,
                                  void *context, struct cleave_failure *failure)
{
    (void)of;
    if (guest != 7 || running.done) {
        *failure = (struct cleave_failure){guest == 7 ? CLEAVE_BUSY : CLEAVE_GUEST_NOT_FOUND, "no"};
        return -1;
    }
    running.done = done;
    running.context = context;
    running.until = until;
    running.begun++;
    return 0;
}

static void stop_with(const struct cleave_stop *stop)
{
    cleave_stop_fn *done = running.done;
    ck_assert(done != NULL);
    running.done = NULL;
    done(running.context, stop);
}

void __wrap_cleave_guest_end_run(struct cleave_family *of, uint64_t guest, enum cleave_stop_reason reason)
{
    (void)of;
    ck_assert_uint_eq(guest, 7);
    if (!running.done)
        return;
    running.ended_by = reason;
    running.ended++;
    stop_with(&(struct cleave_stop){.reason = reason});
}

int __wrap_cleave_family_guests(struct cleave_family *of, struct cleave_guest_info **guests, size_t *count,
                                struct cleave_failure *failure)
{
    (void)of, (void)failure;
    *guests = calloc(2, sizeof **guests);
    (*guests)[0] = (struct cleave_guest_info){.id = 7, .state = CLEAVE_RUNNING};
    (*guests)[1] = (struct cleave_guest_info){.id = 8, .state = CLEAVE_EXITED, .end = CLEAVE_END_EXIT, .exit_code = 3};
    *count = 2;
    return 0;
}

/* ---- server and clients ---- */

static uv_loop_t loop;
static struct cleave_family family;
static struct control *control;
static char folder[64], socket_path[96];

static void quit(void *context)
{
    (void)context;
}

static void turn(void)
{
    for (int i = 0; i < 20; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* For what comes by a timer. */
static void turn_until_ended(unsigned ended)
{
    for (int64_t start = milliseconds(); running.ended < ended && milliseconds() - start < 20000;)
        turn();
    ck_assert_uint_eq(running.ended, ended);
}

static void start(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/runs-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    uv_loop_init(&loop);
    struct cleave_failure failure;
    control = control_listen(&loop, &family, socket_path, quit, NULL, &failure);
    ck_assert_msg(control != NULL, "%s", failure.text);
}

/* Whatever a test has left under way is over with the server: nothing keeps the loop. */
static void end(void)
{
    control_close(control);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_ptr_null(running.done);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    rmdir(folder);
}

static struct client *new_client(void)
{
    struct client_error error;
    struct client *client = client_open_raw(socket_path, 0, &error);
    ck_assert_msg(client != NULL, "%s", error.text);
    turn();
    json_decref(client_recv(client, 0));
    return client;
}

static struct client *client_who_asks(const char *line)
{
    struct client *client = new_client();
    ck_assert_int_eq(client_send_raw(client, line, strlen(line)), 0);
    turn();
    return client;
}

#define RUN(more)  "{\"execute\":\"run\",\"arguments\":{\"guest\":7" more "},\"id\":1}\n"
#define WAIT(more) "{\"execute\":\"wait\",\"arguments\":{\"guest\":7" more "},\"id\":2}\n"
#define OTHER      "{\"execute\":\"query-guests\",\"id\":3}\n"

static json_t *next_reply(struct client *client, int id)
{
    turn();
    json_t *reply = client_recv_reply(client, 0);
    ck_assert_ptr_nonnull(reply);
    ck_assert_int_eq(json_integer_value(json_object_get(reply, "id")), id);
    return reply;
}

static void expect_reply(struct client *client, int id)
{
    json_decref(next_reply(client, id));
}

static void expect_error(struct client *client, int id, const char *class)
{
    json_t *reply = next_reply(client, id);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(reply, "error"), "class")), class);
    json_decref(reply);
}

/* A "return" whose reason this is; NULL: null. */
static void expect_reason(struct client *client, int id, const char *reason)
{
    json_t *reply = next_reply(client, id);
    const json_t *found = json_object_get(json_object_get(reply, "return"), "reason");
    ck_assert_ptr_nonnull(found);
    ck_assert(reason ? json_is_string(found) && strcmp(json_string_value(found), reason) == 0 : json_is_null(found));
    json_decref(reply);
}

static void expect_silence(struct client *client)
{
    turn();
    ck_assert_ptr_null(client_recv_reply(client, 0));
    ck_assert(!client_closed(client));
}

START_TEST(a_run_is_answered_when_the_guest_stops)
{
    struct client *client = client_who_asks(RUN(",\"until\":[\"mark\",\"exit\"]") OTHER);
    struct client *other = client_who_asks(RUN("") OTHER);
    ck_assert_uint_eq(running.until, CLEAVE_UNTIL_MARK);
    expect_error(other, 1, "Busy");
    expect_reply(other, 3);
    expect_silence(client);
    stop_with(&(struct cleave_stop){.reason = CLEAVE_STOP_MARK, .vcpu = 1, .value = 5});
    json_t *reply = next_reply(client, 1), *stop = json_object_get(reply, "return");
    ck_assert_str_eq(json_string_value(json_object_get(stop, "reason")), "mark");
    ck_assert_int_eq(json_integer_value(json_object_get(stop, "vcpu")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(stop, "value")), 5);
    json_decref(reply);
    expect_reply(client, 3);
    ck_assert_uint_eq(running.ended, 0);
    client_close(client);
    client_close(other);
}
END_TEST

START_TEST(a_crash_says_all_that_is_known)
{
    struct client *client = client_who_asks(RUN(""));
    struct cleave_stop stop = {.reason = CLEAVE_STOP_CRASH};
    stop.crash = (struct cleave_crash){.reason = "why", .vcpu = 2, .has_exception = true, .vector = 14};
    stop.crash.has_error_code = stop.crash.has_registers = true;
    stop.crash.error_code = 2;
    stop.crash.registers.rip = UINT64_C(0xffffffff80001000);
    stop.crash.registers.cr2 = 16;
    stop.crash.registers.cs.selector = 8;
    stop_with(&stop);
    json_t *reply = next_reply(client, 1), *crash = json_object_get(reply, "return");
    ck_assert_str_eq(json_string_value(json_object_get(crash, "message")), "why");
    ck_assert_int_eq(json_integer_value(json_object_get(crash, "vcpu")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(crash, "vector")), 14);
    ck_assert_int_eq(json_integer_value(json_object_get(crash, "error_code")), 2);
    ck_assert_str_eq(json_string_value(json_object_get(crash, "rip")), "0xffffffff80001000");
    ck_assert_str_eq(json_string_value(json_object_get(crash, "cr2")), "0x0000000000000010");
    const json_t *cs = json_object_get(json_object_get(crash, "registers"), "cs");
    ck_assert_int_eq(json_integer_value(json_object_get(cs, "selector")), 8);
    json_decref(reply);
    client_close(client);
    client = client_who_asks(RUN(""));
    stop_with(&(struct cleave_stop){.reason = CLEAVE_STOP_CRASH, .crash = {.reason = "triple fault"}});
    reply = next_reply(client, 1);
    crash = json_object_get(reply, "return");
    ck_assert_ptr_null(json_object_get(crash, "vector"));
    ck_assert_ptr_null(json_object_get(crash, "rip"));
    ck_assert_ptr_null(json_object_get(crash, "registers"));
    json_decref(reply);
    client_close(client);
}
END_TEST

START_TEST(a_deadline_ends_the_run)
{
    struct client *client = client_who_asks(RUN(",\"timeout_ms\":30"));
    turn_until_ended(1);
    ck_assert_int_eq(running.ended_by, CLEAVE_STOP_TIME);
    expect_reason(client, 1, "time");
    client_close(client);
}
END_TEST

START_TEST(the_latest_deadline_is_not_now)
{
    struct client *client = client_who_asks(RUN(",\"timeout_ms\":9223372036854775807"));
    expect_silence(client);
    stop_with(&(struct cleave_stop){.reason = CLEAVE_STOP_HALT});
    expect_reason(client, 1, "halt");
    client_close(client);
}
END_TEST

START_TEST(a_client_that_vanishes_ends_its_run)
{
    struct client *client = client_who_asks(RUN(",\"timeout_ms\":100000"));
    client_close(client);
    turn_until_ended(1);
    ck_assert_int_eq(running.ended_by, CLEAVE_STOP_INTERRUPT);
    client = client_who_asks(RUN("")); /* the guest is free */
    expect_silence(client);
    client_close(client);
    turn_until_ended(2);
}
END_TEST

START_TEST(a_client_that_vanishes_at_once_ends_its_run)
{
    struct client *client = new_client();
    ck_assert_int_eq(client_send_raw(client, RUN(""), strlen(RUN(""))), 0);
    client_close(client);
    turn_until_ended(1);
    ck_assert_uint_eq(running.begun, 1);
}
END_TEST

START_TEST(a_half_closed_client_is_waited_for_until_it_vanishes)
{
    struct client *client = client_who_asks(RUN(""));
    client_shutdown(client);
    for (int64_t begin = milliseconds(); milliseconds() - begin < 300;) /* it is looked after every 100 ms */
        turn();
    ck_assert_uint_eq(running.ended, 0);
    stop_with(&(struct cleave_stop){.reason = CLEAVE_STOP_EXIT});
    expect_reason(client, 1, "exit");
    client_close(client);
    client = client_who_asks(RUN(""));
    client_shutdown(client);
    turn();
    client_close(client);
    turn_until_ended(1);
}
END_TEST

/* So many requests that the server reads no further. */
START_TEST(a_client_that_is_not_read_from_is_seen_to_vanish)
{
    struct client *client = client_who_asks(RUN(""));
    client_set_timeout(client, 0);
    while (client_send_raw(client, OTHER, strlen(OTHER)) == 0)
        turn();
    client_close(client);
    turn_until_ended(1);
}
END_TEST

START_TEST(several_wait_for_one_end)
{
    struct client *clients[5];
    for (int i = 0; i < 5; i++)
        clients[i] = client_who_asks(WAIT(""));
    client_close(clients[1]);
    client_close(clients[4]);
    turn();
    control_event(control, &(struct cleave_event){.kind = CLEAVE_EVENT_EXITED, .guest = 9});
    expect_silence(clients[0]);
    const struct cleave_crash crash = {.reason = "why", .has_exception = true, .vector = 6};
    control_event(control, &(struct cleave_event){.kind = CLEAVE_EVENT_CRASHED,
                                                  .guest = 7,
                                                  .end = CLEAVE_END_CRASH,
                                                  .reason = crash.reason,
                                                  .crash = &crash});
    for (int i = 0; i < 4; i++) {
        if (i == 1)
            continue;
        json_t *reply = next_reply(clients[i], 2), *how = json_object_get(reply, "return");
        ck_assert_str_eq(json_string_value(json_object_get(how, "reason")), "crash");
        ck_assert_str_eq(json_string_value(json_object_get(how, "message")), "why");
        ck_assert_int_eq(json_integer_value(json_object_get(how, "vector")), 6);
        ck_assert(json_is_null(json_object_get(how, "exit_code")));
        json_decref(reply);
        client_close(clients[i]);
    }
}
END_TEST

START_TEST(an_end_that_has_been_is_told_at_once)
{
    struct client *client =
        client_who_asks("{\"execute\":\"wait\",\"arguments\":{\"guest\":8,\"for\":\"end\"},\"id\":4}\n"
                        "{\"execute\":\"wait\",\"arguments\":{\"guest\":9},\"id\":5}\n");
    json_t *reply = next_reply(client, 4);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(reply, "return"), "exit_code")), 3);
    json_decref(reply);
    expect_error(client, 5, "GuestNotFound");
    client_close(client);
}
END_TEST

START_TEST(a_wait_that_is_over_says_that_the_guest_lives)
{
    struct client *client = client_who_asks(WAIT(",\"timeout_ms\":20"));
    json_t *reply = NULL;
    for (int64_t begin = milliseconds(); !reply && milliseconds() - begin < 20000;) {
        turn();
        reply = client_recv_reply(client, 0);
    }
    ck_assert(json_is_null(json_object_get(json_object_get(reply, "return"), "reason")));
    json_decref(reply);
    client_close(client);
}
END_TEST

START_TEST(a_server_that_ends_leaves_no_run_and_no_wait)
{
    struct client *run = client_who_asks(RUN("")), *wait = client_who_asks(WAIT(",\"timeout_ms\":100000"));
    control_close(control);
    control = NULL;
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(running.ended_by, CLEAVE_STOP_INTERRUPT);
    client_close(run);
    client_close(wait);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as vmm has it */
    Suite *suite = suite_create("control: runs");
    TCase *tests = tcase_create("runs");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, start, end);
    tcase_add_test(tests, a_run_is_answered_when_the_guest_stops);
    tcase_add_test(tests, a_crash_says_all_that_is_known);
    tcase_add_test(tests, a_deadline_ends_the_run);
    tcase_add_test(tests, the_latest_deadline_is_not_now);
    tcase_add_test(tests, a_client_that_vanishes_ends_its_run);
    tcase_add_test(tests, a_client_that_vanishes_at_once_ends_its_run);
    tcase_add_test(tests, a_half_closed_client_is_waited_for_until_it_vanishes);
    tcase_add_test(tests, a_client_that_is_not_read_from_is_seen_to_vanish);
    tcase_add_test(tests, several_wait_for_one_end);
    tcase_add_test(tests, an_end_that_has_been_is_told_at_once);
    tcase_add_test(tests, a_wait_that_is_over_says_that_the_guest_lives);
    tcase_add_test(tests, a_server_that_ends_leaves_no_run_and_no_wait);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
