/* What session.c and session_guest.c share: a session's insides, and calls that must work. */
#ifndef PTSTAT_SESSION_CALL_H
#define PTSTAT_SESSION_CALL_H

#include "tools/client/client.h"
#include "tools/client/vmm_process.h"
#include "tools/ptstat/session.h"

struct session {
    struct client *client;
    struct vmm_process *process; /* NULL for a VMM that ptstat did not start */
    struct session_needs needs;
    uint64_t forked_ns; /* when the last command that publishes was sent; 0 before the first */
    uint64_t memory;    /* bytes of RAM of guest 0 */
    bool is_first;      /* guest 0 has never been forked */
    bool is_paused;     /* guest 0, by session_pause */
};

/* A VMM that is started with these words, at most SESSION_WORDS of them and NULL-ended. */
#define SESSION_WORDS 9
struct session *session_start(const char *const words[]);

/* The caller frees the reply. `arguments` as for client_call. */
json_t *session_call(struct session *session, const char *command, json_t *arguments);

/* A number of the VMM's answer. */
uint64_t session_number(const json_t *object, const char *key);

/* Exits with `text`, or with the last words of the VMM or its guest, where it has ended. */
__attribute__((noreturn)) void session_failed(const struct session *session, const char *text);

#endif
