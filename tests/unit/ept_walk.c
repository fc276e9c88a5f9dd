/* The software MMUs on tables written by hand from the SDM's bit layouts, not by the library. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <ept/walk.h>

#define TABLES 8u
#define PA     0x7000ull /* of tables[0] */

static _Alignas(4096) uint64_t tables[TABLES][512];
static struct walk_memory memory;
static struct walk_ept_mode ept;
static struct walk_x86_mode x86;

static uint64_t pa(unsigned table)
{
    return PA + table * 4096ull;
}

/* Address whose index is i at every level: 4 to 1. */
#define ADDRESS ((1ull << 39) | (2ull << 30) | (3ull << 21) | (4ull << 12) | 0x123)

static void setup(void)
{
    memset(tables, 0, sizeof(tables));
    memory = (struct walk_memory){.pa = PA, .length = sizeof(tables), .offset = (uint64_t)(uintptr_t)tables - PA};
    ept = (struct walk_ept_mode){.root = pa(0), .levels = 4, .maxphyaddr = 40, .pages_1g = true};
    x86 =
        (struct walk_x86_mode){.root = pa(0), .levels = 4, .maxphyaddr = 40, .pages_1g = true, .wp = true, .nxe = true};
    for (unsigned level = 4; level > 1; level--)
        tables[4 - level][5 - level] = pa(5 - level) | 7;
}

static struct walk_answer ept_walk(enum walk_access access)
{
    struct walk_answer answer;

    walk_ept(&memory, &ept, ADDRESS, access, &answer);
    return answer;
}

static struct walk_answer x86_walk(enum walk_access access)
{
    struct walk_answer answer;

    walk_x86(&memory, &x86, ADDRESS, access, &answer);
    return answer;
}

START_TEST(ept_translates_and_shows_its_steps)
{
    struct walk_answer answer;

    tables[3][4] = 0x12345000 | 6 << 3 | 1 << 6 | 7;
    answer = ept_walk(WALK_READ);
    ck_assert_int_eq(answer.result, WALK_OK);
    ck_assert_uint_eq(answer.pa, 0x12345123);
    ck_assert_uint_eq(answer.memory_type, 6);
    ck_assert(answer.ipat && answer.r && answer.w && answer.x);
    ck_assert_uint_eq(answer.nsteps, 4);
    ck_assert_uint_eq(answer.steps[3].pa, pa(3) + 32);
    ck_assert_uint_eq(answer.steps[0].level, 4);
    ck_assert_uint_eq(tables[3][4] & 0x300, 0); /* no A, no D: not enabled */
    tables[1][2] = 0x80000000 | 1 << 7 | 7;
    answer = ept_walk(WALK_FETCH);
    ck_assert_uint_eq(answer.pa, 0x80000000 | (ADDRESS & 0x3fffffff));
    ck_assert_uint_eq(answer.level, 3);
}
END_TEST

START_TEST(ept_rights_are_anded_along_the_walk)
{
    tables[3][4] = 0x12345000 | 6 << 3 | 7;
    tables[1][2] &= ~2ull;
    ck_assert_int_eq(ept_walk(WALK_READ).result, WALK_OK);
    ck_assert_int_eq(ept_walk(WALK_WRITE).result, WALK_VIOLATION);
    /* data write, readable and executable, linear address valid, final translation */
    ck_assert_uint_eq(ept_walk(WALK_WRITE).qualification, 2 | 8 | 32 | 128 | 256);
    tables[2][3] &= ~4ull;
    ck_assert_uint_eq(ept_walk(WALK_FETCH).qualification, 4 | 8 | 128 | 256);
    tables[3][4] = 0;
    ck_assert_uint_eq(ept_walk(WALK_READ).qualification, 1 | 128 | 256);
    ept.paging_access = true;
    ck_assert_uint_eq(ept_walk(WALK_READ).qualification, 1 | 128);
}
END_TEST

START_TEST(ept_misconfigurations_are_found)
{
    static const uint64_t bad[] = {
        0x12345000 | 6 << 3 | 2, /* write-only */
        0x12345000 | 6 << 3 | 6, /* write and execute */
        0x12345000 | 6 << 3 | 4, /* execute-only without the capability */
        0x12345000 | 2 << 3 | 7, /* reserved memory types */
        0x12345000 | 3 << 3 | 7, 0x12345000 | 7 << 3 | 7, 0x12345000 | 6 << 3 | 7 | 1ull << 40 /* beyond maxphyaddr */
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        tables[3][4] = bad[i];
        ck_assert_int_eq(ept_walk(WALK_READ).result, WALK_MISCONFIG);
    }
    ept.exec_only = true;
    tables[3][4] = bad[2];
    ck_assert_int_eq(ept_walk(WALK_FETCH).result, WALK_OK);
    ck_assert_int_eq(ept_walk(WALK_READ).result, WALK_VIOLATION);
    tables[2][3] = 0x201000 | 1 << 7 | 6 << 3 | 7; /* 2 MiB leaf, not aligned */
    ck_assert_int_eq(ept_walk(WALK_READ).result, WALK_MISCONFIG);
    tables[2][3] = pa(3) | 1 << 6 | 7; /* reserved bit in a table entry */
    ck_assert_int_eq(ept_walk(WALK_READ).result, WALK_MISCONFIG);
    ept.pages_1g = false;
    tables[1][2] = 0x40000000 | 1 << 7 | 7;
    ck_assert_int_eq(ept_walk(WALK_READ).result, WALK_MISCONFIG);
    tables[0][1] = pa(1) | 1 << 7 | 7; /* large page at level 4 */
    ck_assert_int_eq(ept_walk(WALK_READ).result, WALK_MISCONFIG);
}
END_TEST

START_TEST(ept_sets_a_and_d_where_hardware_does)
{
    ept.ad = true;
    tables[3][4] = 0x12345000 | 6 << 3 | 7;
    ck_assert_int_eq(ept_walk(WALK_READ).result, WALK_OK);
    ck_assert_uint_eq(tables[0][1] & 0x300, 0x100);
    ck_assert_uint_eq(tables[3][4] & 0x300, 0x100);
    ck_assert_int_eq(ept_walk(WALK_WRITE).result, WALK_OK);
    ck_assert_uint_eq(tables[2][3] & 0x300, 0x100);
    ck_assert_uint_eq(tables[3][4] & 0x300, 0x300);
    tables[3][4] = 0x12345000 | 6 << 3 | 5;
    ck_assert_int_eq(ept_walk(WALK_WRITE).result, WALK_VIOLATION);
    ck_assert_uint_eq(tables[3][4] & 0x300, 0);
}
END_TEST

START_TEST(tables_outside_memory_are_told)
{
    struct walk_answer answer;

    tables[2][3] = 0x10000000 | 7;
    ck_assert_int_eq(ept_walk(WALK_READ).result, WALK_NO_MEMORY);
    ck_assert_int_eq(x86_walk(WALK_READ).result, WALK_NO_MEMORY);
    walk_ept(&memory, &ept, 1ull << 48, WALK_READ, &answer);
    ck_assert_int_eq(answer.result, WALK_VIOLATION);
    walk_x86(&memory, &x86, 1ull << 47, WALK_READ, &answer); /* not canonical */
    ck_assert_int_eq(answer.result, WALK_PAGE_FAULT);
    ck_assert_uint_eq(answer.nsteps, 0);
}
END_TEST

START_TEST(x86_rights_depend_on_mode)
{
    tables[3][4] = 0x12345000 | 1; /* supervisor, read-only */
    ck_assert_uint_eq(x86_walk(WALK_READ).pa, 0x12345123);
    ck_assert_uint_eq(x86_walk(WALK_WRITE).error_code, 1 | 2);
    x86.wp = false;
    ck_assert_int_eq(x86_walk(WALK_WRITE).result, WALK_OK);
    x86.user = true;
    ck_assert_uint_eq(x86_walk(WALK_READ).error_code, 1 | 4);
    tables[3][4] = 0x12345000 | 5 | 1ull << 63; /* user, no execute */
    ck_assert_int_eq(x86_walk(WALK_READ).result, WALK_OK);
    ck_assert_uint_eq(x86_walk(WALK_WRITE).error_code, 1 | 2 | 4); /* WP is for supervisors */
    ck_assert_uint_eq(x86_walk(WALK_FETCH).error_code, 1 | 4 | 16);
    x86.nxe = false;
    ck_assert_uint_eq(x86_walk(WALK_READ).error_code, 1 | 4 | 8); /* NX is reserved now */
    x86.nxe = true;
    x86.user = false;
    x86.smap = true;
    ck_assert_int_eq(x86_walk(WALK_READ).result, WALK_PAGE_FAULT);
    x86.smap = false;
    x86.smep = true;
    tables[3][4] = 0x12345000 | 5;
    ck_assert_int_eq(x86_walk(WALK_READ).result, WALK_OK);
    ck_assert_uint_eq(x86_walk(WALK_FETCH).error_code, 1 | 16);
    tables[3][4] = 0;
    ck_assert_uint_eq(x86_walk(WALK_READ).error_code, 0);
    tables[0][1] &= ~4ull;
    x86.user = true;
    tables[3][4] = 0x12345000 | 7;
    ck_assert_int_eq(x86_walk(WALK_READ).result, WALK_PAGE_FAULT);
}
END_TEST

START_TEST(x86_reserved_bits_fault)
{
    tables[3][4] = 0x12345000 | 1ull << 41 | 7;
    ck_assert_uint_eq(x86_walk(WALK_READ).error_code, 1 | 8);
    tables[2][3] = 0x202000 | 1 << 7 | 7; /* misaligned 2 MiB; bit 12 would be PAT */
    ck_assert_uint_eq(x86_walk(WALK_READ).error_code, 1 | 8);
    tables[2][3] = 0x201000 | 1 << 7 | 1 << 4 | 7;
    ck_assert_uint_eq(x86_walk(WALK_READ).pat_index, 6);
    ck_assert_uint_eq(x86_walk(WALK_READ).pa, 0x200000 | (ADDRESS & 0x1fffff));
    tables[0][1] |= 1 << 7;
    ck_assert_uint_eq(x86_walk(WALK_READ).error_code, 1 | 8);
}
END_TEST

START_TEST(x86_sets_a_and_d_only_when_asked)
{
    tables[3][4] = 0x12345000 | 7;
    ck_assert_int_eq(x86_walk(WALK_WRITE).result, WALK_OK);
    ck_assert_uint_eq(tables[3][4] & 0x60, 0);
    x86.set_ad = true;
    ck_assert_int_eq(x86_walk(WALK_WRITE).result, WALK_OK);
    ck_assert_uint_eq(tables[3][4] & 0x60, 0x60);
    ck_assert_uint_eq(tables[0][1] & 0x60, 0x20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ept walk");
    TCase *tcase = tcase_create("walk");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, ept_translates_and_shows_its_steps);
    tcase_add_test(tcase, ept_rights_are_anded_along_the_walk);
    tcase_add_test(tcase, ept_misconfigurations_are_found);
    tcase_add_test(tcase, ept_sets_a_and_d_where_hardware_does);
    tcase_add_test(tcase, tables_outside_memory_are_told);
    tcase_add_test(tcase, x86_rights_depend_on_mode);
    tcase_add_test(tcase, x86_reserved_bits_fault);
    tcase_add_test(tcase, x86_sets_a_and_d_only_when_asked);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
