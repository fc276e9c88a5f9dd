/* Where the figures were taken: what every report must name so that two of them can be compared. */
#ifndef PTSTAT_ENVIRONMENT_H
#define PTSTAT_ENVIRONMENT_H

#include <stdbool.h>
#include <stdint.h>

struct environment {
    char kernel[160]; /* "Linux 6.18.44" */
    char cpu[128];    /* the model's name, as the kernel gives it */
    char kvm[64];     /* the KVM module, "kvm_intel" for example; "unknown" where /sys/module does not show it */
    uint64_t page_size;
    uint64_t memory;   /* bytes of guest RAM */
    uint64_t resident; /* bytes */
    uint64_t dirty;    /* bytes written again between rounds, */
    bool scattered;    /* in pages that lie apart */
};

/* Fills in what the host tells: kernel, cpu, kvm and page_size. */
void environment_read(struct environment *environment);

#endif
