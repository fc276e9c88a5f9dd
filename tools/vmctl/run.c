/* vmctl run, wait and registers: guests that run until they stop, and what is then to be seen of them. */
#include "tools/vmctl/show.h"
#include "tools/vmctl/vmctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool has(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value && !json_is_null(value);
}

/* "exit 6", "mark 3", "crash: triple fault"; and where a crash was. */
static int show_stop(const json_t *stop)
{
    fputs(has(stop, "reason") ? member_text(stop, "reason") : "lives", stdout);
    if (has(stop, "exit_code"))
        printf(" %" PRIu64, member_number(stop, "exit_code"));
    if (has(stop, "value"))
        printf(" %" PRIu64, member_number(stop, "value"));
    if (has(stop, "message"))
        printf(": %s", member_text(stop, "message"));
    putchar('\n');
    if (has(stop, "rip"))
        printf("vCPU %" PRIu64 " at rip %s, cr2 %s\n", member_number(stop, "vcpu"), member_text(stop, "rip"),
               member_text(stop, "cr2"));
    return 0;
}

/* Asks for a guest's stop or end, and waits as long as it takes. */
static int ask(struct client *client, const struct arguments *arguments, const char *command, json_t *parameters)
{
    json_t *reply;
    struct client_error error;
    if (arguments->options & OPTION_TIMEOUT)
        json_object_set_new(parameters, "timeout_ms", json_integer((json_int_t)arguments->timeout_ms));
    client_set_timeout(client, -1);
    if (client_call(client, command, parameters, &reply, &error) < 0)
        return print_error(command, &error);
    const bool late = !has(reply, "reason") || strcmp(member_text(reply, "reason"), "time") == 0;
    const int result = show_reply(arguments, reply, show_stop);
    return result == 0 && late ? EXIT_TIME : result;
}

/* "mark,ready" as an array. NULL when out of memory. */
static json_t *split_words(const char *words)
{
    json_t *list = json_array();
    for (const char *end; list && *words; words = *end ? end + 1 : end) {
        end = strchrnul(words, ',');
        if (json_array_append_new(list, json_stringn(words, (size_t)(end - words))) < 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

int run_run(struct client *client, const struct arguments *arguments)
{
    json_t *until = arguments->options & OPTION_UNTIL ? split_words(arguments->until) : NULL;
    return ask(client, arguments, "run",
               json_pack("{s:I, s:o*}", "guest", (json_int_t)arguments->parameters[0], "until", until));
}

int run_wait(struct client *client, const struct arguments *arguments)
{
    return ask(client, arguments, "wait", guest_parameter(arguments));
}

/* Four in a line; segments by themselves. */
static void show_vcpu(const json_t *registers)
{
    unsigned column = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)registers, name, value) /* jansson's iteration is not const-correct */
    {
        if (!json_is_string(value))
            continue;
        printf("%-8s %s%s", name, json_string_value(value), ++column % 4 ? "  " : "\n");
    }
    if (column % 4)
        putchar('\n');
    json_object_foreach((json_t *)registers, name, value)
    {
        if (json_is_object(value))
            printf("%-8s %04" PRIx64 "  base %s  limit 0x%08" PRIx64 "  type %" PRIu64 "  dpl %" PRIu64 "%s%s\n", name,
                   member_number(value, "selector"), member_text(value, "base"), member_number(value, "limit"),
                   member_number(value, "type"), member_number(value, "dpl"),
                   member_true(value, "present") ? "" : "  not present",
                   member_true(value, "long_mode") ? "  64-bit" : "");
    }
}

static int show_registers(const json_t *list)
{
    size_t index;
    json_t *registers;
    json_array_foreach(list, index, registers)
    {
        printf("%svCPU %zu\n", index ? "\n" : "", index);
        show_vcpu(registers);
    }
    return 0;
}

int run_registers(struct client *client, const struct arguments *arguments)
{
    return call_and_show(client, arguments, "query-registers", guest_parameter(arguments), show_registers);
}
