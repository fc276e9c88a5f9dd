/*
 * vmctl: controls a running vmm from the command line. This file reads the command line; see vmctl(1) for what it
 * offers. Exit status: 0 done, 1 the VMM refused or could not be reached, 2 the command line is wrong.
 */
#include "tools/vmctl/vmctl.h"

#include <argp.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *argp_program_version = "vmctl " CLEAVE_VERSION;

static const char about[] = "Control a running vmm through its control socket.\v"
                            "Commands:\n"
                            "  guests                         list the guests\n"
                            "  tree                           draw who was forked from whom\n"
                            "  fork                           make children of a guest (--guest, --count, --paused)\n"
                            "  pause GUEST                    stop a guest\n"
                            "  resume GUEST                   let it run on\n"
                            "  kill GUEST                     end it\n"
                            "  checkpoint GUEST               make now what reset returns it to\n"
                            "  reset GUEST                    return it to that, or to its birth\n"
                            "  snapshot GUEST FILE            save it in a file (--diff, --compress)\n"
                            "  restore FILE                   continue from a file (--paused, --eager)\n"
                            "  snapshot-info FILE             what such a file is; asks no VMM\n"
                            "  snapshot-verify FILE           read and check all of it; asks no VMM\n"
                            "  stats GUEST                    its counters\n"
                            "  translate GUEST GPA            walk its page table at an address\n"
                            "  read-memory GUEST GPA LENGTH   dump its memory (--raw: the bytes themselves)\n"
                            "  console GUEST                  the last it wrote\n"
                            "  marks GUEST                    the marks it made\n"
                            "  events                         follow what happens, until the VMM ends\n"
                            "  version                        what the VMM and its host are\n"
                            "  commands                       what the VMM can be asked\n"
                            "  quit                           end every guest and the VMM\n"
                            "\n"
                            "Numbers may be decimal or 0x hexadecimal, with K, M or G for binary units.";

enum { KEY_PAUSED = 256, KEY_RAW, KEY_DIFF, KEY_COMPRESS, KEY_EAGER };

static const struct argp_option options[] = {
    {"socket", 's', "PATH", 0, "The VMM's control socket (default: $CLEAVE_SOCKET)", 0},
    {"json", 'j', NULL, 0, "Print what the VMM returns, as one line of JSON", 0},
    {"guest", 'g', "GUEST", 0, "fork: the parent (default: 0)", 1},
    {"count", 'n', "N", 0, "fork: how many children (default: 1)", 1},
    {"paused", KEY_PAUSED, NULL, 0, "fork, restore: do not start what is made", 1},
    {"diff", KEY_DIFF, NULL, 0, "snapshot: only what changed since the guest's last snapshot or restore", 1},
    {"compress", KEY_COMPRESS, NULL, 0, "snapshot: a smaller file, read whole when it is restored", 1},
    {"eager", KEY_EAGER, NULL, 0, "restore: read and check all of the file first", 1},
    {"raw", KEY_RAW, NULL, 0, "read-memory: write the bytes themselves", 1},
    {0},
};

/* The options that not every command takes. */
static const struct {
    int key;
    unsigned option;
} taken_by_some[] = {
    {'g', OPTION_GUEST},       {'n', OPTION_COUNT},     {KEY_PAUSED, OPTION_PAUSED},
    {KEY_RAW, OPTION_RAW},     {KEY_DIFF, OPTION_DIFF}, {KEY_COMPRESS, OPTION_COMPRESS},
    {KEY_EAGER, OPTION_EAGER},
};

struct command_line {
    struct arguments arguments;
    const struct subcommand *subcommand;
    const char *words[1 + PARAMETERS_MAX]; /* the subcommand and its parameters */
    unsigned word_count;
};

/* A number as the help text describes it; ends the program where it is none. */
static uint64_t read_number(struct argp_state *state, const char *name, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    unsigned shift = 0;
    static const char units[] = "KMG";
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
    }
    if (text[0] < '0' || text[0] > '9' || *end)
        argp_error(state, "%s: \"%s\" is not a number", name, text);
    if (errno == ERANGE || value > (unsigned long long)INT64_MAX >> shift)
        argp_error(state, "%s: %s is too large", name, text);
    return (uint64_t)value << shift;
}

static const struct subcommand *find_subcommand(const char *name)
{
    for (size_t i = 0; i < subcommand_count; i++)
        if (strcmp(subcommands[i].name, name) == 0)
            return &subcommands[i];
    return NULL;
}

static const char *name_of(int key)
{
    const struct argp_option *option = options;
    while (option->key != key)
        option++;
    return option->name;
}

/* Checks the words and options against the subcommand, once all are known. */
static void finish_command_line(struct argp_state *state, struct command_line *line)
{
    if (line->word_count == 0)
        argp_error(state, "no command");
    const struct subcommand *subcommand = find_subcommand(line->words[0]);
    if (!subcommand)
        argp_error(state, "no command \"%s\"", line->words[0]);
    unsigned wanted = 0;
    while (wanted < PARAMETERS_MAX && subcommand->parameters[wanted])
        wanted++;
    if (line->word_count - 1 < wanted)
        argp_error(state, "%s: %s is missing", subcommand->name, subcommand->parameters[line->word_count - 1]);
    if (line->word_count - 1 > wanted)
        argp_error(state, "%s: \"%s\" is one argument too many", subcommand->name, line->words[1 + wanted]);
    for (size_t i = 0; i < sizeof taken_by_some / sizeof *taken_by_some; i++)
        if (line->arguments.options & ~subcommand->options & taken_by_some[i].option)
            argp_error(state, "%s does not take --%s", subcommand->name, name_of(taken_by_some[i].key));
    for (unsigned i = 0; i < wanted; i++)
        if (strcmp(subcommand->parameters[i], "FILE") == 0)
            line->arguments.file = line->words[1 + i];
        else
            line->arguments.parameters[i] = read_number(state, subcommand->parameters[i], line->words[1 + i]);
    if (!line->arguments.socket)
        line->arguments.socket = getenv("CLEAVE_SOCKET");
    if (!(subcommand->options & WITHOUT_VMM) && (!line->arguments.socket || !*line->arguments.socket))
        argp_error(state, "no socket: give --socket PATH or set CLEAVE_SOCKET");
    line->subcommand = subcommand;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct command_line *line = state->input;
    switch (key) {
    case 's':
        line->arguments.socket = text;
        return 0;
    case 'j':
        line->arguments.json = true;
        return 0;
    case 'g':
        line->arguments.guest = read_number(state, "--guest", text);
        break;
    case 'n':
        line->arguments.count = read_number(state, "--count", text);
        break;
    case ARGP_KEY_ARG:
        if (line->word_count == 1 + PARAMETERS_MAX)
            argp_error(state, "\"%s\" is one argument too many", text);
        line->words[line->word_count++] = text;
        return 0;
    case ARGP_KEY_END:
        finish_command_line(state, line);
        return 0;
    }
    for (size_t i = 0; i < sizeof taken_by_some / sizeof *taken_by_some; i++)
        if (taken_by_some[i].key == key) {
            line->arguments.options |= taken_by_some[i].option;
            return 0;
        }
    return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    argp_err_exit_status = 2;
    struct command_line line = {0};
    const struct argp argp = {.options = options, .parser = parse, .args_doc = "COMMAND [ARG...]", .doc = about};
    argp_parse(&argp, argc, argv, 0, NULL, &line);

    struct client_error error;
    bool local = line.subcommand->options & WITHOUT_VMM;
    struct client *client = local ? NULL : client_open(line.arguments.socket, 0, &error);
    if (!client && !local) {
        fprintf(stderr, "vmctl: %s\n", error.text);
        return 1;
    }
    int result = line.subcommand->run(client, &line.arguments);
    if (client)
        client_close(client);
    if (fflush(stdout) == EOF || ferror(stdout)) {
        fprintf(stderr, "vmctl: cannot write the output: %s\n", strerror(errno));
        return 1;
    }
    return result < 0 ? 1 : 0;
}
