/*
 * Replies that take their time, and clients that go before they come. The family has no guests: this test takes its
 * place for `snapshot` and `quit`, and decides when an answer is given. Clients and server share one thread, turn by
 * turn.
 */
#include "tools/client/client.h"
#include "vmm/control/control.h"
#include "vmm/family/internal.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ASKED_MOST 8

/* The snapshots that were asked for and not answered. */
static struct asked {
    cleave_save_fn *done;
    void *context;
} asked[ASKED_MOST];
static size_t asked_count;
static bool has_quit;

int __wrap_cleave_guest_save(struct cleave_family *family, const struct cleave_save_request *request,
                             cleave_save_fn *done, void *context, struct cleave_failure *failure);

static uv_loop_t loop;
static struct cleave_family family; /* without guests */
static struct control *control;
static char folder[64], socket_path[96];

int __wrap_cleave_guest_save(struct cleave_family *of, const struct cleave_save_request *request, cleave_save_fn *done,
                             void *context, struct cleave_failure *failure)
{
    ck_assert_ptr_eq(of, &family);
    if (request->guest == 99) {
        *failure = (struct cleave_failure){CLEAVE_GUEST_NOT_FOUND, "no guest 99"};
        return -1;
    }
    ck_assert_str_eq(request->path, "file");
    ck_assert_uint_lt(asked_count, ASKED_MOST);
    asked[asked_count++] = (struct asked){done, context};
    return 0;
}

static void give_one(bool success)
{
    ck_assert_uint_gt(asked_count, 0);
    const struct asked first = asked[0];
    memmove(asked, asked + 1, --asked_count * sizeof *asked);
    const struct cleave_save_report report = {.bytes = 4096, .pages = 1, .pause_ns = 2, .total_ns = 3};
    const struct cleave_failure failure = {CLEAVE_IO_ERROR, "file: no space"};
    first.done(first.context, success ? &report : NULL, success ? NULL : &failure);
}

static void quit(void *context)
{
    ck_assert_ptr_eq(context, &family);
    has_quit = true;
    while (asked_count)
        give_one(false);
}

/* Lets the server do all there is to do now. */
static void turn(void)
{
    for (int i = 0; i < 20; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static void start(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/answers-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    uv_loop_init(&loop);
    struct cleave_failure failure;
    control = control_listen(&loop, &family, socket_path, quit, &family, &failure);
    ck_assert_msg(control != NULL, "%s", failure.text);
}

static void end(void)
{
    control_close(control);
    while (asked_count)
        give_one(false);
    uv_run(&loop, UV_RUN_DEFAULT);
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

static void ask(struct client *client, const char *line)
{
    ck_assert_int_eq(client_send_raw(client, line, strlen(line)), 0);
    turn();
}

#define SNAPSHOT(id) "{\"execute\":\"snapshot\",\"arguments\":{\"guest\":0,\"path\":\"file\"},\"id\":" #id "}\n"
#define QUERY(id)    "{\"execute\":\"query-guests\",\"id\":" #id "}\n"

static void expect_silence(struct client *client)
{
    turn();
    ck_assert_ptr_null(client_recv_reply(client, 0));
    ck_assert(!client_closed(client));
}

static void expect_reply(struct client *client, int id, const char *class)
{
    turn();
    json_t *reply = client_recv_reply(client, 0);
    ck_assert_ptr_nonnull(reply);
    ck_assert_int_eq(json_integer_value(json_object_get(reply, "id")), id);
    const char *found = json_string_value(json_object_get(json_object_get(reply, "error"), "class"));
    ck_assert(class ? found && strcmp(found, class) == 0 : !found);
    json_decref(reply);
}

static void expect_closed(struct client *client)
{
    turn();
    ck_assert_ptr_null(client_recv_reply(client, 0));
    ck_assert(client_closed(client));
    client_close(client);
}

/* To everybody, as guests make them. */
static void emit_event(void)
{
    control_event(control, &(struct cleave_event){.kind = CLEAVE_EVENT_SNAPSHOT_PROGRESS, .path = "file"});
    turn();
}

static void expect_event(struct client *client)
{
    json_t *event = client_next_event(client, 0);
    ck_assert_ptr_nonnull(event);
    json_decref(event);
}

START_TEST(later_requests_of_the_client_wait_and_nobody_elses)
{
    struct client *client = new_client(), *other = new_client();
    ask(client, SNAPSHOT(1) QUERY(2) SNAPSHOT(3) QUERY(4));
    ask(other, QUERY(1));
    expect_reply(other, 1, NULL);
    emit_event();
    expect_silence(client);
    expect_event(client);
    ck_assert_uint_eq(asked_count, 1); /* the second waits too */
    give_one(true);
    expect_reply(client, 1, NULL);
    expect_reply(client, 2, NULL);
    expect_silence(client);
    give_one(false);
    expect_reply(client, 3, "IOError");
    expect_reply(client, 4, NULL);
    ask(client, "{\"execute\":\"snapshot\",\"arguments\":{\"guest\":99,\"path\":\"file\"},\"id\":5}\n" QUERY(6));
    expect_reply(client, 5, "GuestNotFound");
    expect_reply(client, 6, NULL);
    client_close(client);
    client_close(other);
}
END_TEST

START_TEST(answer_to_a_client_that_vanished_goes_nowhere)
{
    for (int success = 0; success < 2; success++) {
        struct client *client = new_client();
        ask(client, SNAPSHOT(1) QUERY(2));
        client_close(client);
        emit_event(); /* the server notices, and frees the connection */
        emit_event();
        ck_assert_uint_eq(asked_count, 1);
        give_one(success);
        turn();
    }
}
END_TEST

START_TEST(answer_to_a_client_that_has_only_now_vanished_goes_nowhere)
{
    struct client *client = new_client();
    ask(client, SNAPSHOT(1) QUERY(2));
    client_close(client);
    give_one(true);
    turn();
}
END_TEST

START_TEST(half_closed_client_is_answered_then_let_go)
{
    struct client *client = new_client();
    ask(client, SNAPSHOT(1) "{\"execute\":\"query-guests\",\"id\":2}");
    client_shutdown(client);
    expect_silence(client);
    give_one(true);
    expect_reply(client, 1, NULL);
    expect_reply(client, 2, NULL);
    expect_closed(client);
}
END_TEST

START_TEST(waiting_client_that_sends_on_and_on_is_bounded_and_then_served)
{
    enum { LINES = 8000 };
    struct client *client = new_client();
    ask(client, SNAPSHOT(1));
    static char line[4000]; /* blanks are no request */
    memset(line, ' ', sizeof line - 1);
    size_t sent = 0;
    client_set_timeout(client, 0);
    for (; sent < LINES; sent++) {
        line[sizeof line - 1] = '\n';
        if (client_send_raw(client, line, sizeof line) < 0)
            break;
        turn();
    }
    ck_assert_uint_lt(sent, LINES); /* the server reads no more */
    give_one(true);
    expect_reply(client, 1, NULL);
    client_close(client);
}
END_TEST

START_TEST(quit_of_another_client_answers_all_who_wait)
{
    struct client *first = new_client(), *second = new_client(), *gone = new_client(), *other = new_client();
    ask(first, SNAPSHOT(1) QUERY(2));
    ask(second, SNAPSHOT(3));
    ask(gone, SNAPSHOT(4));
    client_close(gone);
    emit_event();
    emit_event();
    ask(other, "{\"execute\":\"quit\",\"id\":5}\n");
    ck_assert(has_quit);
    expect_reply(other, 5, NULL);
    control_close(control);
    expect_reply(first, 1, "IOError");
    expect_reply(first, 2, NULL);
    expect_reply(second, 3, "IOError");
    expect_closed(first);
    expect_closed(second);
    expect_closed(other);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    control = NULL;
}
END_TEST

START_TEST(server_that_ends_waits_for_an_answer_under_way)
{
    struct client *client = new_client();
    ask(client, SNAPSHOT(1) QUERY(2));
    control_close(control);
    control = NULL;
    expect_silence(client);
    give_one(true);
    expect_reply(client, 1, NULL);
    expect_closed(client);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
}
END_TEST

START_TEST(server_that_ends_does_not_wait_for_ever)
{
    struct client *client = new_client();
    ask(client, SNAPSHOT(1));
    control_close(control);
    control = NULL;
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0); /* everything of the server is gone */
    expect_closed(client);
    give_one(true);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as vmm has it */
    Suite *suite = suite_create("control: answers");
    TCase *tests = tcase_create("answers");
    tcase_add_checked_fixture(tests, start, end);
    tcase_add_test(tests, later_requests_of_the_client_wait_and_nobody_elses);
    tcase_add_test(tests, answer_to_a_client_that_vanished_goes_nowhere);
    tcase_add_test(tests, answer_to_a_client_that_has_only_now_vanished_goes_nowhere);
    tcase_add_test(tests, half_closed_client_is_answered_then_let_go);
    tcase_add_test(tests, waiting_client_that_sends_on_and_on_is_bounded_and_then_served);
    tcase_add_test(tests, quit_of_another_client_answers_all_who_wait);
    tcase_add_test(tests, server_that_ends_waits_for_an_answer_under_way);
    tcase_add_test(tests, server_that_ends_does_not_wait_for_ever);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
