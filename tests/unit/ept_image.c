/* Images of trees: that they are laid out as <ept/image.h> says, and that the software MMUs find in them what the
 * tree's cursor finds in the tree. Every test runs for every format and number of levels. */
#include "tests/support/image_tree.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ADDRESS_BITS 0x000ffffffffff000u
#define LARGE        0x80u
#define PA           0x7654000u

static struct tree tree;

static void open_kind(int kind, uint64_t seed)
{
    tree_open(&tree, &tree_kinds[kind], seed);
}

static struct pt_image open_image(const struct bytes *file)
{
    struct pt_image image;
    const char *wrong = pt_image_open(file->data, file->length, &image);

    ck_assert_msg(!wrong, "%s", wrong);
    return image;
}

/* --- Translations ------------------------------------------------------------------------------------------------- */

static pt_prop ept_type(const struct walk_answer *answer)
{
    return (pt_prop)answer->memory_type << 12;
}

static pt_prop x86_type(const struct walk_answer *answer)
{
    static const pt_prop types[] = {PT_WB, PT_WT, PT_UCMINUS, PT_UC};

    return types[answer->pat_index];
}

/* A and D may be read from the entry; the rest is the MMU's own judgement. */
static void check_leaf(const struct pt_image *image, uint64_t address, const struct pt_item *item)
{
    bool ept = image->format == PT_IMAGE_EPT;
    pt_prop rights = item->prop & (PT_RWX | (ept ? 0 : PT_U)), some = PT_RWX & item->prop;
    struct walk_answer answer = tree_walk(image, address, (some & PT_R) ? WALK_READ : WALK_FETCH);
    uint64_t entry = answer.steps[answer.nsteps - 1].entry;
    unsigned a = ept ? 8 : 5, d = ept ? 9 : 6;

    ck_assert_uint_eq(answer.steps[answer.nsteps - 1].level, item->level);
    ck_assert_uint_eq(entry & ADDRESS_BITS, item->hpa);
    ck_assert_uint_eq(entry >> a & 1, (item->prop & PT_A) != 0);
    ck_assert_uint_eq(entry >> d & 1, (item->prop & PT_D) != 0);
    ck_assert((entry & PT_IMAGE_LIVE) != 0);
    ck_assert_uint_eq((entry & PT_IMAGE_TRACKED) != 0, (item->prop & PT_TRACKED) != 0);
    ck_assert_uint_eq((entry & (ept ? PT_IMAGE_WRITABLE_EPT : PT_IMAGE_WRITABLE_X86)) != 0,
                      (item->prop & PT_WRITABLE) != 0);
    ck_assert_uint_eq(entry >> PT_IMAGE_SOFT_SHIFT & 7, item->prop / PT_SOFT0 & 7);
    if (!some) {
        ck_assert_int_eq(answer.result, ept ? WALK_VIOLATION : WALK_PAGE_FAULT);
        return;
    }
    ck_assert_int_eq(answer.result, WALK_OK);
    ck_assert_uint_eq(answer.pa, item->hpa + (address - item->start));
    ck_assert_uint_eq((answer.r ? PT_R : 0) | (answer.w ? PT_W : 0) | (answer.x ? PT_X : 0) | (answer.u ? PT_U : 0),
                      rights);
    ck_assert_uint_eq(ept ? ept_type(&answer) : x86_type(&answer), item->prop & PT_MT_MASK);
    ck_assert_int_eq(answer.ipat, (item->prop & PT_IPAT) != 0);
}

static void check_hole(const struct pt_image *image, uint64_t address, const struct pt_item *item)
{
    struct walk_answer answer = tree_walk(image, address, WALK_READ);

    ck_assert_int_eq(answer.result, image->format == PT_IMAGE_EPT ? WALK_VIOLATION : WALK_PAGE_FAULT);
    ck_assert_uint_eq(answer.steps[answer.nsteps - 1].level, item->level);
    ck_assert_uint_eq(answer.steps[answer.nsteps - 1].entry, 0);
}

START_TEST(an_image_translates_as_its_tree_does)
{
    uint64_t seed = (uint64_t)_i;
    unsigned found[2] = {0};

    open_kind(_i % TREE_KINDS, seed);
    tree_fill(&tree);
    struct bytes file = tree_image(&tree, tree_random(&tree, 1 << 20) << 12);
    struct pt_image image = open_image(&file);

    for (unsigned i = 0; i < 5000; i++) {
        uint64_t address = tree_address(&tree);
        struct pt_item item = tree_look(&tree, address);

        found[item.kind == PT_LEAF]++;
        if (item.kind == PT_LEAF)
            check_leaf(&image, address, &item);
        else
            check_hole(&image, address, &item);
    }
    ck_assert_uint_gt(found[0], 250);
    ck_assert_uint_gt(found[1], 250);
    bytes_free(&file);
    tree_close(&tree);
}
END_TEST

/* --- Layout ------------------------------------------------------------------------------------------------------- */

static uint64_t field(const struct bytes *file, size_t offset, size_t size)
{
    uint64_t value = 0;

    while (size-- > 0)
        value = value << 8 | (unsigned char)file->data[offset + size];
    return value;
}

static void check_header(const struct bytes *file, uint64_t pa, uint64_t tables, unsigned caps)
{
    ck_assert_uint_eq(file->length, 4096 * (1 + tables));
    ck_assert_mem_eq(file->data, "PTIMAGE", 8);
    ck_assert_uint_eq(field(file, 8, 4), 1);
    ck_assert_uint_eq(field(file, 12, 4), tree.kind->levels);
    ck_assert_str_eq(file->data + 16, tree.kind->format);
    ck_assert_uint_eq(field(file, 16, 8) >> 24, 0);
    ck_assert_uint_eq(field(file, 24, 4), 46);
    ck_assert_uint_eq(field(file, 28, 4), caps);
    ck_assert_uint_eq(field(file, 32, 8), pa);
    ck_assert_uint_eq(field(file, 40, 8), pa);
    ck_assert_uint_eq(field(file, 48, 8), tables);
    for (size_t i = 56; i < 4096; i++)
        ck_assert_int_eq(file->data[i], 0);
}

static uint64_t tables_in_tree(void)
{
    struct pt_statistics statistics;
    uint64_t tables = 0;

    tree.kind->count(&tree.world.pt, &statistics);
    for (unsigned level = 1; level <= PT_MAX_LEVEL; level++)
        tables += statistics.tables[level];
    return tables;
}

/* Each table is pointed at once, from the level above, in the order of the file. */
static void check_order(const struct bytes *file, uint64_t pa)
{
    uint64_t tables = file->length / 4096 - 1, pointed = 1;
    unsigned char *levels = calloc(tables, 1);

    ck_assert_ptr_nonnull(levels);
    levels[0] = (unsigned char)tree.kind->levels;
    for (uint64_t i = 0; i < tables; i++) {
        const uint64_t *table = (const uint64_t *)(const void *)(file->data + 4096 * (1 + i));

        for (unsigned k = 0; k < 512; k++) {
            if (!(table[k] & PT_IMAGE_LIVE) || levels[i] == 1 || (table[k] & LARGE))
                continue;
            ck_assert_uint_lt(pointed, tables);
            ck_assert_uint_eq(table[k] & ADDRESS_BITS, pa + pointed * 4096);
            levels[pointed++] = (unsigned char)(levels[i] - 1);
        }
    }
    ck_assert_uint_eq(pointed, tables);
    free(levels);
}

START_TEST(an_image_is_laid_out_as_specified)
{
    unsigned caps = PT_CAP_2M | PT_CAP_1G;

    open_kind(_i % TREE_KINDS, (uint64_t)_i);
    if (tree_is_ept(tree.kind))
        caps |= PT_CAP_EXEC_ONLY;
    tree_fill(&tree);
    tree_map(&tree, 1ull << 40, 0, 1, 1, (tree_is_ept(tree.kind) ? PT_X : PT_RX) | PT_WB);
    tree_map(&tree, 1ull << 41, 0, 2, 1, PT_RWX | PT_WB);
    tree_map(&tree, 1ull << 42, 0, 3, 1, PT_RWX | PT_WB);
    struct bytes file = tree_image(&tree, PA);

    check_header(&file, PA, tables_in_tree(), caps);
    check_order(&file, PA);
    bytes_free(&file);
    tree_close(&tree);
}
END_TEST

static void check_caps(uint64_t tables, unsigned caps)
{
    struct bytes file = tree_image(&tree, 0);

    check_header(&file, 0, tables, caps);
    bytes_free(&file);
}

START_TEST(an_image_asks_for_what_its_leaves_need)
{
    open_kind(_i, 0);
    unsigned down = tree.kind->levels - 1;
    unsigned caps = 0;

    check_caps(1, 0);
    tree_map(&tree, 0, 0, 1, 1, PT_RX | PT_WB);
    check_caps(1 + down, 0);
    if (tree_is_ept(tree.kind)) {
        tree_map(&tree, 1 << 12, 0, 1, 1, PT_X | PT_WB);
        caps = PT_CAP_EXEC_ONLY;
        check_caps(1 + down, caps);
    }
    tree_map(&tree, 2 << 20, 0, 2, 1, PT_R | PT_WB);
    check_caps(1 + down, caps | PT_CAP_2M);
    tree_map(&tree, 1 << 30, 0, 3, 1, PT_R | PT_WB);
    check_caps(1 + down, caps | PT_CAP_2M | PT_CAP_1G);
    tree_close(&tree);
}
END_TEST

START_TEST(an_image_must_fit_below_maxphyaddr)
{
    const uint64_t limit = 1ull << 46;
    struct bytes file = {0};

    open_kind(_i, 0);
    tree_map(&tree, 0, 0, 1, 1, PT_RX | PT_WB);
    const uint64_t most = limit - 4096 * tree.kind->levels;
    const uint64_t beyond[] = {most + 4096, limit - 4096, limit, UINT64_MAX - 4095};

    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++)
        ck_assert_int_eq(tree.kind->image(&tree.world.pt, beyond[i], bytes_append, &file), PT_ERANGE);
    ck_assert_int_eq(tree.kind->image(&tree.world.pt, 2048, bytes_append, &file), PT_EINVAL);
    ck_assert_int_eq(tree.kind->image(&tree.world.pt, 4095, bytes_append, &file), PT_EINVAL);
    ck_assert_uint_eq(file.length, 0);
    file = tree_image(&tree, most);
    struct pt_image image = open_image(&file);
    ck_assert_int_eq(tree_walk(&image, 0, WALK_READ).result, WALK_OK);
    bytes_free(&file);
    tree_close(&tree);
}
END_TEST

/* --- Trees that share tables, or are not still
 * ------------------------------------------------------------------------ */

START_TEST(a_shared_table_is_written_for_each_of_its_parents)
{
    open_kind(_i, 0);
    uint64_t second = pt_slot_size(tree.kind->levels);

    tree_map(&tree, 0x3000, 0x5000, 1, 7, PT_RWX | PT_WB);
    tree_share(&tree, second, 0, second);
    ck_assert_uint_eq(pt_arena_used(&tree.world.arena), tree.kind->levels);
    struct bytes file = tree_image(&tree, PA);
    check_header(&file, PA, 1 + 2 * (tree.kind->levels - 1), 0);
    check_order(&file, PA);
    struct pt_image image = open_image(&file);
    ck_assert_uint_eq(tree_walk(&image, 0x9abc, WALK_READ).pa, 0xbabc);
    ck_assert_uint_eq(tree_walk(&image, second + 0x9abc, WALK_READ).pa, 0xbabc);
    ck_assert(!tree_walk(&image, second + 0x9abc, WALK_READ).w);
    bytes_free(&file);
    tree_close(&tree);
}
END_TEST

static void *take_image(void *bytes)
{
    struct bytes *file = bytes;

    return tree.kind->image(&tree.world.pt, PA, bytes_append, file) == PT_OK ? file : NULL;
}

/* A cursor holds a part of the tree; the image has what it maps there, though it was asked for before. */
START_TEST(an_image_waits_for_cursors)
{
    const struct timespec moment = {.tv_nsec = 50000000};
    struct pt_cursor cursor;
    struct bytes file = {0};
    pthread_t thread;
    void *result;

    open_kind(_i, 0);
    tree_map(&tree, 0, 0, 1, 1, PT_RX | PT_WB);
    ck_assert_int_eq(tree.kind->cursor_init(&cursor, &tree.world.pt, 0, 4096 * 2, PT_WRITE, &tree.world.gather), PT_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, take_image, &file), 0);
    nanosleep(&moment, NULL);
    ck_assert_int_eq(tree.kind->cursor_jump(&cursor, 4096), PT_OK);
    ck_assert_int_eq(tree.kind->cursor_map(&cursor, 0x123000, 1, PT_RX | PT_WB), PT_OK);
    tree.kind->cursor_end(&cursor);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_nonnull(result);
    struct pt_image image = open_image(&file);
    ck_assert_uint_eq(tree_walk(&image, 4096, WALK_READ).pa, 0x123000);
    bytes_free(&file);
    tree_close(&tree);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("images");
    TCase *tcase = tcase_create("images");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, an_image_translates_as_its_tree_does, 0, 3 * TREE_KINDS);
    tcase_add_loop_test(tcase, an_image_is_laid_out_as_specified, 0, 2 * TREE_KINDS);
    tcase_add_loop_test(tcase, an_image_asks_for_what_its_leaves_need, 0, TREE_KINDS);
    tcase_add_loop_test(tcase, an_image_must_fit_below_maxphyaddr, 0, TREE_KINDS);
    tcase_add_loop_test(tcase, a_shared_table_is_written_for_each_of_its_parents, 0, TREE_KINDS);
    tcase_add_loop_test(tcase, an_image_waits_for_cursors, 0, TREE_KINDS);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
