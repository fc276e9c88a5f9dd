/* A guest that ptstat runs itself, through libcleave: what a fuzzer does that links it. Every function prints one line
 * and exits with EXIT_RUNTIME where something fails. */
#ifndef PTSTAT_EMBEDDED_H
#define PTSTAT_EMBEDDED_H

#include <stdint.h>

struct embedded;
struct target_input;

/* The guest of target.h, ready, with a checkpoint there. */
struct embedded *embedded_start(unsigned pages);

/* Resets it, writes the input, and runs it to its end: the time of that in ns. The result is checked. */
uint64_t embedded_round(struct embedded *embedded, const struct target_input *input);

void embedded_end(struct embedded *embedded);

#endif
