/* vmctl's parts: what the command line said, the subcommands, and how values are shown to people. */
#ifndef VMCTL_VMCTL_H
#define VMCTL_VMCTL_H

#include "tools/client/client.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Which options were given. */
enum {
    OPTION_GUEST = 1,
    OPTION_COUNT = 2,
    OPTION_PAUSED = 4,
    OPTION_RAW = 8,
    OPTION_DIFF = 16,
    OPTION_COMPRESS = 32,
    OPTION_EAGER = 64,
    WITHOUT_VMM = 128, /* of a subcommand: it asks no VMM, its client is NULL */
};

#define PARAMETERS_MAX 3

struct arguments {
    const char *socket;
    bool json; /* print what the VMM returns, for programs */
    unsigned options;
    uint64_t guest, count;
    uint64_t parameters[PARAMETERS_MAX]; /* the subcommand's own, in its order */
    const char *file;                    /* the one called FILE */
};

/* Prints its one line of error and returns -1, or returns 0. */
typedef int subcommand_fn(struct client *client, const struct arguments *arguments);

struct subcommand {
    const char *name;
    const char *parameters[PARAMETERS_MAX]; /* all are required; all are numbers but FILE */
    unsigned options;                       /* that it understands; WITHOUT_VMM */
    subcommand_fn *run;
};

extern const struct subcommand subcommands[];
extern const size_t subcommand_count;

/* Prints why the command failed; -1. */
int print_error(const char *command, const struct client_error *error);

/* Shows a reply to people; -1 when out of memory. */
typedef int show_fn(const json_t *reply);

/* Prints the reply as JSON where that is asked for, else shows it by `show`. Takes it over. As a subcommand_fn. */
int show_reply(const struct arguments *arguments, json_t *reply, show_fn *show);

/* Calls, and does that with the reply. Takes over `parameters`. */
int call_and_show(struct client *client, const struct arguments *arguments, const char *command, json_t *parameters,
                  show_fn *show);

/* The subcommands that save guests in files and continue them from there. */
subcommand_fn run_snapshot, run_restore;

/* Those that look at such files. */
subcommand_fn run_snapshot_info, run_snapshot_verify;

/* Draws the guests of query-guests as a family tree. 0, or -1 when out of memory. */
int show_tree(const json_t *guests);

/* The oldest messages first, one a line, until the VMM ends. */
int follow_events(struct client *client, bool json);

#endif
