/*
 * The page tables a guest starts with: all of RAM at its own address, in 2 MiB pages, open to ring 3. Built with the
 * library's cursor in the x86-64 format, in guest memory itself. Serves load.c. The tree's bookkeeping is dropped once
 * the tables stand: from then on they are the guest's.
 */
#include "vmm/boot/layout.h"

#include <ept/arena.h>
#include <ept/walk.h>
#include <ept/x86.h>
#include <string.h>

#define TABLE_PAGES  (TABLES_BYTES / PAGE_BYTES)
#define LEVEL2_REACH (UINT64_C(1) << 30) /* what one table of 2 MiB slots covers */
#define ADDRESS_BITS 40                  /* of a physical address; enough for BOOT_RAM_MAX, and every CPU has them */

/*
 * A and D are preset so that no walk ever writes to a table: a table page stays clean until the guest changes it. Here
 * for the leaves; touch_tables() sees to the entries above them.
 */
#define RAM_PROPERTIES (PT_RWX | PT_U | PT_A | PT_D | PT_WB)

static enum pt_status map_ram(struct pt *pt, uint64_t size)
{
    struct pt_gather gather;
    struct pt_cursor cursor;
    x86_gather_init(&gather, pt);
    enum pt_status status = x86_cursor_init(&cursor, pt, 0, size, PT_WRITE, &gather);
    if (status == PT_OK) {
        status = x86_cursor_map_range(&cursor, 0, size, RAM_PROPERTIES);
        x86_cursor_end(&cursor);
    }
    x86_gather_sync(&gather);
    return status;
}

/* Reads from each table's range as the CPU would, which sets A in the entries that lead there. */
static bool touch_tables(const struct boot_ram *ram, uint64_t root)
{
    const struct walk_memory memory = {
        .pa = TABLES_BASE,
        .length = TABLES_BYTES,
        .offset = (uint64_t)(uintptr_t)ram->base,
    };
    const struct walk_x86_mode mode = {.root = root, .levels = 4, .maxphyaddr = ADDRESS_BITS, .set_ad = true};
    struct walk_answer answer = {.result = WALK_OK};
    for (uint64_t at = 0; at < ram->size && answer.result == WALK_OK; at += LEVEL2_REACH)
        walk_x86(&memory, &mode, at, WALK_READ, &answer);
    if (answer.result == WALK_OK)
        walk_x86(&memory, &mode, ram->size - PAGE_BYTES, WALK_READ, &answer); /* the 4 KiB pages of a ragged end */
    return answer.result == WALK_OK;
}

int boot_make_tables(const struct boot_ram *ram, uint64_t *cr3, struct cleave_failure *failure)
{
    uint8_t *base = ram->base + TABLES_BASE;
    memset(base, 0, TABLES_BYTES);

    struct pt_arena arena;
    struct pt_table meta[TABLE_PAGES] = {0};
    struct pt_config config = {
        .levels = 4, .maxphyaddr = ADDRESS_BITS, .caps = PT_CAP_2M, /* not every KVM has 1 GiB pages for guests */
    };
    pt_arena_init(&arena, base, TABLES_BASE, TABLE_PAGES);
    pt_arena_configure(&arena, meta, &config);

    struct pt pt;
    enum pt_status status = x86_init(&pt, &config);
    if (status == PT_OK)
        status = map_ram(&pt, ram->size);
    if (status != PT_OK)
        return fail(failure, CLEAVE_INTERNAL, "cannot build the guest's boot page tables for %llu bytes of RAM: %s",
                    (unsigned long long)ram->size, pt_status_name(status));
    if (!touch_tables(ram, pt.root))
        return fail(failure, CLEAVE_INTERNAL, "the guest's boot page tables do not map its RAM");
    *cr3 = pt.root;
    return 0;
}
