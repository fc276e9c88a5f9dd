/*
 * The workload guest under bare KVM: what its copy-on-write faults cost with no VMM around it. Its memory is a memfd; a
 * round maps that privately, gives it to a fresh VM and continues the guest as if it had just been forked. It shares no
 * code with vmm/, so that a mistake there cannot hide in the baseline.
 */
#ifndef PTSTAT_BARE_KVM_H
#define PTSTAT_BARE_KVM_H

#include <stdint.h>

struct arguments;
struct bare;
struct workload;

/*
 * Runs the guest that the arguments name, a flat binary or the built-in one, until it has made its memory resident.
 * This and the others print one line and exit with EXIT_RUNTIME where something fails.
 */
struct bare *bare_start(const struct arguments *arguments, uint64_t period_us);

/* The same for any flat guest: until it writes `value` to `port`. */
struct bare_guest {
    int image;                    /* the file, which is closed */
    uint64_t memory;              /* bytes of RAM */
    const struct workload *words; /* its arguments */
    unsigned port;
    uint32_t value;
};
struct bare *bare_start_guest(const struct bare_guest *guest);

/* Continues the guest in a copy-on-write copy of its memory; the time from WORKLOAD_OUTPUT to WORKLOAD_PAID, in ns. */
uint64_t bare_round(struct bare *bare);

void bare_end(struct bare *bare);

#endif
