/*
 * One line to send, shared by the clients it goes to. A reply's message is made before its command is done, with the
 * memory that it will need, and written after.
 */
#ifndef VMM_CONTROL_MESSAGE_H
#define VMM_CONTROL_MESSAGE_H

#include "vmm/base/failure.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct message {
    unsigned references;
    bool failed; /* out of memory while it was written */
    size_t length, capacity;
    char *text; /* with the newline, not zero-ended */
    char *id;   /* of a reply: the request's, as JSON; NULL: it had none */
};

/* What every reply has room for, `id` apart: any failure, and all that changing commands return but where a command
 * says more. */
#define REPLY_MAX ((size_t)8192)

/* Takes over `value`. NULL when out of memory, or where value is NULL. The maker holds a reference. */
struct message *message_new(json_t *value);

/* An empty one for the reply to a request of this id (NULL: none), whose "return" has at most so many bytes or
 * REPLY_MAX: then writing it cannot fail. NULL when out of memory. */
struct message *message_for_reply(const json_t *id, size_t most);

/* Writes the reply: `value`, which is taken over, or where it is NULL the failure (NULL: NoMemory). One that needs more
 * than was made room for, and finds no memory, becomes NoMemory. */
void message_write_reply(struct message *message, json_t *value, const struct cleave_failure *failure);

void message_release(struct message *message);

#endif
