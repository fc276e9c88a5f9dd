/*
 * The probe: a record at a fixed GPA in which a guest keeps what a test wants to know, for `read-memory`.
 * Little-endian. A test on the host may include this header: it needs nothing else.
 */
#ifndef GUEST_LIB_PROBE_H
#define GUEST_LIB_PROBE_H

#include <stddef.h>
#include <stdint.h>

#define PROBE_GPA     0x100000 /* the first page of a guest's own RAM, below the stacks */
#define PROBE_MAGIC   "PROBE001"
#define PROBE_CPUS    8
#define PROBE_PAGE    4096
#define PROBE_NO_PAGE UINT64_MAX

struct probe_cpu {
    uint64_t counter; /* only ever grows */
    uint64_t unused[7];
};

struct probe {
    char magic[8];     /*   0: PROBE_MAGIC, without a final zero; written last, when the rest is valid */
    char name[8];      /*   8: the guest's name, zero-padded */
    uint64_t nonce;    /*  16: drawn once at the start; children keep their parent's */
    uint64_t counter;  /*  24: of the guest's work, only ever grows: rounds, iterations, passes */
    uint64_t epoch;    /*  32: pattern: the epoch that pages [progress, pages) hold; the pages before hold epoch + 1 */
    uint64_t progress; /*  40: pattern: pages of this pass that are complete */
    uint64_t first;    /*  48: GPA of the first page the guest works on */
    uint64_t pages;    /*  56: how many 4 KiB pages that are */
    uint64_t guest_id; /*  64: boot_info's, as the guest last saw it */
    uint64_t generation; /*  72: the same */
    uint64_t hash;       /*  80: pattern: of its pages, as last computed; 0 before */
    uint64_t seed;       /*  88: pattern: what the pages' contents are made from */
    uint64_t shared;     /*  96: smp: counted by all vCPUs with LOCK */
    uint64_t unused[3];
    struct probe_cpu cpu[PROBE_CPUS]; /* 128: smp: one counter a vCPU, a cache line each */
};

_Static_assert(offsetof(struct probe, cpu) == 128, "layout that tests rely on");
_Static_assert(sizeof(struct probe) <= PROBE_PAGE, "the probe has one page");

#endif
