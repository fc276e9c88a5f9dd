/*
 * A VMM under measurement, seen through its control socket: started by ptstat with the workload guest, or one that runs
 * already. Every function prints one line and exits with EXIT_RUNTIME where something fails.
 */
#ifndef PTSTAT_SESSION_H
#define PTSTAT_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct arguments;
struct session;

/* What the guest of a VMM that ptstat starts has to do; one at --socket does as it pleases. */
struct session_needs {
    uint64_t period_us; /* it writes its dirty set every so often */
    bool marks;         /* and marks each round */
    bool stay;          /* a new guest stays when it has paid its debt, where it would end */
};

/* One fork of guest 0, or one restore, and the new guest's life; times in nanoseconds, since just before the command
 * was sent. */
struct fork_times {
    bool is_first;              /* guest 0's first fork ever, which does more than later ones */
    uint64_t pause;             /* of guest 0 for a fork, as the VMM reports it */
    uint64_t first_instruction; /* the new guest was entered */
    uint64_t first_output;      /* its mark WORKLOAD_OUTPUT */
    uint64_t debt_paid;         /* its mark WORKLOAD_PAID */
};

/* What one reset of guest 0 took, as the VMM reports it. */
struct reset_times {
    uint64_t total; /* nanoseconds */
    uint64_t dropped_pages;
};

/* What one snapshot to a file took, as the VMM reports it; nanoseconds. */
struct snapshot_times {
    uint64_t pause;
    uint64_t total; /* from the command until the file is safe */
};

/* Returns when guest 0 has made its memory resident. */
struct session *session_open(const struct arguments *arguments, const struct session_needs *needs);

/* A period in which a guest can write `dirty` bytes well. */
uint64_t session_period(uint64_t dirty);

/* Waits until guest 0 has written its dirty set again since the last fork, checkpoint or snapshot, and the VMM's pool
 * of machines is full. */
void session_settle(struct session *session);

/* Forks guest 0 once; returns the child's id when it has ended or, if it is to stay, has paid its debt. */
uint64_t session_fork(struct session *session, struct fork_times *times);

/* Stops a guest: guest 0 until session_resume or session_close, so that its forks share the machine with nobody. */
void session_pause(struct session *session, uint64_t guest);
void session_resume(struct session *session); /* guest 0 */

/* Ends a guest other than guest 0. */
void session_kill(struct session *session, uint64_t guest);

/* Makes a checkpoint of guest 0; its pause in ns, as the VMM reports it. */
uint64_t session_checkpoint(struct session *session);

/* Resets guest 0, which goes on running or stays paused. */
void session_reset(struct session *session, struct reset_times *times);

/* Waits until guest 0 has marked the end of a round, and returns when it did: at `since` or later. */
uint64_t session_wait_round(struct session *session, uint64_t since);

/* Saves guest 0, which runs on, to a file: `path`, absolute. */
void session_snapshot(struct session *session, const char *path, struct snapshot_times *times);

/* Makes a guest of the file, reading all of it first if `eager`; returns when it has ended. */
void session_restore(struct session *session, const char *path, bool eager, struct fork_times *times);

pid_t session_pid(const struct session *session);       /* of the VMM */
uint64_t session_memory(const struct session *session); /* bytes of RAM of guest 0 */

void session_close(struct session *session);

#endif
