/* A process that is killed, or whose kernel fails it, at one chosen system call after the other: how tests see to it
 * that no instant is one at which something is half done. x86-64, by ptrace(2). */
#ifndef TESTS_SUPPORT_STEPS_H
#define TESTS_SUPPORT_STEPS_H

#include <stdbool.h>

/* Runs `work` in a child process, which ends with what it returns. */
typedef int steps_fn(void *context);

/* Kills the child when it enters or leaves, for the n-th time, from 1 on, a system call that handles files or draws
 * random bytes. Others are not counted: an allocator's vary from run to run. False: it ended before, its exit status in
 * *status. */
bool steps_kill(steps_fn *work, void *context, unsigned n, int *status);

/* Makes the n-th of these calls do nothing and fail with this errno. False: there were fewer of them. The exit status
 * is in *status, the call in *number. */
bool steps_fail(steps_fn *work, void *context, unsigned n, int error, int *status, long *number);

/* Notes the numbers of these calls in their order, up to `room` of them. How many there were. */
unsigned steps_trace(steps_fn *work, void *context, long *numbers, unsigned room, int *status);

#endif
