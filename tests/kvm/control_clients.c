/* Many clients, and clients that behave badly: none delays the guest or another client. */
#include "tests/kvm/control_common.h"
#include "tests/support/rounds.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 120

/* Another client's call is answered within this. */
#define PROMPT_MS 5000

static void expect_prompt(struct client *client)
{
    int64_t start = milliseconds();
    json_decref(must_call(client, "query-guests", NULL));
    ck_assert_int_lt(milliseconds() - start, PROMPT_MS);
}

START_TEST(many_clients_interleave)
{
    static struct client *clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_to_vmm();
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            char line[128];
            snprintf(line, sizeof line, "{\"execute\":\"query-%s\",\"arguments\":{\"guest\":0},\"id\":%d}\n",
                     i % 2 ? "console" : "marks", 1000 * i + round);
            send_text(clients[i], line);
        }
        for (int i = CLIENTS - 1; i >= 0; i--)
            expect_return(clients[i], 1000 * i + round);
    }
    expect_guest_goes_on(clients[0]);
    for (int i = 0; i < CLIENTS; i++)
        client_close(clients[i]);
}
END_TEST

START_TEST(many_clients_get_every_event)
{
    static struct client *clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_to_vmm();
    for (int i = 0; i < 20; i++) {
        json_decref(must_call(clients[0], "pause", json_pack("{s:i}", "guest", 0)));
        json_decref(must_call(clients[0], "resume", json_pack("{s:i}", "guest", 0)));
    }
    for (int i = 0; i < CLIENTS; i++) {
        for (int j = 0; j < 20; j++) {
            json_t *paused = client_wait_event(clients[i], "PAUSED", 0, 5000);
            json_t *resumed = client_wait_event(clients[i], "RESUMED", 0, 5000);
            ck_assert(paused && resumed);
            json_decref(paused);
            json_decref(resumed);
        }
        client_close(clients[i]);
    }
}
END_TEST

/* Sends requests until the VMM takes no more from this client, or `most` are sent. Returns how many lines went whole.
 */
static int send_until_full(struct client *client, const char *line, int most)
{
    int sent = 0;
    size_t length = strlen(line), part = 0;
    while (sent < most) {
        ssize_t n = send(client_fd(client), line + part, length - part, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            part += (size_t)n;
            sent += part == length;
            part %= length;
            continue;
        }
        ck_assert_int_eq(errno, EAGAIN);
        struct pollfd poller = {.fd = client_fd(client), .events = POLLOUT};
        if (poll(&poller, 1, 300) == 0)
            break;
    }
    if (part > 0) /* let the started line end one day: it is part of what is expected back */
        sent++;
    return sent;
}

START_TEST(a_client_that_never_reads_is_alone_with_it)
{
    struct client *silent = connect_to_vmm();
    struct client *other = connect_to_vmm();
    int sent = send_until_full(silent, "{\"execute\":\"query-commands\",\"id\":1}\n", 1000000);
    ck_assert_int_lt(sent, 100000); /* so many answers would be hundreds of MiB in the VMM */
    for (unsigned i = 0; i < rounds(200, 25); i++) {
        json_decref(must_call(other, "pause", json_pack("{s:i}", "guest", 0)));
        json_decref(must_call(other, "resume", json_pack("{s:i}", "guest", 0)));
    }
    expect_prompt(other);
    expect_guest_goes_on(other);
    for (int i = 0; i < sent - 1; i++) /* now it reads: nothing was lost */
        expect_return(silent, 1);
    client_close(silent);
    client_close(other);
}
END_TEST

START_TEST(a_client_with_many_requests_leaves_turns_to_others)
{
    struct client *busy = connect_to_vmm();
    struct client *other = connect_to_vmm();
    for (unsigned round = 0; round < rounds(20, 5); round++) {
        for (int i = 0; i < 50; i++)
            send_text(busy, "{\"execute\":\"query-commands\",\"id\":2}\n");
        expect_prompt(other);
        for (int i = 0; i < 50; i++)
            expect_return(busy, 2);
    }
    client_close(busy);
    client_close(other);
}
END_TEST

START_TEST(half_a_line_disturbs_nobody)
{
    struct client *half[20];
    struct client *other = connect_to_vmm();
    for (int i = 0; i < 20; i++) {
        half[i] = connect_to_vmm();
        send_text(half[i], "{\"execute\":\"kill\",\"arguments\":{\"guest\":0");
    }
    expect_prompt(other);
    for (int i = 0; i < 20; i++)
        client_close(half[i]);
    expect_guest_goes_on(other);
    client_close(other);
}
END_TEST

START_TEST(a_half_closed_client_gets_its_replies)
{
    struct client *client = connect_to_vmm();
    for (int i = 0; i < 100; i++)
        send_text(client, "{\"execute\":\"query-commands\",\"id\":3}\n");
    send_text(client, "{\"execute\":\"query-guests\",\"id\":4}"); /* the end of what it sends ends this line */
    client_shutdown(client);
    for (int i = 0; i < 100; i++)
        expect_return(client, 3);
    expect_return(client, 4);
    expect_closed(client);
    client_close(client);
}
END_TEST

START_TEST(a_half_closed_client_with_half_a_line_gets_an_error)
{
    struct client *client = connect_to_vmm();
    send_text(client, "{\"execute\":\"query-guests\"");
    client_shutdown(client);
    expect_error(client, "InvalidArgument");
    expect_closed(client);
    client_close(client);
}
END_TEST

/* A fork is done whole or, where the VMM sees the client's end before its request, not at all. */
START_TEST(clients_that_vanish_in_a_fork_leave_it_whole)
{
    struct client *other = connect_to_vmm();
    size_t guests = 1;
    for (int i = 0; i < (int)rounds(20, 6); i++) {
        struct client *client = connect_to_vmm();
        send_text(client, "{\"execute\":\"fork\",\"arguments\":{\"count\":3}}\n");
        if (i % 2)
            nanosleep(&(struct timespec){.tv_nsec = i * 100000}, NULL);
        client_close(client);
        guests = guest_count(other);
        ck_assert_uint_eq(guests % 3, 1);
    }
    ck_assert_uint_gt(guests, 1);
    expect_prompt(other);
    expect_guest_goes_on(other);
    client_close(other);
}
END_TEST

START_TEST(clients_that_come_and_go_leave_nothing)
{
    struct client *other = connect_to_vmm();
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)vmm_process_pid(vmm));
    for (unsigned i = 0; i < rounds(2000, 300); i++) {
        struct client *client = client_open_raw(vmm_process_socket(vmm), 5000, NULL);
        ck_assert_ptr_nonnull(client);
        if (i % 3 == 0)
            send_text(client, "{\"execute\":\"query-commands\"}\n{\"exec");
        client_close(client);
    }
    expect_prompt(other);
    client_close(other);
}
END_TEST

START_TEST(many_children_fit_into_a_reply)
{
    struct client *client = connect_to_vmm();
    json_t *report = NULL;
    struct client_error error = {0};
    if (client_callf(client, "fork", &report, &error, "{s:i, s:b}", "count", 64, "paused", 1) < 0) {
        ck_assert_str_eq(error.class, "NoMemory");
        ck_assert_uint_eq(guest_count(client), 1);
    } else {
        ck_assert_uint_eq(json_array_size(json_object_get(report, "children")), 64);
        ck_assert_uint_eq(guest_count(client), 65);
    }
    json_decref(report);
    client_close(client);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("clients");
    tcase_add_checked_fixture(tests, start_vmm, end_vmm);
    tcase_add_test(tests, many_clients_interleave);
    tcase_add_test(tests, many_clients_get_every_event);
    tcase_add_test(tests, a_client_that_never_reads_is_alone_with_it);
    tcase_add_test(tests, a_client_with_many_requests_leaves_turns_to_others);
    tcase_add_test(tests, half_a_line_disturbs_nobody);
    tcase_add_test(tests, a_half_closed_client_gets_its_replies);
    tcase_add_test(tests, a_half_closed_client_with_half_a_line_gets_an_error);
    tcase_add_test(tests, clients_that_vanish_in_a_fork_leave_it_whole);
    tcase_add_test(tests, clients_that_come_and_go_leave_nothing);
    tcase_add_test(tests, many_children_fit_into_a_reply);
    return run_suite(tests);
}
