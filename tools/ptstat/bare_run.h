/*
 * The least that a run of the guest of target.h from its checkpoint takes, under bare KVM: the pages that it writes,
 * known beforehand, are copied back, the input is written, and the registers go in with KVM_RUN. No dirty log. Its
 * memory is a private mapping of a memory file, as a guest's is. Every function prints one line and exits with
 * EXIT_RUNTIME where something fails.
 */
#ifndef PTSTAT_BARE_RUN_H
#define PTSTAT_BARE_RUN_H

#include <stdint.h>

struct bare_run;
struct target_input;

struct bare_run *bare_run_start(unsigned pages);

/* The time in ns from the first page that is copied back to the guest's exit. The result is checked. */
uint64_t bare_run_round(struct bare_run *run, const struct target_input *input);

void bare_run_end(struct bare_run *run);

#endif
