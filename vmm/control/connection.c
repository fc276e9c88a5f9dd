/* One client's connection: see connection.h. */
#include "vmm/control/connection.h"
#include "vmm/control/answer.h"
#include "vmm/control/lines.h"
#include "vmm/control/request.h"
#include "vmm/control/socket.h"
#include "vmm/control/values.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

struct connection {
    uv_pipe_t pipe;
    struct connection_server *server;
    struct connection *previous, *next;
    struct lines input;
    size_t unsent_events; /* bytes of events not yet taken by the kernel */
    bool reading;
    bool at_end;             /* the client sends no more; what it asked is still answered */
    bool busy;               /* a request is being handled right now */
    struct sending *pending; /* the reply to the last request is still to come, and the next one waits */
    bool finishing;          /* no more requests; closes once all output is sent */
    bool closing;
};

/* One message on its way to one client, or a reply that is still to be written. */
struct sending {
    uv_write_t request;
    struct answer answer;          /* a pending reply's: it belongs to whoever works on it */
    struct connection *connection; /* of a pending reply: NULL once it has closed */
    struct message *message;
    bool is_event;
    bool is_quit;
};

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
    struct connection_server *server = connection->server;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        server->first = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    lines_free(&connection->input);
    free(connection);
    server->closed(server);
}

void connection_close(struct connection *connection)
{
    if (connection->closing)
        return;
    connection->closing = true;
    connection->reading = false;
    uv_close((uv_handle_t *)&connection->pipe, on_closed);
    struct sending *pending = connection->pending;
    if (!pending)
        return;
    connection->pending = NULL;
    pending->connection = NULL;
    if (pending->answer.gone)
        pending->answer.gone(pending->answer.context);
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

/* Reading would tell that the client has gone, but nothing is read. */
static bool wants_watch(const struct connection *connection)
{
    return !connection->closing && !connection->reading && connection->pending && connection->pending->answer.gone;
}

/* The end of what a client sends says only that it sends no more. Closing hangs up. */
bool connection_watch(struct connection *connection)
{
    struct pollfd peer = {0};
    if (!wants_watch(connection) || uv_fileno((uv_handle_t *)&connection->pipe, &peer.fd) < 0)
        return false;
    if (poll(&peer, 1, 0) > 0 && peer.revents & (POLLHUP | POLLERR))
        connection_close(connection);
    return !connection->closing;
}

/* Reads or does not read, as the bounds want it now. */
static void update_reading(struct connection *connection)
{
    if (connection->closing)
        return;
    bool want = !connection->finishing && !connection->at_end && unsent(connection) <= OUTPUT_MAX &&
                !lines_full(&connection->input);
    uv_stream_t *stream = (uv_stream_t *)&connection->pipe;
    if (want != connection->reading) {
        connection->reading = want;
        if (!want)
            uv_read_stop(stream);
        else if (uv_read_start(stream, on_space, on_read) < 0)
            connection_close(connection);
    }
    if (wants_watch(connection))
        connection->server->want_watch(connection->server);
}

bool connection_waits(const struct connection *connection)
{
    return connection->pending != NULL;
}

/* All requests that were taken have been replied to. */
static bool has_replied(const struct connection *connection)
{
    return !connection->busy && !connection->pending;
}

/* Something is to be done for this client that does not wait for the client. */
static bool wants_turn(struct connection *connection)
{
    return !connection->closing && !connection->finishing && has_replied(connection) &&
           unsent(connection) <= OUTPUT_MAX && (connection->at_end || lines_waiting(&connection->input, false));
}

static void discard(struct sending *sending)
{
    message_release(sending->message);
    free(sending);
}

static void on_sent(uv_write_t *request, int status)
{
    struct sending *sending = (struct sending *)request;
    struct connection *connection = sending->connection;
    struct connection_server *server = connection->server;
    if (sending->is_event)
        connection->unsent_events -= sending->message->length;
    bool is_quit = sending->is_quit;
    discard(sending);
    if (status < 0 || (connection->finishing && has_replied(connection) && unsent(connection) == 0))
        connection_close(connection);
    else if (wants_turn(connection))
        server->want_turns(server);
    update_reading(connection);
    if (is_quit)
        server->quit_answered(server);
}

/* Queues the message, or closes the connection. Takes it over. Memory is not asked for. */
static void send_message(struct sending *sending)
{
    struct connection *connection = sending->connection;
    const bool is_quit = sending->is_quit, is_event = sending->is_event;
    const size_t length = sending->message->length;
    uv_buf_t buffer = uv_buf_init(sending->message->text, (unsigned)length);
    if (!connection->closing &&
        uv_write(&sending->request, (uv_stream_t *)&connection->pipe, &buffer, 1, on_sent) == 0) {
        if (is_event)
            connection->unsent_events += length;
        return;
    }
    discard(sending);
    connection_close(connection);
    if (is_quit)
        connection->server->quit_answered(connection->server);
}

/* A message to be sent to the client: takes it over. NULL when out of memory, or where message is NULL; then the
 * connection closes. */
static struct sending *sending_new(struct connection *connection, struct message *message)
{
    struct sending *sending = message ? calloc(1, sizeof *sending) : NULL;
    if (!sending) {
        message_release(message);
        connection_close(connection);
        return NULL;
    }
    sending->connection = connection;
    sending->message = message;
    return sending;
}

void connection_finish(struct connection *connection)
{
    connection->finishing = true;
    update_reading(connection);
    if (has_replied(connection) && unsent(connection) == 0)
        connection_close(connection);
}

void connection_send_event(struct connection *connection, struct message *message)
{
    if (connection->finishing)
        return;
    if (connection->unsent_events > EVENTS_MAX)
        connection_close(connection);
    if (connection->closing)
        return;
    struct sending *sending = message ? calloc(1, sizeof *sending) : NULL;
    if (!sending) {
        connection_finish(connection); /* having missed one; but what was asked is still answered */
        return;
    }
    message->references++;
    *sending = (struct sending){.connection = connection, .message = message, .is_event = true};
    send_message(sending);
    update_reading(connection);
}

/* Writes the reply and sends it; `value` is taken over. */
static void reply(struct sending *sending, json_t *value, const struct cleave_failure *failure)
{
    message_write_reply(sending->message, value, failure);
    send_message(sending);
}

static void refuse(struct connection *connection, const json_t *id, const struct cleave_failure *failure)
{
    struct sending *sending = sending_new(connection, message_for_reply(id, 0));
    if (sending)
        reply(sending, NULL, failure);
}

/* Once the reply is sent, what has piled up meanwhile gets its turns. */
static void give(struct answer *answer, json_t *value, const struct cleave_failure *failure)
{
    struct sending *sending = (struct sending *)(void *)((char *)answer - offsetof(struct sending, answer));
    struct connection *connection = sending->connection;
    if (!connection) {
        json_decref(value);
        discard(sending);
        return;
    }
    connection->pending = NULL;
    reply(sending, value, failure);
}

/* Begins what a valid request asks for. The reply comes by give(), or at once where it cannot begin. */
static void start(struct connection *connection, const struct request *request, struct sending *sending)
{
    struct cleave_failure failure;
    fail(&failure, CLEAVE_NO_MEMORY, "%s: out of memory", request->command->name);
    sending->answer.give = give;
    connection->pending = sending;
    if (request->command->start(connection->server->service, request, &sending->answer, &failure) < 0)
        give(&sending->answer, NULL, &failure);
}

/* Does what a valid request asks for, and replies. Without memory for the reply nothing is done: the connection closes.
 */
static void run(struct connection *connection, const struct request *request)
{
    struct connection_server *server = connection->server;
    const struct command *command = request->command;
    struct sending *sending = sending_new(connection, message_for_reply(request->id, command->reply_max));
    if (!sending)
        return;
    if (command->start) {
        start(connection, request, sending);
        return;
    }
    struct cleave_failure failure;
    fail(&failure, CLEAVE_NO_MEMORY, "%s: out of memory for the reply", command->name);
    json_t *value = command->run(server->service, request, &failure);
    sending->is_quit = value && command->quits;
    if (sending->is_quit)
        server->quit_begins(server);
    reply(sending, value, &failure);
}

static void handle_line(struct connection *connection, const char *line, size_t length)
{
    struct request request;
    struct cleave_failure failure;
    connection->busy = true;
    enum request_result result = request_parse(&request, &connection->server->commands, line, length, &failure);
    if (result == REQUEST_VALID)
        run(connection, &request);
    else if (result != REQUEST_EMPTY)
        refuse(connection, request.id, &failure);
    request_clear(&request);
    connection->busy = false;
    if (result == REQUEST_BROKEN || connection->finishing)
        connection_finish(connection);
}

static void refuse_long_line(struct connection *connection)
{
    struct cleave_failure failure;
    fail(&failure, CLEAVE_INVALID_ARGUMENT, "the request is longer than %zu bytes", CONTROL_LINE_MAX);
    refuse(connection, json_null(), &failure);
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
        connection->server->want_turns(connection->server);
    update_reading(connection);
    connection_watch(connection);
}

/* Among the server's connections, with a pipe that is open for nothing yet. */
static struct connection *connection_new(struct connection_server *server)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection && uv_pipe_init(server->service->loop, &connection->pipe, 0) < 0) {
        free(connection);
        return NULL;
    }
    if (!connection)
        return NULL;
    connection->pipe.data = connection;
    connection->server = server;
    connection->next = server->first;
    if (connection->next)
        connection->next->previous = connection;
    server->first = connection;
    return connection;
}

bool connection_accept(struct connection_server *server, uv_stream_t *listener)
{
    struct connection *connection = connection_new(server);
    if (!connection)
        return false;
    uv_os_fd_t fd;
    if (uv_accept(listener, (uv_stream_t *)&connection->pipe) < 0 ||
        uv_fileno((uv_handle_t *)&connection->pipe, &fd) < 0 || !socket_peer_is_same_user(fd)) {
        connection_close(connection);
        return true;
    }
    struct sending *greeting = sending_new(connection, message_new(greeting_json()));
    if (greeting)
        send_message(greeting);
    update_reading(connection);
    return true;
}
