/* Scenarios with several generations, and with guests that go while others run. */
#include "tests/hw/microvisor/expect.h"
#include "tests/hw/microvisor/program.h"
#include "tests/hw/microvisor/scenarios.h"

#define HUGE_PAGE ((HUGE - DATA) / PT_PAGE_SIZE)

static void write_some(unsigned who, uint64_t value)
{
    program_write(&vms[who], (struct loop){who, 8, 7, FIRST_WORD}, value);
    program_write(&vms[who], (struct loop){HUGE_PAGE + 3 * who, 8, 120, LAST_WORD}, value + 0x1000);
    programs_compare();
}

/* 0 -> 1 -> 3 -> 4, and 0 -> 2, with writes of everybody before, between and after; then they go, the middle first. */
void generations(void)
{
    static const unsigned forks[][2] = {{0, 1}, {0, 2}, {1, 3}, {3, 4}};
    static const unsigned gone[] = {1, 3, 0, 4, 2};
    uint64_t value = 0x100000;

    vm_build(&vms[0]);
    write_some(0, value);
    for (unsigned i = 0; i < sizeof(forks) / sizeof(forks[0]); i++) {
        vm_fork(&vms[forks[i][0]], &vms[forks[i][1]], i % 2 ? 5 * MIB : 0);
        programs_compare();
        write_some(forks[i][1], value += 0x10000);
        write_some(forks[i][0], value += 0x10000);
    }
    for (unsigned i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
        for (unsigned who = 0; who < VMS; who++)
            if (vms[who].alive)
                write_some(who, value += 0x10000);
        vm_destroy(&vms[gone[i]]);
        programs_compare();
    }
}

/* Each is forked from the one before, which has not written since: tables are shared by all. */
void a_chain_that_nobody_wrote_in(void)
{
    vm_build(&vms[0]);
    for (unsigned i = 1; i < VMS; i++)
        vm_fork(&vms[i - 1], &vms[i], 0);
    programs_compare();
    for (unsigned i = 0; i < VMS; i++)
        write_some(i * 5 % VMS, 0x100000 * (i + 1));
    for (unsigned i = 0; i < VMS; i++)
        vm_destroy(&vms[i]);
}

/* The one goes on with its loop, the other goes away while it is in the middle of it. */
static void one_goes(struct vm *stays, struct vm *goes)
{
    vm_build(&vms[0]);
    program_writes(&vms[0], (struct loop){0, FILLED_PAGES, 1, LAST_WORD}, 0x100000);
    for (unsigned i = 0; i < 10; i++)
        EXPECT(program_step(&vms[0]) == STOP_STEP);
    vm_fork(&vms[0], &vms[1], 0);
    for (unsigned i = 0; i < 20; i++)
        EXPECT(program_step(stays) == STOP_STEP);
    for (unsigned i = 0; i < 15; i++)
        EXPECT(program_step(goes) == STOP_STEP);
    vm_destroy(goes);
    programs_compare();
    program_finish(stays);
    programs_compare();
    vm_destroy(stays);
}

void a_child_goes_while_its_parent_runs(void)
{
    one_goes(&vms[0], &vms[1]);
}

void a_parent_goes_while_its_child_runs(void)
{
    one_goes(&vms[1], &vms[0]);
}
