/* See session.h: a session from its start to its end, and calls. What is asked of guests is in session_guest.c. */
#include "tools/ptstat/session.h"
#include "tools/client/client.h"
#include "tools/client/vmm_process.h"
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/find_program.h"
#include "tools/ptstat/guest_image.h"
#include "tools/ptstat/session_call.h"
#include "tools/ptstat/terminal.h"
#include "tools/ptstat/workload.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GUEST_WORD    2 /* of the command line, after vmm */
#define COMMAND_WORDS (1 + GUEST_WORD + 1 + WORKLOAD_ARGUMENTS + 1)

#define READY_MS        120000 /* for the resident set, at 5 to 7 us a page several GiB */
#define POOL_MS         5000
#define ENDING_MS       500 /* for a VMM that closed the connection to end, and for the last call to one that runs on */
#define POLL_US         1000
#define SETTLE_EXTRA_US 5000

/* The dirty set has to be written well within a period: 40 us a page is several times what a copy-on-write costs. */
#define PERIOD_MIN_US      20000
#define PERIOD_PER_PAGE_US 40

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

void session_failed(const struct session *session, const char *text)
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

json_t *session_call(struct session *session, const char *command, json_t *arguments)
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

uint64_t session_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value))
        die(EXIT_RUNTIME, "the VMM's answer has no number '%s'", key);
    return (uint64_t)json_integer_value(value);
}

/* The words after "vmm", NULL-ended. */
static void start_vmm(struct session *session, const char *const words[])
{
    char vmm[PATH_MAX];
    const char *command[COMMAND_WORDS] = {vmm};
    struct client_error error;

    find_vmm(vmm, sizeof(vmm));
    for (size_t i = 0; words[i]; i++)
        command[1 + i] = words[i];
    session->process = vmm_process_start(command, 0, &error);
    if (session->process)
        session->client = vmm_process_connect(session->process, &error);
    if (!session->client)
        session_failed(session, error.text);
}

static void start_workload(struct session *session, const struct arguments *arguments)
{
    char guest[IMAGE_PATH], memory[BYTES_TEXT];
    const char *words[COMMAND_WORDS - 1] = {"--memory", bytes_option(memory, arguments->memory), guest};
    struct workload workload;
    int image = -1;

    if (arguments->guest)
        words[GUEST_WORD] = arguments->guest;
    else
        image = guest_image_file(IMAGE_WORKLOAD, guest, sizeof(guest));
    workload_arguments(&workload, &(struct workload_rounds){.resident = arguments->resident,
                                                            .dirty = arguments->dirty,
                                                            .period_us = session->needs.period_us,
                                                            .scatter = arguments->scatter,
                                                            .marks = session->needs.marks,
                                                            .stay = session->needs.stay});
    for (unsigned i = 0; i < workload.count; i++)
        words[GUEST_WORD + 1 + i] = workload.text[i];
    start_vmm(session, words);
    if (image >= 0)
        close(image); /* the VMM has read it: its socket is there */
}

static bool has_mark(struct session *session, uint32_t value)
{
    json_t *marks = session_call(session, "query-marks", json_pack("{s:i}", "guest", 0));
    bool found = false;
    const json_t *mark;
    size_t i;

    json_array_foreach(marks, i, mark) found = found || session_number(mark, "value") == value;
    json_decref(marks);
    return found;
}

/* Also the way to see a guest that ended early, by a bad argument for example. */
static void read_guest(struct session *session)
{
    json_t *guests = session_call(session, "query-guests", NULL);
    const json_t *root = json_array_get(guests, 0);
    const char *state = json_string_value(json_object_get(root, "state"));

    if (!state || session_number(root, "id") != 0)
        die(EXIT_RUNTIME, "the VMM has no guest 0");
    if (strcmp(state, "running") != 0) {
        char text[64];

        snprintf(text, sizeof(text), "guest 0 is %s, and must be running to be measured", state);
        session_failed(session, text);
    }
    session->memory = session_number(root, "memory");
    session->is_first = session_number(root, "children") == 0;
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

/* One without a VMM yet, which goes with ptstat. */
static struct session *make_session(void)
{
    struct session *session = calloc(1, sizeof(*session));
    static bool is_registered;

    if (!session || (!is_registered && atexit(end_current)))
        die(EXIT_RUNTIME, "out of memory");
    is_registered = true;
    current = session;
    return session;
}

struct session *session_start(const char *const words[])
{
    struct session *session = make_session();

    start_vmm(session, words);
    return session;
}

struct session *session_open(const struct arguments *arguments, const struct session_needs *needs)
{
    struct session *session = make_session();
    struct client_error error;

    session->needs = *needs;
    if (arguments->socket) {
        session->client = client_open(arguments->socket, 0, &error);
        if (!session->client)
            die(EXIT_RUNTIME, "%s", error.text);
    } else {
        start_workload(session, arguments);
    }
    wait_ready(session);
    return session;
}

static uint64_t pool_ready(struct session *session)
{
    json_t *version = session_call(session, "query-version", NULL);
    uint64_t ready = session_number(version, "pool_ready");

    json_decref(version);
    return ready;
}

void session_settle(struct session *session)
{
    const uint64_t written_ns = session->forked_ns + 1000 * (2 * session->needs.period_us + SETTLE_EXTRA_US);
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

uint64_t session_memory(const struct session *session)
{
    return session->memory;
}

pid_t session_pid(const struct session *session)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(client_fd(session->client), SOL_SOCKET, SO_PEERCRED, &peer, &size))
        die(EXIT_RUNTIME, "cannot tell which process the VMM is: %s", strerror(errno));
    return peer.pid;
}

void session_close(struct session *session)
{
    if (session == current)
        end_current();
}
