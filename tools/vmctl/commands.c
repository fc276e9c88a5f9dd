/* The subcommands that ask the VMM once and show its reply, and what all subcommands share. */
#include "tools/vmctl/show.h"
#include "tools/vmctl/vmctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int print_error(const char *command, const struct client_error *error)
{
    if (strcmp(error->class, CLIENT_CONNECTION) == 0)
        fprintf(stderr, "vmctl: %s\n", error->text);
    else
        fprintf(stderr, "vmctl: %s failed: %s (%s)\n", command, error->text, error->class);
    return -1;
}

bool vmm_has_ended(struct client *client)
{
    client_drop_events(client);
    return client_closed(client);
}

int out_of_memory(void)
{
    fprintf(stderr, "vmctl: out of memory\n");
    return -1;
}

int show_reply(const struct arguments *arguments, json_t *reply, show_fn *show)
{
    int result = arguments->json ? show_json(reply) : show(reply);
    json_decref(reply);
    return result < 0 ? out_of_memory() : 0;
}

int call_and_show(struct client *client, const struct arguments *arguments, const char *command, json_t *parameters,
                  show_fn *show)
{
    json_t *reply;
    struct client_error error;
    if (client_call(client, command, parameters, &reply, &error) < 0)
        return print_error(command, &error);
    return show_reply(arguments, reply, show);
}

json_t *guest_parameter(const struct arguments *arguments)
{
    return json_pack("{s:I}", "guest", (json_int_t)arguments->parameters[0]);
}

int show_nothing(const json_t *reply)
{
    (void)reply;
    return 0;
}

static int show_guests(const json_t *guests)
{
    static const char *const heading[] = {"ID",     "PARENT",   "STATE", "GEN",     "VCPUS",
                                          "MEMORY", "CHILDREN", "END",   "RESET TO"};
    struct table *table = table_new(9);
    for (size_t i = 0; i < 9; i++)
        table_add(table, heading[i]);
    size_t index;
    json_t *guest;
    json_array_foreach(guests, index, guest)
    {
        table_add_number(table, member_number(guest, "id"));
        if (json_is_integer(json_object_get(guest, "parent")))
            table_add_number(table, member_number(guest, "parent"));
        else
            table_add(table, "-");
        table_add(table, member_text(guest, "state"));
        table_add_number(table, member_number(guest, "generation"));
        table_add_number(table, member_number(guest, "vcpus"));
        table_add(table, size_words(member_number(guest, "memory")).text);
        table_add_number(table, member_number(guest, "children"));
        table_add(table, end_words(guest).text);
        table_add(table, json_is_string(json_object_get(guest, "reset_to")) ? member_text(guest, "reset_to") : "-");
    }
    return table_print(table);
}

int run_guests(struct client *client, const struct arguments *arguments)
{
    return call_and_show(client, arguments, "query-guests", NULL, show_guests);
}

int run_tree(struct client *client, const struct arguments *arguments)
{
    return call_and_show(client, arguments, "query-guests", NULL, show_tree);
}

/* "stop 114 us, save 86.3 us" */
static void show_phases(const json_t *report)
{
    const char *phase, *comma = "";
    json_t *value;
    json_object_foreach(json_object_get(report, "phases"), phase, value)
    {
        printf("%s%s %s", comma, phase, time_words((uint64_t)json_integer_value(value)).text);
        comma = ", ";
    }
}

static void show_pages(const char *what, uint64_t pages)
{
    printf("%s %" PRIu64 " pages (%s)\n", what, pages, size_words(pages * 4096).text);
}

static int show_fork(const json_t *report)
{
    struct table *table = table_new(2);
    table_add(table, "CHILD");
    table_add(table, "READY AFTER");
    size_t index;
    json_t *child;
    json_array_foreach(json_object_get(report, "children"), index, child)
    {
        char name[24];
        snprintf(name, sizeof name, "g%" PRIu64, member_number(child, "id"));
        uint64_t ready_ns = member_number(child, "ready_ns");
        table_add(table, name);
        table_add(table, ready_ns ? time_words(ready_ns).text : "(paused)");
    }
    if (table_print(table) < 0)
        return -1;
    printf("parent paused for %s (", time_words(member_number(report, "pause_ns")).text);
    show_phases(report);
    printf(")\n");
    show_pages("published", member_number(report, "published_pages"));
    return 0;
}

int run_fork(struct client *client, const struct arguments *arguments)
{
    json_t *guest = arguments->options & OPTION_GUEST ? json_integer((json_int_t)arguments->guest) : NULL;
    json_t *count = arguments->options & OPTION_COUNT ? json_integer((json_int_t)arguments->count) : NULL;
    json_t *paused = arguments->options & OPTION_PAUSED ? json_true() : NULL;
    json_t *parameters = json_pack("{s:o*, s:o*, s:o*}", "guest", guest, "count", count, "paused", paused);
    return call_and_show(client, arguments, "fork", parameters, show_fork);
}

int run_pause(struct client *client, const struct arguments *arguments)
{
    return call_and_show(client, arguments, "pause", guest_parameter(arguments), show_nothing);
}

int run_resume(struct client *client, const struct arguments *arguments)
{
    return call_and_show(client, arguments, "resume", guest_parameter(arguments), show_nothing);
}

static int show_checkpoint(const json_t *report)
{
    printf("paused for %s\n", time_words(member_number(report, "pause_ns")).text);
    show_pages("published", member_number(report, "published_pages"));
    return 0;
}

int run_checkpoint(struct client *client, const struct arguments *arguments)
{
    return call_and_show(client, arguments, "checkpoint", guest_parameter(arguments), show_checkpoint);
}

static int show_reset(const json_t *report)
{
    printf("reset in %s (", time_words(member_number(report, "total_ns")).text);
    show_phases(report);
    printf(")\n");
    show_pages("dropped", member_number(report, "dropped_pages"));
    return 0;
}

int run_reset(struct client *client, const struct arguments *arguments)
{
    json_t *parameters = guest_parameter(arguments);
    if (arguments->options & OPTION_PAUSED)
        json_object_set_new(parameters, "paused", json_true());
    return call_and_show(client, arguments, "reset", parameters, show_reset);
}

static bool has_ending(const char *name, const char *ending)
{
    size_t length = strlen(name), tail = strlen(ending);
    return length >= tail && strcmp(name + length - tail, ending) == 0;
}

static int show_stats(const json_t *stats)
{
    struct table *table = table_new(3);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)stats, name, value) /* jansson's iteration is not const-correct */
    {
        uint64_t number = (uint64_t)json_integer_value(value);
        table_add(table, name);
        table_add_number(table, number);
        if (has_ending(name, "_bytes"))
            table_add(table, size_words(number).text);
        else
            table_add(table, has_ending(name, "_ns") ? time_words(number).text : "");
    }
    return table_print(table);
}

int run_stats(struct client *client, const struct arguments *arguments)
{
    return call_and_show(client, arguments, "query-stats", guest_parameter(arguments), show_stats);
}

static int show_version(const json_t *facts)
{
    struct table *table = table_new(2);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)facts, name, value)
    {
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        bool bytes = strcmp(name, "memory") == 0 || strcmp(name, "page_size") == 0;
        table_add(table, name);
        table_add(table, bytes  ? size_words((uint64_t)json_integer_value(value)).text
                         : text ? text
                                : member_text(facts, name));
        free(text);
    }
    return table_print(table);
}

int run_version(struct client *client, const struct arguments *arguments)
{
    return call_and_show(client, arguments, "query-version", NULL, show_version);
}

/* "guest [count=1]": required arguments bare, the others with their default. */
static void describe_arguments(const json_t *list, char *text, size_t size)
{
    size_t index, used = 0;
    json_t *argument;
    text[0] = '\0';
    json_array_foreach(list, index, argument)
    {
        char *value = json_dumps(json_object_get(argument, "default"), JSON_ENCODE_ANY);
        const char *name = member_text(argument, "name"), *space = index ? " " : "";
        int n = value ? snprintf(text + used, size - used, "%s[%s=%s]", space, name, value)
                      : snprintf(text + used, size - used, "%s%s", space, name);
        free(value);
        used += (size_t)n;
        if (used >= size)
            return;
    }
}

static int show_commands(const json_t *commands)
{
    struct table *table = table_new(3);
    table_add(table, "COMMAND");
    table_add(table, "ARGUMENTS");
    table_add(table, "DOES");
    size_t index;
    json_t *command;
    json_array_foreach(commands, index, command)
    {
        char text[256];
        describe_arguments(json_object_get(command, "arguments"), text, sizeof text);
        table_add(table, member_text(command, "name"));
        table_add(table, text);
        table_add(table, member_text(command, "description"));
    }
    return table_print(table);
}

int run_commands(struct client *client, const struct arguments *arguments)
{
    return call_and_show(client, arguments, "query-commands", NULL, show_commands);
}

int run_quit(struct client *client, const struct arguments *arguments)
{
    return call_and_show(client, arguments, "quit", NULL, show_nothing);
}
