/* The control protocol's form, at the socket of a real VMM: greeting, lines, limits, what is refused and what closes.
 */
#include "tests/kvm/control_common.h"

#define QUERY "{\"execute\":\"query-guests\",\"id\":%d}\n"
#define LIMIT ((size_t)98304)

static void send_query(struct client *client, int id)
{
    char line[64];
    snprintf(line, sizeof line, QUERY, id);
    send_text(client, line);
}

/* The connection still answers. */
static void expect_alive(struct client *client)
{
    send_query(client, 4711);
    expect_return(client, 4711);
}

START_TEST(greeting_comes_first)
{
    struct client *client = client_open_raw(vmm_process_socket(vmm), 5000, NULL);
    ck_assert_ptr_nonnull(client);
    json_t *message = client_recv(client, 5000);
    const json_t *greeting = json_object_get(message, "VMM");
    ck_assert_uint_eq(json_object_size(message), 1);
    ck_assert(json_is_string(json_object_get(greeting, "version")));
    ck_assert_int_eq(json_integer_value(json_object_get(greeting, "protocol")), 1);
    ck_assert(json_is_array(json_object_get(greeting, "capabilities")));
    json_decref(message);
    client_close(client);
}
END_TEST

START_TEST(a_request_may_come_byte_by_byte)
{
    struct client *client = connect_to_vmm();
    const char *line = "{\"execute\":\"query-guests\",\"id\":7}\r\n";
    for (const char *byte = line; *byte; byte++) {
        ck_assert_int_eq(client_send_raw(client, byte, 1), 0);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    expect_return(client, 7);
    client_close(client);
}
END_TEST

START_TEST(requests_may_come_in_one_write)
{
    struct client *client = connect_to_vmm();
    char text[8192] = "";
    for (int i = 0; i < 100; i++) {
        char line[64];
        snprintf(line, sizeof line, QUERY, i);
        strcat(text, line);
    }
    send_text(client, text);
    for (int i = 0; i < 100; i++)
        expect_return(client, i);
    client_close(client);
}
END_TEST

START_TEST(empty_lines_mean_nothing)
{
    struct client *client = connect_to_vmm();
    send_text(client, "\n\r\n \t\n");
    expect_alive(client);
    client_close(client);
}
END_TEST

/* A request of exactly `length` bytes, the ending not counted. */
static void send_long(struct client *client, size_t length, const char *ending)
{
    const char *head = "{\"execute\":\"query-guests\",\"id\":\"", *tail = "\"}";
    char *line = malloc(length + 3);
    ck_assert_ptr_nonnull(line);
    memset(line, 'i', length);
    memcpy(line, head, strlen(head));
    memcpy(line + length - strlen(tail), tail, strlen(tail));
    strcpy(line + length, ending);
    client_send_raw(client, line, strlen(line)); /* may fail: the VMM need not read to the end of a line too long */
    free(line);
}

START_TEST(a_line_of_64_kib_is_answered)
{
    struct client *client = connect_to_vmm();
    const char *endings[] = {"\n", "\r\n"};
    for (int i = 0; i < 2; i++) {
        send_long(client, LIMIT, endings[i]);
        json_t *reply = next_reply(client);
        ck_assert(json_object_get(reply, "return") != NULL);
        ck_assert_uint_gt(json_string_length(json_object_get(reply, "id")), 65000);
        json_decref(reply);
    }
    client_close(client);
}
END_TEST

START_TEST(a_longer_line_closes)
{
    const char *endings[] = {"\n", "\r\n", ""};
    const size_t lengths[] = {LIMIT + 1, LIMIT + 1, 4 * LIMIT};
    for (int i = 0; i < 3; i++) {
        struct client *client = connect_to_vmm();
        send_long(client, lengths[i], endings[i]);
        json_t *reply = next_reply(client);
        expect_class(reply, "InvalidArgument");
        ck_assert(json_is_null(json_object_get(reply, "id")));
        json_decref(reply);
        expect_closed(client);
        client_close(client);
    }
}
END_TEST

START_TEST(what_is_no_json_closes)
{
    const char *lines[] = {"{\"execute\":\"query-guests\"\n",
                           "hello\n",
                           "{\"execute\":\"query-guests\"}}\n",
                           "{\"execute\":\"query-guests\",\"id\":\"\xC3\x28\"}\n",
                           "{\"execute\":\"query-guests\",\"id\":\"\xED\xA0\x80\"}\n",
                           "\xFF\xFE\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct client *client = connect_to_vmm();
        char text[256];
        snprintf(text, sizeof text, "%s" QUERY, lines[i],
                 1); /* the query must not be answered: garbage came before it */
        send_text(client, text);
        json_t *reply = next_reply(client);
        expect_class(reply, "InvalidArgument");
        ck_assert(json_is_null(json_object_get(reply, "id")));
        json_decref(reply);
        expect_closed(client);
        client_close(client);
    }
}
END_TEST

START_TEST(a_bad_request_leaves_the_connection)
{
    struct client *client = connect_to_vmm();
    const char *lines[] = {
        "{\"execute\":\"fork\",\"execute\":\"fork\"}\n",
        "{\"execute\":\"fork\",\"arguments\":{\"count\":1,\"count\":1}}\n",
        "{\"execute\":\"fork\",\"arguments\":{\"count\":99999999999999999999}}\n",
        "[\"fork\"]\n",
        "\"fork\"\n",
        "{}\n",
        "{\"execute\":[\"fork\"]}\n",
        "{\"execute\":\"fork\",\"arguments\":[]}\n",
        "{\"execute\":\"fork\",\"arguments\":null}\n",
        "{\"execute\":\"fork\",\"argument\":{}}\n",
        "{\"execute\":\"fork\",\"arguments\":{\"number\":1}}\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        send_text(client, lines[i]);
        expect_error(client, "InvalidArgument");
    }
    ck_assert_uint_eq(guest_count(client), 1);
    client_close(client);
}
END_TEST

START_TEST(unknown_commands_are_not_found)
{
    struct client *client = connect_to_vmm();
    const char *names[] = {"", "FORK", "snapshots", "restore ", "qmp_capabilities", "\\u0000"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char line[128];
        snprintf(line, sizeof line, "{\"execute\":\"%s\",\"arguments\":{\"guest\":0}}\n", names[i]);
        send_text(client, line);
        expect_error(client, "CommandNotFound");
    }
    expect_alive(client);
    client_close(client);
}
END_TEST

START_TEST(any_id_comes_back)
{
    struct client *client = connect_to_vmm();
    const char *ids[] = {"null",
                         "true",
                         "false",
                         "0",
                         "-5",
                         "9223372036854775807",
                         "1.5",
                         "\"\"",
                         "\"caf\xC3\xA9\"",
                         "\"a\\u0000b\"",
                         "[]",
                         "[1,[2,{\"x\":null}]]",
                         "{}",
                         "{\"id\":{\"deep\":[true]}}"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        for (int failing = 0; failing < 2; failing++) {
            char line[256];
            snprintf(line, sizeof line, "{\"id\":%s,\"execute\":\"%s\"}\n", ids[i], failing ? "none" : "query-guests");
            send_text(client, line);
            json_t *reply = next_reply(client);
            json_t *id = json_loads(ids[i], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            ck_assert_msg(json_equal(id, json_object_get(reply, "id")), "%s", ids[i]);
            ck_assert_uint_eq(json_object_size(reply), 2);
            json_decref(id);
            json_decref(reply);
        }
    }
    send_text(client, "{\"execute\":\"query-guests\"}\n");
    json_t *reply = next_reply(client);
    ck_assert_ptr_null(json_object_get(reply, "id"));
    json_decref(reply);
    client_close(client);
}
END_TEST

START_TEST(versions_and_facts_are_told)
{
    struct client *client = connect_to_vmm();
    json_t *facts = must_call(client, "query-version", NULL);
    ck_assert(json_equal(json_object_get(facts, "version"), json_object_get(client_greeting(client), "version")));
    ck_assert_int_eq(json_integer_value(json_object_get(facts, "protocol")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(facts, "kvm_api_version")), 12);
    ck_assert_int_eq(json_integer_value(json_object_get(facts, "memory")), 16 << 20);
    json_decref(facts);
    client_close(client);
}
END_TEST

START_TEST(events_name_their_guest_and_time)
{
    struct client *client = connect_to_vmm();
    struct client *watcher = connect_to_vmm();
    json_decref(must_call(client, "fork", json_pack("{s:i}", "count", 2)));
    json_decref(must_call(client, "pause", json_pack("{s:i}", "guest", 2)));
    json_decref(must_call(client, "kill", json_pack("{s:i}", "guest", 2)));
    struct client *both[] = {client, watcher};
    for (int i = 0; i < 2; i++) {
        json_t *forked = client_wait_event(both[i], "FORKED", 0, 5000);
        ck_assert_ptr_nonnull(forked);
        ck_assert_uint_gt(event_timestamp_ns(forked), 0);
        json_t *children = json_pack("[i, i]", 1, 2);
        ck_assert(json_equal(json_object_get(event_data(forked), "children"), children));
        json_decref(children);
        json_t *paused = client_wait_event(both[i], "PAUSED", 2, 5000);
        json_t *exited = client_wait_event(both[i], "EXITED", 2, 5000);
        ck_assert_uint_ge(event_timestamp_ns(exited), event_timestamp_ns(paused));
        ck_assert_str_eq(json_string_value(json_object_get(event_data(exited), "reason")), "killed");
        ck_assert(json_is_null(json_object_get(event_data(exited), "exit_code")));
        json_decref(forked);
        json_decref(paused);
        json_decref(exited);
        client_close(both[i]);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("protocol");
    tcase_add_checked_fixture(tests, start_vmm, end_vmm);
    tcase_add_test(tests, greeting_comes_first);
    tcase_add_test(tests, a_request_may_come_byte_by_byte);
    tcase_add_test(tests, requests_may_come_in_one_write);
    tcase_add_test(tests, empty_lines_mean_nothing);
    tcase_add_test(tests, a_line_of_64_kib_is_answered);
    tcase_add_test(tests, a_longer_line_closes);
    tcase_add_test(tests, what_is_no_json_closes);
    tcase_add_test(tests, a_bad_request_leaves_the_connection);
    tcase_add_test(tests, unknown_commands_are_not_found);
    tcase_add_test(tests, any_id_comes_back);
    tcase_add_test(tests, versions_and_facts_are_told);
    tcase_add_test(tests, events_name_their_guest_and_time);
    return run_suite(tests);
}
