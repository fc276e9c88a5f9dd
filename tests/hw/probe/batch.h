/* A ROM full of images, run on one judge, and each probe's answer compared with the software walk's. */
#ifndef TESTS_HW_PROBE_BATCH_H
#define TESTS_HW_PROBE_BATCH_H

#include "tests/hw/probe/image.h"
#include "tests/hw/probe/oracle.h"

/* What differs. */
#define DIFFERS_OUTCOME  0x01u /* also the exception's vector */
#define DIFFERS_CODE     0x02u /* qualification, EXITINFO1 or error code */
#define DIFFERS_ADDRESS  0x04u /* that the exit tells */
#define DIFFERS_VALUE    0x08u /* the frame that was hit */
#define DIFFERS_ENTRIES  0x10u /* on the path, afterwards */
#define DIFFERS_BEHAVIOR (DIFFERS_OUTCOME | DIFFERS_CODE | DIFFERS_ADDRESS | DIFFERS_VALUE)

#define DIFFERENCES_KEPT 1024u

struct difference {
    const struct image *image; /* until its batch is closed */
    struct probe probe;
    unsigned what;
    unsigned level; /* of the entry that differs, by more than A and D if any does; 0: none */
    char text[1024];
};

/* What came of some batches. */
struct tally {
    uint64_t images, probes, outcomes[8]; /* by enum probe_outcome */
    uint64_t quirks[QUIRKS];              /* probes whose difference is a known one, by bit of enum judge_quirk */
    uint64_t differences;
    uint64_t elsewhere; /* tables with changes off all probes' paths, in images without differences */
    uint64_t refused;   /* entries that the processor took for wrong though the library made them */
    struct difference kept[DIFFERENCES_KEPT];
};

struct batch {
    const struct judge *judge;
    struct image **images;
    size_t count, used;
    uint8_t *rom;
    struct judge_run run;
};

/* Reads the ROM's core, which the build has made. */
void batch_open(struct batch *batch, const struct judge *judge);

/* Takes the image over, but for false: the ROM is full. */
bool batch_add(struct batch *batch, struct image *image);

/* Flips bits of an entry in the ROM alone: not in the copy that is walked. */
void batch_mutate(struct batch *batch, size_t image, const uint64_t *entry, uint64_t bits);

void batch_start(struct batch *batch);

/* Waits, compares, adds to the tally, and gives each image its results. An emulator that failed ends the program. */
void batch_finish(struct batch *batch, struct tally *tally);

/* Closes the images too. */
void batch_close(struct batch *batch);

/* Prints what came of a judge's probes on one line, and the first differences if there are any. */
void tally_print(const struct tally *tally, const char *title);

#endif
