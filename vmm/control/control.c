/*
 * The server of the control socket: listens, gives every client its turns, passes events on, and ends. What one client
 * says and gets is connection.c's business. See control.h.
 */
#include "vmm/control/control.h"
#include "vmm/base/log.h"
#include "vmm/control/connection.h"
#include "vmm/control/values.h"

#include <stdlib.h>
#include <unistd.h>

static void on_closed(uv_handle_t *handle)
{
    control_handle_closed(handle->data);
}

/* The deadline's timer is closed last: it is for the connections that take their time. */
void control_handle_closed(struct control *control)
{
    control->open_handles--;
    if (control->open_handles == 0)
        free(control);
    else if (control->open_handles == 1 && control->closing)
        uv_close((uv_handle_t *)&control->deadline, on_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct control *control = listener->data;
    if (status < 0)
        log_warning("control: cannot accept a client: %s", uv_strerror(status));
    else if (!control->closing)
        connection_accept(control);
}

/* One request of each client at a time, so that a client with many does not keep the others waiting. */
static void on_turns(uv_idle_t *idle)
{
    struct control *control = idle->data;
    bool more = false;
    struct connection *next;
    for (struct connection *connection = control->connections; connection; connection = next) {
        next = connection_next(connection);
        more |= connection_turn(connection);
    }
    if (!more)
        uv_idle_stop(&control->turns);
}

void control_want_turns(struct control *control)
{
    if (!control->closing)
        uv_idle_start(&control->turns, on_turns);
}

void control_answered_quit(struct control *control)
{
    if (control->quitting || control->closing)
        return;
    control->quitting = true;
    control->quit(control->quit_context);
}

static void on_deadline(uv_timer_t *timer)
{
    struct control *control = timer->data;
    if (!control->closing) {
        control_answered_quit(control);
        return;
    }
    struct connection *next;
    for (struct connection *connection = control->connections; connection; connection = next) {
        next = connection_next(connection);
        connection_close(connection);
    }
}

void control_start_deadline(struct control *control)
{
    if (!control->closing)
        uv_timer_start(&control->deadline, on_deadline, DEADLINE_MS, 0);
}

void control_event(struct control *control, const struct cleave_event *event)
{
    if (!control->connections || control->closing)
        return;
    struct message *message = message_new(event_json(event));
    struct connection *next;
    for (struct connection *connection = control->connections; connection; connection = next) {
        next = connection_next(connection);
        connection_send_event(connection, message);
    }
    message_release(message);
}

/* A server with its handles, none of them active. */
static struct control *control_new(uv_loop_t *loop, struct cleave_family *family)
{
    struct control *control = calloc(1, sizeof *control);
    if (!control)
        return NULL;
    control->loop = loop;
    control->family = family;
    uv_pipe_init(loop, &control->listener, 0);
    uv_idle_init(loop, &control->turns);
    uv_timer_init(loop, &control->deadline);
    control->open_handles = 3;
    control->listener.data = control->turns.data = control->deadline.data = control;
    return control;
}

struct control *control_listen(uv_loop_t *loop, struct cleave_family *family, const char *path,
                               void (*quit)(void *context), void *context, struct cleave_failure *failure)
{
    struct socket_file file;
    if (socket_file_listen(&file, path, failure) < 0)
        return NULL;
    struct control *control = control_new(loop, family);
    int error = control ? uv_pipe_open(&control->listener, file.fd) : UV_ENOMEM;
    if (error < 0) {
        socket_file_remove(&file);
        close(file.fd);
        fail_errno(failure, -error, "--control %s", path);
        if (control)
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

void control_close(struct control *control)
{
    if (!control || control->closing)
        return;
    control->closing = true;
    socket_file_remove(&control->file); /* before the listener closes: nobody can have taken it for stale so far */
    uv_close((uv_handle_t *)&control->listener, on_closed);
    uv_close((uv_handle_t *)&control->turns, on_closed);
    uv_timer_start(&control->deadline, on_deadline, DEADLINE_MS, 0);
    struct connection *next;
    for (struct connection *connection = control->connections; connection; connection = next) {
        next = connection_next(connection);
        connection_finish(connection);
    }
}
