/* The boot page tables, judged by the software MMU, which shares no code with what built them. */
#include "tests/unit/boot_fixture.h"

#include <ept/walk.h>

static struct cleave_failure failure;

/* One access as the CPU makes it. Only the table area is offered, so a table anywhere else would be noticed. */
static struct walk_answer walk(const struct boot_ram *ram, uint64_t cr3, uint64_t address, enum walk_access access,
                               bool user)
{
    const struct walk_memory memory = {
        .pa = TABLES_BASE,
        .length = TABLES_BYTES,
        .offset = (uint64_t)(uintptr_t)ram->base,
    };
    const struct walk_x86_mode mode = {
        .root = cr3,
        .levels = 4,
        .maxphyaddr = 48,
        .user = user,
        .wp = true,
        .nxe = true,
    };
    struct walk_answer answer;
    walk_x86(&memory, &mode, address, access, &answer);
    return answer;
}

static void assert_identity(const struct boot_ram *ram, uint64_t cr3, uint64_t address, unsigned level)
{
    for (int access = WALK_READ; access <= WALK_FETCH; access++) {
        for (int user = 0; user < 2; user++) {
            const struct walk_answer answer = walk(ram, cr3, address, (enum walk_access)access, user);
            ck_assert_msg(answer.result == WALK_OK, "access %d user %d to %#llx", access, user,
                          (unsigned long long)address);
            ck_assert_uint_eq(answer.pa, address);
            ck_assert_uint_eq(answer.level, level);
            ck_assert_uint_eq(answer.pat_index, 0);
        }
    }
}

static void assert_unmapped(const struct boot_ram *ram, uint64_t cr3, uint64_t address)
{
    ck_assert_int_eq(walk(ram, cr3, address, WALK_READ, false).result, WALK_PAGE_FAULT);
    ck_assert_int_eq(walk(ram, cr3, address, WALK_READ, true).result, WALK_PAGE_FAULT);
}

/* Checks a machine's tables at both sides of every 2 MiB boundary, up to a number of them spread over RAM. */
static void check_machine_of(uint64_t size)
{
    const struct boot_ram ram = make_ram(size);
    uint64_t cr3 = 0;
    ck_assert_int_eq(boot_make_tables(&ram, &cr3, &failure), 0);
    ck_assert_uint_ge(cr3, TABLES_BASE);
    ck_assert_uint_lt(cr3, TABLES_BASE + TABLES_BYTES);

    const uint64_t large = size & ~(BLOCK_BYTES - 1);
    const uint64_t step = (large / BLOCK_BYTES / 512 + 1) * BLOCK_BYTES;
    for (uint64_t address = 0; address < large; address += step) {
        assert_identity(&ram, cr3, address, 2);
        assert_identity(&ram, cr3, address + BLOCK_BYTES - 1, 2);
    }
    for (uint64_t address = large; address < size; address += PAGE_BYTES)
        assert_identity(&ram, cr3, address, 1);
    assert_identity(&ram, cr3, size - 1, size % BLOCK_BYTES ? 1 : 2);

    assert_unmapped(&ram, cr3, size);
    assert_unmapped(&ram, cr3, size + PAGE_BYTES);
    assert_unmapped(&ram, cr3, (size + BLOCK_BYTES) & ~(BLOCK_BYTES - 1));
    assert_unmapped(&ram, cr3, size + GIB);
    assert_unmapped(&ram, cr3, UINT64_C(1) << 39);
    assert_unmapped(&ram, cr3, (UINT64_C(1) << 47) - PAGE_BYTES);
    munmap(ram.base, (size_t)size);
}

static const uint64_t sizes[] = {
    2 * MIB + 4096, 4 * MIB,       4 * MIB + 4096, 6 * MIB - 4096, 64 * MIB, GIB - 4096,      GIB,
    GIB + 4096,     GIB + 2 * MIB, 3 * GIB + 8192, 4 * GIB,        64 * GIB, 64 * GIB - 4096,
};

START_TEST(all_ram_and_nothing_else_is_mapped_at_its_own_address)
{
    check_machine_of(sizes[_i]);
}
END_TEST

/* A walk by hardware must not write, or a guest that only reads would have dirty pages. */
START_TEST(accessed_and_dirty_are_preset_in_every_entry)
{
    const struct boot_ram ram = make_ram(6 * MIB - 4096);
    uint64_t cr3 = 0;
    ck_assert_int_eq(boot_make_tables(&ram, &cr3, &failure), 0);
    for (uint64_t address = 0; address < ram.size; address += PAGE_BYTES) {
        const struct walk_answer answer = walk(&ram, cr3, address, WALK_WRITE, true);
        ck_assert_int_eq(answer.result, WALK_OK);
        for (unsigned i = 0; i < answer.nsteps; i++)
            ck_assert(answer.steps[i].entry & 0x20);
        ck_assert(answer.steps[answer.nsteps - 1].entry & 0x40);
    }
}
END_TEST

START_TEST(nothing_outside_the_table_area_is_written)
{
    const struct boot_ram ram = make_ram(4 * MIB);
    uint64_t cr3 = 0;
    ck_assert_int_eq(boot_make_tables(&ram, &cr3, &failure), 0);
    uint8_t seen = 0;
    for (uint64_t at = 0; at < ram.size; at++)
        if (at < TABLES_BASE || at >= TABLES_BASE + TABLES_BYTES)
            seen |= ram.base[at];
    ck_assert_uint_eq(seen, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("boot tables");
    TCase *tests = tcase_create("tables");
    tcase_set_timeout(tests, 30);
    tcase_add_loop_test(tests, all_ram_and_nothing_else_is_mapped_at_its_own_address, 0,
                        sizeof sizes / sizeof sizes[0]);
    tcase_add_test(tests, accessed_and_dirty_are_preset_in_every_entry);
    tcase_add_test(tests, nothing_outside_the_table_area_is_written);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
