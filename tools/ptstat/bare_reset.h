/*
 * What the kernel itself needs for a reset of the workload guest under bare KVM: the least that returns a guest to an
 * instant. The guest runs in a private mapping of a memory file with KVM's dirty log on. After it has written its dirty
 * set, the log is taken, MADV_DONTNEED drops what it names, and the vCPU's state is set: all of it, in as few calls as
 * KVM allows.
 */
#ifndef PTSTAT_BARE_RESET_H
#define PTSTAT_BARE_RESET_H

#include <stdint.h>

struct bare;
struct bare_reset;

/* These print one line and exit with EXIT_RUNTIME where something fails. */
struct bare_reset *bare_reset_start(struct bare *bare);

/* Lets the guest write its dirty set, then takes it back; the time of the latter in ns. */
uint64_t bare_reset_round(struct bare_reset *reset);

void bare_reset_end(struct bare_reset *reset);

#endif
