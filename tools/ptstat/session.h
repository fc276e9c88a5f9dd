/*
 * A VMM under measurement, seen through its control socket: started by ptstat with the workload guest, or one that runs
 * already. Every function prints one line and exits with EXIT_RUNTIME where something fails.
 */
#ifndef PTSTAT_SESSION_H
#define PTSTAT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

struct arguments;
struct session;

/* One fork of guest 0 and its child's life; times in nanoseconds, since just before the command was sent. */
struct fork_times {
    bool is_first;              /* the guest's first fork ever, which does more than later ones */
    uint64_t pause;             /* of the parent, as the VMM reports it */
    uint64_t first_instruction; /* the child entered the guest */
    uint64_t first_output;      /* its mark WORKLOAD_OUTPUT */
    uint64_t debt_paid;         /* its mark WORKLOAD_PAID */
};

/* What one reset of guest 0 took, as the VMM reports it. */
struct reset_times {
    uint64_t total; /* nanoseconds */
    uint64_t dropped_pages;
};

/*
 * Returns when guest 0 has made its memory resident. A guest that ptstat starts writes its dirty set every `period_us`,
 * and marks each round if `marks`; one at --socket writes as it pleases.
 */
struct session *session_open(const struct arguments *arguments, uint64_t period_us, bool marks);

/* A period in which a guest can write `dirty` bytes well. */
uint64_t session_period(uint64_t dirty);

/* Waits until guest 0 has written its dirty set again since the last fork or checkpoint and the VMM's pool of machines
 * is full. */
void session_settle(struct session *session);

/* Forks guest 0 once and returns when the child has ended. */
void session_fork(struct session *session, struct fork_times *times);

/* Stops guest 0, until session_resume or session_close: its forks then share the machine with nobody. */
void session_pause(struct session *session);
void session_resume(struct session *session);

/* Makes a checkpoint of guest 0; its pause in ns, as the VMM reports it. */
uint64_t session_checkpoint(struct session *session);

/* Resets guest 0, which goes on running or stays paused. */
void session_reset(struct session *session, struct reset_times *times);

/* Waits until guest 0 has marked the end of a round, and returns when it did: at `since` or later. */
uint64_t session_wait_round(struct session *session, uint64_t since);

uint64_t session_memory(const struct session *session); /* bytes of RAM of guest 0 */

void session_close(struct session *session);

#endif
