/* vmctl's parts: what the command line said, the subcommands, and how values are shown to people. */
#ifndef VMCTL_VMCTL_H
#define VMCTL_VMCTL_H

#include "tools/client/client.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Which options were given; of a subcommand, which it understands. */
enum {
    OPTION_GUEST = 1,
    OPTION_COUNT = 2,
    OPTION_PAUSED = 4,
    OPTION_RAW = 8,
    OPTION_DIFF = 16,
    OPTION_COMPRESS = 32,
    OPTION_EAGER = 64,
    WITHOUT_VMM = 128, /* of a subcommand: it asks no VMM, its client is NULL */
    OPTION_ALL = 256,
    OPTION_FOLLOW = 512,
    OPTION_PAST = 1024,
    OPTION_UNTIL = 2048,
    OPTION_TIMEOUT = 4096,
};

#define PARAMETERS_MAX 3

struct arguments {
    const char *socket;
    bool json; /* print what the VMM returns, for programs */
    unsigned options;
    uint64_t guest, count;  /* of --guest and --count */
    const char *until;      /* of --until: words with commas between */
    uint64_t timeout_ms;    /* of --timeout */
    size_t parameter_count; /* that were given: the subcommand's own, in its order */
    const char **words;     /* each as it was given, */
    uint64_t *parameters;   /* and as a number; 0 where it is none */
    const char *file;       /* the one called FILE */
};

/* Exit statuses beside 0; a subcommand may return others. */
enum { EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_NO_PAGE = 3, EXIT_TIME = 4 };

/* Prints its one line of error and returns -1, or returns an exit status. */
typedef int subcommand_fn(struct client *client, const struct arguments *arguments);

struct subcommand {
    const char *name;
    const char *parameters[PARAMETERS_MAX]; /* "GUEST"; "[GUEST]" may be left out; "GUEST..." takes one or more, and is
                                               the last. All are numbers but FILE, NAME and COMMAND */
    unsigned options;
    subcommand_fn *run;
    const char *summary; /* for the list of commands; a few words */
    const char *details; /* what `vmctl help COMMAND` adds, or NULL */
};

extern const struct subcommand subcommands[]; /* table.c */
extern const size_t subcommand_count;

/* Of one of their parameters. */
bool parameter_is_optional(const char *parameter);
bool parameter_is_list(const char *parameter);
bool parameter_is_number(const char *parameter);

/* NULL where there is none of that name. */
const struct subcommand *find_subcommand(const char *name);

/* Prints why the command failed; -1. */
int print_error(const char *command, const struct client_error *error);

/* Has the connection ended, with all taken that came before? Drops events that are queued. */
bool vmm_has_ended(struct client *client);

/* Says so; -1. */
int out_of_memory(void);

/* Shows a reply to people; -1 when out of memory. */
typedef int show_fn(const json_t *reply);

/* Prints the reply as JSON where that is asked for, else shows it by `show`. Takes it over. As a subcommand_fn. */
int show_reply(const struct arguments *arguments, json_t *reply, show_fn *show);

/* Calls, and does that with the reply. Takes over `parameters`. */
int call_and_show(struct client *client, const struct arguments *arguments, const char *command, json_t *parameters,
                  show_fn *show);

/* {"guest": the first parameter} */
json_t *guest_parameter(const struct arguments *arguments);

show_fn show_nothing;

/* commands.c */
subcommand_fn run_guests, run_tree, run_fork, run_pause, run_resume, run_checkpoint, run_reset, run_stats, run_version,
    run_commands, run_quit;
/* kill.c, memory.c, console.c, marks.c, events.c */
subcommand_fn run_kill, run_translate, run_read_memory, run_console, run_marks, run_events;
/* run.c, input.c */
subcommand_fn run_run, run_wait, run_registers, run_write_memory, run_console_write;
/* save.c: the subcommands that save guests in files and continue them from there */
subcommand_fn run_snapshot, run_restore;
/* snapshot_files.c: those that look at such files */
subcommand_fn run_snapshot_info, run_snapshot_verify;
/* help.c */
subcommand_fn run_help;

/* "STARTED, PAUSED, ...": the events that this vmctl knows. */
void print_event_names(FILE *to);

/* Draws the guests of query-guests as a family tree. 0, or -1 when out of memory. */
int show_tree(const json_t *guests);

#endif
