/* Scenarios in which huge pages are split and made whole under a guest that is in the middle of them. */
#include "tests/hw/microvisor/expect.h"
#include "tests/hw/microvisor/marks.h"
#include "tests/hw/microvisor/program.h"
#include "tests/hw/microvisor/scenarios.h"

#define HUGE_PAGE  ((HUGE - DATA) / PT_PAGE_SIZE)
#define BLOCK_SIZE (BLOCK / PT_PAGE_SIZE)
#define STRIDE     8u

/* One word every 32 KiB of the first huge page. */
static const struct loop all = {HUGE_PAGE, BLOCK_SIZE / STRIDE, STRIDE, FIRST_WORD};

static void split(struct vm *vm, uint64_t gpa)
{
    struct work work;

    work_open(&work, vm, HUGE, BLOCK);
    work_jump(&work, gpa);
    EXPECT(world.format->split(&work.cursor, 1) == PT_OK && work.cursor.at == gpa);
    work_close(&work);
}

static enum pt_status collapse(struct vm *vm)
{
    enum pt_status status;
    struct work work;

    work_open(&work, vm, HUGE, BLOCK);
    status = world.format->collapse(&work.cursor, 2);
    work_close(&work);
    return status;
}

static void protect(struct vm *vm, uint64_t gpa, struct pt_change change)
{
    struct work work;

    work_open(&work, vm, gpa, PT_PAGE_SIZE);
    EXPECT(world.format->protect_range(&work.cursor, PT_PAGE_SIZE, change) == PT_OK);
    work_close(&work);
}

static struct pt_item leaf_at(struct vm *vm, uint64_t gpa)
{
    struct pt_item leaf;

    EXPECT(world.format->lookup(&vm->pt, gpa, &leaf) == PT_OK && leaf.kind == PT_LEAF);
    return leaf;
}

static void steps(struct vm *vm, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        EXPECT(program_step(vm) == STOP_STEP);
}

/* How many pieces of the first huge page have D. */
static unsigned dirty_pieces(struct vm *vm)
{
    unsigned dirty = 0;

    for (uint64_t at = 0; at < BLOCK; at += PT_PAGE_SIZE) {
        struct pt_item leaf = leaf_at(vm, HUGE + at);

        EXPECT(leaf.level == 1);
        dirty += (leaf.prop & PT_D) != 0;
    }
    return dirty;
}

/* Split in the middle of a loop that writes: all pieces are dirty, as the whole was. One page is protected: the loop
 * stops there. When it may go on and has ended, the page is made whole again. */
void split_protect_and_collapse(void)
{
    const uint64_t guarded = HUGE + 40 * STRIDE * PT_PAGE_SIZE;
    const struct pt_change guard = {.clear = PT_W | PROP_MAY_WRITE}, unguard = {.set = PT_W | PROP_MAY_WRITE};
    struct vm *vm = &vms[0];
    uint64_t hpa;

    vm_build(vm);
    hpa = leaf_at(vm, HUGE).hpa;
    program_writes(vm, all, 0x100000);
    steps(vm, 10);
    split(vm, HUGE + 11 * PT_PAGE_SIZE);
    EXPECT(dirty_pieces(vm) == BLOCK_SIZE);
    steps(vm, 10);
    protect(vm, guarded, guard);
    steps(vm, 20);
    EXPECT(collapse(vm) == PT_EUNEQUAL);
    for (unsigned i = 0; i < 2; i++) {
        EXPECT(program_step(vm) == STOP_DENIED);
        EXPECT(vm->guest.registers.rbx == guarded);
        programs_compare();
    }
    protect(vm, guarded, unguard);
    steps(vm, 1);
    EXPECT(collapse(vm) == PT_OK);
    EXPECT(leaf_at(vm, guarded).level == 2 && leaf_at(vm, guarded).hpa == hpa && (leaf_at(vm, guarded).prop & PT_D));
    program_finish(vm);
    programs_compare();
    vm_destroy(vm);
}

/* Clean when it was split, so that only what was written since is dirty; the whole is dirty if a piece was. */
void dirty_bits_go_through_resizing(void)
{
    static struct marks marks;
    struct vm *vm = &vms[0];

    vm_build(vm);
    split(vm, HUGE);
    EXPECT(dirty_pieces(vm) == 0);
    program_writes(vm, all, 0x100000);
    steps(vm, 7);
    EXPECT(dirty_pieces(vm) == 7);
    EXPECT(collapse(vm) == PT_OK && (leaf_at(vm, HUGE).prop & PT_D));
    marks_clear(&marks);
    marks_add(&marks, (struct loop){HUGE_PAGE, BLOCK_SIZE, 1, FIRST_WORD});
    marks_expect(&marks, vm, PT_D);
    EXPECT(!(leaf_at(vm, HUGE).prop & PT_D));
    split(vm, HUGE);
    steps(vm, 5);
    EXPECT(dirty_pieces(vm) == 5);
    program_finish(vm);
    EXPECT(dirty_pieces(vm) == all.count - 7);
    programs_compare();
    vm_destroy(vm);
}

/* Split and collapsed between any two steps of the guest. */
void resized_at_every_step(void)
{
    struct vm *vm = &vms[0];

    vm_build(vm);
    program_writes(vm, all, 0x100000);
    for (unsigned i = 0; i < all.count; i++) {
        steps(vm, 1);
        if (i % 2)
            EXPECT(collapse(vm) == PT_OK);
        else
            split(vm, vm->guest.registers.rbx & ~(PT_PAGE_SIZE - 1));
        EXPECT(leaf_at(vm, HUGE).level == 1 + i % 2);
    }
    EXPECT(program_step(vm) == STOP_END);
    programs_compare();
    vm_destroy(vm);
}

/* The child's page is split by its writes, its parent's stays whole; alone again, the parent may write all of it. What
 * the child has of its own lies elsewhere, so it has no huge page any more. */
void a_huge_page_is_shared_and_resized(void)
{
    uint64_t copied;

    vm_build(&vms[0]);
    vm_fork(&vms[0], &vms[1], 0);
    program_write(&vms[1], all, 0x100000);
    EXPECT(leaf_at(&vms[1], HUGE).level == 1 && leaf_at(&vms[0], HUGE).level == 2);
    EXPECT(collapse(&vms[1]) == PT_EUNEQUAL);
    programs_compare();
    split(&vms[0], HUGE);
    programs_compare();
    EXPECT(collapse(&vms[0]) == PT_OK);
    vm_destroy(&vms[1]);
    copied = world.frames_copied;
    program_write(&vms[0], all, 0x200000);
    EXPECT(world.frames_copied == copied && leaf_at(&vms[0], HUGE).level == 2);
    programs_compare();
    vm_destroy(&vms[0]);
}
