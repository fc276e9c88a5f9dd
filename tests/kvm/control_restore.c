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
    const char *resident = on_slow_machine() ? "resident=20M" : "resident=80M";
    struct rig rig = RIG("--memory", "96M", "--limit-guests", limit, "@workload", resident, "dirty=4K", "pattern=full");
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

START_TEST(vmm_ends_when_such_a_restore_fails)
{
    struct rig rig = start_large("100");
    struct client *waiting = connect_to(&rig);
    const off_t bytes = snapshot_size(path);
    FILE *file = fopen(path, "r+");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, bytes - 4096, SEEK_SET), 0);
    for (int i = 0; i < 4096; i++)
        ck_assert_int_ne(fputc(0x5a, file), EOF);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert(!snapshot_is_whole(path));
    send_restore(&rig, waiting);
    rig_do(&rig, "kill", 0);
    char text[256];
    ck_assert_int_eq(take_reply(waiting, text), -1);
    ck_assert_msg(strstr(text, "checksum is wrong") != NULL, "%s", text);
    client_close(waiting);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
}
END_TEST

/* Room for one: who comes second while the file is read gets the error, and nothing of it is left. */
START_TEST(guest_made_meanwhile_may_take_the_last_room)
{
    struct rig rig = start_large("2");
    struct client *waiting = connect_to(&rig);
    bool taken = false;
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "kill", rig_fork(&rig, 0, 1, true, NULL)); /* so that it holds already what a fork leaves */
    const struct held before = rig_held(&rig);
    for (int round = 0; round < ROUNDS && !taken; round++) {
        char text[256];
        struct client_error error;
        json_t *reply = NULL;
        send_restore(&rig, waiting);
        bool forked = client_callf(rig.client, "fork", &reply, &error, "{s:i, s:b}", "guest", 0, "paused", 1) == 0;
        int64_t id = take_reply(waiting, text);
        ck_assert(forked == (id < 0));
        if (forked) {
            taken = true;
            ck_assert_msg(strstr(text, "would exceed --limit-guests 2") != NULL, "%s", text);
            id = json_integer_value(json_object_get(json_array_get(json_object_get(reply, "children"), 0), "id"));
        } else {
            ck_assert_str_eq(error.class, "LimitExceeded");
        }
        json_decref(reply);
        rig_do(&rig, "kill", (uint64_t)id);
    }
    ck_assert(taken);
    rig_check_held(&rig, &before);
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

/* Its reply is an error then, or a success where that was first. */
START_TEST(quit_answers_a_restore_under_way)
{
    for (int signal_too = 0; signal_too < 2; signal_too++) {
        struct rig rig = start_large("100");
        struct client *waiting = connect_to(&rig);
        send_restore(&rig, waiting);
        if (signal_too)
            vmm_process_signal(rig.process, SIGTERM);
        else
            json_decref(rig_call(&rig, "quit", NULL));
        char text[256];
        int64_t id = take_reply(waiting, text);
        ck_assert_msg(id > 0 || strstr(text, "cancelled") || strstr(text, "the VMM has ended"), "%s", text);
        client_close(waiting);
        ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control_restore");
    TCase *tests = tcase_create("restore");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, other_clients_are_served_while_a_file_is_read);
    tcase_add_test(tests, several_files_are_read_at_a_time_and_each_makes_its_guest);
    tcase_add_test(tests, vmm_stays_for_a_restore_when_its_last_guest_ends_meanwhile);
    tcase_add_test(tests, vmm_ends_when_such_a_restore_fails);
    tcase_add_test(tests, guest_made_meanwhile_may_take_the_last_room);
    tcase_add_test(tests, client_that_vanishes_leaves_its_restore_running);
    tcase_add_test(tests, quit_answers_a_restore_under_way);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
