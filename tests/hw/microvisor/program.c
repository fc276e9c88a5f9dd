/* See program.h. */
#include "tests/hw/microvisor/program.h"

#include "tests/hw/microvisor/expect.h"
#include "tests/hw/microvisor/resolve.h"
#include "tests/hw/rom/memory.h"

#define FAULT_WRITE   2u /* in the exit qualification of an EPT violation and in EXITINFO1 of a nested page fault */
#define HUGE_STRIDE   61u
#define RESOLVE_LIMIT 8u /* faults in a row: of one access, and of the walk that leads to it */

extern const char guest_start[], guest_read[], guest_write[], guest_end[];

void program_install(void *page)
{
    memset(page, 0, PT_PAGE_SIZE);
    memcpy(page, guest_start, (size_t)(guest_end - guest_start));
}

static uint64_t entry_point(const char *code)
{
    return GUEST_CODE + (uint64_t)(code - guest_start);
}

static void start(struct vm *vm, const struct loop *loop, uint64_t rip)
{
    struct guest_registers *registers = &vm->guest.registers;

    EXPECT(vm->alive && loop->count > 0 && loop->page + (loop->count - 1) * loop->stride < DATA_PAGES);
    registers->rip = rip;
    registers->rbx = page_gpa(loop->page) + word_offset(loop->word);
    registers->rcx = loop->count;
    registers->rdx = loop->stride * PT_PAGE_SIZE;
}

void program_reads(struct vm *vm, struct loop loop)
{
    start(vm, &loop, entry_point(guest_read));
}

void program_writes(struct vm *vm, struct loop loop, uint64_t value)
{
    start(vm, &loop, entry_point(guest_write));
    vm->guest.registers.rax = value;
}

/* The guest has read or written a word. */
static void account(struct vm *vm)
{
    const struct guest_registers *registers = &vm->guest.registers;
    uint64_t page = (registers->rbx - DATA) / PT_PAGE_SIZE;
    enum word word = registers->rbx % PT_PAGE_SIZE == word_offset(FIRST_WORD) ? FIRST_WORD : LAST_WORD;

    if (registers->rip < entry_point(guest_write))
        EXPECT(registers->rax == vm->model[page][word]);
    vm->model[page][word] = registers->rax;
}

/* One processor's translations are those of the last guest that ran, where nothing else tells them apart. */
static void enter(struct vm *vm, struct guest_exit *exit)
{
    static const struct vm *last;

    cache_verify(&vm->cache, &vm->pt);
    if (vm != last)
        vm->guest.flush = true;
    last = vm;
    guest_run(&vm->guest, exit);
}

enum stop program_step(struct vm *vm)
{
    struct guest_exit exit;

    for (unsigned faults = 0; faults < RESOLVE_LIMIT; faults++) {
        enter(vm, &exit);
        if (exit.reason == GUEST_HALT)
            return STOP_END;
        if (exit.reason == GUEST_CPUID) {
            account(vm);
            vm->guest.registers.rip = exit.next_rip;
            return STOP_STEP;
        }
        EXPECT(exit.reason == GUEST_VIOLATION || exit.reason == GUEST_NESTED);
        if (!resolve(vm, exit.gpa, exit.code & FAULT_WRITE))
            return STOP_DENIED;
    }
    expect_failed("the guest faults again and again");
}

void program_finish(struct vm *vm)
{
    enum stop stop;

    do
        stop = program_step(vm);
    while (stop == STOP_STEP);
    EXPECT(stop == STOP_END);
}

void program_read(struct vm *vm, struct loop loop)
{
    program_reads(vm, loop);
    program_finish(vm);
}

void program_write(struct vm *vm, struct loop loop, uint64_t value)
{
    program_writes(vm, loop, value);
    program_finish(vm);
}

/* The processor's registers come through it unchanged, as the guest may be in the middle of a loop. */
static void compare(struct vm *vm)
{
    const uint64_t huge = (HUGE - DATA) / PT_PAGE_SIZE;
    const struct guest_registers registers = vm->guest.registers;

    for (enum word word = FIRST_WORD; word < WORDS; word++) {
        program_read(vm, (struct loop){0, FILLED_PAGES, 1, word});
        program_read(vm, (struct loop){huge, (DATA_PAGES - huge - 1) / HUGE_STRIDE + 1, HUGE_STRIDE, word});
    }
    vm->guest.registers = registers;
}

void programs_compare(void)
{
    vms_check();
    for (unsigned i = 0; i < VMS; i++)
        if (vms[i].alive)
            compare(&vms[i]);
    vms_check();
}
