/*
 * The guest that mode `run` runs (guest/target.c): it says that it is ready by PORT_READY, then reads TARGET_BYTES of
 * input, writes to some pages, leaves the sum of the input at TARGET_RESULT, and exits with it.
 */
#ifndef PTSTAT_TARGET_H
#define PTSTAT_TARGET_H

#include "tools/ptstat/workload.h"

#include <stdint.h>

#define TARGET_MEMORY (UINT64_C(16) << 20) /* bytes of RAM */
#define TARGET_INPUT  UINT64_C(0x800000)   /* guest-physical, beyond all that it writes by itself */
#define TARGET_RESULT UINT64_C(0x801000)
#define TARGET_BYTES  1024
#define TARGET_PAGES  1000 /* at most; more would reach its input */

/* Two inputs that take turns, so that a result left over from the run before is seen: all bytes alike. */
struct target_input {
    unsigned char bytes[TARGET_BYTES];
    char base64[TARGET_BYTES * 4 / 3 + 8];
    uint32_t sum;
};

void target_input(struct target_input *input, unsigned round);

/* Ends ptstat where a run did not give its result. `how` says through what it was run. */
void target_check(const struct target_input *input, uint32_t sum, const char *how);

/* Its arguments, for a guest that writes to so many pages. */
void target_arguments(struct workload *words, unsigned pages);

#endif
