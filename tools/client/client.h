/*
 * A client of the control protocol (cleave-control(7)), shared by vmctl, ptstat and the tests: connect, call,
 * take events. A client belongs to one thread. Times are milliseconds; a negative timeout waits without end.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;

/*
 * Why a call failed. `class` is the server's error class, or CLIENT_CONNECTION where the connection itself failed:
 * refused, closed, timed out, or the peer does not speak the protocol. `text` is one line.
 */
#define CLIENT_CONNECTION "Connection"
struct client_error {
    char class[32];
    char text[512];
};

/* Fills in *error (which may be NULL) and returns -1. */
__attribute__((format(printf, 3, 4))) int client_fail(struct client_error *error, const char *class, const char *format,
                                                      ...);

/*
 * Connects to the socket at `path` and reads the greeting. Where nothing listens there yet it tries again for up to
 * `wait_ms`. NULL with *error on failure. Calls wait at most CLIENT_REPLY_MS for their reply until told otherwise.
 */
#define CLIENT_REPLY_MS 60000
struct client *client_open(const char *path, int wait_ms, struct client_error *error);
void client_set_timeout(struct client *client, int reply_ms);
void client_close(struct client *client); /* NULL is allowed */

/* The greeting's "VMM" object; lives as long as the client. */
const json_t *client_greeting(const struct client *client);

/*
 * Sends `command` with `arguments` (an object, or NULL for none; the reference is taken over, also on failure) and
 * waits for its reply; events that come in between are queued. 0 with a new reference in *reply (`reply` may be NULL),
 * or -1 with *error.
 */
int client_call(struct client *client, const char *command, json_t *arguments, json_t **reply,
                struct client_error *error);

/* The same with the arguments in json_pack's notation: client_callf(c, "pause", NULL, &error, "{s:i}", "guest", 1). */
int client_callf(struct client *client, const char *command, json_t **reply, struct client_error *error,
                 const char *format, ...);

/* Shows `fn` each event that comes in while a call waits for its reply, before it is queued. NULL takes it away. */
typedef void client_event_fn(void *context, const json_t *event);
void client_on_event(struct client *client, client_event_fn *fn, void *context);

/*
 * Events, in the order they came. Each returns a new reference, or NULL after `timeout_ms` or when the connection has
 * ended (client_closed tells which). client_next_event takes the oldest. The others take the oldest that matches and
 * leave the rest queued: by name (NULL = any) and guest (CLIENT_ANY_GUEST = any), or a MARK by its value.
 */
#define CLIENT_ANY_GUEST INT64_C(-1)
json_t *client_next_event(struct client *client, int timeout_ms);
json_t *client_wait_event(struct client *client, const char *name, int64_t guest, int timeout_ms);
json_t *client_wait_mark(struct client *client, int64_t guest, uint32_t value, int timeout_ms);
void client_drop_events(struct client *client); /* those queued so far, after reading what has arrived */

/* Parts of an event: "MARK" and so on; its guest, or -1; CLOCK_MONOTONIC of the VMM's host; its "data" object. */
const char *event_name(const json_t *event);
int64_t event_guest(const json_t *event);
uint64_t event_timestamp_ns(const json_t *event);
const json_t *event_data(const json_t *event);

/* Reads guest memory of any length, in as many calls as it takes. 0, or -1 with *error. */
int client_read_memory(struct client *client, uint64_t guest, uint64_t gpa, size_t length, void *buffer,
                       struct client_error *error);

/* Writes guest memory of any length, likewise. Where it fails, pieces of 64 KiB before may have been written. */
int client_write_memory(struct client *client, uint64_t guest, uint64_t gpa, size_t length, const void *buffer,
                        struct client_error *error);

/* Gives the guest's UART bytes to receive, in pieces of 4 KiB, of which each is taken whole or not. */
int client_console_write(struct client *client, uint64_t guest, size_t length, const void *buffer,
                         struct client_error *error);

/* As standard base64 with padding, for the caller to free; NULL when out of memory. */
char *client_base64_encode(const void *bytes, size_t length);

/* Decodes standard base64 with padding into a new buffer of *length bytes; NULL where it is not base64. */
unsigned char *client_base64_decode(const char *text, size_t *length);

/*
 * Below the protocol, for tests of the server. client_open_raw leaves the greeting unread. client_send_raw sends all
 * bytes, 0 or -1. client_recv takes the next message of any kind, client_recv_reply the next that is no event (those
 * are queued); new references. client_shutdown ends the sending side. client_closed: the peer has ended the connection
 * and everything it sent has been taken.
 */
struct client *client_open_raw(const char *path, int wait_ms, struct client_error *error);
int client_send_raw(struct client *client, const void *bytes, size_t length);
json_t *client_recv(struct client *client, int timeout_ms);
json_t *client_recv_reply(struct client *client, int timeout_ms);
void client_shutdown(struct client *client);
bool client_closed(const struct client *client);
int client_fd(const struct client *client);

#endif
