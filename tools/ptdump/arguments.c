/* ptdump's command line: see arguments.h. */
#include "tools/ptdump/arguments.h"

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2

const char *argp_program_version = "ptdump " CLEAVE_VERSION;

static const char about[] =
    "Print what page tables map: those of an image FILE, or those of a live guest.\v"
    "Without FILE and --socket, the environment variable CLEAVE_SOCKET names the socket. A number that is no file is a "
    "guest's. Numbers may be decimal or 0x "
    "hexadecimal, with K, M or G for binary units. Exit status: 0; 1 it cannot be read; 2 a usage error.";

enum { KEY_AT = 0x100, KEY_RANGE, KEY_SUMMARY };

static const struct argp_option options[] = {
    {"socket", 's', "PATH", 0, "Ask the VMM whose control socket this is", 0},
    {"guest", 'g', "GUEST", 0, "Of a VMM: which guest (0)", 0},
    {"json", 'j', NULL, 0, "Print JSON", 0},
    {"at", KEY_AT, "ADDRESS", 0, "Show the entries at each level for one address", 1},
    {"range", KEY_RANGE, "START:LENGTH", 0, "Show only what touches this range", 1},
    {"summary", KEY_SUMMARY, NULL, 0, "Show tables, leaves and bytes mapped, by level", 1},
    {0},
};

__attribute__((noreturn, format(printf, 1, 2))) static void refuse(const char *format, ...)
{
    va_list arguments;

    fputs("ptdump: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_USAGE);
}

/* A number as the help text describes it, which ends at `stop`. */
static uint64_t read_number(const char *name, const char *text, char stop)
{
    static const char units[] = "KMG";
    char *end;
    unsigned shift = 0;

    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    const char *unit = *end ? strchr(units, *end) : NULL;

    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
    }
    if (text[0] < '0' || text[0] > '9' || *end != stop)
        refuse("%s: '%s' is no number; decimal or 0x hexadecimal, perhaps with K, M or G", name, text);
    if (errno == ERANGE || value > UINT64_MAX >> shift)
        refuse("%s: %s is too large", name, text);
    return value << shift;
}

static void read_range(struct arguments *arguments, const char *text)
{
    const char *colon = strchr(text, ':');
    uint64_t length;

    if (!colon)
        refuse("--range: '%s' has no colon; say START:LENGTH, as 0x200000:2M", text);
    arguments->start = read_number("--range", text, ':');
    length = read_number("--range", colon + 1, '\0');
    if (length == 0)
        refuse("--range: the length is 0");
    if (length - 1 > UINT64_MAX - arguments->start)
        refuse("--range: '%s' ends beyond all addresses", text);
    arguments->last = arguments->start + (length - 1);
    arguments->has_range = true;
}

static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text);
}

/* A word that is a number and no file names a guest, as after --guest. With --socket no file is meant. */
static void take_guest_for_file(struct arguments *arguments)
{
    if (!arguments->file || !is_number(arguments->file))
        return;
    if (!arguments->socket && access(arguments->file, F_OK) == 0)
        return;
    if (arguments->has_guest)
        refuse("both --guest and '%s': give one of them", arguments->file);
    if (!arguments->socket && !getenv("CLEAVE_SOCKET"))
        refuse("there is no file '%s'; if guest %s of a VMM is meant, give --socket PATH or set CLEAVE_SOCKET",
               arguments->file, arguments->file);
    arguments->guest = read_number("GUEST", arguments->file, '\0');
    arguments->has_guest = true;
    arguments->file = NULL;
}

/* Do the words agree with each other, now that all are known? */
static void complete(struct arguments *arguments)
{
    if (arguments->has_at && (arguments->has_range || arguments->summary))
        refuse("--at shows one address: it does not go with --range or --summary");
    take_guest_for_file(arguments);
    if (arguments->file && arguments->socket)
        refuse("both FILE '%s' and --socket: give one of them", arguments->file);
    if (arguments->file && arguments->has_guest)
        refuse("--guest is for a VMM, and '%s' is a file", arguments->file);
    if (arguments->file)
        return;
    if (!arguments->socket)
        arguments->socket = getenv("CLEAVE_SOCKET");
    if (!arguments->socket || !*arguments->socket)
        refuse("nothing to print: give a FILE, or --socket PATH, or set CLEAVE_SOCKET; see ptdump --help");
    /* The protocol's integers end there. */
    if (arguments->guest > INT64_MAX)
        refuse("--guest: %llu is too large", (unsigned long long)arguments->guest);
    if (arguments->at > INT64_MAX || arguments->start > INT64_MAX)
        refuse("%s: a guest-physical address is not that large", arguments->has_at ? "--at" : "--range");
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->err_stream = NULL; /* an error is one line, with advice of our own */
        return 0;
    case 's':
        arguments->socket = value;
        return 0;
    case 'g':
        arguments->guest = read_number("--guest", value, '\0');
        arguments->has_guest = true;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case KEY_AT:
        arguments->at = read_number("--at", value, '\0');
        arguments->has_at = true;
        return 0;
    case KEY_RANGE:
        read_range(arguments, value);
        return 0;
    case KEY_SUMMARY:
        arguments->summary = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->file)
            refuse("one FILE only, but there are '%s' and '%s'", arguments->file, value);
        arguments->file = value;
        return 0;
    case ARGP_KEY_END:
        complete(arguments);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void arguments_parse(struct arguments *arguments, int argc, char **argv)
{
    const struct argp argp = {.options = options, .parser = parse, .args_doc = "FILE\n[GUEST]", .doc = about};

    *arguments = (struct arguments){.last = UINT64_MAX};
    argv[0] = program_invocation_short_name;
    if (argp_parse(&argp, argc, argv, 0, NULL, arguments)) {
        fputs("Try 'ptdump --help'.\n", stderr); /* getopt has said what is wrong */
        exit(EXIT_USAGE);
    }
}
