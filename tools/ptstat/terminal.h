/* What ptstat says on stderr, the one line of a failure and progress where a person watches; signals; and the clock. */
#ifndef PTSTAT_TERMINAL_H
#define PTSTAT_TERMINAL_H

#include <stdint.h>

#define EXIT_RUNTIME 1 /* measuring failed */
#define EXIT_USAGE   2 /* the command line makes no sense */

/* Prints "ptstat: " and the message as one line on stderr, and exits with `status`. */
__attribute__((noreturn, format(printf, 2, 3))) void die(int status, const char *format, ...);

/*
 * After catch_signals, SIGINT, SIGTERM and SIGHUP end the program at its next exit_if_interrupted or die, with
 * everything cleaned up and 128 + the signal as its status.
 */
void catch_signals(void);
void exit_if_interrupted(void);

/* Rewrites the one progress line; nothing where stderr is no terminal. progress_clear takes the line away. */
__attribute__((format(printf, 1, 2))) void progress(const char *format, ...);
void progress_clear(void);

/* What further progress lines begin with. */
__attribute__((format(printf, 1, 2))) void progress_prefix(const char *format, ...);

/* CLOCK_MONOTONIC, in nanoseconds: the clock of the control protocol's timestamps. */
uint64_t now_ns(void);

void sleep_us(uint64_t us);

#endif
