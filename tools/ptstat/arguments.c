/* See arguments.h. */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/terminal.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB              (UINT64_C(1) << 20)
#define DEFAULT_ROUNDS   50
#define MAX_ROUNDS       1000000
#define DEFAULT_RESIDENT (256 * MIB)
#define MEMORY_BESIDES   (32 * MIB) /* for the guest itself, beside its resident set */

enum {
    KEY_SOCKET = 0x100,
    KEY_GUEST,
    KEY_MEMORY,
    KEY_DIRTY,
    KEY_RESIDENT,
    KEY_SCATTER,
    KEY_SNAPSHOT_DIR,
    KEY_PLOT,
    KEY_JSON
};

static const struct argp_option options[] = {
    {"socket", KEY_SOCKET, "PATH", 0, "Measure guest 0 of the VMM that listens at PATH", 0},
    {"guest", KEY_GUEST, "FILE", 0, "Start VMMs with this guest instead of the built-in workload", 0},
    {"memory", KEY_MEMORY, "SIZE", 0, "RAM of VMMs that ptstat starts (resident + 32M)", 0},
    {"rounds", 'n', "N", 0, "Measure N times (50)", 0},
    {"resident", KEY_RESIDENT, "SIZE", 0, "Memory that the guest keeps resident (256M)", 0},
    {"dirty", KEY_DIRTY, "SIZE", 0,
     "Memory that the guest writes again between rounds (by mode: 1M, reset 64K, fault 16M)", 0},
    {"scatter", KEY_SCATTER, NULL, 0, "Have it write pages that lie apart, evenly spread over the resident ones", 0},
    {"snapshot-dir", KEY_SNAPSHOT_DIR, "DIR", 0, "Keep snapshot files in a folder made there ($TMPDIR, or /var/tmp)",
     0},
    {"plot", KEY_PLOT, "FILE.svg", 0, "Measure a series of sizes too, and have gnuplot draw all of it", 0},
    {"json", KEY_JSON, NULL, 0, "Print one JSON object instead of the table", 0},
    {0},
};

const char *argp_program_version = "ptstat " CLEAVE_VERSION;

static void set_mode(struct arguments *arguments, const char *name)
{
    if (arguments->mode)
        die(EXIT_USAGE, "one MODE only, but there are '%s' and '%s'", arguments->mode->name, name);
    for (const struct mode *mode = modes; mode->name; mode++)
        if (!strcmp(mode->name, name))
            arguments->mode = mode;
    if (!arguments->mode)
        die(EXIT_USAGE, "unknown mode '%s'; --help lists them", name);
}

static uint64_t size_argument(const char *option, const char *text)
{
    uint64_t bytes;

    switch (bytes_parse(text, &bytes)) {
    case 0:
        return bytes;
    case -ERANGE:
        die(EXIT_USAGE, "%s: '%s' is too large", option, text);
    default:
        die(EXIT_USAGE, "%s: '%s' is no size; a multiple of 4K above 0, as 4096, 64K, 256M or 1G", option, text);
    }
}

static unsigned rounds_argument(const char *text)
{
    char *end;
    unsigned long rounds;

    errno = 0;
    rounds = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno || rounds < 1 || rounds > MAX_ROUNDS)
        die(EXIT_USAGE, "-n: '%s' is not a number from 1 to %d", text, MAX_ROUNDS);
    return (unsigned)rounds;
}

/* The checks that need the whole command line, and the defaults that depend on it. */
static void complete(struct arguments *arguments)
{
    if (!arguments->mode)
        die(EXIT_USAGE, "no MODE given; --help lists them");
    if (arguments->socket && arguments->guest)
        die(EXIT_USAGE, "--socket and --guest exclude each other");
    if (arguments->socket && arguments->memory)
        die(EXIT_USAGE, "--memory is for VMMs that ptstat starts, not for one at --socket");
    if (arguments->socket && arguments->plot)
        die(EXIT_USAGE, "--plot needs guests of several sizes, which the VMM at --socket cannot give");
    if (arguments->mode->own_sizes && (arguments->socket || arguments->guest || arguments->memory ||
                                       arguments->resident || arguments->dirty || arguments->scatter))
        die(EXIT_USAGE,
            "mode %s has guests and sizes of its own: no --socket, --guest, --memory, --resident, --dirty, --scatter",
            arguments->mode->name);
    if (arguments->plot && !arguments->mode->plots)
        die(EXIT_USAGE, "--plot: mode %s has no sizes to draw", arguments->mode->name);
    if (arguments->plot && !arguments->plot[0])
        die(EXIT_USAGE, "--plot: no name of a file");
    if (!arguments->resident)
        arguments->resident = DEFAULT_RESIDENT;
    if (!arguments->dirty)
        arguments->dirty =
            arguments->mode->default_dirty < arguments->resident ? arguments->mode->default_dirty : arguments->resident;
    if (!arguments->memory)
        arguments->memory = arguments->resident + MEMORY_BESIDES;
    if (arguments->resident >= arguments->memory)
        die(EXIT_USAGE, "--resident must be smaller than --memory");
    if (arguments->dirty > arguments->resident)
        die(EXIT_USAGE, "--dirty must not be larger than --resident");
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->err_stream = NULL; /* an error is one line, with advice of our own */
        return 0;
    case KEY_SOCKET:
        arguments->socket = value;
        return 0;
    case KEY_GUEST:
        arguments->guest = value;
        return 0;
    case KEY_MEMORY:
        arguments->memory = size_argument("--memory", value);
        return 0;
    case KEY_RESIDENT:
        arguments->resident = size_argument("--resident", value);
        return 0;
    case KEY_DIRTY:
        arguments->dirty = size_argument("--dirty", value);
        return 0;
    case KEY_SCATTER:
        arguments->scatter = true;
        return 0;
    case KEY_SNAPSHOT_DIR:
        arguments->snapshot_dir = value;
        return 0;
    case KEY_PLOT:
        arguments->plot = value;
        return 0;
    case KEY_JSON:
        arguments->json = true;
        return 0;
    case 'n':
        arguments->rounds = rounds_argument(value);
        return 0;
    case ARGP_KEY_ARG:
        set_mode(arguments, value);
        return 0;
    case ARGP_KEY_END:
        complete(arguments);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The modes from their table, as the text after the options in --help. */
static char *help_filter(int key, const char *text, void *input)
{
    char *help = NULL;
    size_t size;
    FILE *stream;

    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)text;
    stream = open_memstream(&help, &size);
    if (!stream)
        return NULL;
    fputs("Modes:\n", stream);
    for (const struct mode *mode = modes; mode->name; mode++)
        fprintf(stream, "  %-8s %s\n", mode->name, mode->summary);
    fputs("\nSIZE is a multiple of 4K with a suffix K, M or G. Exit status: 0; 1 measuring failed; 2 a usage error.",
          stream);
    fclose(stream);
    return help;
}

void arguments_parse(struct arguments *arguments, int argc, char **argv)
{
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "MODE",
        .doc = "Measure fork latency of a VMM, beside baselines taken in the same run.\v ",
        .help_filter = help_filter,
    };

    *arguments = (struct arguments){.rounds = DEFAULT_ROUNDS};
    argv[0] = program_invocation_short_name;
    if (argp_parse(&argp, argc, argv, 0, NULL, arguments)) {
        fputs("Try 'ptstat --help'.\n", stderr); /* getopt has said what is wrong */
        exit(EXIT_USAGE);
    }
}
