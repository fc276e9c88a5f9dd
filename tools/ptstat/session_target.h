/* A VMM whose guest is run through its control socket: the guest of target.h. Every function prints one line and exits
 * with EXIT_RUNTIME where something fails; session_close() ends it. */
#ifndef PTSTAT_SESSION_TARGET_H
#define PTSTAT_SESSION_TARGET_H

#include <stdint.h>

struct session;
struct target_input;

/* The guest is ready, and has a checkpoint there. */
struct session *session_target_start(unsigned pages);

/* Resets it, writes the input, and runs it to its end, by three commands: the time of that in ns. The result is
 * checked. */
uint64_t session_target_round(struct session *session, const struct target_input *input);

#endif
