/*
 * The page tables a guest starts with: all of RAM, and the regions, at their own addresses, in 2 MiB pages where they
 * fit, open to ring 3. Built with the library's cursor in the x86-64 format, in guest memory itself. Serves load.c. The
 * tree's bookkeeping is dropped once the tables stand: from then on they are the guest's.
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
#define RAM_PROPERTIES       (PT_RWX | PT_U | PT_A | PT_D | PT_WB)
#define READ_ONLY_PROPERTIES (PT_RX | PT_U | PT_A | PT_WB)

static enum pt_status map(struct pt *pt, uint64_t gpa, uint64_t size, pt_prop properties)
{
    struct pt_gather gather;
    struct pt_cursor cursor;
    x86_gather_init(&gather, pt);
    enum pt_status status = x86_cursor_init(&cursor, pt, gpa, size, PT_WRITE, &gather);
    if (status == PT_OK) {
        status = x86_cursor_map_range(&cursor, gpa, size, properties);
        x86_cursor_end(&cursor);
    }
    x86_gather_sync(&gather);
    return status;
}

static enum pt_status map_all(struct pt *pt, const struct boot_ram *ram)
{
    enum pt_status status = map(pt, 0, ram->size, RAM_PROPERTIES);
    for (unsigned i = 0; i < ram->region_count && status == PT_OK; i++) {
        const struct cleave_region *r = &ram->regions[i];
        status = map(pt, r->gpa, r->bytes, r->read_only ? READ_ONLY_PROPERTIES : RAM_PROPERTIES);
    }
    return status;
}

static bool touch(const struct walk_memory *memory, const struct walk_x86_mode *mode, uint64_t gpa, uint64_t bytes,
                  uint64_t step)
{
    struct walk_answer answer = {.result = WALK_OK};
    for (uint64_t at = gpa; at < gpa + bytes && answer.result == WALK_OK; at += step)
        walk_x86(memory, mode, at, WALK_READ, &answer);
    if (answer.result == WALK_OK)
        walk_x86(memory, mode, gpa + bytes - PAGE_BYTES, WALK_READ, &answer); /* the 4 KiB pages of a ragged end */
    return answer.result == WALK_OK;
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
    if (!touch(&memory, &mode, 0, ram->size, LEVEL2_REACH))
        return false;
    for (unsigned i = 0; i < ram->region_count; i++)
        if (!touch(&memory, &mode, ram->regions[i].gpa, ram->regions[i].bytes, BLOCK_BYTES))
            return false;
    return true;
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
        status = map_all(&pt, ram);
    if (status == PT_ENOMEM)
        return fail(failure, CLEAVE_LIMIT_EXCEEDED,
                    "there is no room for the boot page tables of so many regions beside so much RAM");
    if (status != PT_OK)
        return fail(failure, CLEAVE_INTERNAL, "cannot build the guest's boot page tables for %llu bytes of RAM: %s",
                    (unsigned long long)ram->size, pt_status_name(status));
    if (!touch_tables(ram, pt.root))
        return fail(failure, CLEAVE_INTERNAL, "the guest's boot page tables do not map its RAM");
    *cr3 = pt.root;
    return 0;
}
