/* Scenarios in which the processor's A and D bits are read and cleared, again and again. */
#include "tests/hw/microvisor/expect.h"
#include "tests/hw/microvisor/marks.h"
#include "tests/hw/microvisor/program.h"
#include "tests/hw/microvisor/scenarios.h"

#define HUGE_PAGE  ((HUGE - DATA) / PT_PAGE_SIZE)
#define BLOCK_SIZE (BLOCK / PT_PAGE_SIZE)
#define ROUNDS     6u

static struct marks marks;

/* What there is from before is no matter. */
static void forget(struct vm *vm, pt_prop bits)
{
    struct pt_range run;
    struct work work;

    work_open(&work, vm, DATA, DATA_END - DATA);
    while (work.cursor.at < DATA_END &&
           world.format->harvest(&work.cursor, DATA_END - work.cursor.at, bits, true, &run) == PT_OK)
        ;
    work_close(&work);
}

static void write_and_mark(struct vm *vm, struct loop loop, uint64_t value)
{
    program_write(vm, loop, value);
    marks_add(&marks, loop);
}

/* Some pages are written in every round, some now and then, so that what was clean is written again. */
static void round_of(struct vm *vm, unsigned round)
{
    uint64_t value = 0x100000 * (round + 1);

    marks_clear(&marks);
    write_and_mark(vm, (struct loop){3, 5, 1, FIRST_WORD}, value);
    write_and_mark(vm, (struct loop){round, 8, 1 + round, LAST_WORD}, value + 0x1000);
    program_read(vm, (struct loop){20, 30, 1, FIRST_WORD});
    if (round % 2)
        write_and_mark(vm, (struct loop){HUGE_PAGE + round, 1, 1, FIRST_WORD}, value + 0x2000);
    if (round % 3 == 2)
        write_and_mark(vm, (struct loop){HUGE_PAGE + BLOCK_SIZE, 3, 7, LAST_WORD}, value + 0x3000);
    marks_expect(&marks, vm, PT_D);
    vms_check();
}

void written_pages_are_found_in_rounds(void)
{
    vm_build(&vms[0]);
    for (unsigned round = 0; round < ROUNDS; round++)
        round_of(&vms[0], round);
    marks_clear(&marks);
    marks_expect(&marks, &vms[0], PT_D);
    programs_compare();
    marks_expect(&marks, &vms[0], PT_D);
    vm_destroy(&vms[0]);
}

void accessed_pages_are_found_in_rounds(void)
{
    vm_build(&vms[0]);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct loop some = {round * 3, 6, 1 + round, LAST_WORD}, huge = {HUGE_PAGE + round, 1, 1, FIRST_WORD};

        marks_clear(&marks);
        program_read(&vms[0], some);
        marks_add(&marks, some);
        if (round % 2) {
            program_read(&vms[0], huge);
            marks_add(&marks, huge);
        }
        marks_expect(&marks, &vms[0], PT_A);
        vms_check();
    }
    vm_destroy(&vms[0]);
}

/* Parent and child each find what they wrote themselves, though they began with the same tables. */
void forks_find_what_they_wrote(void)
{
    vm_build(&vms[0]);
    program_write(&vms[0], (struct loop){0, 16, 2, FIRST_WORD}, 0x100000);
    vm_fork(&vms[0], &vms[1], 0);
    forget(&vms[0], PT_A | PT_D);
    forget(&vms[1], PT_A | PT_D);
    for (unsigned round = 0; round < ROUNDS; round++) {
        round_of(&vms[round % 2], round);
        marks_clear(&marks);
        marks_expect(&marks, &vms[1 - round % 2], PT_D);
    }
    programs_compare();
    vm_destroy(&vms[0]);
    vm_destroy(&vms[1]);
}
