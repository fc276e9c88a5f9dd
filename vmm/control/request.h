/*
 * Requests: what commands there are, which arguments each takes, and the check of a client's line against that. Nothing
 * of a request reaches a command before all of it is known to be right.
 */
#ifndef VMM_CONTROL_REQUEST_H
#define VMM_CONTROL_REQUEST_H

#include "vmm/base/failure.h"

#include <cleave/cleave.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_PROTOCOL 1

enum argument_type {
    ARGUMENT_INTEGER,
    ARGUMENT_BOOLEAN,
    ARGUMENT_TEXT,   /* any string without a zero byte, of so many bytes; always required */
    ARGUMENT_CHOICE, /* one of a few words; the value is which */
};

struct argument {
    const char *name;
    enum argument_type type;
    bool required;
    uint64_t default_value;     /* where not required; 0 or 1 for a boolean */
    uint64_t minimum, maximum;  /* of an integer, or of a text's bytes, both included; at most INT64_MAX, which JSON
                                   integers can hold */
    const char *const *choices; /* NULL-ended */
};

#define ARGUMENTS_MAX 4

struct request;

/* Does what was asked and returns the reply's "return", a new reference; NULL with *failure where it cannot. */
typedef json_t *command_fn(struct cleave_family *family, const struct request *request, struct cleave_failure *failure);

/*
 * The place of a reply that takes its time. It outlives the client who waits for it. answer_give() sends the reply's
 * "return", which it takes over, or where `value` is NULL *failure, and frees the answer.
 */
struct answer;
void answer_give(struct answer *answer, json_t *value, const struct cleave_failure *failure);

/* Begins what was asked; 0 where answer_give() will be called, from the event loop. -1 with *failure: it will not. */
typedef int command_start_fn(struct cleave_family *family, const struct request *request, struct answer *answer,
                             struct cleave_failure *failure);

struct command {
    const char *name;
    const char *description;
    command_fn *run;         /* this, */
    command_start_fn *start; /* or this */
    bool quits;              /* once answered, everything ends */
    size_t argument_count;
    struct argument arguments[ARGUMENTS_MAX];
};

/* Every command, by name in the order query-commands lists them. */
extern const struct command control_commands[];
extern const size_t control_command_count;

struct request {
    const struct command *command;
    uint64_t values[ARGUMENTS_MAX];   /* as the command's arguments are ordered, defaults filled in */
    const char *texts[ARGUMENTS_MAX]; /* those that are texts; they live as long as the request */
    json_t *id;     /* as the client gave it, or NULL where it gave none; set for errors too if known */
    json_t *object; /* all of it; NULL where it is none */
};

enum request_result {
    REQUEST_VALID,
    REQUEST_EMPTY,   /* a line without a request; no reply */
    REQUEST_REFUSED, /* reply with *failure and go on */
    REQUEST_BROKEN,  /* reply with *failure and close: whatever the client speaks, it is not this protocol */
};

/* Checks one line. *request is to be cleared whatever the result is. */
enum request_result request_parse(struct request *request, const char *line, size_t length,
                                  struct cleave_failure *failure);
void request_clear(struct request *request);

/* "integer", "boolean" or "string". */
const char *argument_type_name(enum argument_type type);

#endif
