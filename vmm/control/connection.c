/* One client's connection: see connection.h. */
#include "vmm/control/connection.h"
#include "vmm/control/request.h"
#include "vmm/control/values.h"

#include <stdlib.h>
#include <string.h>

struct connection {
    uv_pipe_t pipe;
    struct control *control;
    struct connection *previous, *next;
    struct lines input;
    size_t unsent_events; /* bytes of events not yet taken by the kernel */
    bool reading;
    bool at_end;           /* the client sends no more; what it asked is still answered */
    bool busy;             /* a request is being handled right now */
    struct answer *answer; /* the reply to the last request is still to come, and the next one waits */
    bool finishing;        /* no more requests; closes once all output is sent */
    bool closing;
};

struct message {
    unsigned references;
    bool failed; /* out of memory while it was written */
    size_t length, capacity;
    char *text; /* with the newline, not zero-ended */
};

/* Belongs to whoever works on the reply; the connection may go before. */
struct answer {
    struct connection *connection; /* NULL once it has closed */
    json_t *id;                    /* the request's */
};

/* One message on its way to one client. */
struct sending {
    uv_write_t request;
    struct connection *connection;
    struct message *message;
    bool is_event;
    bool is_quit;
};

/* Appends to the message that `context` is. */
static int append(const char *bytes, size_t count, void *context)
{
    struct message *message = context;
    if (message->failed)
        return -1;
    if (message->capacity - message->length < count) {
        size_t capacity = 2 * message->capacity + count + 256;
        char *text = realloc(message->text, capacity);
        if (!text) {
            message->failed = true;
            return -1;
        }
        message->text = text;
        message->capacity = capacity;
    }
    memcpy(message->text + message->length, bytes, count);
    message->length += count;
    return 0;
}

/* The value, as one line. The data of read-memory is base64, long, and needs no look at every character. */
static void write_line(json_t *value, struct message *message)
{
    static const char head[] = "{\"return\":{\"data\":\"";
    const json_t *data = json_object_get(json_object_get(value, "return"), "data");
    json_t *id = json_object_get(value, "id");
    if (!json_is_string(data)) {
        message->failed |= json_dump_callback(value, append, message, JSON_COMPACT) < 0;
    } else {
        append(head, sizeof head - 1, message);
        append(json_string_value(data), json_string_length(data), message);
        append("\"}", 2, message);
        if (id) {
            append(",\"id\":", 6, message);
            message->failed |= json_dump_callback(id, append, message, JSON_COMPACT | JSON_ENCODE_ANY) < 0;
        }
        append("}", 1, message);
    }
    append("\n", 1, message);
}

/* The writer may go on after a failed append (jansson 2.14 does, for keys), so success is when none has failed. */
struct message *message_new(json_t *value)
{
    struct message *message = value ? calloc(1, sizeof *message) : NULL;
    if (message) {
        message->references = 1;
        write_line(value, message);
        if (message->failed) {
            message_release(message);
            message = NULL;
        }
    }
    json_decref(value);
    return message;
}

void message_release(struct message *message)
{
    if (!message || --message->references > 0)
        return;
    free(message->text);
    free(message);
}

struct connection *connection_next(const struct connection *connection)
{
    return connection->next;
}

static size_t unsent(const struct connection *connection)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&connection->pipe);
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    struct control *control = connection->control;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        control->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    lines_free(&connection->input);
    free(connection);
    control_handle_closed(control);
}

void connection_close(struct connection *connection)
{
    if (connection->closing)
        return;
    connection->closing = true;
    connection->reading = false;
    if (connection->answer)
        connection->answer->connection = NULL;
    uv_close((uv_handle_t *)&connection->pipe, on_closed);
}

static void on_space(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct connection *connection = handle->data;
    size_t room = 0;
    char *space = lines_space(&connection->input, &room);
    *buffer = uv_buf_init(space, space ? (unsigned)room : 0);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer);

/* Reads or does not read, as the bounds want it now. */
static void update_reading(struct connection *connection)
{
    if (connection->closing)
        return;
    bool want = !connection->finishing && !connection->at_end && unsent(connection) <= OUTPUT_MAX &&
                !lines_full(&connection->input);
    if (want == connection->reading)
        return;
    connection->reading = want;
    uv_stream_t *stream = (uv_stream_t *)&connection->pipe;
    if (!want)
        uv_read_stop(stream);
    else if (uv_read_start(stream, on_space, on_read) < 0)
        connection_close(connection);
}

/* All requests that were taken have been replied to. */
static bool has_replied(const struct connection *connection)
{
    return !connection->busy && !connection->answer;
}

/* Something is to be done for this client that does not wait for the client. */
static bool wants_turn(struct connection *connection)
{
    return !connection->closing && !connection->finishing && has_replied(connection) &&
           unsent(connection) <= OUTPUT_MAX && (connection->at_end || lines_waiting(&connection->input, false));
}

static void on_sent(uv_write_t *request, int status)
{
    struct sending *sending = (struct sending *)request;
    struct connection *connection = sending->connection;
    if (sending->is_event)
        connection->unsent_events -= sending->message->length;
    bool is_quit = sending->is_quit;
    message_release(sending->message);
    free(sending);
    if (status < 0 || (connection->finishing && has_replied(connection) && unsent(connection) == 0))
        connection_close(connection);
    else if (wants_turn(connection))
        control_want_turns(connection->control);
    update_reading(connection);
    if (is_quit)
        control_answered_quit(connection->control);
}

/* Queues the message, or closes the connection. False where `on_sent` will not be called for it. */
static bool send_message(struct connection *connection, struct message *message, bool is_event, bool is_quit)
{
    if (connection->closing)
        return false;
    struct sending *sending = message ? malloc(sizeof *sending) : NULL;
    if (!sending) {
        connection_close(connection);
        return false;
    }
    *sending = (struct sending){.connection = connection, .message = message, .is_event = is_event, .is_quit = is_quit};
    uv_buf_t buffer = uv_buf_init(message->text, (unsigned)message->length);
    if (uv_write(&sending->request, (uv_stream_t *)&connection->pipe, &buffer, 1, on_sent) < 0) {
        free(sending);
        connection_close(connection);
        return false;
    }
    message->references++;
    if (is_event)
        connection->unsent_events += message->length;
    return true;
}

void connection_send_event(struct connection *connection, struct message *message)
{
    if (connection->finishing)
        return;
    if (connection->unsent_events > EVENTS_MAX)
        connection_close(connection);
    send_message(connection, message, true, false);
    update_reading(connection);
}

void connection_finish(struct connection *connection)
{
    connection->finishing = true;
    update_reading(connection);
    if (has_replied(connection) && unsent(connection) == 0)
        connection_close(connection);
}

/* Sends a reply; takes over `value`. With `is_quit` the server is told when the client has it, or cannot get it. */
static void reply(struct connection *connection, json_t *value, bool is_quit)
{
    struct message *message = message_new(value);
    if (!send_message(connection, message, false, is_quit) && is_quit)
        control_answered_quit(connection->control);
    message_release(message);
}

/* Once the reply is sent, what has piled up meanwhile gets its turns. */
void answer_give(struct answer *answer, json_t *value, const struct cleave_failure *failure)
{
    struct connection *connection = answer->connection;
    if (connection) {
        connection->answer = NULL;
        reply(connection, value ? return_json(value, answer->id) : failure_json(failure, answer->id), false);
    } else {
        json_decref(value);
    }
    json_decref(answer->id);
    free(answer);
}

/* Begins what a valid request asks for. The reply comes by answer_give(), or at once where it cannot begin. */
static void start(struct connection *connection, const struct request *request, struct cleave_failure *failure)
{
    struct answer *answer = calloc(1, sizeof *answer);
    if (!answer) {
        reply(connection, failure_json(failure, request->id), false);
        return;
    }
    *answer = (struct answer){.connection = connection, .id = json_incref(request->id)};
    connection->answer = answer;
    if (request->command->start(connection->control->family, request, answer, failure) < 0)
        answer_give(answer, NULL, failure);
}

/* Does what a valid request asks for, and replies. */
static void run(struct connection *connection, const struct request *request)
{
    struct control *control = connection->control;
    struct cleave_failure failure;
    fail(&failure, CLEAVE_NO_MEMORY, "%s: out of memory for the reply", request->command->name);
    if (request->command->start) {
        start(connection, request, &failure);
        return;
    }
    json_t *value = request->command->run(control->family, request, &failure);
    bool quits = value && request->command->quits;
    if (quits)
        control_start_deadline(control);
    reply(connection, value ? return_json(value, request->id) : failure_json(&failure, request->id), quits);
}

static void handle_line(struct connection *connection, const char *line, size_t length)
{
    struct request request;
    struct cleave_failure failure;
    connection->busy = true;
    enum request_result result = request_parse(&request, line, length, &failure);
    if (result == REQUEST_VALID)
        run(connection, &request);
    else if (result != REQUEST_EMPTY)
        reply(connection, failure_json(&failure, request.id), false);
    request_clear(&request);
    connection->busy = false;
    if (result == REQUEST_BROKEN || connection->finishing)
        connection_finish(connection);
}

static void refuse_long_line(struct connection *connection)
{
    struct cleave_failure failure;
    fail(&failure, CLEAVE_INVALID_ARGUMENT, "the request is longer than %zu bytes", CONTROL_LINE_MAX);
    json_t *id = json_null();
    reply(connection, failure_json(&failure, id), false);
    connection_finish(connection);
}

bool connection_turn(struct connection *connection)
{
    if (!wants_turn(connection))
        return false;
    const char *line;
    size_t length;
    switch (lines_take(&connection->input, connection->at_end, &line, &length)) {
    case LINE_TAKEN:
        handle_line(connection, line, length);
        break;
    case LINE_TOO_LONG:
        refuse_long_line(connection);
        break;
    case LINE_NONE:
        if (connection->at_end)
            connection_finish(connection);
        break;
    }
    update_reading(connection);
    return wants_turn(connection);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    (void)buffer;
    struct connection *connection = stream->data;
    if (count < 0 && count != UV_EOF) {
        connection_close(connection);
        return;
    }
    if (count == UV_EOF)
        connection->at_end = true;
    else
        lines_added(&connection->input, (size_t)count);
    if (connection_turn(connection))
        control_want_turns(connection->control);
    update_reading(connection);
}

static struct connection *connection_new(struct control *control)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    uv_pipe_init(control->loop, &connection->pipe, 0);
    control->open_handles++;
    connection->pipe.data = connection;
    connection->control = control;
    connection->next = control->connections;
    if (connection->next)
        connection->next->previous = connection;
    control->connections = connection;
    return connection;
}

/* The connection that could not be kept is gone; the next one may be kept or not. */
static void on_refused(uv_handle_t *handle)
{
    struct control *control = handle->data;
    bool again = control->refuse_again && !control->closing;
    control->refusing = control->refuse_again = false;
    if (again)
        connection_accept(control);
    control_handle_closed(control);
}

/* Accepts a connection only to close it: left waiting, it would keep all later ones waiting too. */
static void refuse(struct control *control)
{
    if (control->refusing) {
        control->refuse_again = true;
        return;
    }
    control->refusing = true;
    uv_pipe_init(control->loop, &control->refused, 0);
    control->open_handles++;
    control->refused.data = control;
    uv_accept((uv_stream_t *)&control->listener, (uv_stream_t *)&control->refused);
    uv_close((uv_handle_t *)&control->refused, on_refused);
}

void connection_accept(struct control *control)
{
    struct connection *connection = connection_new(control);
    if (!connection) {
        refuse(control);
        return;
    }
    uv_os_fd_t fd;
    if (uv_accept((uv_stream_t *)&control->listener, (uv_stream_t *)&connection->pipe) < 0 ||
        uv_fileno((uv_handle_t *)&connection->pipe, &fd) < 0 || !socket_peer_is_same_user(fd)) {
        connection_close(connection);
        return;
    }
    struct message *greeting = message_new(greeting_json());
    send_message(connection, greeting, false, false);
    message_release(greeting);
    update_reading(connection);
}
