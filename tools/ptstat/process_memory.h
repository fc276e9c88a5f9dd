/* How much memory a process takes, as /proc tells those who may look. Used by the mode `density`. */
#ifndef PTSTAT_PROCESS_MEMORY_H
#define PTSTAT_PROCESS_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

/*
 * These return 0 with *bytes, or a negative errno value. Page tables (VmPTE) are included by the first two.
 *
 * process_memory_own: what no other process maps.
 * process_memory_whole: anonymous memory, and all that is in the memory files the process holds open, mapped or not.
 * kernel_memory: what the kernel itself has taken for all processes and virtual machines together, where this shows:
 * slabs that are not reclaimable, vmalloc, KVM's page tables, per-CPU memory.
 */
int process_memory_own(pid_t pid, uint64_t *bytes);
int process_memory_whole(pid_t pid, uint64_t *bytes);
int kernel_memory(uint64_t *bytes);

#endif
