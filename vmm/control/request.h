/*
 * Requests: the check of a client's line against the table of commands. Nothing of a request reaches a command before
 * all of it is known to be right.
 */
#ifndef VMM_CONTROL_REQUEST_H
#define VMM_CONTROL_REQUEST_H

#include "vmm/control/command.h"

struct request {
    const struct command *command;
    uint64_t values[ARGUMENTS_MAX];   /* as the command's arguments are ordered, defaults filled in */
    const char *texts[ARGUMENTS_MAX]; /* those that are texts; they live as long as the request */
    unsigned char *data;              /* the one that is data, or NULL */
    size_t data_length;
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
enum request_result request_parse(struct request *request, const struct command_table *table, const char *line,
                                  size_t length, struct cleave_failure *failure);
void request_clear(struct request *request);

/* "integer" and so on: what query-commands says. */
const char *argument_type_name(enum argument_type type);

#endif
