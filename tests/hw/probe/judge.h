/* Emulated processors as judges: what each is, and how to run a ROM on one. A run has a time limit, no port, no
 * window and no file on any disk, so that it leaves nothing however it ends. */
#ifndef TESTS_HW_PROBE_JUDGE_H
#define TESTS_HW_PROBE_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/hw/probe/format.h"

enum judge_emulator { JUDGE_BOCHS, JUDGE_QEMU };

/* Where an emulated processor differs from the manuals, or from the other; README.md says what is known of each. */
enum judge_quirk {
    QUIRK_EPT_BIT12 = 1,       /* Bochs: bit 12 of large EPT leaves is not reserved */
    QUIRK_WALK_WRITE_ONLY = 2, /* Bochs: a guest's walk that violates EPT with A and D on is told as a write alone */
    QUIRK_RESERVED_NO_P = 4,   /* QEMU: no P in the error code of reserved-bit faults */
    QUIRK_A_BEFORE_FAULT = 8,  /* QEMU: A is set in upper entries on walks that then fault */
};

#define QUIRKS 4u

struct judge {
    const char *name;
    enum judge_emulator emulator;
    const char *cpu;
    enum probe_format nested; /* format of its nested tables */
    unsigned nested_levels, guest_levels;
    unsigned quirks;
    bool has_devices;   /* the local APIC can be moved to any frame */
    uint64_t ram[2][2]; /* [start, end) */
};

#define JUDGE_MAXPHYADDR 40u

enum judge_name { SKYLAKE, HASWELL, BROADWELL, RYZEN, EPYC, EPYC5, JUDGES };

extern const struct judge judges[JUDGES];

/* Files of a run are in memory alone: an emulator opens them as /proc/self/fd/N. */
enum judge_file { FILE_OUT, FILE_COMPLAINT, FILE_ROM, FILE_VGA, FILE_SETTINGS, FILE_COMMANDS, FILES };

/* One emulator at work. */
struct judge_run {
    const struct judge *judge;
    pid_t pid;
    int pidfd, files[FILES];
};

/* What it said; zero-ended behind size. */
struct judge_output {
    uint8_t *bytes;
    size_t size;
};

/* Starts the emulator on these 2 MiB. What is wrong with the machine (no emulator, no disk space) ends the program with
 * a line that says so. */
void judge_start(struct judge_run *run, const struct judge *judge, const uint8_t *rom);

/* Waits for its end. False: it ran out of time or died, and `output` is the emulator's own complaint. The caller frees
 * output->bytes. */
bool judge_finish(struct judge_run *run, struct judge_output *output);

#endif
