/*
 * The server of the control socket: listens, gives every client its turns, passes events on, and ends. What one client
 * says and gets is connection.c's business. See control.h.
 */
#include "vmm/control/control.h"
#include "vmm/base/log.h"
#include "vmm/control/commands.h"
#include "vmm/control/connection.h"
#include "vmm/control/json_memory.h"
#include "vmm/control/socket.h"
#include "vmm/control/values.h"
#include "vmm/control/wait.h"

#include <stdlib.h>
#include <unistd.h>

/* How long clients may take to read their last replies. */
#define DEADLINE_MS 500
#define PATIENCE    4 /* such times: for replies that are still to come */

/* How often clients that wait and are not read from are looked after. */
#define WATCH_MS 100

struct control {
    struct connection_server server; /* first, so that one pointer is both */
    struct service service;
    void (*quit)(void *context); /* what the `quit` of a client does */
    void *quit_context;
    struct socket_file file;
    uv_pipe_t listener;
    uv_pipe_t refused;     /* takes a connection there is no memory for, to close it */
    uv_idle_t turns;       /* runs while a connection has a request waiting for its turn */
    uv_timer_t watch;      /* runs while a connection is to be watched */
    unsigned patience;     /* deadlines more that replies still owed are waited for */
    uv_timer_t deadline;   /* after `quit` or control_close: no waiting for clients beyond this */
    unsigned open_handles; /* of those above and all connections; *control is freed with the last */
    bool refusing;         /* `refused` is in use */
    bool refuse_again;     /* another connection came in that time */
    bool quitting;         /* a client has been told that its `quit` is done */
    bool closing;
};

static void on_closed(uv_handle_t *handle);

/* The deadline's timer is closed last: it is for the connections that take their time. */
static void handle_closed(struct control *control)
{
    control->open_handles--;
    if (control->open_handles == 0)
        free(control);
    else if (control->open_handles == 1 && control->closing)
        uv_close((uv_handle_t *)&control->deadline, on_closed);
}

static void on_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void connection_closed(struct connection_server *server)
{
    handle_closed((struct control *)server);
}

static void accept_one(struct control *control);

/* The connection that could not be kept is gone; the next one may be kept or not. */
static void on_refused(uv_handle_t *handle)
{
    struct control *control = handle->data;
    bool again = control->refuse_again && !control->closing;
    control->refusing = control->refuse_again = false;
    if (again)
        accept_one(control);
    handle_closed(control);
}

/* Accepts a connection only to close it: left waiting, it would keep all later ones waiting too. */
static void refuse(struct control *control)
{
    if (control->refusing) {
        control->refuse_again = true;
        return;
    }
    int error = uv_pipe_init(control->service.loop, &control->refused, 0);
    if (error < 0) {
        log_warning("control: cannot refuse a client: %s", uv_strerror(error));
        return;
    }
    control->refusing = true;
    control->open_handles++;
    control->refused.data = control;
    error = uv_accept((uv_stream_t *)&control->listener, (uv_stream_t *)&control->refused);
    if (error < 0)
        log_warning("control: cannot refuse a client: %s", uv_strerror(error));
    uv_close((uv_handle_t *)&control->refused, on_refused);
}

static void accept_one(struct control *control)
{
    control->open_handles++;
    if (connection_accept(&control->server, (uv_stream_t *)&control->listener))
        return;
    control->open_handles--;
    refuse(control);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct control *control = listener->data;
    if (status < 0)
        log_warning("control: cannot accept a client: %s", uv_strerror(status));
    else if (!control->closing)
        accept_one(control);
}

/* One request of each client at a time, so that a client with many does not keep the others waiting. */
static void on_turns(uv_idle_t *idle)
{
    struct control *control = idle->data;
    bool more = false;
    struct connection *next;
    for (struct connection *connection = control->server.first; connection; connection = next) {
        next = connection_next(connection);
        more |= connection_turn(connection);
    }
    if (!more)
        uv_idle_stop(&control->turns);
}

static void want_turns(struct connection_server *server)
{
    struct control *control = (struct control *)server;
    if (!control->closing)
        uv_idle_start(&control->turns, on_turns);
}

static void on_watch(uv_timer_t *timer)
{
    struct control *control = timer->data;
    bool more = false;
    struct connection *next;
    for (struct connection *connection = control->server.first; connection; connection = next) {
        next = connection_next(connection);
        more |= connection_watch(connection);
    }
    if (!more)
        uv_timer_stop(&control->watch);
}

static void want_watch(struct connection_server *server)
{
    struct control *control = (struct control *)server;
    if (!control->closing && !uv_is_active((uv_handle_t *)&control->watch))
        uv_timer_start(&control->watch, on_watch, WATCH_MS, WATCH_MS);
}

static void quit_answered(struct connection_server *server)
{
    struct control *control = (struct control *)server;
    if (control->quitting || control->closing)
        return;
    control->quitting = true;
    control->quit(control->quit_context);
}

static void on_deadline(uv_timer_t *timer)
{
    struct control *control = timer->data;
    if (!control->closing) {
        quit_answered(&control->server);
        return;
    }
    /* What is being saved or read has been cancelled, so those replies are on their way, and then are to be read; but
     * none is waited for without end. */
    bool owed = false;
    struct connection *next;
    for (struct connection *connection = control->server.first; connection; connection = next) {
        next = connection_next(connection);
        if (connection_waits(connection) && control->patience > 0)
            owed = true;
        else
            connection_close(connection);
    }
    if (owed) {
        control->patience--;
        uv_timer_start(&control->deadline, on_deadline, DEADLINE_MS, 0);
    }
}

static void quit_begins(struct connection_server *server)
{
    struct control *control = (struct control *)server;
    if (!control->closing)
        uv_timer_start(&control->deadline, on_deadline, DEADLINE_MS, 0);
}

void control_event(struct control *control, const struct cleave_event *event)
{
    waits_take_event(&control->service, event);
    if (!control->server.first || control->closing)
        return;
    struct message *message = message_new(event_json(event));
    struct connection *next;
    for (struct connection *connection = control->server.first; connection; connection = next) {
        next = connection_next(connection);
        connection_send_event(connection, message);
    }
    message_release(message);
}

/* An initialized handle of the server's is closed before *control is freed. */
static int opened(struct control *control, void *handle, int error)
{
    if (error < 0)
        return error;
    ((uv_handle_t *)handle)->data = control;
    control->open_handles++;
    return 0;
}

/* All of them, none active. The deadline comes first, as control_close() needs it. */
static int init_handles(struct control *control, uv_loop_t *loop)
{
    int error = opened(control, &control->deadline, uv_timer_init(loop, &control->deadline));
    if (error == 0)
        error = opened(control, &control->listener, uv_pipe_init(loop, &control->listener, 0));
    if (error == 0)
        error = opened(control, &control->turns, uv_idle_init(loop, &control->turns));
    if (error == 0)
        error = opened(control, &control->watch, uv_timer_init(loop, &control->watch));
    return error;
}

/* A server with its handles; NULL with *error. */
static struct control *control_new(uv_loop_t *loop, struct cleave_family *family, int *error)
{
    struct control *control = calloc(1, sizeof *control);
    *error = UV_ENOMEM;
    if (!control)
        return NULL;
    control->service = (struct service){.family = family, .loop = loop};
    control->server = (struct connection_server){
        .service = &control->service,
        .commands = control_commands,
        .want_turns = want_turns,
        .want_watch = want_watch,
        .quit_begins = quit_begins,
        .quit_answered = quit_answered,
        .closed = connection_closed,
    };
    *error = init_handles(control, loop);
    if (*error == 0)
        return control;
    if (control->open_handles)
        control_close(control);
    else
        free(control);
    return NULL;
}

struct control *control_listen(uv_loop_t *loop, struct cleave_family *family, const char *path,
                               void (*quit)(void *context), void *context, struct cleave_failure *failure)
{
    struct socket_file file;
    json_memory_init();
    if (socket_file_listen(&file, path, failure) < 0)
        return NULL;
    int error;
    struct control *control = control_new(loop, family, &error);
    if (control)
        error = uv_pipe_open(&control->listener, file.fd);
    if (error < 0) {
        socket_file_remove(&file);
        close(file.fd);
        fail_errno(failure, -error, "--control %s", path);
        control_close(control);
        return NULL;
    }
    control->file = file;
    control->quit = quit;
    control->quit_context = context;
    error = uv_listen((uv_stream_t *)&control->listener, SOCKET_BACKLOG, on_connection);
    if (error < 0) {
        fail_errno(failure, -error, "--control %s: listen", path);
        control_close(control);
        return NULL;
    }
    return control;
}

static void close_handle(void *handle)
{
    if (((uv_handle_t *)handle)->type != UV_UNKNOWN_HANDLE)
        uv_close(handle, on_closed);
}

void control_close(struct control *control)
{
    if (!control || control->closing)
        return;
    control->closing = true;
    socket_file_remove(&control->file); /* before the listener closes: nobody can have taken it for stale so far */
    if (control->open_handles == 1) {
        uv_close((uv_handle_t *)&control->deadline, on_closed);
        return;
    }
    control->patience = PATIENCE;
    uv_timer_start(&control->deadline, on_deadline, DEADLINE_MS, 0);
    close_handle(&control->listener);
    close_handle(&control->turns);
    close_handle(&control->watch);
    struct connection *next;
    for (struct connection *connection = control->server.first; connection; connection = next) {
        next = connection_next(connection);
        connection_finish(connection);
    }
}
