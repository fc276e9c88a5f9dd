/* What guests do: loops over their memory, which can be stopped, forked and continued at every step. Each value that
 * the processor reads or writes for a guest is compared with, or goes to, its model. */
#ifndef TESTS_HW_MICROVISOR_PROGRAM_H
#define TESTS_HW_MICROVISOR_PROGRAM_H

#include "tests/hw/microvisor/vm.h"

/* A loop: `count` pages from `page`, `stride` pages apart, of each the one word. */
struct loop {
    uint64_t page, count, stride;
    enum word word;
};

/* The code of all programs, to a page of its own. */
void program_install(void *page);

/* Sets the guest's processor to the start of a loop. A loop that writes stores `value`, `value` + 1 and so on. */
void program_reads(struct vm *vm, struct loop loop);
void program_writes(struct vm *vm, struct loop loop, uint64_t value);

enum stop {
    STOP_STEP,   /* one word is read or written */
    STOP_END,    /* the loop is over */
    STOP_DENIED, /* the guest did what it may not; vm->guest is as before the instruction */
};

/* Runs the guest on to where it stops. */
enum stop program_step(struct vm *vm);

/* Runs it to the end of its loop. */
void program_finish(struct vm *vm);

/* Whole loops. */
void program_read(struct vm *vm, struct loop loop);
void program_write(struct vm *vm, struct loop loop, uint64_t value);

/* Every guest reads all of its small pages and many pages of its huge ones, and all tables are checked. */
void programs_compare(void);

#endif
