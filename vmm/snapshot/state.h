/* A machine's state but its memory: checks of it, which reader and writer share, and the records it is stored as. */
#ifndef VMM_SNAPSHOT_STATE_H
#define VMM_SNAPSHOT_STATE_H

#include "vmm/snapshot/report.h"

/* What records are about: a vCPU by its number, or the devices. */
#define STATE_DEVICES SNAPSHOT_CPUS_MAX

int state_check_machine(const struct report *report, const struct snapshot_machine *machine);
int state_check_records(const struct report *report, unsigned of, const struct snapshot_records *records);
int state_check(const struct report *report, const struct snapshot_state *state);

/* The records as they lie in a file. NULL: out of memory. */
void *state_encode(const struct snapshot_records *records, uint64_t *bytes);

/* Checked; what the records point to lies in `data`. */
int state_decode(const struct report *report, unsigned of, const uint8_t *data, uint64_t bytes,
                 struct snapshot_records *records);

#endif
