/* See session.h. The VMM is known by its control protocol only (include/cleave/control.md). */
#include "tools/ptstat/session.h"
#include "tools/client/client.h"
#include "tools/client/vmm_process.h"
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/find_vmm.h"
#include "tools/ptstat/terminal.h"
#include "tools/ptstat/workload.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READY_MS        120000 /* for the resident set, at 5 to 7 us a page several GiB */
#define CHILD_MS        60000
#define POOL_MS         5000
#define ENDING_MS       500 /* for a VMM that closed the connection to end, and for the last call to one that runs on */
#define POLL_US         1000
#define SETTLE_EXTRA_US 5000

/* The dirty set has to be written well within a period: 40 us a page is several times what a copy-on-write costs. */
#define PERIOD_MIN_US      20000
#define PERIOD_PER_PAGE_US 40

struct session {
    struct client *client;
    struct vmm_process *process; /* NULL for a VMM that ptstat did not start */
    uint64_t period_us;
    bool marks;
    uint64_t forked_ns; /* when the last fork's or checkpoint's command was sent; 0 before the first */
    uint64_t memory;    /* bytes of RAM of guest 0 */
    bool is_first;      /* guest 0 has never been forked */
    bool is_paused;     /* guest 0, by session_pause */
};

/* The one that is open. exit() takes no argument to its handlers, and a VMM must not outlive ptstat. */
static struct session *current;

static void end_current(void)
{
    if (!current)
        return;
    if (current->client && current->is_paused && !current->process) {
        client_set_timeout(current->client, ENDING_MS);
        client_callf(current->client, "resume", NULL, NULL, "{s:i}", "guest", 0);
    }
    client_close(current->client);
    vmm_process_end(current->process);
    free(current);
    current = NULL;
}

/* The last line of `text`, which it changes; NULL where there is none. */
static const char *last_line(char *text)
{
    char *newline;

    if (!text)
        return NULL;
    while ((newline = strrchr(text, '\n')) && !newline[1])
        *newline = '\0';
    text = newline ? newline + 1 : text;
    return *text ? text : NULL;
}

/* Exits with `text`, or with the last words of the VMM or its guest, where it has ended. */
__attribute__((noreturn)) static void session_failed(const struct session *session, const char *text)
{
    const char *words = NULL;

    if (session->process && vmm_process_wait(session->process, ENDING_MS) >= 0) {
        words = last_line(vmm_process_errors(session->process));
        if (!words)
            words = last_line(vmm_process_output(session->process));
    }
    if (words)
        die(EXIT_RUNTIME, "the VMM ended: %s", words);
    die(EXIT_RUNTIME, "%s", text);
}

/* A call that must work; the caller frees the reply. `arguments` as for client_call. */
static json_t *call(struct session *session, const char *command, json_t *arguments)
{
    struct client_error error;
    json_t *reply = NULL;

    if (client_call(session->client, command, arguments, &reply, &error)) {
        char text[sizeof(error.text) + 64];

        if (!strcmp(error.class, CLIENT_CONNECTION)) /* names the command itself */
            session_failed(session, error.text);
        snprintf(text, sizeof(text), "%s: %s", command, error.text);
        session_failed(session, text);
    }
    return reply;
}

static uint64_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value))
        die(EXIT_RUNTIME, "the VMM's answer has no number '%s'", key);
    return (uint64_t)json_integer_value(value);
}

static void start_vmm(struct session *session, const struct arguments *arguments)
{
    char vmm[PATH_MAX], guest[PATH_MAX], memory[BYTES_TEXT];
    struct workload workload;
    struct client_error error;
    int image = -1;

    find_vmm(vmm, sizeof(vmm));
    if (!arguments->guest)
        image = workload_file(guest, sizeof(guest));
    workload_arguments(&workload, arguments->resident,
                       &(struct workload_rounds){arguments->dirty, session->period_us, session->marks});
    const char *const command[] = {
        vmm,
        "--memory",
        bytes_option(memory, arguments->memory),
        arguments->guest ? arguments->guest : guest,
        workload.text[0],
        workload.text[1],
        workload.text[2],
        workload.text[3],
        NULL,
    };
    session->process = vmm_process_start(command, 0, &error);
    if (session->process)
        session->client = vmm_process_connect(session->process, &error);
    if (!session->client)
        session_failed(session, error.text);
    if (image >= 0)
        close(image); /* the VMM has read it: its socket is there */
}

static bool has_mark(struct session *session, uint32_t value)
{
    json_t *marks = call(session, "query-marks", json_pack("{s:i}", "guest", 0));
    bool found = false;
    const json_t *mark;
    size_t i;

    json_array_foreach(marks, i, mark) found = found || number(mark, "value") == value;
    json_decref(marks);
    return found;
}

/* Also the way to see a guest that ended early, by a bad argument for example. */
static void read_guest(struct session *session)
{
    json_t *guests = call(session, "query-guests", NULL);
    const json_t *root = json_array_get(guests, 0);
    const char *state = json_string_value(json_object_get(root, "state"));

    if (!state || number(root, "id") != 0)
        die(EXIT_RUNTIME, "the VMM has no guest 0");
    if (strcmp(state, "running") != 0)
        die(EXIT_RUNTIME, "guest 0 is %s, and must be running to be measured", state);
    session->memory = number(root, "memory");
    session->is_first = number(root, "children") == 0;
    json_decref(guests);
}

static void wait_ready(struct session *session)
{
    const uint64_t deadline = now_ns() + UINT64_C(1000000) * READY_MS;

    while (!has_mark(session, WORKLOAD_READY)) {
        read_guest(session);
        if (now_ns() > deadline)
            die(EXIT_RUNTIME, "guest 0 made no mark 0x%x within %d s: is it a workload guest?", WORKLOAD_READY,
                READY_MS / 1000);
        sleep_us(POLL_US);
    }
    read_guest(session);
}

uint64_t session_period(uint64_t dirty)
{
    const uint64_t needed = dirty / PAGE_BYTES * PERIOD_PER_PAGE_US;

    return needed > PERIOD_MIN_US ? needed : PERIOD_MIN_US;
}

struct session *session_open(const struct arguments *arguments, uint64_t period_us, bool marks)
{
    struct session *session = calloc(1, sizeof(*session));
    struct client_error error;
    static bool is_registered;

    if (!session || (!is_registered && atexit(end_current)))
        die(EXIT_RUNTIME, "out of memory");
    is_registered = true;
    current = session;
    session->period_us = period_us;
    session->marks = marks;
    if (arguments->socket) {
        session->client = client_open(arguments->socket, 0, &error);
        if (!session->client)
            die(EXIT_RUNTIME, "%s", error.text);
    } else {
        start_vmm(session, arguments);
    }
    wait_ready(session);
    return session;
}

static uint64_t pool_ready(struct session *session)
{
    json_t *version = call(session, "query-version", NULL);
    uint64_t ready = number(version, "pool_ready");

    json_decref(version);
    return ready;
}

void session_settle(struct session *session)
{
    const uint64_t written_ns = session->forked_ns + 1000 * (2 * session->period_us + SETTLE_EXTRA_US);
    const uint64_t now = now_ns();

    exit_if_interrupted();
    if (!session->is_paused && session->forked_ns && now < written_ns)
        sleep_us((written_ns - now) / 1000);
    for (uint64_t waited_us = 0; !pool_ready(session); waited_us += POLL_US) {
        if (waited_us > UINT64_C(1000) * POOL_MS)
            die(EXIT_RUNTIME, "the VMM's pool of machines stayed empty for %d s", POOL_MS / 1000);
        sleep_us(POLL_US);
    }
    client_drop_events(session->client);
}

/* Takes one event of the child into *times; true when the child has ended. */
static bool take_event(const json_t *event, uint64_t start, struct fork_times *times)
{
    const char *name = event_name(event);
    const uint64_t since = event_timestamp_ns(event) - start;

    if (!strcmp(name, "CRASHED"))
        die(EXIT_RUNTIME, "the forked guest crashed: %s",
            json_string_value(json_object_get(event_data(event), "reason")));
    if (!strcmp(name, "STARTED"))
        times->first_instruction = since;
    if (!strcmp(name, "MARK") && number(event_data(event), "value") == WORKLOAD_OUTPUT)
        times->first_output = since;
    if (!strcmp(name, "MARK") && number(event_data(event), "value") == WORKLOAD_PAID)
        times->debt_paid = since;
    return !strcmp(name, "EXITED");
}

void session_fork(struct session *session, struct fork_times *times)
{
    const uint64_t start = now_ns();
    json_t *reply = call(session, "fork", json_pack("{s:i, s:i}", "guest", 0, "count", 1));
    const int64_t child = (int64_t)number(json_array_get(json_object_get(reply, "children"), 0), "id");
    bool has_ended = false;

    *times = (struct fork_times){.is_first = session->is_first, .pause = number(reply, "pause_ns")};
    json_decref(reply);
    session->is_first = false;
    session->forked_ns = start;
    while (!has_ended) {
        json_t *event = client_wait_event(session->client, NULL, child, CHILD_MS);

        if (!event)
            session_failed(session, "the forked guest did not end: is it a workload guest?");
        has_ended = take_event(event, start, times);
        json_decref(event);
    }
    if (!times->first_instruction || !times->first_output || !times->debt_paid)
        die(EXIT_RUNTIME, "the forked guest ended without its marks 0x%x and 0x%x: is it a workload guest?",
            WORKLOAD_OUTPUT, WORKLOAD_PAID);
}

void session_pause(struct session *session)
{
    json_decref(call(session, "pause", json_pack("{s:i}", "guest", 0)));
    session->is_paused = true;
}

void session_resume(struct session *session)
{
    json_decref(call(session, "resume", json_pack("{s:i}", "guest", 0)));
    session->is_paused = false;
}

uint64_t session_checkpoint(struct session *session)
{
    const uint64_t start = now_ns();
    json_t *reply = call(session, "checkpoint", json_pack("{s:i}", "guest", 0));
    const uint64_t pause = number(reply, "pause_ns");

    json_decref(reply);
    session->forked_ns = start;
    return pause;
}

void session_reset(struct session *session, struct reset_times *times)
{
    json_t *reply = call(session, "reset", json_pack("{s:i}", "guest", 0));

    *times = (struct reset_times){number(reply, "total_ns"), number(reply, "dropped_pages")};
    json_decref(reply);
}

uint64_t session_wait_round(struct session *session, uint64_t since)
{
    uint64_t at = 0;

    while (at < since) {
        json_t *event = client_wait_mark(session->client, 0, WORKLOAD_ROUND, CHILD_MS);

        if (!event)
            session_failed(session, "guest 0 marks no rounds: is it a workload guest with marks=1?");
        at = event_timestamp_ns(event);
        json_decref(event);
        exit_if_interrupted();
    }
    return at;
}

uint64_t session_memory(const struct session *session)
{
    return session->memory;
}

void session_close(struct session *session)
{
    if (session == current)
        end_current();
}
