/* The least that it takes to run a guest that only writes to its console, under bare KVM: one VM with one vCPU, whose
 * bytes go to a descriptor. For a process of its own. */
#ifndef PTSTAT_BARE_HELLO_H
#define PTSTAT_BARE_HELLO_H

#include <stdint.h>

/* Runs the flat guest `image` without arguments to its end: its exit code. Its first byte is passed on at once, and
 * what follows in one piece at the end, 255 bytes at most. Prints one line and exits with EXIT_RUNTIME where something
 * fails. */
int bare_hello(int image, uint64_t memory, int console);

#endif
