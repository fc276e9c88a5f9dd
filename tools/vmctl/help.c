/* vmctl help: the list of commands, and what one command takes; all from the tables of commands and options. */
#include "tools/vmctl/command_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct argp_option *option_with(unsigned option)
{
    for (const struct argp_option *o = vmctl_options; o->name; o++)
        if (option_of(o->key) == option)
            return o;
    return NULL;
}

/* "GUEST FILE" */
static void put_parameters(const struct subcommand *subcommand, FILE *to)
{
    for (size_t i = 0; i < PARAMETERS_MAX && subcommand->parameters[i]; i++)
        fprintf(to, " %s", subcommand->parameters[i]);
}

/* "--guest=GUEST", with its short form where it has one. */
static void put_option(const struct argp_option *option, FILE *to)
{
    char text[64], shorter[8] = "    ";
    if (option->key < 0x80)
        snprintf(shorter, sizeof shorter, "-%c, ", option->key);
    snprintf(text, sizeof text, "%s--%s%s%s", shorter, option->name, option->arg ? "=" : "",
             option->arg ? option->arg : "");
    fprintf(to, "  %-22s %s\n", text, option->doc);
}

void print_subcommand_help(const struct subcommand *subcommand)
{
    printf("Usage: vmctl%s %s", subcommand->options & ~(unsigned)WITHOUT_VMM ? " [OPTION...]" : "", subcommand->name);
    put_parameters(subcommand, stdout);
    printf("\n%s: %s.\n", subcommand->name, subcommand->summary);
    if (subcommand->details)
        printf("%s\n", subcommand->details);
    if (subcommand->run == run_events) {
        fputs("Names are ", stdout);
        print_event_names(stdout);
        fputs(".\n", stdout);
    }
    putchar('\n');
    for (unsigned option = 1; option && option <= subcommand->options; option <<= 1)
        if (subcommand->options & option & ~(unsigned)WITHOUT_VMM)
            put_option(option_with(option), stdout);
    for (const struct argp_option *o = vmctl_options; o->name; o++)
        if (!option_of(o->key) && (o->key == 'j' || (o->key == 's' && !(subcommand->options & WITHOUT_VMM))))
            put_option(o, stdout);
}

static void put_subcommands(FILE *to)
{
    fputs("Commands:\n", to);
    for (size_t i = 0; i < subcommand_count; i++) {
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);
        if (!stream)
            return;
        fputs(subcommands[i].name, stream);
        put_parameters(&subcommands[i], stream);
        if (fclose(stream) == 0)
            fprintf(to, "  %-30s %s\n", text, subcommands[i].summary);
        free(text);
    }
    fputs(
        "\n'vmctl help COMMAND' says more of one. Numbers may be decimal or 0x hexadecimal, with K, M or G for binary "
        "units. Exit status: 0; 1 the VMM refused or cannot be reached; 2 the command line is wrong; 3 no page there.",
        to);
}

/* "fork, restore: TEXT" */
static void put_takers(unsigned option, const char *text, FILE *to)
{
    const char *comma = "";
    for (size_t i = 0; i < subcommand_count; i++)
        if (subcommands[i].options & option) {
            fprintf(to, "%s%s", comma, subcommands[i].name);
            comma = ", ";
        }
    fprintf(to, ": %s", text);
}

char *vmctl_help_filter(int key, const char *text, void *input)
{
    unsigned option = key == ARGP_KEY_HELP_POST_DOC ? 0 : option_of(key);
    char *help = NULL;
    size_t size;
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC && !option)
        return (char *)text;
    FILE *stream = open_memstream(&help, &size);
    if (!stream)
        return (char *)text;
    if (option)
        put_takers(option, text, stream);
    else
        put_subcommands(stream);
    fclose(stream);
    return help;
}

int run_help(struct client *client, const struct arguments *arguments)
{
    (void)client;
    if (arguments->parameter_count == 0) {
        print_help();
        return 0;
    }
    print_subcommand_help(find_subcommand(arguments->words[0]));
    return 0;
}
