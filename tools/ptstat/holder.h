/*
 * The process behind the baselines that are fork(2) and a copy: it holds the memory and nothing else, so that nothing
 * else is forked. It reads one-byte commands from a socket and answers each with a uint64_t.
 */
#ifndef PTSTAT_HOLDER_H
#define PTSTAT_HOLDER_H

#include <stdbool.h>
#include <stdint.h>

/* Commands, and their answers. */
#define HOLDER_FORK 'f' /* writes the dirty set, then forks a child that ends at once: the time of the call in ns */
#define HOLDER_COPY 'c' /* copies all the memory into fresh pages of 4 KiB: the time in ns */
#define HOLDER_ADD  'a' /* forks a child that writes the dirty set and stays: 0 */
#define HOLDER_RUN                                                                                                     \
    'r' /* forks a child that sums an input, writes the dirty set and ends, and waits for it: the time in ns */
#define HOLDER_WEIGH 'w' /* the memory that the newest of those has alone, its page tables included: bytes */

#define HOLDER_FAILED UINT64_MAX /* the answer where a command did not work, or the memory could not be had */

struct holder_memory {
    uint64_t resident; /* bytes of private anonymous memory in 4 KiB pages, every page written */
    uint64_t dirty;    /* bytes written again */
    bool scatter;      /* in pages that lie apart */
};

/* Serves the socket until its other end is closed, beginning with an answer when the memory is resident. */
__attribute__((noreturn)) void hold(int socket, const struct holder_memory *memory);

#endif
