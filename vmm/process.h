/* What a process that runs a VMM wants of the kernel and of libc, apart from what it does with them. */
#ifndef VMM_PROCESS_H
#define VMM_PROCESS_H

#include <cleave/failure.h>

/* At the very start: standard descriptors, signals that would kill, limits, malloc. */
void process_init(void);

/* Is there enough for an event loop? libuv aborts where it finds no descriptors for its first pipes. 0, or -1 with
 * *failure, which names the limit. */
int process_check_room(struct cleave_failure *failure);

/* Nothing listens for SIGINT, SIGTERM and SIGHUP any more: the exit status is settled, and none of them may change it.
 * For the thread that had them; others block all signals from their start. */
void process_block_ends(void);

#endif
