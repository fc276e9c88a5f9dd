/* Files that are no images, or no good ones: whatever bytes they have, opening them names the field that is wrong, and
 * what does open can be walked anywhere without leaving the file. The address sanitizer watches. */
#include "tests/support/image_tree.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 56u /* bytes of fields */

static struct tree tree;
static struct bytes good;

static void setup(void)
{
    tree_open(&tree, &tree_kinds[0], 1);
    tree_map(&tree, 0x3000, 0x5000, 1, 7, PT_RX | PT_WB);
    good = tree_image(&tree, 0x100000);
}

static void teardown(void)
{
    bytes_free(&good);
    tree_close(&tree);
}

/* An image of 4 tables with some bytes of its header replaced. */
static const char *open_with(size_t offset, const void *bytes, size_t count, struct pt_image *image)
{
    static _Alignas(8) char file[4096 * 5];

    ck_assert_uint_eq(good.length, sizeof(file));
    memcpy(file, good.data, sizeof(file));
    memcpy(file + offset, bytes, count);
    return pt_image_open(file, sizeof(file), image);
}

static void walk_everywhere(const struct pt_image *image, const char *file, uint64_t length)
{
    ck_assert_uint_eq(image->memory.length, length - 4096);
    ck_assert_uint_eq(image->memory.pa + image->memory.offset, (uintptr_t)file + 4096);
    for (unsigned i = 0; i < 64; i++)
        for (enum walk_access access = WALK_READ; access <= WALK_FETCH; access++)
            ck_assert_uint_le(tree_walk(image, tree_address(&tree), access).nsteps, 5);
}

START_TEST(every_field_is_checked_and_named)
{
    static const struct {
        size_t offset, size;
        uint64_t value;
        const char *wrong; /* how the phrase begins; NULL: none */
    } cases[] = {
        {0, 1, 'p', "magic:"},
        {7, 1, '\n', "magic:"},
        {8, 4, 0, "version:"},
        {8, 4, 2, "version:"},
        {12, 4, 3, "levels:"},
        {12, 4, 6, "levels:"},
        {12, 4, 1u << 31, "levels:"},
        {12, 4, 5, NULL},
        {16, 4, 'e' | 'p' << 8 | 'x' << 16, "format:"},
        {16, 8, 'x' | '8' << 8 | '6' << 16, NULL},
        {23, 1, ' ', "format:"},
        {24, 4, 0, "maxphyaddr:"},
        {24, 4, 31, "maxphyaddr:"},
        {24, 4, 53, "maxphyaddr:"},
        {24, 4, 64, "maxphyaddr:"},
        {24, 4, UINT32_MAX, "maxphyaddr:"},
        {24, 4, 32, NULL},
        {28, 4, PT_CAP_AD, "caps:"},
        {28, 4, 1u << 31, "caps:"},
        {28, 4, PT_CAP_EXEC_ONLY | PT_CAP_1G | PT_CAP_2M, NULL},
        {32, 8, 0x100001, "tables_pa:"},
        {32, 8, 1ull << 46, "tables_pa:"},
        {32, 8, UINT64_MAX - 4095, "tables_pa:"},
        {32, 8, (1ull << 46) - 3 * 4096, "tables:"},
        {32, 8, 0x101000, "root_pa:"},
        {40, 8, 0, "root_pa:"},
        {40, 8, 0xff000, "root_pa:"},
        {40, 8, 0x100008, "root_pa:"},
        {40, 8, 0x104000, "root_pa:"},
        {40, 8, UINT64_MAX - 4095, "root_pa:"},
        {40, 8, 0x103000, NULL},
        {48, 8, 0, "tables:"},
        {48, 8, 3, "tables: fewer"},
        {48, 8, 5, "tables: more"},
        {48, 8, (1ull << 34) - 0x100, "tables:"},
        {48, 8, UINT64_MAX, "tables:"},
        {48, 8, 1ull << 52, "tables:"}, /* times 4096 is 0 again */
        {48, 8, (1ull << 52) + 4, "tables:"},
        {56, 1, 1, "header:"},
        {4095, 1, 128, "header:"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pt_image image;
        const char *wrong = open_with(cases[i].offset, &cases[i].value, cases[i].size, &image);

        if (!cases[i].wrong)
            ck_assert_msg(!wrong, "case %zu: %s", i, wrong);
        else
            ck_assert_msg(wrong && !strncmp(wrong, cases[i].wrong, strlen(cases[i].wrong)), "case %zu: %s", i, wrong);
    }
}
END_TEST

START_TEST(execute_only_is_nothing_to_x86)
{
    static const unsigned char x86[] = {'x', '8', '6', 0, 0, 0, 0, 0, 46, 0, 0, 0, PT_CAP_EXEC_ONLY};
    struct pt_image image;
    const char *wrong = open_with(16, x86, sizeof(x86), &image);

    ck_assert_ptr_nonnull(wrong);
    ck_assert_int_eq(strncmp(wrong, "caps:", 5), 0);
}
END_TEST

START_TEST(a_file_cut_off_anywhere_is_refused)
{
    for (size_t length = 0; length < good.length; length++) {
        struct pt_image image;
        char *file = malloc(length);

        memcpy(file, good.data, length);
        const char *wrong = pt_image_open(file, length, &image);
        ck_assert_msg(wrong != NULL, "%zu bytes are enough", length);
        ck_assert_msg(strncmp(wrong, length < 4096 ? "header:" : "tables:", 7) == 0, "%zu bytes: %s", length, wrong);
        free(file);
    }
}
END_TEST

/* The file is not that long; nothing behind its header is looked at. */
START_TEST(sizes_that_cannot_be_are_refused)
{
    static const uint64_t sizes[] = {4096 * 5 + 1, 4096 * 6, 1ull << 63, UINT64_MAX - 4095, UINT64_MAX};
    struct pt_image image;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        ck_assert_ptr_nonnull(pt_image_open(good.data, sizes[i], &image));
}
END_TEST

START_TEST(a_file_that_is_not_aligned_is_refused)
{
    char *file = malloc(good.length + 8);
    struct pt_image image;

    for (unsigned i = 1; i < 8; i++) {
        memcpy(file + i, good.data, good.length);
        const char *wrong = pt_image_open(file + i, good.length, &image);
        ck_assert_ptr_nonnull(wrong);
        ck_assert_int_eq(strncmp(wrong, "file:", 5), 0);
    }
    free(file);
}
END_TEST

/* Each byte of the header with every value: refused, or safe. */
START_TEST(whatever_opens_can_be_walked)
{
    unsigned opened = 0;
    char *file = malloc(good.length);

    for (size_t i = 0; i < HEADER; i++)
        for (int value = 0; value < 256; value++) {
            struct pt_image image;

            memcpy(file, good.data, good.length);
            file[i] = (char)value;
            if (pt_image_open(file, good.length, &image))
                continue;
            walk_everywhere(&image, file, good.length);
            opened++;
        }
    ck_assert_uint_gt(opened, HEADER); /* the unchanged byte, and some others */
    free(file);
}
END_TEST

/* Tables of noise, of which some points back into the image: at each other, at themselves, at the root. */
START_TEST(tables_of_noise_can_be_walked)
{
    static const unsigned char formats[2][4] = {"ept", "x86"};
    uint64_t *file = malloc(good.length);

    for (unsigned round = 0; round < 200; round++) {
        struct pt_image image;

        memcpy(file, good.data, good.length);
        memcpy(file + 2, formats[round % 2], 4);
        for (size_t i = 512; i < good.length / 8; i++) {
            uint64_t noise = tree_random(&tree, UINT32_MAX) << 32 | tree_random(&tree, UINT32_MAX);
            uint64_t table = 0x100000 + tree_random(&tree, 5) * 4096;

            file[i] = tree_random(&tree, 3) ? table | 7 : noise;
        }
        ck_assert_ptr_null(pt_image_open(file, good.length, &image));
        walk_everywhere(&image, (const char *)file, good.length);
    }
    free(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostile images");
    TCase *tcase = tcase_create("hostile images");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_field_is_checked_and_named);
    tcase_add_test(tcase, execute_only_is_nothing_to_x86);
    tcase_add_test(tcase, a_file_cut_off_anywhere_is_refused);
    tcase_add_test(tcase, sizes_that_cannot_be_are_refused);
    tcase_add_test(tcase, a_file_that_is_not_aligned_is_refused);
    tcase_add_test(tcase, whatever_opens_can_be_walked);
    tcase_add_test(tcase, tables_of_noise_can_be_walked);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
