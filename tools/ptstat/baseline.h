/*
 * What the host's own ways of copying memory cost: fork(2) of a process with the same memory resident, and a full copy.
 * A process of its own holds the memory, so that nothing else of ptstat is in it.
 */
#ifndef PTSTAT_BASELINE_H
#define PTSTAT_BASELINE_H

#include <stdint.h>

struct arguments;
struct baseline;
struct holder_memory;

/* Starts the holder: arguments' resident set in private anonymous memory in 4 KiB pages, every page written. Exits on
 * failure.
 */
struct baseline *baseline_start(const struct arguments *arguments);

/* The same with this memory. */
struct baseline *baseline_start_with(const struct holder_memory *memory);

/* Writes the dirty set again, then forks; returns the time of the fork(2) call in ns. */
uint64_t baseline_fork(struct baseline *baseline);

/* Forks a child that sums 1 KiB of input, writes the dirty set and ends; the time until it has been waited for, in ns.
 */
uint64_t baseline_run(struct baseline *baseline);

/* Copies all the memory into fresh pages of 4 KiB; returns the time in ns. */
uint64_t baseline_copy(struct baseline *baseline);

/* Forks a child that writes the dirty set and stays until the end; and the memory, in bytes, that the newest such child
 * has alone, its page tables included. */
void baseline_add(struct baseline *baseline);
uint64_t baseline_weigh(struct baseline *baseline);

void baseline_end(struct baseline *baseline);

#endif
