/* The command line of vmm: what vmm(1) documents, parsed and checked. */
#ifndef VMM_OPTIONS_H
#define VMM_OPTIONS_H

#include <cleave/log.h>

#include <stdbool.h>
#include <stdint.h>

enum console_kind { CONSOLE_STDIO, CONSOLE_NONE, CONSOLE_FILE };

struct options {
    const char *guest;   /* path of the guest's file; NULL where one is restored */
    char *args;          /* the guest's arguments joined by single spaces, "" without any; NULL where one is restored */
    const char *restore; /* path of the snapshot to continue from, or NULL. What machine it is the snapshot says:
                            memory, cpus and cpl are then the defaults and mean nothing */
    bool restore_eager;
    uint64_t memory; /* bytes, a multiple of 4 KiB */
    unsigned cpus;
    const char *control; /* socket path, or NULL */
    unsigned cpl;        /* 0 or 3: where a guest starts */
    bool paused;
    bool linger;
    enum console_kind console;
    const char *console_path; /* for CONSOLE_FILE */
    uint64_t limit_guests;    /* live guests at once; 0 = no limit */
    uint64_t limit_overlay;   /* bytes of overlay a guest may have; 0 = no limit */
    enum cleave_log_level log;
    const char *misplaced; /* a word after the guest's file that looks like an option of vmm, or NULL */
};

/* Parses argv. On any bad input it prints one clear line on stderr and exits with 125; --help and --version exit with
 * 0. */
void options_parse(struct options *options, int argc, char **argv);

#endif
