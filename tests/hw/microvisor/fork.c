/* Scenarios of one guest, and of a parent and its child. */
#include "tests/hw/microvisor/expect.h"
#include "tests/hw/microvisor/program.h"
#include "tests/hw/microvisor/scenarios.h"

#define HUGE_PAGE ((HUGE - DATA) / PT_PAGE_SIZE) /* the first page of a huge one */

static const struct loop every_small = {0, FILLED_PAGES, 1, FIRST_WORD};
static const struct loop some_huge = {HUGE_PAGE + 5, 20, 50, LAST_WORD};

static void write_all(struct vm *vm, uint64_t value)
{
    program_write(vm, every_small, value);
    program_write(vm, some_huge, value + 0x1000);
    programs_compare();
}

void a_guest_runs_on_what_was_built(void)
{
    struct vm *vm = &vms[0];
    uint64_t frames;

    vm_build(vm);
    programs_compare();
    write_all(vm, 0x100000);
    frames = world.frames_in_use;
    program_read(vm, (struct loop){FILLED_PAGES, 8, 2, LAST_WORD});
    program_write(vm, (struct loop){FILLED_PAGES, 8, 3, FIRST_WORD}, 0x200000);
    EXPECT(world.frames_in_use == frames + 13); /* both touched pages 0, 6 and 12 */
    programs_compare();
    program_writes(vm, (struct loop){SMALL_PAGES, 1, 1, FIRST_WORD}, 0);
    EXPECT(program_step(vm) == STOP_DENIED);
    vm_destroy(vm);
}

void parent_writes_first(void)
{
    vm_build(&vms[0]);
    write_all(&vms[0], 0x100000);
    vm_fork(&vms[0], &vms[1], 0);
    EXPECT(vm_shared_tables(&vms[0]) > 0 && vm_shared_tables(&vms[1]) > 0);
    write_all(&vms[0], 0x200000);
    write_all(&vms[1], 0x300000);
    vm_destroy(&vms[1]);
    programs_compare();
    vm_destroy(&vms[0]);
}

void child_writes_first(void)
{
    vm_build(&vms[0]);
    write_all(&vms[0], 0x100000);
    vm_fork(&vms[0], &vms[1], 6 * MIB);
    write_all(&vms[1], 0x200000);
    write_all(&vms[0], 0x300000);
    vm_destroy(&vms[0]);
    programs_compare();
    vm_destroy(&vms[1]);
}

/* Page by page in turns, and forked in the middle of the loop: the child goes on where its parent stood. */
void both_write(void)
{
    vm_build(&vms[0]);
    program_writes(&vms[0], every_small, 0x100000);
    for (unsigned i = 0; i < FILLED_PAGES / 2; i++)
        EXPECT(program_step(&vms[0]) == STOP_STEP);
    vm_fork(&vms[0], &vms[1], 3 * MIB + 5 * PT_PAGE_SIZE);
    vms[1].guest.registers.rax += 0x1000;
    for (unsigned i = FILLED_PAGES / 2; i < FILLED_PAGES; i++)
        for (unsigned who = 0; who < 2; who++)
            EXPECT(program_step(&vms[who]) == STOP_STEP);
    for (unsigned who = 0; who < 2; who++)
        EXPECT(program_step(&vms[who]) == STOP_END);
    programs_compare();
    program_write(&vms[0], some_huge, 0x300000);
    program_write(&vms[1], some_huge, 0x400000);
    programs_compare();
    vm_destroy(&vms[0]);
    vm_destroy(&vms[1]);
}

/* Pages of the guest's data that it may write without a fault. */
static uint64_t writable_pages(struct vm *vm)
{
    struct pt_item item;
    uint64_t pages = 0;

    for (uint64_t at = DATA; at < DATA_END; at = item.start + item.length) {
        EXPECT(world.format->lookup(&vm->pt, at, &item) == PT_OK);
        if (item.kind == PT_LEAF && (item.prop & PT_W))
            pages += item.length / PT_PAGE_SIZE;
    }
    return pages;
}

/* When the others are gone nothing is copied any more, and huge pages are whole again. */
static void last_owner(struct vm *vm, struct vm *other, bool both_wrote)
{
    uint64_t copied;

    vm_build(&vms[0]);
    vm_fork(&vms[0], &vms[1], 0);
    if (both_wrote) {
        program_write(other, (struct loop){7, 1, 1, FIRST_WORD}, 0x100000);
        program_write(vm, (struct loop){9, 1, 1, FIRST_WORD}, 0x200000);
        programs_compare();
    }
    vm_destroy(other);
    copied = world.frames_copied;
    if (!both_wrote) {
        EXPECT(writable_pages(vm) == 0);
        program_write(vm, (struct loop){7, 1, 1, FIRST_WORD}, 0x100000);
        EXPECT(writable_pages(vm) == 1); /* taking tables back gives no right that nobody asked for */
    }
    write_all(vm, 0x300000);
    EXPECT(world.frames_copied == copied);
    EXPECT(vm_shared_tables(vm) == 0);
    vm_destroy(vm);
}

void last_owner_takes_back(void)
{
    last_owner(&vms[0], &vms[1], false);
    last_owner(&vms[1], &vms[0], false);
    last_owner(&vms[0], &vms[1], true);
    last_owner(&vms[1], &vms[0], true);
}
