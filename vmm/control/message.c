/* Lines to send: see message.h. */
#include "vmm/control/message.h"
#include "vmm/control/text.h"

#include <stdlib.h>
#include <string.h>

/* {"return":,"id":} and the newline. */
#define FRAME 64

static bool reserve(struct message *message, size_t capacity)
{
    char *text = realloc(message->text, capacity);
    if (!text)
        return false;
    message->text = text;
    message->capacity = capacity;
    return true;
}

/* Appends to the message that `context` is. */
static int append(const char *bytes, size_t count, void *context)
{
    struct message *message = context;
    if (!message->failed && message->capacity - message->length < count)
        message->failed = !reserve(message, 2 * message->capacity + count + 256);
    if (message->failed)
        return -1;
    memcpy(message->text + message->length, bytes, count);
    message->length += count;
    return 0;
}

static void append_text(struct message *message, const char *text)
{
    append(text, strlen(text), message);
}

/* The writer may go on after a failed append (jansson 2.14 does, for keys), so success is when none has failed. */
static void append_json(struct message *message, const json_t *value)
{
    message->failed |= json_dump_callback(value, append, message, JSON_COMPACT | JSON_ENCODE_ANY) < 0;
}

/* The data of read-memory is base64, long, and needs no look at every character. */
static void append_return(struct message *message, const json_t *value)
{
    const json_t *data = json_object_get(value, "data");
    append_text(message, "{\"return\":");
    if (json_is_string(data)) {
        append_text(message, "{\"data\":\"");
        append(json_string_value(data), json_string_length(data), message);
        append_text(message, "\"}");
    } else {
        append_json(message, value);
    }
}

static void append_failure(struct message *message, const struct cleave_failure *failure)
{
    json_t *object = json_pack("{s:s, s:o}", "class", cleave_failure_name(failure->kind), "desc",
                               text_json(failure->text, strlen(failure->text)));
    append_text(message, "{\"error\":");
    append_json(message, object);
    json_decref(object);
}

static void append_id(struct message *message)
{
    if (message->id) {
        append_text(message, ",\"id\":");
        append_text(message, message->id);
    }
    append_text(message, "}\n");
}

struct message *message_new(json_t *value)
{
    struct message *message = value ? calloc(1, sizeof *message) : NULL;
    if (message) {
        message->references = 1;
        append_json(message, value);
        append_text(message, "\n");
        if (message->failed) {
            message_release(message);
            message = NULL;
        }
    }
    json_decref(value);
    return message;
}

/* The id may take several times the room it had in the request: 1e16 is 10000000000000000.0. So it is written now. */
static bool prepare(struct message *message, const json_t *id, size_t most)
{
    if (id) {
        append_json(message, id);
        append("", 1, message);
        message->id = message->text;
        message->text = NULL;
        if (message->failed)
            return false;
        most += message->length;
        message->length = message->capacity = 0;
    }
    return reserve(message, most + FRAME);
}

struct message *message_for_reply(const json_t *id, size_t most)
{
    struct message *message = calloc(1, sizeof *message);
    if (!message)
        return NULL;
    message->references = 1;
    if (prepare(message, id, most > REPLY_MAX ? most : REPLY_MAX))
        return message;
    message_release(message);
    return NULL;
}

void message_write_reply(struct message *message, json_t *value, const struct cleave_failure *failure)
{
    if (value) {
        append_return(message, value);
        append_id(message);
        json_decref(value);
        if (!message->failed)
            return;
        failure = NULL;
        message->failed = false;
        message->length = 0;
    }
    static const struct cleave_failure no_memory = {CLEAVE_NO_MEMORY, "out of memory for the reply"};
    append_failure(message, failure ? failure : &no_memory);
    append_id(message);
}

void message_release(struct message *message)
{
    if (!message || --message->references > 0)
        return;
    free(message->text);
    free(message->id);
    free(message);
}
