/* vmctl's command line: see command_line.h. */
#include "tools/vmctl/command_line.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *argp_program_version = "vmctl " CLEAVE_VERSION;

enum {
    KEY_PAUSED = 0x100,
    KEY_RAW,
    KEY_DIFF,
    KEY_COMPRESS,
    KEY_EAGER,
    KEY_ALL,
    KEY_PAST,
    KEY_UNTIL,
    KEY_TIMEOUT,
    KEY_USAGE
};

const struct argp_option vmctl_options[] = {
    {"socket", 's', "PATH", 0, "The VMM's control socket (default: $CLEAVE_SOCKET)", 0},
    {"json", 'j', NULL, 0, "Print what the VMM returns, as one line of JSON", 0},
    {"guest", 'g', "GUEST", 0, "which guest (fork: 0, events: all)", 1},
    {"count", 'n', "N", 0, "how many children (default: 1)", 1},
    {"paused", KEY_PAUSED, NULL, 0, "do not start it", 1},
    {"diff", KEY_DIFF, NULL, 0, "only what changed since the guest's last snapshot or restore", 1},
    {"compress", KEY_COMPRESS, NULL, 0, "a smaller file, read whole when it is restored", 1},
    {"eager", KEY_EAGER, NULL, 0, "read and check all of the file first", 1},
    {"raw", KEY_RAW, NULL, 0, "write the bytes themselves", 1},
    {"follow", 'f', NULL, 0, "go on with what it writes, until it ends", 1},
    {"all", KEY_ALL, NULL, 0, "every guest that lives", 1},
    {"past", KEY_PAST, NULL, 0, "first the marks that were made before", 1},
    {"until", KEY_UNTIL, "WHAT", 0, "stop there too: mark, ready, or mark,ready", 1},
    {"timeout", KEY_TIMEOUT, "MS", 0, "how many milliseconds at most (default: no limit)", 1},
    {"help", '?', NULL, 0, "Give this help, or a command's own", -1},
    {"usage", KEY_USAGE, NULL, 0, "Give a short usage message", -1},
    {"version", 'V', NULL, 0, "Print program version", -1},
    {0},
};

/* The options that not every command takes. */
static const struct {
    int key;
    unsigned option;
} taken_by_some[] = {
    {'g', OPTION_GUEST},       {'n', OPTION_COUNT},       {KEY_PAUSED, OPTION_PAUSED},
    {KEY_RAW, OPTION_RAW},     {KEY_DIFF, OPTION_DIFF},   {KEY_COMPRESS, OPTION_COMPRESS},
    {KEY_EAGER, OPTION_EAGER}, {'f', OPTION_FOLLOW},      {KEY_ALL, OPTION_ALL},
    {KEY_PAST, OPTION_PAST},   {KEY_UNTIL, OPTION_UNTIL}, {KEY_TIMEOUT, OPTION_TIMEOUT},
};

unsigned option_of(int key)
{
    for (size_t i = 0; i < sizeof taken_by_some / sizeof *taken_by_some; i++)
        if (taken_by_some[i].key == key)
            return taken_by_some[i].option;
    return 0;
}

struct command_line {
    struct arguments *arguments;
    const struct subcommand *subcommand;
    const char *name;
    bool wants_help;
};

__attribute__((noreturn, format(printf, 1, 2))) static void refuse(const char *format, ...)
{
    va_list list;
    fputs("vmctl: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    exit(EXIT_USAGE);
}

/* A number as the help text describes it. */
static uint64_t read_number(const char *name, const char *text)
{
    static const char units[] = "KMG";
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    unsigned shift = 0;
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
    }
    if (text[0] < '0' || text[0] > '9' || *end)
        refuse("%s: \"%s\" is not a number", name, text);
    if (errno == ERANGE || value > (unsigned long long)INT64_MAX >> shift)
        refuse("%s: %s is too large", name, text);
    return (uint64_t)value << shift;
}

static const struct subcommand *must_find(const char *name)
{
    const struct subcommand *subcommand = find_subcommand(name);
    const char *like = subcommand ? NULL : suggest_subcommand(name);
    if (like)
        refuse("no command \"%s\"; did you mean \"%s\"? 'vmctl help' lists them", name, like);
    if (!subcommand)
        refuse("no command \"%s\"; 'vmctl help' lists them", name);
    return subcommand;
}

static const char *name_of(int key)
{
    const struct argp_option *option = vmctl_options;
    while (option->key != key)
        option++;
    return option->name;
}

static void check_options(const struct subcommand *subcommand, const struct arguments *arguments)
{
    for (size_t i = 0; i < sizeof taken_by_some / sizeof *taken_by_some; i++)
        if (arguments->options & ~subcommand->options & taken_by_some[i].option)
            refuse("%s does not take --%s; try 'vmctl help %s'", subcommand->name, name_of(taken_by_some[i].key),
                   subcommand->name);
    if (arguments->json && arguments->options & OPTION_FOLLOW)
        refuse("%s: --follow writes text, and does not go with --json", subcommand->name);
}

/* Is there one of each parameter that must be, and none too many? */
static void check_parameters(const struct subcommand *subcommand, const struct arguments *arguments)
{
    size_t most = 0;
    for (; most < PARAMETERS_MAX && subcommand->parameters[most]; most++) {
        const char *parameter = subcommand->parameters[most];
        bool all = parameter_is_list(parameter) && arguments->options & OPTION_ALL;
        if (arguments->parameter_count == most && !parameter_is_optional(parameter) && !all)
            refuse("%s: %.*s is missing; try 'vmctl help %s'", subcommand->name, (int)strcspn(parameter, "."),
                   parameter, subcommand->name);
    }
    if (arguments->options & OPTION_ALL && arguments->parameter_count)
        refuse("%s: both \"%s\" and --all: give one of them", subcommand->name, arguments->words[0]);
    if (arguments->parameter_count > most && !(most && parameter_is_list(subcommand->parameters[most - 1])))
        refuse("%s: \"%s\" is one argument too many; try 'vmctl help %s'", subcommand->name, arguments->words[most],
               subcommand->name);
}

/* The parameter that the i-th word is one of: the last may be a list. */
static const char *parameter_at(const struct subcommand *subcommand, size_t i)
{
    size_t at = i < PARAMETERS_MAX ? i : PARAMETERS_MAX - 1;
    while (!subcommand->parameters[at])
        at--;
    return subcommand->parameters[at];
}

static void read_parameters(const struct subcommand *subcommand, struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->parameter_count; i++) {
        const char *parameter = parameter_at(subcommand, i), *name = parameter + parameter_is_optional(parameter);
        char plain[16];
        snprintf(plain, sizeof plain, "%.*s", (int)strcspn(name, ".]"), name);
        if (parameter_is_number(parameter))
            arguments->parameters[i] = read_number(plain, arguments->words[i]);
        else if (strncmp(plain, "FILE", 4) == 0)
            arguments->file = arguments->words[i];
        else if (strcmp(plain, "COMMAND") == 0)
            must_find(arguments->words[i]);
    }
}

/* `fork GUEST` says what `fork --guest GUEST` does. */
static void settle_guest(const struct subcommand *subcommand, struct arguments *arguments)
{
    const char *first = subcommand->parameters[0];
    if (!first || strcmp(first, "[GUEST]") != 0 || arguments->parameter_count == 0)
        return;
    if (arguments->options & OPTION_GUEST)
        refuse("%s: both \"%s\" and --guest: give one of them", subcommand->name, arguments->words[0]);
    arguments->guest = arguments->parameters[0];
    arguments->options |= OPTION_GUEST;
}

/* Checks the words and options against the subcommand, once all are known. */
static void finish(struct argp_state *state, struct command_line *line)
{
    struct arguments *arguments = line->arguments;
    if (!line->name && line->wants_help)
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
    if (!line->name)
        refuse("no command; 'vmctl help' lists them");
    const struct subcommand *subcommand = must_find(line->name);
    if (line->wants_help) {
        print_subcommand_help(subcommand);
        exit(EXIT_SUCCESS);
    }
    check_options(subcommand, arguments);
    check_parameters(subcommand, arguments);
    read_parameters(subcommand, arguments);
    settle_guest(subcommand, arguments);
    if (!arguments->socket)
        arguments->socket = getenv("CLEAVE_SOCKET");
    if (!(subcommand->options & WITHOUT_VMM) && (!arguments->socket || !*arguments->socket))
        refuse("no socket: give --socket PATH or set CLEAVE_SOCKET");
    line->subcommand = subcommand;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct command_line *line = state->input;
    struct arguments *arguments = line->arguments;
    switch (key) {
    case ARGP_KEY_INIT:
        state->err_stream = NULL; /* getopt says what is wrong, and command_line_read() what to do */
        return 0;
    case 's':
        arguments->socket = text;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case 'g':
        arguments->guest = read_number("--guest", text);
        break;
    case 'n':
        arguments->count = read_number("--count", text);
        break;
    case KEY_UNTIL:
        arguments->until = text;
        break;
    case KEY_TIMEOUT:
        arguments->timeout_ms = read_number("--timeout", text);
        break;
    case '?':
        line->wants_help = true;
        return 0;
    case KEY_USAGE:
        argp_state_help(state, stdout, ARGP_HELP_USAGE | ARGP_HELP_EXIT_OK);
        return 0;
    case 'V':
        puts(argp_program_version);
        exit(EXIT_SUCCESS);
    case ARGP_KEY_ARG:
        if (!line->name)
            line->name = text;
        else
            arguments->words[arguments->parameter_count++] = text;
        return 0;
    case ARGP_KEY_END:
        finish(state, line);
        return 0;
    }
    if (!option_of(key))
        return ARGP_ERR_UNKNOWN;
    arguments->options |= option_of(key);
    return 0;
}

static const struct argp argp = {
    .options = vmctl_options,
    .parser = parse,
    .args_doc = "COMMAND [ARG...]",
    .doc = "Control a running vmm through its control socket.\v ",
    .help_filter = vmctl_help_filter,
};

void print_help(void)
{
    argp_help(&argp, stdout, ARGP_HELP_STD_HELP & ~(unsigned)ARGP_HELP_EXIT_OK, program_invocation_short_name);
}

const struct subcommand *command_line_read(struct arguments *arguments, int argc, char **argv)
{
    struct command_line line = {.arguments = arguments};
    *arguments = (struct arguments){
        .words = calloc((size_t)argc + 1, sizeof *arguments->words),
        .parameters = calloc((size_t)argc + 1, sizeof *arguments->parameters),
    };
    if (!arguments->words || !arguments->parameters)
        refuse("out of memory");
    argv[0] = program_invocation_short_name;
    if (argp_parse(&argp, argc, argv, ARGP_NO_HELP, NULL, &line)) {
        fputs("Try 'vmctl help'.\n", stderr);
        exit(EXIT_USAGE);
    }
    return line.subcommand;
}
