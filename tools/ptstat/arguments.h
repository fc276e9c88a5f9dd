/* The command line of ptstat: what ptstat(1) documents, parsed and checked. */
#ifndef PTSTAT_ARGUMENTS_H
#define PTSTAT_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

struct arguments {
    const struct mode *mode;
    const char *socket; /* a running VMM's control socket, or NULL to start VMMs */
    const char *guest;  /* the guest file for VMMs that ptstat starts, or NULL for the built-in workload */
    uint64_t memory;    /* bytes of RAM of the VMMs ptstat starts */
    uint64_t resident;  /* bytes the workload keeps resident */
    uint64_t dirty;     /* bytes it writes again between rounds */
    bool scatter;       /* those bytes are spread evenly over the resident ones */
    unsigned rounds;
    const char *snapshot_dir; /* where modes that save make a folder for it, or NULL */
    const char *plot;         /* the SVG file to draw, or NULL */
    bool json;
};

/* On bad input prints one line on stderr and exits with EXIT_USAGE; --help and --version exit with 0. */
void arguments_parse(struct arguments *arguments, int argc, char **argv);

#endif
