/* Requests: see request.h. */
#include "vmm/control/request.h"
#include "vmm/control/json_memory.h"
#include "vmm/control/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names come from the client and may be long; this much of one is quoted in an error. */
#define QUOTED 64

const char *argument_type_name(enum argument_type type)
{
    switch (type) {
    case ARGUMENT_BOOLEAN:
        return "boolean";
    case ARGUMENT_TEXT:
    case ARGUMENT_CHOICE:
        return "string";
    case ARGUMENT_SET:
        return "array";
    case ARGUMENT_DATA:
        return "base64";
    case ARGUMENT_INTEGER:
        break;
    }
    return "integer";
}

/* jansson's numbers for what is wrong with the text: is the line still one JSON text, so that the next can be trusted?
 */
static bool still_json(enum json_error_code code)
{
    return code == json_error_duplicate_key || code == json_error_numeric_overflow ||
           code == json_error_null_byte_in_key;
}

static enum request_result parse_failed(const json_error_t *error, struct cleave_failure *failure)
{
    enum json_error_code code = json_error_code(error);
    fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: %.160s (at byte %d)",
         code == json_error_invalid_utf8 ? "the request is not UTF-8"
         : still_json(code)              ? "the request is not acceptable"
                                         : "the request is not JSON",
         error->text, error->position);
    return still_json(code) ? REQUEST_REFUSED : REQUEST_BROKEN;
}

static bool is_blank(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

static const struct command *find_command(const struct command_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->list[i].name, name) == 0)
            return &table->list[i];
    return NULL;
}

static int check_members(const json_t *object, struct cleave_failure *failure)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) /* jansson's iteration is not const-correct */
        if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 && strcmp(key, "id") != 0) return fail(
            failure, CLEAVE_INVALID_ARGUMENT, "unknown member \"%.*s\" of the request", QUOTED, key);
    return 0;
}

static int check_names(const struct command *command, const json_t *arguments, struct cleave_failure *failure)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)arguments, key, value)
    {
        size_t i = 0;
        while (i < command->argument_count && strcmp(command->arguments[i].name, key) != 0)
            i++;
        if (i == command->argument_count)
            return fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: unknown argument \"%.*s\"", command->name, QUOTED, key);
    }
    return 0;
}

static int take_number(const struct command *command, const struct argument *argument, const json_t *value,
                       uint64_t *out, struct cleave_failure *failure)
{
    json_int_t number = json_integer_value(value);
    if (number < 0 || (uint64_t)number < argument->minimum || (uint64_t)number > argument->maximum)
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "%s: argument \"%s\" is %" JSON_INTEGER_FORMAT ", must be from %" PRIu64 " to %" PRIu64,
                    command->name, argument->name, number, argument->minimum, argument->maximum);
    *out = (uint64_t)number;
    return 0;
}

static int take_text(const struct command *command, const struct argument *argument, const json_t *value,
                     const char **out, struct cleave_failure *failure)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (strlen(text) != length)
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: argument \"%s\" has a zero byte in it", command->name,
                    argument->name);
    if (length < argument->minimum || length > argument->maximum)
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "%s: argument \"%s\" is %zu bytes long, must be from %" PRIu64 " to %" PRIu64, command->name,
                    argument->name, length, argument->minimum, argument->maximum);
    *out = text;
    return 0;
}

/* Which of the argument's words the value is; -1 where it is none of them. */
static int find_choice(const struct argument *argument, const json_t *value)
{
    const char *text = json_string_value(value);
    for (int i = 0; text && argument->choices[i]; i++)
        if (strlen(text) == json_string_length(value) && strcmp(text, argument->choices[i]) == 0)
            return i;
    return -1;
}

static int fail_choice(const struct command *command, const struct argument *argument, const json_t *value,
                       struct cleave_failure *failure)
{
    const char *text = json_string_value(value);
    char known[QUOTED] = "";
    size_t used = 0;
    for (size_t i = 0; argument->choices[i] && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s\"%s\"", i ? " or " : "", argument->choices[i]);
    return fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: argument \"%s\" has \"%.*s\", must be %s", command->name,
                argument->name, QUOTED, text ? text : "what is no string", known);
}

static int take_choice(const struct command *command, const struct argument *argument, const json_t *value,
                       uint64_t *out, struct cleave_failure *failure)
{
    const int choice = find_choice(argument, value);
    *out = (uint64_t)choice;
    return choice < 0 ? fail_choice(command, argument, value, failure) : 0;
}

static int take_set(const struct command *command, const struct argument *argument, const json_t *value, uint64_t *out,
                    struct cleave_failure *failure)
{
    *out = 0;
    for (size_t i = 0; i < json_array_size(value); i++) {
        uint64_t choice;
        if (take_choice(command, argument, json_array_get(value, i), &choice, failure) < 0)
            return -1;
        *out |= UINT64_C(1) << choice;
    }
    return 0;
}

static int take_data(struct request *request, const struct command *command, const struct argument *argument,
                     const json_t *value, struct cleave_failure *failure)
{
    const size_t length = json_string_length(value);
    request->data = malloc(BASE64_BYTES(length) + 1);
    if (!request->data)
        return fail(failure, CLEAVE_NO_MEMORY, "%s: out of memory for argument \"%s\"", command->name, argument->name);
    if (!base64_decode(json_string_value(value), length, request->data, &request->data_length))
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: argument \"%s\" is not base64 with padding", command->name,
                    argument->name);
    if (request->data_length < argument->minimum || request->data_length > argument->maximum)
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "%s: argument \"%s\" stands for %zu bytes, must be from %" PRIu64 " to %" PRIu64, command->name,
                    argument->name, request->data_length, argument->minimum, argument->maximum);
    return 0;
}

static bool type_is_right(const struct argument *argument, const json_t *value)
{
    switch (argument->type) {
    case ARGUMENT_BOOLEAN:
        return json_is_boolean(value);
    case ARGUMENT_TEXT:
    case ARGUMENT_CHOICE:
    case ARGUMENT_DATA:
        return json_is_string(value);
    case ARGUMENT_SET:
        return json_is_array(value);
    case ARGUMENT_INTEGER:
        break;
    }
    return json_is_integer(value);
}

/* Takes argument i of the command. */
static int take_value(struct request *request, const struct command *command, size_t i, const json_t *value,
                      struct cleave_failure *failure)
{
    const struct argument *argument = &command->arguments[i];
    if (!value) {
        request->values[i] = argument->default_value;
        return argument->required ? fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: argument \"%s\" is missing",
                                         command->name, argument->name)
                                  : 0;
    }
    if (!type_is_right(argument, value))
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: argument \"%s\" must be %s %s", command->name,
                    argument->name, argument->type == ARGUMENT_INTEGER || argument->type == ARGUMENT_SET ? "an" : "a",
                    argument->type == ARGUMENT_DATA ? "string of base64" : argument_type_name(argument->type));
    switch (argument->type) {
    case ARGUMENT_BOOLEAN:
        request->values[i] = json_is_true(value);
        return 0;
    case ARGUMENT_TEXT:
        return take_text(command, argument, value, &request->texts[i], failure);
    case ARGUMENT_CHOICE:
        return take_choice(command, argument, value, &request->values[i], failure);
    case ARGUMENT_SET:
        return take_set(command, argument, value, &request->values[i], failure);
    case ARGUMENT_DATA:
        return take_data(request, command, argument, value, failure);
    case ARGUMENT_INTEGER:
        break;
    }
    return take_number(command, argument, value, &request->values[i], failure);
}

static int check_request(struct request *request, const struct command_table *table, const json_t *object,
                         struct cleave_failure *failure)
{
    if (check_members(object, failure) < 0)
        return -1;
    const json_t *name = json_object_get(object, "execute");
    const json_t *arguments = json_object_get(object, "arguments");
    if (!json_is_string(name))
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "\"execute\" is %s", name ? "not a string" : "missing");
    if (arguments && !json_is_object(arguments))
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "\"arguments\" is not an object");
    const char *text = json_string_value(name);
    const struct command *command = strlen(text) == json_string_length(name) ? find_command(table, text) : NULL;
    if (!command)
        return fail(failure, CLEAVE_COMMAND_NOT_FOUND, "no command \"%.*s\"; query-commands lists them", QUOTED, text);
    if (check_names(command, arguments, failure) < 0)
        return -1;
    for (size_t i = 0; i < command->argument_count; i++) {
        const json_t *value = json_object_get(arguments, command->arguments[i].name);
        if (take_value(request, command, i, value, failure) < 0)
            return -1;
    }
    request->command = command;
    return 0;
}

/* The line as JSON; one that lacks anything for want of memory is none. NULL with *error. */
static json_t *load(const char *line, size_t length, bool *out_of_memory, json_error_t *error)
{
    json_memory_begin_strict();
    json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, error);
    *out_of_memory = !json_memory_end_strict();
    if (!*out_of_memory)
        return object;
    json_decref(object);
    return NULL;
}

enum request_result request_parse(struct request *request, const struct command_table *table, const char *line,
                                  size_t length, struct cleave_failure *failure)
{
    *request = (struct request){0};
    if (is_blank(line, length))
        return REQUEST_EMPTY;
    json_error_t error;
    bool out_of_memory;
    json_t *object = load(line, length, &out_of_memory, &error);
    if (out_of_memory) {
        request->id = json_null();
        fail(failure, CLEAVE_NO_MEMORY, "out of memory for the request");
        return REQUEST_REFUSED;
    }
    if (!object) {
        request->id = json_null();
        return parse_failed(&error, failure);
    }
    enum request_result result = REQUEST_REFUSED;
    if (!json_is_object(object)) {
        request->id = json_null();
        fail(failure, CLEAVE_INVALID_ARGUMENT, "the request is not an object");
    } else {
        request->id = json_incref(json_object_get(object, "id"));
        if (check_request(request, table, object, failure) == 0)
            result = REQUEST_VALID;
    }
    request->object = object;
    return result;
}

void request_clear(struct request *request)
{
    json_decref(request->id);
    json_decref(request->object);
    free(request->data);
    *request = (struct request){0};
}
