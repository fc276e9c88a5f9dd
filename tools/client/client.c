/*
 * The client's connection and its messages: see client.h. Lines are taken from one growing buffer; a message with a
 * member "event" goes to the queue unless somebody asked for any message.
 */
#include "tools/client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A server whose queue of connections is full gets this long to take one, even when the caller does not want to wait.
 */
#define BACKLOG_WAIT_MS 5000

/* No message of the protocol comes near this; a peer that sends more does not speak it. */
#define MESSAGE_MAX ((size_t)256 << 20)

struct client {
    int fd; /* non-blocking */
    int reply_ms;
    bool closed; /* the peer has ended the connection, or sent what is no message */
    json_int_t last_id;
    json_t *greeting; /* the "VMM" object; NULL for a raw client */
    json_t *events;   /* array, oldest first */
    client_event_fn *on_event;
    void *event_context;
    char *buffer; /* bytes [start, end) are received and not taken; [start, scanned) has no newline */
    size_t start, scanned, end, capacity;
};

int client_fail(struct client_error *error, const char *class, const char *format, ...)
{
    if (!error)
        return -1;
    snprintf(error->class, sizeof error->class, "%s", class);
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return -1;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* INT64_MAX stands for "never". */
static int64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;
}

/* Waits for `events` on the socket until the deadline; false when it has passed. */
static bool wait_for(const struct client *client, short events, int64_t deadline)
{
    for (;;) {
        int64_t left = -1;
        if (deadline != INT64_MAX) {
            left = deadline - now_ms();
            if (left < 0)
                left = 0;
            if (left > 3600000)
                left = 3600000;
        }
        struct pollfd poller = {.fd = client->fd, .events = events};
        int n = poll(&poller, 1, (int)left);
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
        if (n == 0 && now_ms() >= deadline)
            return false;
    }
}

/* One attempt: a connected non-blocking socket, or -1 with errno. */
static int connect_once(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int connect_within(const char *path, int wait_ms, struct client_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path)
        return client_fail(error, CLIENT_CONNECTION, "%s: the socket's path is longer than %zu bytes", path,
                           sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, length + 1);
    int64_t deadline = deadline_after(wait_ms);
    int64_t backlog_deadline = deadline_after(wait_ms < 0 ? -1 : wait_ms + BACKLOG_WAIT_MS);
    for (;;) {
        int fd = connect_once(&address);
        if (fd >= 0)
            return fd;
        bool absent = errno == ENOENT || errno == ECONNREFUSED;
        bool retry =
            errno == EINTR || (errno == EAGAIN && now_ms() < backlog_deadline) || (absent && now_ms() < deadline);
        if (!retry)
            return client_fail(error, CLIENT_CONNECTION, "%s: cannot connect: %s%s", path, strerror(errno),
                               absent ? " (is a VMM running with --control?)" : "");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

struct client *client_open_raw(const char *path, int wait_ms, struct client_error *error)
{
    struct client *client = calloc(1, sizeof *client);
    json_t *events = json_array();
    if (!client || !events) {
        client_fail(error, CLIENT_CONNECTION, "out of memory");
        free(client);
        json_decref(events);
        return NULL;
    }
    client->events = events;
    client->reply_ms = CLIENT_REPLY_MS;
    client->fd = connect_within(path, wait_ms, error);
    if (client->fd < 0) {
        client_close(client);
        return NULL;
    }
    return client;
}

struct client *client_open(const char *path, int wait_ms, struct client_error *error)
{
    struct client *client = client_open_raw(path, wait_ms, error);
    if (!client)
        return NULL;
    json_t *message = client_recv(client, client->reply_ms);
    client->greeting = json_incref(json_object_get(message, "VMM"));
    json_decref(message);
    if (json_integer_value(json_object_get(client->greeting, "protocol")) != 1) {
        client_fail(error, CLIENT_CONNECTION, "%s: %s", path,
                    client->greeting ? "the server speaks another version of the protocol"
                    : client->closed ? "the server closed the connection (is it another user's?)"
                                     : "the server sent no greeting");
        client_close(client);
        return NULL;
    }
    return client;
}

void client_set_timeout(struct client *client, int reply_ms)
{
    client->reply_ms = reply_ms;
}

void client_on_event(struct client *client, client_event_fn *fn, void *context)
{
    client->on_event = fn;
    client->event_context = context;
}

void client_close(struct client *client)
{
    if (!client)
        return;
    if (client->fd >= 0)
        close(client->fd);
    json_decref(client->greeting);
    json_decref(client->events);
    free(client->buffer);
    free(client);
}

const json_t *client_greeting(const struct client *client)
{
    return client->greeting;
}

int client_fd(const struct client *client)
{
    return client->fd;
}

bool client_closed(const struct client *client)
{
    return client->closed && client->start == client->end;
}

void client_shutdown(struct client *client)
{
    shutdown(client->fd, SHUT_WR);
}

int client_send_raw(struct client *client, const void *bytes, size_t length)
{
    int64_t deadline = deadline_after(client->reply_ms);
    const char *next = bytes;
    while (length > 0) {
        ssize_t n = send(client->fd, next, length, MSG_NOSIGNAL);
        if (n >= 0) {
            next += n;
            length -= (size_t)n;
        } else if (errno == EAGAIN) {
            if (!wait_for(client, POLLOUT, deadline))
                return -1;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

/* Makes room for more bytes at the buffer's end; false when out of memory. */
static bool make_room(struct client *client)
{
    if (client->start > 0) {
        memmove(client->buffer, client->buffer + client->start, client->end - client->start);
        client->end -= client->start;
        client->scanned -= client->start;
        client->start = 0;
    }
    if (client->end < client->capacity)
        return true;
    size_t capacity = client->capacity ? 2 * client->capacity : 65536;
    char *buffer = capacity <= MESSAGE_MAX ? realloc(client->buffer, capacity) : NULL;
    if (!buffer)
        return false;
    client->buffer = buffer;
    client->capacity = capacity;
    return true;
}

/* Receives what is there without waiting. 1: some bytes; 0: none yet; -1: the end. */
static int receive(struct client *client)
{
    if (client->closed || (client->end == client->capacity && !make_room(client))) {
        client->closed = true;
        return -1;
    }
    ssize_t n;
    do {
        n = recv(client->fd, client->buffer + client->end, client->capacity - client->end, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        client->end += (size_t)n;
        return 1;
    }
    if (n < 0 && errno == EAGAIN)
        return 0;
    client->closed = true;
    return -1;
}

/* Parses a message, whose line a newline ends. A long reply of read-memory is nearly all base64, and jansson takes a
 * string byte by byte: its data is put in afterwards. What stands before it cannot be part of a string, where quotes have
 * backslashes. */
static json_t *parse(const char *line, size_t length)
{
    static const char before[] = "{\"return\":{\"data\":\"";
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    const size_t head = sizeof before - 1;
    const char *data = line + head;
    const size_t digits = length > head && memcmp(line, before, head) == 0 ? strspn(data, base64) : 0;
    if (!digits || data[digits] != '"')
        return json_loadb(line, length, JSON_ALLOW_NUL, NULL);
    const size_t rest = length - head - digits;
    char *text = malloc(head + rest);
    if (!text)
        return NULL;
    memcpy(text, line, head);
    memcpy(text + head, data + digits, rest);
    json_t *message = json_loadb(text, head + rest, JSON_ALLOW_NUL, NULL);
    free(text);
    json_t *string = json_stringn_nocheck(data, digits);
    if (json_object_set_new(json_object_get(message, "return"), "data", string) < 0) {
        json_decref(message);
        return NULL;
    }
    return message;
}

/* The next whole line in the buffer, parsed; NULL where there is none. What is no message ends the connection. */
static json_t *take_line(struct client *client)
{
    if (client->scanned == client->end)
        return NULL;
    char *newline = memchr(client->buffer + client->scanned, '\n', client->end - client->scanned);
    if (!newline) {
        client->scanned = client->end;
        return NULL;
    }
    const char *line = client->buffer + client->start;
    json_t *message = parse(line, (size_t)(newline - line));
    client->start = client->scanned = (size_t)(newline + 1 - client->buffer);
    if (!message) {
        client->closed = true;
        client->start = client->scanned = client->end;
    } else if (client->start == client->end) {
        client->start = client->scanned = client->end = 0;
    }
    return message;
}

static json_t *recv_until(struct client *client, int64_t deadline)
{
    for (;;) {
        json_t *message = take_line(client);
        if (message)
            return message;
        int got = receive(client);
        if (got < 0) {
            client->start = client->scanned = client->end; /* half a line is no message */
            return NULL;
        }
        if (got == 0 && !wait_for(client, POLLIN, deadline))
            return NULL;
    }
}

json_t *client_recv(struct client *client, int timeout_ms)
{
    return recv_until(client, deadline_after(timeout_ms));
}

/* The next message that is no event; events are queued. */
static json_t *recv_reply_until(struct client *client, int64_t deadline)
{
    for (;;) {
        json_t *message = recv_until(client, deadline);
        if (!message || !json_object_get(message, "event"))
            return message;
        if (client->on_event)
            client->on_event(client->event_context, message);
        if (json_array_append_new(client->events, message) < 0)
            client->closed = true;
    }
}

json_t *client_recv_reply(struct client *client, int timeout_ms)
{
    return recv_reply_until(client, deadline_after(timeout_ms));
}

/* Sends one request under a new id; takes over `arguments`. */
static int send_request(struct client *client, const char *command, json_t *arguments, struct client_error *error)
{
    json_t *request =
        json_pack("{s:s, s:o*, s:I}", "execute", command, "arguments", arguments, "id", ++client->last_id);
    char *text = request ? json_dumps(request, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(request);
    if (!text)
        return client_fail(error, CLIENT_CONNECTION, "%s: the request cannot be written as JSON", command);
    size_t length = strlen(text);
    text[length] = '\n';
    int result = client_send_raw(client, text, length + 1);
    free(text);
    if (result < 0)
        return client_fail(error, CLIENT_CONNECTION, "%s: the VMM closed the connection", command);
    return 0;
}

/* Turns a reply into client_call's result; takes over `message`. */
static int take_reply(json_t *message, json_t **reply, struct client_error *error)
{
    json_t *value = json_object_get(message, "return");
    int result = 0;
    if (value) {
        if (reply)
            *reply = json_incref(value);
    } else {
        const json_t *failure = json_object_get(message, "error");
        const char *class = json_string_value(json_object_get(failure, "class"));
        const char *text = json_string_value(json_object_get(failure, "desc"));
        result = client_fail(error, class ? class : CLIENT_CONNECTION, "%s",
                             text ? text : "the reply is neither a return value nor an error");
    }
    json_decref(message);
    return result;
}

int client_call(struct client *client, const char *command, json_t *arguments, json_t **reply,
                struct client_error *error)
{
    if (send_request(client, command, arguments, error) < 0)
        return -1;
    int64_t deadline = deadline_after(client->reply_ms);
    for (;;) {
        json_t *message = recv_reply_until(client, deadline);
        if (!message)
            return client_fail(error, CLIENT_CONNECTION, "%s: %s", command,
                               client->closed ? "the VMM closed the connection" : "no reply in time");
        const json_t *id = json_object_get(message, "id");
        if (!id || json_is_null(id) || json_integer_value(id) == client->last_id)
            return take_reply(message, reply, error);
        json_decref(message); /* of a call that gave up waiting */
    }
}

int client_callf(struct client *client, const char *command, json_t **reply, struct client_error *error,
                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_t *arguments = json_vpack_ex(NULL, 0, format, args);
    va_end(args);
    if (!arguments)
        return client_fail(error, CLIENT_CONNECTION, "%s: bad arguments in the notation \"%s\"", command, format);
    return client_call(client, command, arguments, reply, error);
}

const char *event_name(const json_t *event)
{
    return json_string_value(json_object_get(event, "event"));
}

const json_t *event_data(const json_t *event)
{
    return json_object_get(event, "data");
}

int64_t event_guest(const json_t *event)
{
    const json_t *guest = json_object_get(event_data(event), "guest");
    return json_is_integer(guest) ? json_integer_value(guest) : -1;
}

uint64_t event_timestamp_ns(const json_t *event)
{
    return (uint64_t)json_integer_value(json_object_get(event, "timestamp_ns"));
}

/* What somebody waits for. */
struct wanted {
    const char *name;
    int64_t guest;
    bool has_value;
    uint32_t value;
};

static bool matches(const json_t *event, const struct wanted *wanted)
{
    const char *name = event_name(event);
    if (wanted->name && (!name || strcmp(name, wanted->name) != 0))
        return false;
    if (wanted->guest != CLIENT_ANY_GUEST && event_guest(event) != wanted->guest)
        return false;
    return !wanted->has_value || json_integer_value(json_object_get(event_data(event), "value")) == wanted->value;
}

static json_t *wait_event(struct client *client, const struct wanted *wanted, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    size_t i = 0;
    for (;;) {
        for (; i < json_array_size(client->events); i++) {
            json_t *event = json_array_get(client->events, i);
            if (!matches(event, wanted))
                continue;
            json_incref(event);
            json_array_remove(client->events, i);
            return event;
        }
        json_t *message = recv_until(client, deadline);
        if (!message)
            return NULL;
        if (!json_object_get(message, "event"))
            json_decref(message); /* the reply of a call that gave up waiting */
        else if (json_array_append_new(client->events, message) < 0)
            client->closed = true;
    }
}

json_t *client_next_event(struct client *client, int timeout_ms)
{
    return client_wait_event(client, NULL, CLIENT_ANY_GUEST, timeout_ms);
}

json_t *client_wait_event(struct client *client, const char *name, int64_t guest, int timeout_ms)
{
    return wait_event(client, &(struct wanted){.name = name, .guest = guest}, timeout_ms);
}

json_t *client_wait_mark(struct client *client, int64_t guest, uint32_t value, int timeout_ms)
{
    return wait_event(client, &(struct wanted){.name = "MARK", .guest = guest, .has_value = true, .value = value},
                      timeout_ms);
}

void client_drop_events(struct client *client)
{
    json_t *event;
    while ((event = client_next_event(client, 0)))
        json_decref(event);
}
