/*
 * Processes that run the guest hello from their start to their end, watched from outside: vmm(1), and a process that
 * does the least under bare KVM. Every function prints one line and exits with EXIT_RUNTIME where something fails.
 */
#ifndef PTSTAT_STARTED_H
#define PTSTAT_STARTED_H

#include <stdint.h>

#define STARTED_MEMORY (UINT64_C(128) << 20) /* bytes of the guest's RAM */

/* In ns, from just before the process was asked for. */
struct start_times {
    uint64_t first_byte; /* that the guest writes */
    uint64_t end;        /* the process has ended, and has been waited for */
};

/* vmm with these words, the first of which is its path, NULL-ended. */
void started_vmm(const char *const words[], struct start_times *times);

/* A copy of this process, without an exec: one VM with one vCPU, no more than the guest needs. `image` is the guest. */
void started_bare(int image, struct start_times *times);

#endif
