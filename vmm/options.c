/* The command line of vmm: see options.h and vmm.1. */
#include "vmm/options.h"

#include "vmm/base/size.h"

#include <cleave/cleave.h>

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_REFUSED 125

const char *argp_program_version = "vmm (Cleave) " CLEAVE_VERSION;

enum {
    KEY_MEMORY = 0x100,
    KEY_CPUS,
    KEY_CONTROL,
    KEY_CPL,
    KEY_PAUSED,
    KEY_CONSOLE,
    KEY_LIMIT_GUESTS,
    KEY_LIMIT_OVERLAY,
    KEY_LINGER,
    KEY_LOG,
    KEY_RESTORE,
    KEY_RESTORE_EAGER,
};

static const struct argp_option known[] = {
    {"memory", KEY_MEMORY, "SIZE", 0, "guest RAM, with suffix K, M or G (64M)", 0},
    {"cpus", KEY_CPUS, "N", 0, "vCPUs, 1 to 8 (1)", 0},
    {"control", KEY_CONTROL, "PATH", 0, "listen for control clients on this Unix socket (none)", 0},
    {"cpl", KEY_CPL, "0|3", 0, "privilege level the guest starts at (0)", 0},
    {"restore", KEY_RESTORE, "FILE", 0, "continue from a snapshot, in place of launching a guest", 0},
    {"restore-eager", KEY_RESTORE_EAGER, NULL, 0, "read and check all of the snapshot first", 0},
    {"paused", KEY_PAUSED, NULL, 0, "start with the guest paused", 0},
    {"console", KEY_CONSOLE, "stdio|none|file:PATH", 0, "where console bytes go (stdio)", 0},
    {"limit-guests", KEY_LIMIT_GUESTS, "N", 0, "refuse forks beyond N live guests (no limit)", 0},
    {"limit-overlay", KEY_LIMIT_OVERLAY, "SIZE", 0, "pause a guest that has written more since it was last forked", 0},
    {"linger", KEY_LINGER, NULL, 0, "stay when no guest is left, until `quit`", 0},
    {"log", KEY_LOG, "LEVEL", 0, "error, warning, info or debug (warning)", 0},
    {0},
};

/* What the parser fills in. */
struct command_line {
    struct options *options;
    const char *machine_option; /* the last of those that a snapshot decides; NULL: none was given */
};

/* Standard error. What stderr is while argp parses: see parse(). */
static FILE *errors;

__attribute__((noreturn, format(printf, 1, 2))) static void refuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("vmm: ", errors);
    vfprintf(errors, format, args);
    fputc('\n', errors);
    va_end(args);
    exit(EXIT_REFUSED);
}

static uint64_t parse_number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value < min || value > max)
        refuse("%s %s: want a number from %llu to %llu", option, text, (unsigned long long)min,
               (unsigned long long)max);
    return value;
}

/* What to add to a refusal of a size: a number without a suffix may have been meant as something else than bytes. */
static const char *as_read(const char *text)
{
    return strpbrk(text, "KMGkmg") ? "" : " (without a suffix K, M or G it counts bytes)";
}

static uint64_t parse_memory(const char *text)
{
    uint64_t bytes;
    if (!size_parse(text, &bytes))
        refuse("--memory %s: want a number with suffix K, M or G, as in 256M", text);
    if (bytes < CLEAVE_MEMORY_MIN || bytes > CLEAVE_MEMORY_MAX)
        refuse("--memory %s: out of range; want 4M to 64G%s", text, as_read(text));
    if (bytes % 4096)
        refuse("--memory %s: not a multiple of 4K%s", text, as_read(text));
    return bytes;
}

static void parse_console(struct options *options, const char *text)
{
    if (strcmp(text, "stdio") == 0) {
        options->console = CONSOLE_STDIO;
    } else if (strcmp(text, "none") == 0) {
        options->console = CONSOLE_NONE;
    } else if (strncmp(text, "file:", 5) == 0 && text[5]) {
        options->console = CONSOLE_FILE;
        options->console_path = text + 5;
    } else {
        refuse("--console %s: want stdio, none or file:PATH", text);
    }
}

static enum cleave_log_level parse_level(const char *text)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    for (int i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum cleave_log_level)i;
    refuse("--log %s: want error, warning, info or debug", text);
}

/* Everything after the guest's file is the guest's own; argp hands it over unread. */
static char *join(char **words, int count)
{
    size_t length = 1;
    for (int i = 0; i < count; i++)
        length += strlen(words[i]) + 1;
    char *joined = calloc(1, length);
    if (!joined)
        refuse("out of memory for the guest's arguments");
    char *end = joined;
    for (int i = 0; i < count; i++) {
        if (i)
            *end++ = ' ';
        end = stpcpy(end, words[i]);
    }
    return joined;
}

/* Is the word one of the options above, with or without "=VALUE"? */
static bool is_option(const char *word)
{
    if (strncmp(word, "--", 2) != 0)
        return false;
    const size_t length = strcspn(word + 2, "=");
    for (const struct argp_option *option = known; option->name; option++)
        if (strlen(option->name) == length && strncmp(word + 2, option->name, length) == 0)
            return true;
    return false;
}

/* The first of the guest's words that looks like an option of ours. After "--" they are the guest's without doubt. */
static const char *find_misplaced(char **words, int count)
{
    for (int i = 0; i < count && strcmp(words[i], "--") != 0; i++)
        if (is_option(words[i]))
            return words[i];
    return NULL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct command_line *line = state->input;
    struct options *options = line->options;
    switch (key) {
    case ARGP_KEY_INIT:
        state->err_stream = NULL; /* a refusal is one line, without argp's advice to try --help */
        return 0;
    case KEY_MEMORY:
        line->machine_option = "--memory";
        options->memory = parse_memory(arg);
        return 0;
    case KEY_CPUS:
        line->machine_option = "--cpus";
        options->cpus = (unsigned)parse_number("--cpus", arg, 1, CLEAVE_CPUS_MAX);
        return 0;
    case KEY_CONTROL:
        if (!*arg)
            refuse("--control: the path is empty");
        options->control = arg;
        return 0;
    case KEY_CPL:
        line->machine_option = "--cpl";
        if (strcmp(arg, "0") != 0 && strcmp(arg, "3") != 0)
            refuse("--cpl %s: want 0 or 3", arg);
        options->cpl = (unsigned)(arg[0] - '0');
        return 0;
    case KEY_PAUSED:
        options->paused = true;
        return 0;
    case KEY_CONSOLE:
        parse_console(options, arg);
        return 0;
    case KEY_LIMIT_GUESTS:
        options->limit_guests = parse_number("--limit-guests", arg, 1, UINT32_MAX);
        return 0;
    case KEY_LIMIT_OVERLAY:
        if (!size_parse(arg, &options->limit_overlay) || options->limit_overlay < 4096)
            refuse("--limit-overlay %s: want a size of at least 4K%s", arg, as_read(arg));
        return 0;
    case KEY_LINGER:
        options->linger = true;
        return 0;
    case KEY_LOG:
        options->log = parse_level(arg);
        return 0;
    case KEY_RESTORE:
        if (!*arg)
            refuse("--restore: the path is empty");
        options->restore = arg;
        return 0;
    case KEY_RESTORE_EAGER:
        options->restore_eager = true;
        return 0;
    case ARGP_KEY_ARG:
        options->guest = arg;
        options->args = join(state->argv + state->next, state->argc - state->next);
        options->misplaced = find_misplaced(state->argv + state->next, state->argc - state->next);
        state->next = state->argc;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Once all is known: a guest, or a snapshot, which says all by itself about the machine. */
static void check_together(const struct command_line *line)
{
    const struct options *options = line->options;
    if (options->restore && options->guest)
        refuse("--restore %s continues a saved guest; remove %s", options->restore, options->guest);
    if (options->restore && line->machine_option)
        refuse("%s: the snapshot of --restore says what machine it is; remove the option", line->machine_option);
    if (options->restore_eager && !options->restore)
        refuse("--restore-eager belongs to --restore FILE, which is missing");
    if (!options->restore && !options->guest)
        refuse("no guest given; usage: vmm [OPTION...] GUEST [ARG...] (see vmm --help)");
}

/* What getopt(3) has to say of an option goes to stderr, whatever that is, and lacks where to look. */
static void parse(const struct argp *parser, int argc, char **argv, struct command_line *line)
{
    char *said = NULL;
    size_t length;
    FILE *heard = open_memstream(&said, &length);
    errors = stderr;
    if (heard)
        stderr = heard;
    /* In order, so that options after the guest's file are the guest's. */
    const error_t error = argp_parse(parser, argc, argv, ARGP_IN_ORDER, NULL, line);
    stderr = errors;
    if (heard)
        fclose(heard);
    if (error == EINVAL) {
        fprintf(stderr, "%.*s; see vmm --help\n", said ? (int)strcspn(said, "\n") : 0, said ? said : "");
        exit(EXIT_REFUSED);
    }
    free(said);
    if (error)
        refuse("out of memory for the command line");
}

void options_parse(struct options *options, int argc, char **argv)
{
    static const struct argp parser = {
        .options = known,
        .parser = parse_option,
        .args_doc = "GUEST [ARG...]\n--restore FILE",
        .doc =
            "Launches GUEST, a flat binary or a static ELF64 executable, in a KVM virtual machine that can be forked "
            "while it runs."
            "\vExit status: the guest's exit code; 124 after `quit`; 125 the VMM refused or failed; 126 the guest "
            "crashed.",
    };
    argp_err_exit_status = EXIT_REFUSED;
    *options = (struct options){
        .memory = UINT64_C(64) << 20,
        .cpus = 1,
        .console = CONSOLE_STDIO,
        .log = CLEAVE_LOG_WARNING,
    };
    struct command_line line = {.options = options};
    parse(&parser, argc, argv, &line);
    check_together(&line);
}
