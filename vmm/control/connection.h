/*
 * One client's connection. All of it belongs to the event-loop thread. Bounds: a client with more than OUTPUT_MAX
 * unsent is not read from; one with more than EVENTS_MAX of events unsent is dropped. A request is begun only once
 * there is all the memory that its reply takes.
 */
#ifndef VMM_CONTROL_CONNECTION_H
#define VMM_CONTROL_CONNECTION_H

#include "vmm/control/command.h"
#include "vmm/control/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define OUTPUT_MAX ((size_t)256 << 10)
#define EVENTS_MAX ((size_t)4 << 20)

struct connection;

/* What a connection needs of the server it belongs to. */
struct connection_server {
    struct service *service;
    struct command_table commands;
    struct connection *first;

    void (*want_turns)(struct connection_server *server); /* a connection has a request to handle */
    void (*want_watch)(struct connection_server *server); /* ... and one is to be watched */
    void (*quit_begins)(struct connection_server *server);
    void (*quit_answered)(struct connection_server *server); /* its client has the reply, or cannot get it */
    void (*closed)(struct connection_server *server);        /* a connection that was accepted is gone */
};

/* Accepts what waits at the listener: greets it, or closes it again if it is another user's. False: there is no memory
 * for it, and it still waits. */
bool connection_accept(struct connection_server *server, uv_stream_t *listener);

/* Handles at most one request. True where there may be another to handle now. */
bool connection_turn(struct connection *connection);

/* Closes it where its client waits for an answer, is not read from, and has gone. True where it is to be watched on. */
bool connection_watch(struct connection *connection);

/* Sends an event, dropping the client if it has let too many pile up. */
void connection_send_event(struct connection *connection, struct message *message);

/* Takes no more requests; closes when everything is sent. */
void connection_finish(struct connection *connection);
void connection_close(struct connection *connection);
/* A reply to it is still to come. */
bool connection_waits(const struct connection *connection);

struct connection *connection_next(const struct connection *connection);

#endif
