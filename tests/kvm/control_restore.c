/*
 * The reply to a `restore` that reads the whole file comes when the guest is there. Meanwhile its client waits, nobody
 * else does, and the client may go; and the VMM is what it was where there will be no guest.
 */
#include "tests/support/kvm_held.h"
#include "tests/support/kvm_snapshot.h"
#include "tests/support/rounds.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 8 /* in which something is to be seen once that nobody promises */

static const char *path; /* a snapshot that takes a while to read: it has much memory that does not compress */

static struct rig start_large(const char *limit)
{
    const char *resident = on_slow_machine() ? "resident=20M" : "resident=40M";
    struct rig rig = RIG("--memory", "48M", "--limit-guests", limit, "@workload", resident, "dirty=4K", "pattern=full");
    RIG_UNTIL(rig_marks(&rig, 0, 1) == 1);
    path = snapshot_place("large");
    json_decref(rig_call(&rig, "snapshot", "{s:i, s:s, s:b}", "guest", 0, "path", path, "compress", 1));
    return rig;
}

static struct client *connect_to(const struct rig *rig)
{
    struct client_error error;
    struct client *client = vmm_process_connect(rig->process, &error);
    ck_assert_msg(client != NULL, "%s", error.text);
    return client;
}

/* The VMM has begun with it when this returns: what the other client asks later has been answered. */
static void send_restore(struct rig *rig, struct client *client)
{
    char line[700];
    int length = snprintf(line, sizeof line,
                          "{\"execute\":\"restore\",\"arguments\":{\"path\":\"%s\",\"paused\":true}}\n", path);
    ck_assert_int_eq(client_send_raw(client, line, (size_t)length), 0);
    json_decref(rig_call(rig, "query-version", NULL));
}

/* The id of the guest in the reply, or -1 with the error's text in `text`. */
static int64_t take_reply(struct client *client, char text[256])
{
    json_t *reply = client_recv_reply(client, RIG_PATIENCE_MS);
    ck_assert_ptr_nonnull(reply);
    const json_t *value = json_object_get(reply, "return"), *error = json_object_get(reply, "error");
    int64_t id = value ? json_integer_value(json_object_get(value, "id")) : -1;
    snprintf(text, 256, "%s", error ? json_string_value(json_object_get(error, "desc")) : "");
    json_decref(reply);
    return id;
}

static uint64_t expect_guest(struct client *client)
{
    char text[256];
    int64_t id = take_reply(client, text);
    ck_assert_msg(id > 0, "%s", text);
    return (uint64_t)id;
}

START_TEST(other_clients_are_served_while_a_file_is_read)
{
    struct rig rig = start_large("100");
    struct client *waiting = connect_to(&rig);
    bool overtaken = false;
    for (int round = 0; round < ROUNDS && !overtaken; round++) {
        send_restore(&rig, waiting);
        json_decref(rig_call(&rig, "pause", "{s:i}", "guest", 0));
        json_decref(rig_call(&rig, "resume", "{s:i}", "guest", 0));
        overtaken = rig_live(&rig) == 1;
        rig_do(&rig, "kill", expect_guest(waiting));
    }
    ck_assert(overtaken);
    client_close(waiting);
    rig_quit(&rig);
}
END_TEST

START_TEST(several_files_are_read_at_a_time_and_each_makes_its_guest)
{
    enum { CLIENTS = 3 };
    struct rig rig = start_large("100");
    struct client *clients[CLIENTS];
    uint64_t sum = 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = connect_to(&rig);
        send_restore(&rig, clients[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        sum += expect_guest(clients[i]);
        client_close(clients[i]);
    }
    ck_assert_uint_eq(sum, 1 + 2 + 3);
    for (uint64_t id = 1; id <= CLIENTS; id++) {
        ck_assert(rig_state_is(&rig, id, "paused"));
        rig_do(&rig, "resume", id);
        rig_wait_exited(&rig, id, 0); /* it has rewritten what it found, as a child of a fork does */
    }
    rig_quit(&rig);
}
END_TEST

static void send_snapshot(struct client *client, uint64_t guest, int number)
{
    char line[700], name[16];
    snprintf(name, sizeof name, "file-%d", number);
    int length = snprintf(line, sizeof line,
                          "{\"execute\":\"snapshot\",\"arguments\":{\"guest\":%llu,\"path\":\"%s\","
                          "\"compress\":true}}\n",
                          (unsigned long long)guest, snapshot_place(name));
    ck_assert_int_eq(client_send_raw(client, line, (size_t)length), 0);
}

/* So many that most are not even begun when the file has been read. */
START_TEST(restore_does_not_wait_for_snapshots_being_written)
{
    enum { WRITERS = 12 };
    struct rig rig = start_large("100");
    struct client *writers[WRITERS];
    uint64_t guests[WRITERS];
    bool overtaken = false;
    rig_do(&rig, "pause", 0);
    rig_fork(&rig, 0, WRITERS, true, guests);
    for (int i = 0; i < WRITERS; i++)
        writers[i] = connect_to(&rig);
    for (int round = 0; round < ROUNDS && !overtaken; round++) {
        for (int i = 0; i < WRITERS; i++)
            send_snapshot(writers[i], guests[i], i);
        json_decref(rig_call(&rig, "query-version", NULL)); /* they have been read when it is answered */
        rig_do(&rig, "kill", rig_restore(&rig, path, RESTORE_PAUSED));
        int left = 0;
        for (int i = 0; i < WRITERS; i++) {
            json_t *reply = client_recv_reply(writers[i], 0);
            if (!reply) {
                left++;
                reply = client_recv_reply(writers[i], RIG_PATIENCE_MS);
            }
            ck_assert_ptr_nonnull(json_object_get(reply, "return"));
            json_decref(reply);
        }
        overtaken = left >= WRITERS / 2;
    }
    ck_assert(overtaken);
    for (int i = 0; i < WRITERS; i++)
        client_close(writers[i]);
    rig_quit(&rig);
}
END_TEST

START_TEST(vmm_stays_for_a_restore_when_its_last_guest_ends_meanwhile)
{
    struct rig rig = start_large("100");
    struct client *waiting = connect_to(&rig);
    send_restore(&rig, waiting);
    rig_do(&rig, "kill", 0);
    uint64_t guest = expect_guest(waiting);
    ck_assert_uint_eq(rig_live(&rig), 1);
    client_close(waiting);
    rig_do(&rig, "kill", guest);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT); /* the root was killed */
}
END_TEST

/* In the middle there are guest pages. */
static void damage(void)
{
    FILE *file = fopen(path, "r+");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, snapshot_size(path) / 2, SEEK_SET), 0);
    for (int i = 0; i < 4096; i++)
        ck_assert_int_ne(fputc(0x5a, file), EOF);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(vmm_ends_when_such_a_restore_fails)
{
    struct rig rig = start_large("100");
    struct client *waiting = connect_to(&rig);
    damage();
    send_restore(&rig, waiting);
    rig_do(&rig, "kill", 0);
    char text[256];
    ck_assert_int_eq(take_reply(waiting, text), -1);
    ck_assert_msg(strstr(text, "page data has been changed") != NULL, "%s", text);
    client_close(waiting);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
}
END_TEST

/* More of them than rig_check_held() has patience with, whatever each would leave. */
START_TEST(restores_that_fail_leave_nothing)
{
    struct rig rig = start_large("100");
    rig_do(&rig, "pause", 0);
    damage();
    const struct held before = rig_held(&rig);
    for (unsigned i = 0; i < rounds(40, 20); i++)
        rig_refused(&rig, "SnapshotInvalid", "page data has been changed", "restore", "{s:s}", "path", path);
    rig_check_held(&rig, &before);
    ck_assert_uint_eq(rig_live(&rig), 1);
    rig_quit(&rig);
}
END_TEST

/* Room for two: whether the file is still being read then or not, there is none for a third. */
START_TEST(restore_has_its_place_among_the_guests_from_the_start)
{
    struct rig rig = start_large("2");
    struct client *waiting = connect_to(&rig);
    send_restore(&rig, waiting);
    rig_refused(&rig, "LimitExceeded", "--limit-guests 2", "fork", "{s:i}", "guest", 0);
    rig_refused(&rig, "LimitExceeded", "--limit-guests 2", "restore", "{s:s}", "path", path);
    rig_do(&rig, "kill", expect_guest(waiting));
    rig_do(&rig, "kill", rig_fork(&rig, 0, 1, true, NULL));
    client_close(waiting);
    rig_quit(&rig);
}
END_TEST

START_TEST(client_that_vanishes_leaves_its_restore_running)
{
    struct rig rig = start_large("100");
    struct client *client = connect_to(&rig);
    send_restore(&rig, client);
    client_close(client);
    RIG_UNTIL(rig_live(&rig) == 2);
    rig_quit(&rig);
}
END_TEST

/* So many at a time that no processor has read them all by then. */
static void check_quit(bool by_signal)
{
    enum { CLIENTS = 8 };
    bool cancelled = false;
    for (int round = 0; round < ROUNDS && !cancelled; round++) {
        struct rig rig = start_large("100");
        struct client *clients[CLIENTS];
        for (int i = 0; i < CLIENTS; i++) {
            clients[i] = connect_to(&rig);
            send_restore(&rig, clients[i]);
        }
        if (by_signal)
            vmm_process_signal(rig.process, SIGTERM);
        else
            json_decref(rig_call(&rig, "quit", NULL));
        for (int i = 0; i < CLIENTS; i++) {
            char text[256];
            int64_t id = take_reply(clients[i], text);
            cancelled |= strstr(text, "cancelled") != NULL;
            ck_assert_msg(id > 0 || strstr(text, "cancelled") || strstr(text, "the VMM has ended"), "%s", text);
            client_close(clients[i]);
        }
        ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
    }
    ck_assert(cancelled);
}

START_TEST(quit_by_another_client_cancels_restores)
{
    check_quit(false);
}
END_TEST

START_TEST(signal_cancels_restores)
{
    check_quit(true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control_restore");
    TCase *tests = tcase_create("restore");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, other_clients_are_served_while_a_file_is_read);
    tcase_add_test(tests, several_files_are_read_at_a_time_and_each_makes_its_guest);
    tcase_add_test(tests, restore_does_not_wait_for_snapshots_being_written);
    tcase_add_test(tests, vmm_stays_for_a_restore_when_its_last_guest_ends_meanwhile);
    tcase_add_test(tests, vmm_ends_when_such_a_restore_fails);
    tcase_add_test(tests, restores_that_fail_leave_nothing);
    tcase_add_test(tests, restore_has_its_place_among_the_guests_from_the_start);
    tcase_add_test(tests, client_that_vanishes_leaves_its_restore_running);
    tcase_add_test(tests, quit_by_another_client_cancels_restores);
    tcase_add_test(tests, signal_cancels_restores);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
