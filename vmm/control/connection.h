/*
 * One client's connection, and what connections share with the server that owns them. All of it belongs to the
 * event-loop thread. Bounds: a client with more than OUTPUT_MAX unsent is not read from; one with more than EVENTS_MAX
 * of events unsent is dropped.
 */
#ifndef VMM_CONTROL_CONNECTION_H
#define VMM_CONTROL_CONNECTION_H

#include "vmm/control/lines.h"
#include "vmm/control/socket.h"
#include <cleave/cleave.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define OUTPUT_MAX ((size_t)256 << 10)
#define EVENTS_MAX ((size_t)4 << 20)

struct connection;

/* The server: see control.c. */
struct control {
    uv_loop_t *loop;
    struct cleave_family *family;
    void (*quit)(void *context); /* what the `quit` of a client does */
    void *quit_context;
    struct socket_file file;
    uv_pipe_t listener;
    uv_pipe_t refused;     /* takes a connection there is no memory for, to close it */
    uv_idle_t turns;       /* runs while a connection has a request waiting for its turn */
    uv_timer_t deadline;   /* after `quit` or control_close: no waiting for clients beyond this */
    unsigned open_handles; /* of those above and all connections; *control is freed with the last */
    bool refusing;         /* `refused` is in use */
    bool refuse_again;     /* another connection came in that time */
    bool quitting;         /* a client has been told that its `quit` is done */
    bool closing;
    struct connection *connections;
};

/* One line to send, shared by the clients it goes to. */
struct message;

/* Takes over `value`. NULL when out of memory, or where value is NULL. The maker holds a reference. */
struct message *message_new(json_t *value);
void message_release(struct message *message);

/* Accepts what waits at the listener: greets it, or closes it again if it is another user's. */
void connection_accept(struct control *control);

/* Handles at most one request. True where there may be another to handle now. */
bool connection_turn(struct connection *connection);

/* Sends an event, dropping the client if it has let too many pile up. */
void connection_send_event(struct connection *connection, struct message *message);

/* Takes no more requests; closes when everything is sent. */
void connection_finish(struct connection *connection);
void connection_close(struct connection *connection);
struct connection *connection_next(const struct connection *connection);

/* For connections to call: another turn is wanted; `quit` has been answered; a handle has closed. */
void control_want_turns(struct control *control);
void control_answered_quit(struct control *control);
void control_handle_closed(struct control *control);

/* How long clients may take to read their last replies. */
#define DEADLINE_MS 500
void control_start_deadline(struct control *control);

#endif
