/* Every argument of every command, by what query-commands says of it: wrong values are refused and nothing happens. */
#include "tests/kvm/control_common.h"

static bool is_of_type(const json_t *argument, const char *type)
{
    return strcmp(json_string_value(json_object_get(argument, "type")), type) == 0;
}

/* A right value for an argument that must have one. */
static json_t *right_value(const json_t *argument)
{
    json_t *choices = json_object_get(argument, "choices");
    if (is_of_type(argument, "array"))
        return json_incref(choices);
    if (choices)
        return json_incref(json_array_get(choices, 0));
    if (is_of_type(argument, "string"))
        return json_string("nothing is written here");
    if (is_of_type(argument, "base64"))
        return json_string("AAAA");
    if (is_of_type(argument, "boolean"))
        return json_false();
    json_int_t minimum = json_integer_value(json_object_get(argument, "minimum"));
    return json_integer(minimum);
}

static json_t *right_arguments(const json_t *command)
{
    json_t *arguments = json_object();
    size_t i;
    json_t *argument;
    json_array_foreach(json_object_get(command, "arguments"), i, argument)
        json_object_set_new(arguments, json_string_value(json_object_get(argument, "name")), right_value(argument));
    return arguments;
}

/* The call is refused, and the error names what is wrong. Takes over `arguments`. */
static void expect_refused(struct client *client, const json_t *command, json_t *arguments, const char *named)
{
    const char *name = json_string_value(json_object_get(command, "name"));
    char *text = json_dumps(arguments, JSON_ENCODE_ANY);
    struct client_error error = {0};
    ck_assert_msg(client_call(client, name, arguments, NULL, &error) < 0, "%s %s was done", name, text);
    ck_assert_msg(strcmp(error.class, "InvalidArgument") == 0, "%s %s: %s", name, text, error.class);
    ck_assert_msg(strstr(error.text, named) != NULL, "%s %s: %s", name, text, error.text);
    free(text);
}

static json_t *long_string(json_int_t length)
{
    char *text = malloc((size_t)length + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', (size_t)length);
    text[length] = '\0';
    json_t *string = json_string(text);
    free(text);
    return string;
}

/* Strings are wrong for what is no string; for those that are, the ones that are too long, and no choice. */
static void add_wrong_strings(json_t *values, const json_t *argument)
{
    json_array_append_new(values, json_string(""));
    json_array_append_new(values, json_stringn("full\0", 5));
    if (!is_of_type(argument, "string") || json_object_get(argument, "choices"))
        json_array_append_new(values, json_string("0"));
    json_int_t longest = json_integer_value(json_object_get(argument, "maximum"));
    if (is_of_type(argument, "base64"))
        json_array_append_new(values, long_string((longest + 3) / 3 * 4));
    if (is_of_type(argument, "string") && longest)
        json_array_append_new(values, long_string(longest + 1));
}

/* Values of every wrong type for the argument, as a new array. */
static json_t *wrong_values(const json_t *argument)
{
    json_t *values = json_pack("[f, f, n, {}, [i], [[]], [s]]", 0.0, 1.5, 0, "full");
    add_wrong_strings(values, argument);
    if (!is_of_type(argument, "array"))
        json_array_append_new(values, json_array());
    if (!is_of_type(argument, "integer")) {
        json_array_append_new(values, json_integer(0));
        json_array_append_new(values, json_integer(1));
        if (!is_of_type(argument, "boolean"))
            json_array_append_new(values, json_true());
        return values;
    }
    json_array_append_new(values, json_true());
    json_array_append_new(values, json_false());
    json_int_t minimum = json_integer_value(json_object_get(argument, "minimum"));
    json_int_t maximum = json_integer_value(json_object_get(argument, "maximum"));
    json_array_append_new(values, json_integer(-1));
    json_array_append_new(values, json_integer(INT64_MIN));
    json_array_append_new(values, json_integer(minimum - 1));
    if (maximum < INT64_MAX)
        json_array_append_new(values, json_integer(maximum + 1));
    return values;
}

static void check_argument(struct client *client, const json_t *command, const json_t *argument)
{
    const char *name = json_string_value(json_object_get(argument, "name"));
    json_t *values = wrong_values(argument);
    size_t i;
    json_t *value;
    json_array_foreach(values, i, value)
    {
        json_t *arguments = right_arguments(command);
        json_object_set(arguments, name, value);
        expect_refused(client, command, arguments, name);
    }
    json_decref(values);
    bool required = json_is_true(json_object_get(argument, "required"));
    ck_assert_int_eq(required, json_object_get(argument, "default") == NULL);
    if (required) {
        json_t *arguments = right_arguments(command);
        json_object_del(arguments, name);
        expect_refused(client, command, arguments, name);
    }
}

START_TEST(wrong_values_are_refused_without_effect)
{
    struct client *client = connect_to_vmm();
    json_t *commands = must_call(client, "query-commands", NULL);
    size_t i, j;
    json_t *command, *argument;
    json_array_foreach(commands, i, command)
    {
        json_array_foreach(json_object_get(command, "arguments"), j, argument)
            check_argument(client, command, argument);
        json_t *arguments = right_arguments(command);
        json_object_set_new(arguments, "surplus", json_integer(0));
        expect_refused(client, command, arguments, "surplus");
    }
    json_decref(commands);
    json_t *guests = must_call(client, "query-guests", NULL);
    ck_assert_uint_eq(json_array_size(guests), 1);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(guests, 0), "state")), "running");
    json_decref(guests);
    expect_guest_goes_on(client);
    client_close(client);
}
END_TEST

/* The fixed interface: command, then its arguments, those with "?" optional. */
START_TEST(the_commands_are_those_promised)
{
    static const char *const promised[] = {
        "query-commands",
        "query-version",
        "query-guests",
        "fork guest? count? paused?",
        "pause guest",
        "resume guest",
        "kill guest",
        "checkpoint guest",
        "reset guest paused?",
        "run guest until? timeout_ms?",
        "wait guest for? timeout_ms?",
        "write-memory guest gpa data",
        "query-registers guest",
        "console-write guest data",
        "snapshot guest path kind? compress?",
        "restore path paused? eager?",
        "query-stats guest",
        "translate guest gpa",
        "quit",
        "query-marks guest",
        "query-console guest",
        "read-memory guest gpa length",
        "query-mappings guest? gpa? count?",
    };
    struct client *client = connect_to_vmm();
    json_t *commands = must_call(client, "query-commands", NULL);
    ck_assert_uint_eq(json_array_size(commands), sizeof promised / sizeof promised[0]);
    size_t i, j;
    json_t *command, *argument;
    json_array_foreach(commands, i, command)
    {
        char text[256];
        snprintf(text, sizeof text, "%s", json_string_value(json_object_get(command, "name")));
        json_array_foreach(json_object_get(command, "arguments"), j, argument)
        {
            strcat(strcat(text, " "), json_string_value(json_object_get(argument, "name")));
            strcat(text, json_is_true(json_object_get(argument, "required")) ? "" : "?");
        }
        bool found = false;
        for (size_t k = 0; k < sizeof promised / sizeof promised[0]; k++)
            found |= strcmp(text, promised[k]) == 0;
        ck_assert_msg(found, "%s", text);
    }
    json_decref(commands);
    client_close(client);
}
END_TEST

START_TEST(fork_has_defaults)
{
    struct client *client = connect_to_vmm();
    json_t *report = must_call(client, "fork", NULL);
    const json_t *children = json_object_get(report, "children");
    ck_assert_uint_eq(json_array_size(children), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(children, 0), "id")), 1);
    ck_assert_int_gt(json_integer_value(json_object_get(json_array_get(children, 0), "ready_ns")), 0);
    ck_assert_int_gt(json_integer_value(json_object_get(report, "pause_ns")), 0);
    ck_assert(json_is_object(json_object_get(report, "phases")));
    ck_assert(json_is_integer(json_object_get(report, "published_pages")));
    json_decref(report);
    json_t *guests = must_call(client, "query-guests", NULL);
    const json_t *child = json_array_get(guests, 1);
    ck_assert_str_eq(json_string_value(json_object_get(child, "state")), "running");
    ck_assert(json_is_integer(json_object_get(child, "parent")));
    ck_assert(json_is_null(json_object_get(json_array_get(guests, 0), "parent")));
    ck_assert(json_is_null(json_object_get(child, "exit_code")));
    json_decref(guests);
    client_close(client);
}
END_TEST

START_TEST(checkpoint_and_reset_return_their_cost)
{
    struct client *client = connect_to_vmm();
    json_t *report = must_call(client, "checkpoint", json_pack("{s:i}", "guest", 0));
    ck_assert_uint_eq(json_object_size(report), 2);
    ck_assert_int_gt(json_integer_value(json_object_get(report, "pause_ns")), 0);
    ck_assert(json_is_integer(json_object_get(report, "published_pages")));
    json_decref(report);
    report = must_call(client, "reset", json_pack("{s:i}", "guest", 0));
    ck_assert_uint_eq(json_object_size(report), 3);
    ck_assert(json_is_integer(json_object_get(report, "dropped_pages")));
    json_int_t total = json_integer_value(json_object_get(report, "total_ns")), sum = 0;
    const char *name;
    json_t *phase;
    json_object_foreach(json_object_get(report, "phases"), name, phase) sum += json_integer_value(phase);
    ck_assert_int_gt(total, 0);
    ck_assert_int_eq(total, sum);
    json_decref(report);
    json_t *event = client_wait_event(client, "RESET", 0, 5000);
    ck_assert_ptr_nonnull(event);
    json_decref(event);
    client_close(client);
}
END_TEST

START_TEST(absent_guests_are_not_found)
{
    struct client *client = connect_to_vmm();
    const char *with_guest[] = {"fork",  "pause",       "resume",        "kill",        "checkpoint",
                                "reset", "query-stats", "query-console", "query-marks", "query-mappings"};
    for (size_t i = 0; i < sizeof with_guest / sizeof with_guest[0]; i++) {
        struct client_error error = {0};
        ck_assert_int_lt(client_callf(client, with_guest[i], NULL, &error, "{s:i}", "guest", 99), 0);
        ck_assert_msg(strcmp(error.class, "GuestNotFound") == 0, "%s: %s", with_guest[i], error.text);
    }
    struct client_error error = {0};
    ck_assert_int_lt(client_callf(client, "snapshot", NULL, &error, "{s:i, s:s}", "guest", 99, "path", "/tmp/x"), 0);
    ck_assert_msg(strcmp(error.class, "GuestNotFound") == 0, "%s", error.text);
    ck_assert_uint_eq(guest_count(client), 1);
    client_close(client);
}
END_TEST

START_TEST(memory_is_read_within_ram_only)
{
    struct client *client = connect_to_vmm();
    static unsigned char whole[200000], piece[16];
    struct client_error error = {0};
    ck_assert_msg(client_read_memory(client, 0, 0x200000, sizeof whole, whole, &error) == 0, "%s", error.text);
    ck_assert_int_eq(client_read_memory(client, 0, 0x200000, sizeof piece, piece, &error), 0);
    ck_assert_mem_eq(whole, piece, sizeof piece);
    ck_assert_int_eq(client_read_memory(client, 0, (16 << 20) - 16, 16, piece, &error), 0);
    const uint64_t outside[] = {(16 << 20) - 15, 16 << 20, UINT64_C(1) << 40, INT64_MAX};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        ck_assert_int_lt(client_read_memory(client, 0, outside[i], 16, piece, &error), 0);
        ck_assert_str_eq(error.class, "InvalidArgument");
    }
    client_close(client);
}
END_TEST

START_TEST(translate_shows_the_walk)
{
    struct client *client = connect_to_vmm();
    json_t *reply = must_call(client, "translate", json_pack("{s:i, s:i}", "guest", 0, "gpa", 0x200123));
    ck_assert(json_is_true(json_object_get(reply, "mapped")));
    ck_assert_uint_gt(json_array_size(json_object_get(reply, "steps")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(reply, "hpa")) & 0xFFF, 0x123);
    json_int_t start = json_integer_value(json_object_get(reply, "page_start"));
    json_int_t size = json_integer_value(json_object_get(reply, "page_size"));
    ck_assert(start <= 0x200123 && 0x200123 < start + size);
    json_decref(reply);
    reply = must_call(client, "translate", json_pack("{s:i, s:I}", "guest", 0, "gpa", (json_int_t)1 << 38));
    ck_assert(json_is_false(json_object_get(reply, "mapped")));
    json_decref(reply);
    client_close(client);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("arguments");
    tcase_add_checked_fixture(tests, start_vmm, end_vmm);
    tcase_add_test(tests, wrong_values_are_refused_without_effect);
    tcase_add_test(tests, the_commands_are_those_promised);
    tcase_add_test(tests, fork_has_defaults);
    tcase_add_test(tests, checkpoint_and_reset_return_their_cost);
    tcase_add_test(tests, absent_guests_are_not_found);
    tcase_add_test(tests, memory_is_read_within_ram_only);
    tcase_add_test(tests, translate_shows_the_walk);
    return run_suite(tests);
}
