/*
 * What a command of the protocol is: its name, the arguments it takes, and the function that does it. The table of them
 * is commands.c; request.c holds what a client says against it.
 */
#ifndef VMM_CONTROL_COMMAND_H
#define VMM_CONTROL_COMMAND_H

#include "vmm/base/failure.h"

#include <cleave/cleave.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define CONTROL_PROTOCOL 1

enum argument_type {
    ARGUMENT_INTEGER,
    ARGUMENT_BOOLEAN,
    ARGUMENT_TEXT,   /* any string without a zero byte, of so many bytes; always required */
    ARGUMENT_CHOICE, /* one of a few words; the value is which */
    ARGUMENT_SET,    /* an array of some of a few words; the value has a bit for each */
    ARGUMENT_DATA,   /* bytes, in base64; always required, and one a command */
};

/* The value of an argument that was left out and has no default. */
#define ARGUMENT_ABSENT UINT64_MAX

struct argument {
    const char *name;
    enum argument_type type;
    bool required;
    uint64_t default_value;     /* where not required; 0 or 1 for a boolean; ARGUMENT_ABSENT: none */
    uint64_t minimum, maximum;  /* of an integer, or of a text's or data's bytes, both included; at most INT64_MAX,
                                   which JSON integers can hold */
    const char *const *choices; /* NULL-ended */
};

#define ARGUMENTS_MAX 4

struct request;
struct answer;

/* What commands work with. */
struct service {
    struct cleave_family *family;
    uv_loop_t *loop;
    struct wait *waits; /* under way: see wait.c */
};

/* Does what was asked and returns the reply's "return", a new reference; NULL with *failure where it cannot. */
typedef json_t *command_fn(struct service *service, const struct request *request, struct cleave_failure *failure);

/* Begins what was asked; 0 where answer_give() has been or will be called. -1 with *failure: it will not be. */
typedef int command_start_fn(struct service *service, const struct request *request, struct answer *answer,
                             struct cleave_failure *failure);

struct command {
    const char *name;
    const char *description;
    command_fn *run;         /* this, */
    command_start_fn *start; /* or this */
    bool quits;              /* once answered, everything ends */
    size_t reply_max;        /* bytes of its "return" as JSON, for one that changes something and says more than
                                REPLY_MAX */
    size_t argument_count;
    struct argument arguments[ARGUMENTS_MAX];
};

/* In the order query-commands lists them. */
struct command_table {
    const struct command *list;
    size_t count;
};

#endif
