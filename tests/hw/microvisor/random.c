/* A scenario of random forks, writes, splits, collapses, harvests and ends, the same in every run: whatever comes of
 * it, each guest sees its own memory. */
#include "tests/hw/microvisor/expect.h"
#include "tests/hw/microvisor/program.h"
#include "tests/hw/microvisor/scenarios.h"

#define OPERATIONS 120u
#define PER_CHECK  15u

static uint64_t state;

/* Below `limit`; xorshift64. */
static uint64_t draw(uint64_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % limit;
}

static struct vm *draw_vm(bool alive)
{
    unsigned first = (unsigned)draw(VMS);

    for (unsigned i = 0; i < VMS; i++)
        if (vms[(first + i) % VMS].alive == alive)
            return &vms[(first + i) % VMS];
    return NULL;
}

static void write_somewhere(struct vm *vm)
{
    uint64_t page = draw(2) ? draw(SMALL_PAGES) : (HUGE - DATA) / PT_PAGE_SIZE + draw((DATA_END - HUGE) / PT_PAGE_SIZE);
    uint64_t stride = 1 + draw(40), limit = page < SMALL_PAGES ? SMALL_PAGES : DATA_PAGES;
    uint64_t count = 1 + draw((limit - page - 1) / stride % 8 + 1);

    program_write(vm, (struct loop){page, count, stride, draw(2) ? FIRST_WORD : LAST_WORD}, draw(UINT32_MAX));
}

static void fork_one(struct vm *vm)
{
    struct vm *child = draw_vm(false);

    if (child)
        vm_fork(vm, child, draw(2) ? 0 : DATA + draw(DATA_PAGES) * PT_PAGE_SIZE);
    else
        vm_destroy(vm);
}

static void resize(struct vm *vm)
{
    uint64_t block = HUGE + draw((DATA_END - HUGE) / BLOCK) * BLOCK;
    enum pt_status status;
    struct work work;

    work_open(&work, vm, block, BLOCK);
    if (draw(2)) {
        work_jump(&work, block + draw(BLOCK / PT_PAGE_SIZE) * PT_PAGE_SIZE);
        EXPECT(world.format->split(&work.cursor, 1) == PT_OK);
    } else {
        status = world.format->collapse(&work.cursor, 2);
        EXPECT(status == PT_OK || status == PT_EUNEQUAL);
    }
    work_close(&work);
}

static void harvest(struct vm *vm)
{
    uint64_t start = draw(DATA_PAGES), length = (1 + draw(DATA_PAGES - start)) * PT_PAGE_SIZE;
    struct pt_range run;
    struct work work;

    work_open(&work, vm, page_gpa(start), length);
    while (work.cursor.at < work.cursor.end &&
           world.format->harvest(&work.cursor, work.cursor.end - work.cursor.at, PT_D, true, &run) == PT_OK)
        EXPECT(run.length > 0);
    work_close(&work);
}

static void operate(void)
{
    struct vm *vm = draw_vm(true);
    uint64_t kind = draw(10);

    if (!vm)
        vm_build(&vms[draw(VMS)]);
    else if (kind < 4)
        write_somewhere(vm);
    else if (kind < 6)
        fork_one(vm);
    else if (kind < 8)
        resize(vm);
    else if (kind < 9)
        harvest(vm);
    else if (draw(3) == 0)
        vm_destroy(vm);
}

void anything_in_any_order(void)
{
    struct vm *vm;

    state = 0x9e3779b97f4a7c15;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        operate();
        vms_check();
        if (i % PER_CHECK == 0)
            programs_compare();
    }
    programs_compare();
    while ((vm = draw_vm(true)))
        vm_destroy(vm);
}
