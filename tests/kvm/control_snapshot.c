/*
 * The reply to `snapshot` comes when the file is written. Meanwhile its client waits, nobody else does, and the client
 * may go; what the VMM frees is overwritten here, so that it cannot use it unnoticed.
 */
#include "tests/kvm/control_common.h"
#include "tests/support/rounds.h"

#include <signal.h>
#include <unistd.h>

static char path[128]; /* of a snapshot, in the VMM's own folder */

/* A guest with so much memory that will not compress that a snapshot of it takes a while. */
static void start_large(void)
{
    setenv("MALLOC_PERTURB_", "165", 1);
    char program[256], file[256];
    vmm_build_path(program, sizeof program, "vmm");
    vmm_build_path(file, sizeof file, "guest/workload.bin");
    const char *resident = on_slow_machine() ? "resident=20M" : "resident=80M";
    const char *words[] = {program, "--memory", "96M", "--linger", file, resident, "dirty=4K", "pattern=full", NULL};
    struct client_error error;
    vmm = vmm_process_start(words, 0, &error);
    ck_assert_msg(vmm != NULL, "%s", error.text);
    struct client *client = connect_to_vmm();
    json_t *mark = client_wait_mark(client, 0, 1, 60000);
    ck_assert_ptr_nonnull(mark);
    json_decref(mark);
    client_close(client);
    snprintf(path, sizeof path, "%s/large.snap", vmm_process_directory(vmm));
}

static void send_snapshot(struct client *client, int id)
{
    char line[512];
    snprintf(line, sizeof line,
             "{\"execute\":\"snapshot\",\"arguments\":{\"guest\":0,\"path\":\"%s\",\"compress\":true},\"id\":%d}\n",
             path, id);
    send_text(client, line);
}

/* The SNAPSHOT_DONE event; its error, or NULL. A new reference is left in *event for that. */
static const char *wait_done(struct client *client, json_t **event)
{
    *event = client_wait_event(client, "SNAPSHOT_DONE", 0, 60000);
    ck_assert_ptr_nonnull(*event);
    ck_assert_str_eq(json_string_value(json_object_get(event_data(*event), "path")), path);
    return json_string_value(json_object_get(event_data(*event), "error"));
}

static void expect_done(struct client *client)
{
    json_t *event;
    const char *error = wait_done(client, &event);
    ck_assert_msg(!error, "%s", error);
    ck_assert_int_eq(access(path, R_OK), 0);
    json_decref(event);
}

START_TEST(replies_stay_in_order_and_events_come_meanwhile)
{
    struct client *client = connect_to_vmm();
    send_snapshot(client, 1);
    for (int id = 2; id < 40; id++) {
        char line[128];
        snprintf(line, sizeof line, "{\"execute\":\"query-%s\",\"id\":%d}\n", id % 2 ? "guests" : "commands", id);
        send_text(client, line);
    }
    expect_return(client, 1);
    expect_done(client); /* said before */
    for (int id = 2; id < 40; id++)
        expect_return(client, id);
    json_t *progress = client_wait_event(client, "SNAPSHOT_PROGRESS", 0, 0);
    if (progress) { /* it takes long enough nearly everywhere */
        json_int_t bytes = json_integer_value(json_object_get(event_data(progress), "bytes"));
        ck_assert_int_le(bytes, json_integer_value(json_object_get(event_data(progress), "of")));
        json_decref(progress);
    }
    client_close(client);
}
END_TEST

/* No order of the two is promised, so it must be seen once in some rounds that the other one was first. */
START_TEST(other_clients_are_served_meanwhile)
{
    struct client *saving = connect_to_vmm(), *other = connect_to_vmm();
    bool overtaken = false;
    for (int round = 0; round < 5 && !overtaken; round++) {
        send_snapshot(saving, round);
        json_decref(must_call(other, "pause", json_pack("{s:i}", "guest", 0)));
        json_decref(must_call(other, "resume", json_pack("{s:i}", "guest", 0)));
        json_t *early = client_recv_reply(saving, 0);
        overtaken = !early;
        json_decref(early);
        if (!early)
            expect_return(saving, round);
    }
    ck_assert(overtaken);
    client_close(saving);
    client_close(other);
}
END_TEST

START_TEST(client_that_vanishes_leaves_its_snapshot_running)
{
    struct client *other = connect_to_vmm();
    for (int round = 0; round < (int)rounds(6, 4); round++) {
        struct client *client = connect_to_vmm();
        send_snapshot(client, 1);
        if (round % 2)
            send_text(client, "{\"execute\":\"query-guests\",\"id\":2}\n{\"execute\":\"query-com");
        struct timespec moment = {.tv_nsec = round * 10000000};
        nanosleep(&moment, NULL); /* so that it is under way, or not even read */
        client_close(client);
        expect_done(other);
        ck_assert_uint_eq(guest_count(other), 1);
        unlink(path);
    }
    client_close(other);
}
END_TEST

START_TEST(half_closed_client_gets_all_its_replies)
{
    struct client *client = connect_to_vmm();
    send_snapshot(client, 1);
    send_text(client, "{\"execute\":\"query-guests\",\"id\":2}\n{\"execute\":\"query-version\",\"id\":3}");
    client_shutdown(client);
    expect_return(client, 1);
    expect_return(client, 2);
    expect_return(client, 3);
    expect_closed(client);
    client_close(client);
}
END_TEST

START_TEST(second_snapshot_of_the_guest_is_told_to_wait)
{
    struct client *saving = connect_to_vmm(), *other = connect_to_vmm();
    bool busy = false;
    for (int round = 0; round < 5 && !busy; round++) {
        send_snapshot(saving, 1);
        json_t *event;
        do { /* the VMM has read it once a reply to something later is there */
            struct client_error error = {0};
            int result = client_callf(other, "snapshot", NULL, &error, "{s:i, s:s}", "guest", 0, "path", path);
            busy |= result < 0 && strcmp(error.class, "Busy") == 0;
            ck_assert_msg(result == 0 || busy, "%s: %s", error.class, error.text);
            event = client_wait_event(other, "SNAPSHOT_DONE", 0, 0);
        } while (!busy && !event);
        json_decref(event);
        expect_return(saving, 1);
        client_drop_events(other);
    }
    ck_assert(busy);
    client_close(saving);
    client_close(other);
}
END_TEST

/* Its reply is then an error, or a success where that came first; and there is no half file. */
static void check_cancelled(struct client *client)
{
    json_t *reply = next_reply(client);
    ck_assert_int_eq(json_integer_value(json_object_get(reply, "id")), 1);
    bool written = json_object_get(reply, "return") != NULL;
    if (!written)
        ck_assert(json_is_string(json_object_get(json_object_get(reply, "error"), "class")));
    ck_assert_int_eq(access(path, F_OK) == 0, written);
    json_decref(reply);
    expect_closed(client);
    ck_assert_int_eq(vmm_process_wait(vmm, 20000), 124);
}

START_TEST(quit_by_another_client_answers_it)
{
    struct client *saving = connect_to_vmm(), *other = connect_to_vmm();
    send_snapshot(saving, 1);
    json_decref(must_call(other, "query-guests", NULL)); /* its turn has come */
    json_decref(must_call(other, "quit", NULL));
    check_cancelled(saving);
    client_close(saving);
    client_close(other);
}
END_TEST

START_TEST(quit_waits_behind_the_clients_own_snapshot)
{
    struct client *client = connect_to_vmm();
    send_snapshot(client, 1);
    send_text(client, "{\"execute\":\"quit\",\"id\":2}\n");
    expect_return(client, 1);
    expect_return(client, 2);
    expect_closed(client);
    ck_assert_int_eq(vmm_process_wait(vmm, 20000), 124);
    ck_assert_int_eq(access(path, R_OK), 0);
    client_close(client);
}
END_TEST

START_TEST(quit_while_a_client_that_vanished_was_saving)
{
    struct client *client = connect_to_vmm(), *other = connect_to_vmm();
    send_snapshot(client, 1);
    json_decref(must_call(other, "query-guests", NULL));
    client_close(client);
    json_decref(must_call(other, "query-guests", NULL));
    json_decref(must_call(other, "quit", NULL));
    ck_assert_int_eq(vmm_process_wait(vmm, 20000), 124);
    client_close(other);
}
END_TEST

START_TEST(signal_ends_the_vmm_while_it_saves)
{
    struct client *client = connect_to_vmm(), *other = connect_to_vmm();
    send_snapshot(client, 1);
    json_decref(must_call(other, "query-guests", NULL));
    vmm_process_signal(vmm, SIGTERM);
    check_cancelled(client);
    client_close(client);
    client_close(other);
}
END_TEST

START_TEST(guest_that_ends_meanwhile_is_saved_all_the_same)
{
    struct client *saving = connect_to_vmm(), *other = connect_to_vmm();
    send_snapshot(saving, 1);
    json_decref(must_call(other, "query-guests", NULL));
    json_decref(must_call(other, "kill", json_pack("{s:i}", "guest", 0)));
    expect_return(saving, 1);
    expect_done(other);
    json_decref(must_call(other, "quit", NULL));
    client_close(saving);
    client_close(other);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("snapshot");
    tcase_add_checked_fixture(tests, start_large, end_vmm);
    tcase_add_test(tests, replies_stay_in_order_and_events_come_meanwhile);
    tcase_add_test(tests, other_clients_are_served_meanwhile);
    tcase_add_test(tests, client_that_vanishes_leaves_its_snapshot_running);
    tcase_add_test(tests, half_closed_client_gets_all_its_replies);
    tcase_add_test(tests, second_snapshot_of_the_guest_is_told_to_wait);
    tcase_add_test(tests, quit_by_another_client_answers_it);
    tcase_add_test(tests, quit_waits_behind_the_clients_own_snapshot);
    tcase_add_test(tests, quit_while_a_client_that_vanished_was_saving);
    tcase_add_test(tests, signal_ends_the_vmm_while_it_saves);
    tcase_add_test(tests, guest_that_ends_meanwhile_is_saved_all_the_same);
    return run_suite(tests);
}
