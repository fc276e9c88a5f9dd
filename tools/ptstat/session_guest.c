/* See session.h: what is asked of guests, and what they say. The VMM is known by its control protocol only
 * (cleave-control(7)). */
#include "tools/ptstat/session_call.h"
#include "tools/ptstat/terminal.h"
#include "tools/ptstat/workload.h"

#include <string.h>

#define CHILD_MS 60000
#define FILE_MS  1800000 /* for a file of several GiB on a slow disk */

/* Takes one event of a new guest into *times; true when it will do no more. */
static bool take_event(const struct session *session, const json_t *event, uint64_t start, struct fork_times *times)
{
    const char *name = event_name(event);
    const uint64_t since = event_timestamp_ns(event) - start;

    if (!strcmp(name, "CRASHED"))
        die(EXIT_RUNTIME, "the new guest crashed: %s", json_string_value(json_object_get(event_data(event), "reason")));
    if (!strcmp(name, "STARTED"))
        times->first_instruction = since;
    if (!strcmp(name, "MARK") && session_number(event_data(event), "value") == WORKLOAD_OUTPUT)
        times->first_output = since;
    if (!strcmp(name, "MARK") && session_number(event_data(event), "value") == WORKLOAD_PAID)
        times->debt_paid = since;
    return !strcmp(name, "EXITED") || (session->needs.stay && times->debt_paid);
}

/* Returns when the new guest has paid its debt and, unless it stays, has ended. */
static void follow(struct session *session, uint64_t guest, uint64_t start, struct fork_times *times)
{
    bool is_done = false;

    while (!is_done) {
        json_t *event = client_wait_event(session->client, NULL, (int64_t)guest, CHILD_MS);

        if (!event)
            session_failed(session, "the new guest did not end: is it a workload guest?");
        is_done = take_event(session, event, start, times);
        json_decref(event);
    }
    if (!times->first_instruction || !times->first_output || !times->debt_paid)
        die(EXIT_RUNTIME, "the new guest ended without its marks 0x%x and 0x%x: is it a workload guest?",
            WORKLOAD_OUTPUT, WORKLOAD_PAID);
}

uint64_t session_fork(struct session *session, struct fork_times *times)
{
    const uint64_t start = now_ns();
    json_t *reply = session_call(session, "fork", json_pack("{s:i, s:i}", "guest", 0, "count", 1));
    const uint64_t child = session_number(json_array_get(json_object_get(reply, "children"), 0), "id");

    *times = (struct fork_times){.is_first = session->is_first, .pause = session_number(reply, "pause_ns")};
    json_decref(reply);
    session->is_first = false;
    session->forked_ns = start;
    follow(session, child, start, times);
    return child;
}

void session_pause(struct session *session, uint64_t guest)
{
    json_decref(session_call(session, "pause", json_pack("{s:I}", "guest", (json_int_t)guest)));
    session->is_paused = session->is_paused || guest == 0;
}

void session_resume(struct session *session)
{
    json_decref(session_call(session, "resume", json_pack("{s:i}", "guest", 0)));
    session->is_paused = false;
}

void session_kill(struct session *session, uint64_t guest)
{
    json_t *event;

    json_decref(session_call(session, "kill", json_pack("{s:I}", "guest", (json_int_t)guest)));
    event = client_wait_event(session->client, "EXITED", (int64_t)guest, CHILD_MS);
    if (!event)
        session_failed(session, "a guest that was killed did not end");
    json_decref(event);
}

uint64_t session_checkpoint(struct session *session)
{
    const uint64_t start = now_ns();
    json_t *reply = session_call(session, "checkpoint", json_pack("{s:i}", "guest", 0));
    const uint64_t pause = session_number(reply, "pause_ns");

    json_decref(reply);
    session->forked_ns = start;
    return pause;
}

void session_reset(struct session *session, struct reset_times *times)
{
    json_t *reply = session_call(session, "reset", json_pack("{s:i}", "guest", 0));

    *times = (struct reset_times){session_number(reply, "total_ns"), session_number(reply, "dropped_pages")};
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

void session_snapshot(struct session *session, const char *path, struct snapshot_times *times)
{
    const uint64_t start = now_ns();
    json_t *reply;

    client_set_timeout(session->client, FILE_MS);
    reply = session_call(session, "snapshot", json_pack("{s:i, s:s}", "guest", 0, "path", path));
    client_set_timeout(session->client, CLIENT_REPLY_MS);
    *times = (struct snapshot_times){session_number(reply, "pause_ns"), session_number(reply, "total_ns")};
    json_decref(reply);
    session->forked_ns = start;
}

void session_restore(struct session *session, const char *path, bool eager, struct fork_times *times)
{
    const uint64_t start = now_ns();
    json_t *reply;
    uint64_t guest;

    client_set_timeout(session->client, FILE_MS);
    reply = session_call(session, "restore", json_pack("{s:s, s:b}", "path", path, "eager", eager));
    client_set_timeout(session->client, CLIENT_REPLY_MS);
    guest = session_number(reply, "id");
    json_decref(reply);
    *times = (struct fork_times){0};
    follow(session, guest, start, times);
}
