/* How the control server judges a request, before anything of it is done. */
#include "vmm/control/commands.h"
#include "vmm/control/lines.h"
#include "vmm/control/request.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct request request;
static struct cleave_failure failure;

static enum request_result parse_bytes(const char *line, size_t length)
{
    request_clear(&request);
    failure = (struct cleave_failure){0};
    return request_parse(&request, &control_commands, line, length, &failure);
}

static enum request_result parse(const char *line)
{
    return parse_bytes(line, strlen(line));
}

static void expect(const char *line, enum request_result result, enum cleave_failure_kind class, const char *named)
{
    ck_assert_msg(parse(line) == result, "%s: %s", line, failure.text);
    ck_assert_msg(failure.kind == class, "%s: %s", line, failure.text);
    ck_assert_msg(strstr(failure.text, named) != NULL, "%s: %s", line, failure.text);
}

static void expect_refused(const char *line, const char *named)
{
    expect(line, REQUEST_REFUSED, CLEAVE_INVALID_ARGUMENT, named);
}

static void expect_broken(const char *line)
{
    expect(line, REQUEST_BROKEN, CLEAVE_INVALID_ARGUMENT, "");
    ck_assert(json_is_null(request.id));
}

START_TEST(defaults_are_filled_in)
{
    ck_assert_int_eq(parse("{\"execute\":\"fork\"}"), REQUEST_VALID);
    ck_assert_str_eq(request.command->name, "fork");
    ck_assert_uint_eq(request.values[0], 0);
    ck_assert_uint_eq(request.values[1], 1);
    ck_assert_uint_eq(request.values[2], 0);
    ck_assert_ptr_null(request.id);
    ck_assert_int_eq(parse("{\"arguments\":{},\"execute\":\"fork\",\"id\":[1]}"), REQUEST_VALID);
    ck_assert(json_is_array(request.id));
}
END_TEST

START_TEST(given_values_are_taken)
{
    ck_assert_int_eq(parse("{\"execute\":\"fork\",\"arguments\":{\"paused\":true,\"count\":1024,\"guest\":7}}"),
                     REQUEST_VALID);
    ck_assert_uint_eq(request.values[0], 7);
    ck_assert_uint_eq(request.values[1], 1024);
    ck_assert_uint_eq(request.values[2], 1);
    ck_assert_int_eq(parse("{\"execute\":\"kill\",\"arguments\":{\"guest\":9223372036854775807}}"), REQUEST_VALID);
    ck_assert_uint_eq(request.values[0], INT64_MAX);
}
END_TEST

START_TEST(wrong_types_are_named)
{
    const char *values[] = {"\"0\"", "1.0", "1e0", "true", "null", "[]", "{}", "-1"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char line[128];
        snprintf(line, sizeof line, "{\"execute\":\"fork\",\"arguments\":{\"guest\":%s}}", values[i]);
        expect_refused(line, "\"guest\"");
        snprintf(line, sizeof line, "{\"execute\":\"fork\",\"arguments\":{\"count\":%s}}", values[i]);
        expect_refused(line, "\"count\"");
        if (strcmp(values[i], "true") == 0)
            continue;
        snprintf(line, sizeof line, "{\"execute\":\"fork\",\"arguments\":{\"paused\":%s}}", values[i]);
        expect_refused(line, "\"paused\"");
    }
    expect_refused("{\"execute\":\"fork\",\"arguments\":{\"paused\":0}}", "\"paused\"");
}
END_TEST

START_TEST(ranges_are_checked)
{
    expect_refused("{\"execute\":\"fork\",\"arguments\":{\"count\":0}}", "1 to 1024");
    expect_refused("{\"execute\":\"fork\",\"arguments\":{\"count\":1025}}", "1 to 1024");
    expect_refused("{\"execute\":\"read-memory\",\"arguments\":{\"guest\":0,\"gpa\":0,\"length\":65537}}", "65536");
    expect_refused("{\"execute\":\"read-memory\",\"arguments\":{\"guest\":0,\"gpa\":0,\"length\":0}}", "\"length\"");
    expect_refused("{\"execute\":\"kill\",\"arguments\":{\"guest\":9223372036854775808}}", "");
    expect_refused("{\"execute\":\"kill\",\"arguments\":{\"guest\":1e999}}", "");
}
END_TEST

START_TEST(texts_and_choices_are_taken)
{
    ck_assert_int_eq(parse("{\"execute\":\"snapshot\",\"arguments\":{\"guest\":3,\"path\":\"a/\\u00e9\"}}"),
                     REQUEST_VALID);
    ck_assert(request.command->start && !request.command->run);
    ck_assert_uint_eq(request.values[0], 3);
    ck_assert_str_eq(request.texts[1], "a/\xc3\xa9");
    ck_assert_uint_eq(request.values[2], 0);
    ck_assert_uint_eq(request.values[3], 0);
    ck_assert_int_eq(parse("{\"execute\":\"snapshot\",\"arguments\":{\"kind\":\"diff\",\"path\":\"x\",\"guest\":0,"
                           "\"compress\":true}}"),
                     REQUEST_VALID);
    ck_assert_uint_eq(request.values[2], 1);
    ck_assert_uint_eq(request.values[3], 1);
    ck_assert_int_eq(parse("{\"execute\":\"restore\",\"arguments\":{\"path\":\"y\",\"eager\":true}}"), REQUEST_VALID);
    ck_assert_str_eq(request.texts[0], "y");
    ck_assert_uint_eq(request.values[1], 0);
    ck_assert_uint_eq(request.values[2], 1);
}
END_TEST

/* A path of so many bytes. */
static enum request_result parse_path(size_t length)
{
    static char line[8192];
    size_t used = (size_t)sprintf(line, "{\"execute\":\"restore\",\"arguments\":{\"path\":\"");
    memset(line + used, 'x', length);
    strcpy(line + used + length, "\"}}");
    return parse(line);
}

START_TEST(wrong_texts_and_choices_are_named)
{
    const char *values[] = {"0", "1.0", "true", "null", "[]", "{}", "[\"x\"]", "\"\"", "\"a\\u0000b\"", "\"\\u0000\""};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char line[128];
        snprintf(line, sizeof line, "{\"execute\":\"restore\",\"arguments\":{\"path\":%s}}", values[i]);
        expect_refused(line, "\"path\"");
        snprintf(line, sizeof line, "{\"execute\":\"snapshot\",\"arguments\":{\"guest\":0,\"path\":\"x\",\"kind\":%s}}",
                 values[i]);
        expect_refused(line, "\"kind\"");
    }
    const char *kinds[] = {"ful", "fulll", "Full", "full\\u0000", "full ", "diff\\u0000x"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char line[128];
        snprintf(line, sizeof line,
                 "{\"execute\":\"snapshot\",\"arguments\":{\"guest\":0,\"path\":\"x\",\"kind\":\"%s\"}}", kinds[i]);
        expect_refused(line, "must be \"full\" or \"diff\"");
    }
    expect_refused("{\"execute\":\"restore\",\"arguments\":{\"path\":\"a\\u0000b\"}}", "zero byte");
    expect_refused("{\"execute\":\"restore\",\"arguments\":{}}", "\"path\" is missing");
    ck_assert_int_eq(parse_path(4095), REQUEST_VALID);
    ck_assert_uint_eq(strlen(request.texts[0]), 4095);
    ck_assert_int_eq(parse_path(4096), REQUEST_REFUSED);
    ck_assert_ptr_nonnull(strstr(failure.text, "4096 bytes long, must be from 1 to 4095"));
}
END_TEST

START_TEST(missing_and_unknown_arguments_are_named)
{
    expect_refused("{\"execute\":\"kill\"}", "\"guest\" is missing");
    expect_refused("{\"execute\":\"kill\",\"arguments\":{}}", "\"guest\" is missing");
    expect_refused("{\"execute\":\"translate\",\"arguments\":{\"guest\":1}}", "\"gpa\" is missing");
    expect_refused("{\"execute\":\"quit\",\"arguments\":{\"now\":true}}", "\"now\"");
    expect_refused("{\"execute\":\"kill\",\"arguments\":{\"guest\":0,\"Guest\":0}}", "\"Guest\"");
}
END_TEST

START_TEST(the_request_itself_is_checked)
{
    expect_refused("{}", "\"execute\" is missing");
    expect_refused("{\"execute\":1}", "\"execute\" is not a string");
    expect_refused("{\"execute\":\"quit\",\"extra\":1}", "\"extra\"");
    expect_refused("{\"execute\":\"quit\",\"arguments\":[]}", "\"arguments\"");
    expect_refused("{\"execute\":\"quit\",\"arguments\":null}", "\"arguments\"");
    expect_refused("[]", "not an object");
    expect_refused("42", "not an object");
    expect_refused("\"quit\"", "not an object");
    expect_refused("null", "not an object");
}
END_TEST

START_TEST(duplicate_keys_are_refused_anywhere)
{
    expect_refused("{\"execute\":\"quit\",\"execute\":\"quit\"}", "duplicate");
    expect_refused("{\"execute\":\"kill\",\"arguments\":{\"guest\":1,\"guest\":2}}", "duplicate");
    expect_refused("{\"execute\":\"quit\",\"id\":{\"a\":1,\"a\":1}}", "duplicate");
    expect_refused("{\"execute\":\"quit\",\"id\":1,\"id\":1}", "duplicate");
    ck_assert(json_is_null(request.id));
}
END_TEST

START_TEST(unknown_commands_are_not_found)
{
    const char *names[] = {"", "Quit", "quit ", "fork2", "quit\\u0000", "suspend", "restores"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char line[128];
        snprintf(line, sizeof line, "{\"execute\":\"%s\",\"id\":3}", names[i]);
        expect(line, REQUEST_REFUSED, CLEAVE_COMMAND_NOT_FOUND, "query-commands");
        ck_assert_int_eq(json_integer_value(request.id), 3);
    }
}
END_TEST

START_TEST(what_is_no_json_is_broken)
{
    const char *lines[] = {"{",
                           "}",
                           "{\"execute\":\"quit\"",
                           "{'execute':'quit'}",
                           "{\"execute\":\"quit\"} x",
                           "{\"execute\":\"quit\"}{\"execute\":\"quit\"}",
                           "{\"execute\":NaN}",
                           "{\"a\":01}",
                           "{\"a\":1,}",
                           "{\"\xC3\":1}",
                           "{\"a\":\"\xED\xA0\x80\"}",
                           "\xFF",
                           "{\"a\":\"\\ud800\"}"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        expect_broken(lines[i]);
    ck_assert_int_eq(parse_bytes("{}\0", 3), REQUEST_BROKEN);
}
END_TEST

START_TEST(bad_utf8_is_called_so)
{
    expect("{\"execute\":\"\xC0\x80\"}", REQUEST_BROKEN, CLEAVE_INVALID_ARGUMENT, "UTF-8");
}
END_TEST

START_TEST(deep_nesting_is_broken_and_harmless)
{
    static char line[60000];
    memset(line, '[', sizeof line);
    ck_assert_int_eq(parse_bytes(line, sizeof line), REQUEST_BROKEN);
}
END_TEST

START_TEST(blank_lines_are_no_requests)
{
    ck_assert_int_eq(parse(""), REQUEST_EMPTY);
    ck_assert_int_eq(parse(" \t\r"), REQUEST_EMPTY);
}
END_TEST

START_TEST(long_names_are_quoted_in_part)
{
    char line[2048] = "{\"execute\":\"quit\",\"";
    size_t used = strlen(line);
    memset(line + used, 'x', 1000);
    strcpy(line + used + 1000, "\":1}");
    expect_refused(line, "xxxx");
    ck_assert_uint_lt(strlen(failure.text), 160);
}
END_TEST

START_TEST(sets_data_and_absent_values_are_taken)
{
    ck_assert_int_eq(parse("{\"execute\":\"run\",\"arguments\":{\"guest\":1}}"), REQUEST_VALID);
    ck_assert_uint_eq(request.values[1], 1 << CLEAVE_STOP_EXIT | 1 << CLEAVE_STOP_CRASH | 1 << CLEAVE_STOP_HALT);
    ck_assert_uint_eq(request.values[2], ARGUMENT_ABSENT);
    ck_assert_int_eq(parse("{\"execute\":\"run\",\"arguments\":{\"guest\":1,\"until\":[\"ready\",\"mark\",\"mark\"],"
                           "\"timeout_ms\":9223372036854775807}}"),
                     REQUEST_VALID);
    ck_assert_uint_eq(request.values[1], CLEAVE_UNTIL_MARK | CLEAVE_UNTIL_READY);
    ck_assert_uint_eq(request.values[2], INT64_MAX);
    ck_assert_int_eq(parse("{\"execute\":\"run\",\"arguments\":{\"guest\":1,\"until\":[]}}"), REQUEST_VALID);
    ck_assert_uint_eq(request.values[1], 0);
    ck_assert_int_eq(parse("{\"execute\":\"reset\",\"arguments\":{\"guest\":1}}"), REQUEST_VALID);
    ck_assert_uint_eq(request.values[1], ARGUMENT_ABSENT);
    ck_assert_int_eq(
        parse("{\"execute\":\"write-memory\",\"arguments\":{\"gpa\":4096,\"data\":\"Zm9vYmE=\",\"guest\":1}}"),
        REQUEST_VALID);
    ck_assert_uint_eq(request.data_length, 5);
    ck_assert_mem_eq(request.data, "fooba", 5);
}
END_TEST

START_TEST(wrong_sets_data_and_timeouts_are_named)
{
    expect_refused("{\"execute\":\"run\",\"arguments\":{\"guest\":1,\"until\":\"mark\"}}", "must be an array");
    expect_refused("{\"execute\":\"run\",\"arguments\":{\"guest\":1,\"until\":[\"time\"]}}",
                   "\"time\", must be \"exit\" or");
    expect_refused("{\"execute\":\"run\",\"arguments\":{\"guest\":1,\"until\":[\"mark\",3]}}", "\"until\"");
    expect_refused("{\"execute\":\"run\",\"arguments\":{\"guest\":1,\"timeout_ms\":0}}", "from 1 to");
    expect_refused("{\"execute\":\"run\",\"arguments\":{\"guest\":1,\"timeout_ms\":9223372036854775808}}", "");
    expect_refused("{\"execute\":\"wait\",\"arguments\":{\"guest\":1,\"timeout_ms\":null}}", "\"timeout_ms\"");
    expect_refused("{\"execute\":\"wait\",\"arguments\":{\"guest\":1,\"for\":\"begin\"}}", "must be \"end\"");
    expect_refused("{\"execute\":\"console-write\",\"arguments\":{\"guest\":1,\"data\":\"\"}}", "0 bytes");
    expect_refused("{\"execute\":\"console-write\",\"arguments\":{\"guest\":1,\"data\":\"Zg\"}}", "not base64");
    expect_refused("{\"execute\":\"console-write\",\"arguments\":{\"guest\":1,\"data\":7}}", "base64");
    expect_refused("{\"execute\":\"console-write\",\"arguments\":{\"guest\":1}}", "missing");
}
END_TEST

/* 64 KiB of data fit into a line; one byte more is too much. */
static enum request_result parse_data(size_t length)
{
    static char line[CONTROL_LINE_MAX + 1];
    char *end = line + sprintf(line, "{\"execute\":\"write-memory\",\"arguments\":{\"guest\":1,\"gpa\":0,\"data\":\"");
    for (size_t i = 0; i + 3 <= length; i += 3, end += 4)
        memcpy(end, "/A//", 4);
    end += sprintf(end, "%s\"}}", length % 3 == 1 ? "AA==" : length % 3 == 2 ? "AAA=" : "");
    ck_assert_uint_le((size_t)(end - line), CONTROL_LINE_MAX);
    return parse_bytes(line, (size_t)(end - line));
}

START_TEST(data_is_as_long_as_it_may_be)
{
    ck_assert_int_eq(parse_data(65536), REQUEST_VALID);
    ck_assert_uint_eq(request.data_length, 65536);
    ck_assert_int_eq(parse_data(65537), REQUEST_REFUSED);
    ck_assert_msg(strstr(failure.text, "65537 bytes") != NULL, "%s", failure.text);
}
END_TEST

START_TEST(the_table_is_sound)
{
    for (size_t i = 0; i < control_commands.count; i++) {
        const struct command *command = &control_commands.list[i];
        unsigned data = 0;
        ck_assert(!command->run != !command->start && command->description && command->argument_count <= ARGUMENTS_MAX);
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(command->name, control_commands.list[j].name);
        for (size_t j = 0; j < command->argument_count; j++) {
            const struct argument *argument = &command->arguments[j];
            ck_assert_ptr_nonnull(argument->name);
            if (argument->type == ARGUMENT_INTEGER)
                ck_assert(argument->minimum <= argument->maximum && argument->maximum <= INT64_MAX);
            if (!argument->required && argument->type == ARGUMENT_INTEGER && argument->default_value != ARGUMENT_ABSENT)
                ck_assert(argument->minimum <= argument->default_value && argument->default_value <= argument->maximum);
            if (argument->type == ARGUMENT_TEXT)
                ck_assert(argument->required && argument->minimum <= argument->maximum);
            data += argument->type == ARGUMENT_DATA;
            ck_assert_int_eq(argument->type == ARGUMENT_CHOICE || argument->type == ARGUMENT_SET,
                             argument->choices != NULL);
        }
        ck_assert_uint_le(data, 1);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control: requests");
    TCase *tests = tcase_create("requests");
    tcase_add_test(tests, defaults_are_filled_in);
    tcase_add_test(tests, given_values_are_taken);
    tcase_add_test(tests, wrong_types_are_named);
    tcase_add_test(tests, ranges_are_checked);
    tcase_add_test(tests, texts_and_choices_are_taken);
    tcase_add_test(tests, wrong_texts_and_choices_are_named);
    tcase_add_test(tests, missing_and_unknown_arguments_are_named);
    tcase_add_test(tests, the_request_itself_is_checked);
    tcase_add_test(tests, duplicate_keys_are_refused_anywhere);
    tcase_add_test(tests, unknown_commands_are_not_found);
    tcase_add_test(tests, what_is_no_json_is_broken);
    tcase_add_test(tests, bad_utf8_is_called_so);
    tcase_add_test(tests, deep_nesting_is_broken_and_harmless);
    tcase_add_test(tests, blank_lines_are_no_requests);
    tcase_add_test(tests, long_names_are_quoted_in_part);
    tcase_add_test(tests, sets_data_and_absent_values_are_taken);
    tcase_add_test(tests, wrong_sets_data_and_timeouts_are_named);
    tcase_add_test(tests, data_is_as_long_as_it_may_be);
    tcase_add_test(tests, the_table_is_sound);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
