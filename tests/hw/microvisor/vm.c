/* See vm.h. */
#include "tests/hw/microvisor/vm.h"

#include "tests/hw/microvisor/expect.h"
#include "tests/hw/microvisor/program.h"
#include "tests/hw/rom/memory.h"

#define X86_TABLE   0x23ull
#define X86_LEAF_1G 0xe3ull /* present, writable, A and D set, 1 GiB */

struct vm vms[VMS];

/* Nested tables of one guest have changed. Both what the processor has cached and what the microvisor thinks it may
 * have is forgotten. */
static void flush(void *ctx, const struct pt *pt, unsigned why, const struct pt_range *ranges, size_t count)
{
    struct vm *vm = ctx;

    (void)pt, (void)why;
    for (size_t i = 0; i < count; i++)
        cache_forget(&vm->cache, &ranges[i]);
    guest_flush(&vm->guest);
}

void work_open(struct work *work, struct vm *vm, uint64_t start, uint64_t length)
{
    for (unsigned i = 0; i < VMS; i++)
        if (vms[i].alive)
            cache_note(&vms[i].cache, &vms[i].pt);
    world.format->gather_init(&work->gather, &vm->pt);
    EXPECT(world.format->cursor_init(&work->cursor, &vm->pt, start, length, PT_WRITE, &work->gather) == PT_OK);
}

void work_close(struct work *work)
{
    world.format->gather_sync(&work->gather);
    world.format->cursor_end(&work->cursor);
    world.format->gather_sync(&work->gather);
}

void work_jump(struct work *work, uint64_t address)
{
    EXPECT(world.format->jump(&work->cursor, address) == PT_OK);
}

static void init_tree(struct vm *vm)
{
    struct pt_config config;

    EXPECT(!vm->alive);
    world_configure(&config);
    config.ctx = vm;
    config.flush = flush;
    EXPECT(world.format->init(&vm->pt, &config) == PT_OK);
    cache_clear(&vm->cache);
    vm->alive = true;
}

static void map(struct work *work, uint64_t gpa, uint64_t hpa, unsigned level, pt_prop prop)
{
    work_jump(work, gpa);
    EXPECT(world.format->map(&work->cursor, hpa, level, prop | PT_WB | PT_TRACKED) == PT_OK);
}

static void map_processor_pages(struct work *work)
{
    uint64_t pml4 = world_frame();
    uint64_t pdpt, code;

    map(work, GUEST_PML4, pml4, 1, world.format->rights | PROP_MAY_WRITE);
    memset((void *)pml4, 0, PT_PAGE_SIZE);
    *(uint64_t *)pml4 = GUEST_PDPT | X86_TABLE;
    pdpt = world_frame();
    map(work, GUEST_PDPT, pdpt, 1, world.format->rights | PROP_MAY_WRITE);
    memset((void *)pdpt, 0, PT_PAGE_SIZE);
    *(uint64_t *)pdpt = X86_LEAF_1G;
    code = world_frame();
    map(work, GUEST_CODE, code, 1, world.format->rights & ~PT_W);
    program_install((void *)code);
}

static void fill(struct vm *vm, uint64_t page, uint64_t hpa)
{
    for (enum word word = FIRST_WORD; word < WORDS; word++) {
        uint64_t value = 0xb0000000 + page * WORDS + word;

        *(uint64_t *)(hpa + word_offset(word)) = value;
        vm->model[page][word] = value;
    }
}

static void map_data(struct vm *vm, struct work *work)
{
    const pt_prop prop = world.format->rights | PROP_MAY_WRITE;

    for (uint64_t page = 0; page < FILLED_PAGES; page++) {
        uint64_t frame = world_frame();

        map(work, page_gpa(page), frame, 1, prop);
        fill(vm, page, frame);
    }
    for (uint64_t gpa = HUGE; gpa < DATA_END; gpa += BLOCK) {
        uint64_t block = world_block();

        map(work, gpa, block, 2, prop);
        for (uint64_t at = 0; at < BLOCK; at += PT_PAGE_SIZE)
            fill(vm, (gpa + at - DATA) / PT_PAGE_SIZE, block + at);
    }
}

void vm_build(struct vm *vm)
{
    struct work work;

    init_tree(vm);
    memset(vm->model, 0, sizeof(vm->model));
    work_open(&work, vm, 0, DATA_END);
    map_processor_pages(&work);
    map_data(vm, &work);
    work_close(&work);
    guest_init(&vm->guest);
    vm->guest.cr3 = GUEST_PML4;
    vm->guest.nested_root = vm->pt.root;
    vm->guest.nested_ad = true;
}

void vm_fork(struct vm *parent, struct vm *child, uint64_t cut)
{
    const uint64_t size = parent->pt.size;
    struct work from, to;

    init_tree(child);
    work_open(&from, parent, 0, size);
    work_open(&to, child, 0, size);
    if (cut)
        EXPECT(world.format->share_from(&to.cursor, &from.cursor, cut) == PT_OK);
    EXPECT(world.format->share_from(&to.cursor, &from.cursor, size - cut) == PT_OK);
    work_close(&from);
    work_close(&to);
    child->guest = parent->guest;
    child->guest.nested_root = child->pt.root;
    memcpy(child->model, parent->model, sizeof(child->model));
}

void vm_destroy(struct vm *vm)
{
    for (unsigned i = 0; i < VMS; i++)
        if (vms[i].alive)
            cache_note(&vms[i].cache, &vms[i].pt);
    world.format->destroy(&vm->pt);
    vm->alive = false;
}

void vms_check(void)
{
    struct pt_fault fault;

    for (unsigned i = 0; i < VMS; i++)
        if (vms[i].alive)
            EXPECT(world.format->check(&vms[i].pt, NULL, NULL, &fault) == PT_OK);
}

uint64_t vm_shared_tables(struct vm *vm)
{
    struct pt_statistics statistics;

    world.format->count(&vm->pt, &statistics);
    return statistics.shared;
}
