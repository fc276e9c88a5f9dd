/*
 * What the host's own ways of copying memory cost: fork(2) of a process with the same memory resident, and a full copy.
 * A process of its own holds the memory, so that nothing else of ptstat is in it.
 */
#ifndef PTSTAT_BASELINE_H
#define PTSTAT_BASELINE_H

#include <stdint.h>

struct baseline;

/* Starts the holder: `resident` bytes of private anonymous memory in 4 KiB pages, every page written. Exits on failure.
 */
struct baseline *baseline_start(uint64_t resident, uint64_t dirty);

/* Writes `dirty` bytes again, then forks; returns the time of the fork(2) call in ns. */
uint64_t baseline_fork(struct baseline *baseline);

/* Copies all the memory into fresh pages of 4 KiB; returns the time in ns. */
uint64_t baseline_copy(struct baseline *baseline);

void baseline_end(struct baseline *baseline);

#endif
