/* ptdump on images: what it says of an image is what the library says of the tree, for every format and number of
 * levels; rights are those of the whole path; and tables that make no sense are told, not followed for ever. */
#include "tests/support/image_tree.h"
#include "tools/ptdump/image.h"
#include "tools/ptdump/print.h"
#include "tools/ptdump/summary.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PA 0x7654000u

static struct tree tree;
static struct image_file file;
static char folder[PATH_MAX], path_of_file[PATH_MAX + 8];

static void setup(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(folder, sizeof(folder), "%s/ptdump-XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path_of_file, sizeof(path_of_file), "%s/image", folder);
}

static void teardown(void)
{
    image_file_close(&file);
    unlink(path_of_file);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void write_file(const void *data, size_t length)
{
    FILE *out = fopen(path_of_file, "w");

    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(data, 1, length, out), length);
    ck_assert_int_eq(fclose(out), 0);
}

static const struct pt_image *open_bytes(const struct bytes *bytes)
{
    char error[IMAGE_ERROR];

    write_file(bytes->data, bytes->length);
    ck_assert_msg(image_file_open(&file, path_of_file, error) == 0, "%s", error);
    return &file.image;
}

/* A tree of this kind with something in it, and its image, opened from a file. */
static const struct pt_image *open_filled(int kind, uint64_t seed)
{
    tree_open(&tree, &tree_kinds[kind % TREE_KINDS], seed);
    tree_fill(&tree);
    struct bytes bytes = tree_image(&tree, PA);
    const struct pt_image *image = open_bytes(&bytes);
    bytes_free(&bytes);
    return image;
}

/* --- As the library has it ---------------------------------------------------------------------------------------- */

static char *dump_of(const struct pt_image *image, bool json)
{
    char *text = NULL;
    size_t length;
    uint64_t stopped;
    struct printer printer = {.out = open_memstream(&text, &length), .json = json};

    ck_assert(image_each(image, 0, image_space(image), printer_add, &printer, &stopped));
    printer_end(&printer);
    ck_assert_int_eq(fclose(printer.out), 0);
    return text;
}

static void check_dump(const struct pt_image *image, enum pt_dump_style style)
{
    struct bytes want = tree_dump(&tree, style);
    char *text = dump_of(image, style == PT_DUMP_JSON);
    size_t same = 0;

    while (want.data[same] && want.data[same] == text[same])
        same++;
    ck_assert_msg(!want.data[same] && !text[same], "want %.300s\ngot %.300s", want.data + same, text + same);
    bytes_free(&want);
    free(text);
}

START_TEST(a_dump_is_that_of_the_library)
{
    const struct pt_image *image = open_filled(_i, (uint64_t)_i);

    check_dump(image, PT_DUMP_TEXT);
    check_dump(image, PT_DUMP_JSON);
    tree_close(&tree);
}
END_TEST

START_TEST(an_empty_tree_is_dumped_as_one)
{
    tree_open(&tree, &tree_kinds[_i], 0);
    struct bytes bytes = tree_image(&tree, 0);
    const struct pt_image *image = open_bytes(&bytes);

    check_dump(image, PT_DUMP_TEXT);
    check_dump(image, PT_DUMP_JSON);
    bytes_free(&bytes);
    tree_close(&tree);
}
END_TEST

START_TEST(a_summary_counts_as_the_library_does)
{
    const struct pt_image *image = open_filled(_i, (uint64_t)_i);
    struct summary summary = {.levels = image->levels};
    struct pt_statistics want;
    uint64_t stopped, tables = 0;

    ck_assert(image_each(image, 0, image_space(image), summary_add, &summary, &stopped));
    tree.kind->count(&tree.world.pt, &want);
    for (unsigned level = 1; level <= image->levels; level++) {
        ck_assert_uint_eq(summary.tables[level], want.tables[level]);
        ck_assert_uint_eq(summary.leaves[level], want.leaves[level]);
        tables += want.tables[level];
    }
    ck_assert_uint_eq(summary.all_tables, tables);
    ck_assert_uint_eq(summary.bad, 0);
    /* Of a range: the tables on the way to it, though it begins inside them. */
    summary = (struct summary){.levels = image->levels};
    struct pt_item item = tree_look(&tree, 0x12345000);
    ck_assert(image_each(image, item.start, item.start + 1, summary_add, &summary, &stopped));
    ck_assert_uint_eq(summary.all_tables, image->levels + 1 - item.level);
    tree_close(&tree);
}
END_TEST

/* --- Parts -------------------------------------------------------------------------------------------------------- */

struct cover {
    uint64_t next; /* where the next slot must begin; UINT64_MAX: it is the first */
    uint64_t start;
};

static void check_cover(void *context, const struct slot *slot, uint64_t count, const struct walk_answer *answer)
{
    struct cover *cover = context;
    struct pt_item item = tree_look(&tree, slot->start);

    (void)answer;
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(slot->kind, item.kind == PT_LEAF ? SLOT_LEAF : SLOT_HOLE);
    ck_assert_uint_eq(slot->start, item.start);
    ck_assert_uint_eq(slot->bytes, item.length);
    if (cover->next == UINT64_MAX)
        ck_assert(slot->start <= cover->start && cover->start < slot->start + slot->bytes);
    else
        ck_assert_uint_eq(slot->start, cover->next);
    cover->next = slot->start + slot->bytes;
}

START_TEST(a_range_is_every_slot_that_it_touches)
{
    const struct pt_image *image = open_filled(_i, (uint64_t)_i + 100);

    for (int i = 0; i < 40; i++) {
        uint64_t start = tree_address(&tree), stopped;
        uint64_t end = start + 1 + tree_random(&tree, 1u << (2 * (i % 16)));
        struct cover cover = {.next = UINT64_MAX, .start = start};

        if (end > image_space(image))
            end = image_space(image);
        ck_assert(image_each(image, start, end, check_cover, &cover, &stopped));
        ck_assert_uint_ge(cover.next, end);
        ck_assert_uint_le(tree_look(&tree, end - 1).start, end - 1);
        ck_assert_uint_eq(cover.next, tree_look(&tree, end - 1).start + tree_look(&tree, end - 1).length);
    }
    tree_close(&tree);
}
END_TEST

START_TEST(a_path_ends_in_the_slot_around_its_address)
{
    const struct pt_image *image = open_filled(_i, (uint64_t)_i + 200);

    for (int i = 0; i < 2000; i++) {
        uint64_t address = tree_address(&tree);
        struct pt_item item = tree_look(&tree, address);
        struct path path;

        image_path(image, address, &path);
        ck_assert_uint_eq(path.count, image->levels + 1 - item.level);
        ck_assert_uint_eq(path.steps[0].level, image->levels);
        ck_assert_uint_eq(path.slot.start, item.start);
        ck_assert_int_eq(path.slot.kind, item.kind == PT_LEAF ? SLOT_LEAF : SLOT_HOLE);
        if (item.kind != PT_LEAF)
            continue;
        ck_assert_uint_eq(path.slot.hpa, item.hpa);
        ck_assert_uint_eq(path.slot.prop, item.prop);
    }
    tree_close(&tree);
}
END_TEST

/* In text, `want` is what follows the heads of the columns. */
static void check_path(const struct pt_image *image, uint64_t address, bool json, const char *want)
{
    static const char heads[] = "FIRST          LAST              HPA             PG  RWXU  MT  ADGI  SW\n";
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    struct path path;

    image_path(image, address, &path);
    print_path(out, json, image->format, &path);
    ck_assert_int_eq(fclose(out), 0);
    if (!json)
        ck_assert(strncmp(text, heads, strlen(heads)) == 0);
    ck_assert_str_eq(json ? text : text + strlen(heads), want);
    free(text);
}

START_TEST(a_path_is_decoded)
{
    tree_open(&tree, &tree_kinds[0], 0);
    tree_map(&tree, 0x203000, WORLD_HPA, 1, 1, PT_RX | PT_WC | PT_IPAT | PT_A | PT_TRACKED | PT_SOFT0 | PT_SOFT2);
    tree_map(&tree, 0x400000, 0x40000000, 2, 1, PT_RW | PT_WB | PT_D);
    struct bytes bytes = tree_image(&tree, 0x10000);
    const struct pt_image *image = open_bytes(&bytes);

    check_path(image, 0x203123, false,
               "0x000000203000-0x000000203fff -> 0x000100000000  4K  r-x-  wc  a--i  0-2  tracked\n"
               "0x203123 -> 0x100000123\n"
               "LEVEL  INDEX  ENTRY               MEANS\n"
               "4          0  0x0010000000011007  table 0x11000, rwx-\n"
               "3          0  0x0010000000012007  table 0x12000, rwx-\n"
               "2          1  0x0010000000013007  table 0x13000, rwx-\n"
               "1          3  0x017000010000014d  leaf 0x100000000, r-x-, wc, accessed, ipat, tracked, soft 5\n");
    check_path(image, 0x5abcde, false,
               "0x000000400000-0x0000005fffff -> 0x000040000000  2M  rw--  wb  -d--  ---\n"
               "0x5abcde -> 0x401abcde\n"
               "LEVEL  INDEX  ENTRY               MEANS\n"
               "4          0  0x0010000000011007  table 0x11000, rwx-\n"
               "3          0  0x0010000000012007  table 0x12000, rwx-\n"
               "2          2  0x00100000400002b3  leaf 0x40000000, rw--, wb, dirty\n");
    check_path(image, 0x8000000000, false,
               "0x008000000000-0x00ffffffffff  hole\n"
               "LEVEL  INDEX  ENTRY               MEANS\n"
               "4          1  0x0000000000000000  hole\n");
    check_path(
        image, 0x400000, true,
        "{\"address\": \"0x400000\", \"hpa\": \"0x40000000\", \"slot\": {\"start\": \"0x400000\", \"last\": "
        "\"0x5fffff\", \"hpa\": \"0x40000000\", \"page\": \"2M\", \"count\": 1, \"rights\": \"rw--\", "
        "\"memory\": \"wb\", \"accessed\": false, \"dirty\": true, \"global\": false, \"ipat\": false, "
        "\"tracked\": false, \"soft\": 0, \"writable\": false},\n \"steps\": [\n"
        "  {\"level\": 4, \"index\": 0, \"entry\": \"0x0010000000011007\", \"means\": \"table 0x11000, rwx-\"},\n"
        "  {\"level\": 3, \"index\": 0, \"entry\": \"0x0010000000012007\", \"means\": \"table 0x12000, rwx-\"},\n"
        "  {\"level\": 2, \"index\": 2, \"entry\": \"0x00100000400002b3\", \"means\": \"leaf 0x40000000, rw--, "
        "wb, dirty\"}\n ]}\n");
    check_path(image, 0x8000000000, true,
               "{\"address\": \"0x8000000000\", \"slot\": {\"start\": \"0x8000000000\", \"last\": \"0xffffffffff\", "
               "\"what\": \"hole\", \"level\": 4, \"entry\": \"0x0000000000000000\"},\n \"steps\": [\n"
               "  {\"level\": 4, \"index\": 1, \"entry\": \"0x0000000000000000\", \"means\": \"hole\"}\n ]}\n");
    bytes_free(&bytes);
    tree_close(&tree);
}
END_TEST

START_TEST(x86_addresses_may_be_canonical)
{
    tree_open(&tree, &tree_kinds[2], 0);
    tree_map(&tree, tree.world.pt.size - 0x1000, 0x5000, 1, 1, PT_RW | PT_UC | PT_U | PT_G);
    struct bytes bytes = tree_image(&tree, 0x10000);
    const struct pt_image *image = open_bytes(&bytes);
    uint64_t address = 0xfffffffffffff123;

    ck_assert(image_address(image, &address));
    ck_assert_uint_eq(address, 0xfffffffff123);
    check_path(image, address, false,
               "0xfffffffff000-0xffffffffffff -> 0x000000005000  4K  rw-u  uc  --g-  ---\n"
               "0xfffffffff123 -> 0x5123\n"
               "LEVEL  INDEX  ENTRY               MEANS\n"
               "4        511  0x0010000000011007  table 0x11000, rwxu\n"
               "3        511  0x0010000000012007  table 0x12000, rwxu\n"
               "2        511  0x0010000000013007  table 0x13000, rwxu\n"
               "1        511  0x801000000000511f  leaf 0x5000, rw-u, uc, global\n");
    address = 0x0000fffffffff123;
    ck_assert(image_address(image, &address));
    ck_assert_uint_eq(address, 0xfffffffff123);
    address = 0x0001000000000000;
    ck_assert(!image_address(image, &address));
    address = 0xffff7fffffffffff;
    ck_assert(!image_address(image, &address));
    bytes_free(&bytes);
    tree_close(&tree);
}
END_TEST

/* --- Images that the library did not write ------------------------------------------------------------------------ */

/* An image with these tables, all zero; table(n) is the n-th, the root the first. */
static struct bytes blank(const char *format, uint64_t tables)
{
    struct pt_image_header header = {.magic = PT_IMAGE_MAGIC,
                                     .version = PT_IMAGE_VERSION,
                                     .levels = 4,
                                     .maxphyaddr = 40,
                                     .tables_pa = PA,
                                     .root_pa = PA,
                                     .tables = tables};
    struct bytes bytes = {.data = calloc(1 + tables, 4096), .length = 4096 * (1 + tables)};

    snprintf(header.format, sizeof(header.format), "%s", format);
    memcpy(bytes.data, &header, sizeof(header));
    return bytes;
}

static uint64_t *table(const struct bytes *bytes, unsigned n)
{
    return (uint64_t *)(void *)(bytes->data + 4096 * (1 + n));
}

static uint64_t pa(unsigned n)
{
    return PA + 4096 * n;
}

/* Tables 0 to 3, each the first below the one before. */
static struct bytes chain(const char *format)
{
    struct bytes bytes = blank(format, 4);

    for (unsigned i = 0; i < 3; i++)
        table(&bytes, i)[0] = pa(i + 1) | 7;
    return bytes;
}

static void check_text(const struct bytes *bytes, const char *want)
{
    char *text = dump_of(open_bytes(bytes), false);

    ck_assert_str_eq(text, want);
    free(text);
    image_file_close(&file);
}

START_TEST(rights_are_those_that_the_path_leaves)
{
    struct bytes bytes = chain("ept");

    table(&bytes, 3)[0] = 0x1000 | 6 << 3 | 7;
    table(&bytes, 3)[1] = 0x2000 | 6 << 3 | 7;
    table(&bytes, 3)[4] = 0x3000 | 6 << 3 | 7; /* goes on in HPA, but not here */
    check_text(&bytes, "0x000000000000-0x000000001fff -> 0x000000001000  4K  rwx-  wb  ----  ---\n"
                       "0x000000004000-0x000000004fff -> 0x000000003000  4K  rwx-  wb  ----  ---\n");
    table(&bytes, 3)[4] = 0;
    table(&bytes, 2)[0] &= ~2ull;
    check_text(&bytes, "0x000000000000-0x000000001fff -> 0x000000001000  4K  r-x-  wb  ----  ---\n");
    table(&bytes, 0)[0] &= ~4ull;
    table(&bytes, 3)[1] |= 1 << 9; /* D ends the run */
    check_text(&bytes, "0x000000000000-0x000000000fff -> 0x000000001000  4K  r---  wb  ----  ---\n"
                       "0x000000001000-0x000000001fff -> 0x000000002000  4K  r---  wb  -d--  ---\n");
    table(&bytes, 3)[0] = table(&bytes, 3)[1] = PT_IMAGE_LIVE | 0x1000 | 6 << 3; /* no rights of its own */
    check_text(&bytes, "0x000000000000-0x000000000fff -> 0x000000001000  4K  ----  wb  ----  ---\n"
                       "0x000000001000-0x000000001fff -> 0x000000001000  4K  ----  wb  ----  ---\n");
    bytes_free(&bytes);
    bytes = chain("x86");
    table(&bytes, 3)[0] = 0x1000 | 7;
    table(&bytes, 1)[0] = pa(2) | 1 | 1ull << 63;
    check_text(&bytes, "0x000000000000-0x000000000fff -> 0x000000001000  4K  r---  wb  ----  ---\n");
    bytes_free(&bytes);
}
END_TEST

START_TEST(entries_that_make_no_sense_are_told)
{
    struct bytes bytes = chain("ept");
    char *json;

    table(&bytes, 0)[1] = 0x7000000 | 7;                  /* not in the image */
    table(&bytes, 2)[1] = 0x200000 | 1 << 7 | 3 << 3 | 7; /* reserved memory type */
    table(&bytes, 3)[0] = 0x1000 | 6 << 3 | 2;            /* write-only */
    table(&bytes, 3)[1] = 0x1000 | 6 << 3 | 2;
    table(&bytes, 3)[2] = 0x2000 | 6 << 3 | 2;
    table(&bytes, 3)[3] = 0x10000000000 | 6 << 3 | 7; /* beyond maxphyaddr */
    check_text(&bytes, "0x000000000000-0x000000001fff  misconfigured  level 1 entry 0x0000000000001032\n"
                       "0x000000002000-0x000000002fff  misconfigured  level 1 entry 0x0000000000002032\n"
                       "0x000000003000-0x000000003fff  misconfigured  level 1 entry 0x0000010000000037\n"
                       "0x000000200000-0x0000003fffff  misconfigured  level 2 entry 0x000000000020009f\n"
                       "0x008000000000-0x00ffffffffff  table outside the image  level 4 entry 0x0000000007000007\n");
    json = dump_of(open_bytes(&bytes), true);
    ck_assert_ptr_nonnull(strstr(json, "\n {\"start\": \"0x0\", \"last\": \"0x1fff\", \"what\": \"misconfigured\", "
                                       "\"level\": 1, \"entry\": \"0x0000000000001032\"},\n"));
    free(json);
    check_path(&file.image, 0x8000000000, false,
               "0x008000000000-0x00ffffffffff  table outside the image  level 4 entry 0x0000000007000007\n"
               "LEVEL  INDEX  ENTRY               MEANS\n"
               "4          1  0x0000000007000007  table 0x7000000, rwx-, outside the image\n");
    check_path(&file.image, 0x3000, false,
               "0x000000003000-0x000000003fff  misconfigured  level 1 entry 0x0000010000000037\n"
               "LEVEL  INDEX  ENTRY               MEANS\n"
               "4          0  0x0000000007655007  table 0x7655000, rwx-\n"
               "3          0  0x0000000007656007  table 0x7656000, rwx-\n"
               "2          0  0x0000000007657007  table 0x7657000, rwx-\n"
               "1          3  0x0000010000000037  misconfigured\n");
    image_file_close(&file);
    bytes_free(&bytes);
    bytes = chain("x86");
    table(&bytes, 1)[0] |= 1 << 7; /* a 1 GiB leaf that no cap announces, and not aligned */
    check_text(&bytes, "0x000000000000-0x00003fffffff  misconfigured  level 3 entry 0x0000000007656087\n");
    bytes_free(&bytes);
}
END_TEST

static void count_slot(void *context, const struct slot *slot, uint64_t count, const struct walk_answer *answer)
{
    (void)slot, (void)answer;
    *(uint64_t *)context += count;
}

/* Every entry points at the table itself: at level 1 they are leaves, 2^36 of them. */
START_TEST(a_cycle_ends_the_dump)
{
    static const char *const formats[] = {"ept", "x86"};
    struct bytes bytes = blank(formats[_i], 1);
    uint64_t slots = 0, stopped = 0;

    for (unsigned i = 0; i < 512; i++)
        table(&bytes, 0)[i] = PA | 7;
    open_bytes(&bytes);
    ck_assert(!image_each(&file.image, 0, image_space(&file.image), count_slot, &slots, &stopped));
    ck_assert_uint_eq(slots, 512);
    ck_assert_uint_eq(stopped, 512 * 4096);
    slots = 0;
    ck_assert(image_each(&file.image, stopped, stopped + 4096, count_slot, &slots, &stopped));
    ck_assert_uint_eq(slots, 1);
    bytes_free(&bytes);
}
END_TEST

START_TEST(noise_is_dumped_or_stopped)
{
    tree_open(&tree, &tree_kinds[0], (uint64_t)_i);
    for (unsigned round = 0; round < 20; round++) {
        struct bytes bytes = blank(round % 2 ? "ept" : "x86", 3);
        uint64_t slots = 0, stopped = 0;
        char *text = NULL;
        size_t length;
        struct printer printer = {.out = open_memstream(&text, &length), .json = round % 3};

        for (unsigned i = 0; i < 3 * 512; i++) {
            uint64_t noise = tree_random(&tree, UINT32_MAX) << 32 | tree_random(&tree, UINT32_MAX);

            table(&bytes, 0)[i] = tree_random(&tree, 2) ? pa((unsigned)tree_random(&tree, 4)) | 7 : noise;
        }
        open_bytes(&bytes);
        image_each(&file.image, 0, image_space(&file.image), count_slot, &slots, &stopped);
        ck_assert_uint_le(slots, 3 * 512);
        image_each(&file.image, 0, image_space(&file.image), printer_add, &printer, &stopped);
        printer_end(&printer);
        ck_assert_int_eq(fclose(printer.out), 0);
        ck_assert_uint_gt(strlen(text), 0);
        free(text);
        image_file_close(&file);
        bytes_free(&bytes);
    }
    tree_close(&tree);
}
END_TEST

/* --- Files -------------------------------------------------------------------------------------------------------- */

static void check_refused(const char *path, const char *phrase)
{
    char error[IMAGE_ERROR];

    ck_assert_int_eq(image_file_open(&file, path, error), -1);
    ck_assert_msg(!strncmp(error, path, strlen(path)) && strstr(error, phrase), "%s", error);
    ck_assert_ptr_null(file.memory);
}

/* A mapping of it would have ended in SIGBUS. */
START_TEST(image_is_read_whole_before_its_file_is_truncated)
{
    const struct pt_image *image = open_filled(0, 3);
    char *before = dump_of(image, false);
    ck_assert_int_eq(truncate(path_of_file, 0), 0);
    char *after = dump_of(image, false);
    ck_assert_str_eq(after, before);
    free(before);
    free(after);
    tree_close(&tree);
}
END_TEST

START_TEST(what_is_no_image_is_refused)
{
    struct bytes bytes = chain("ept");

    check_refused(path_of_file, "No such file");
    check_refused(folder, "not a regular file");
    check_refused("/dev/zero", "not a regular file");
    write_file("", 0);
    check_refused(path_of_file, "empty");
    write_file(bytes.data, 100);
    check_refused(path_of_file, "header:");
    write_file(bytes.data, bytes.length - 1);
    check_refused(path_of_file, "tables:");
    bytes.data[0] = 'Q';
    write_file(bytes.data, bytes.length);
    check_refused(path_of_file, "magic:");
    unlink(path_of_file);
    ck_assert_int_eq(mkfifo(path_of_file, 0600), 0);
    check_refused(path_of_file, "not a regular file");
    bytes_free(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ptdump: images");
    TCase *tcase = tcase_create("images");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_dump_is_that_of_the_library, 0, 3 * TREE_KINDS);
    tcase_add_loop_test(tcase, an_empty_tree_is_dumped_as_one, 0, TREE_KINDS);
    tcase_add_loop_test(tcase, a_summary_counts_as_the_library_does, 0, TREE_KINDS);
    tcase_add_loop_test(tcase, a_range_is_every_slot_that_it_touches, 0, TREE_KINDS);
    tcase_add_loop_test(tcase, a_path_ends_in_the_slot_around_its_address, 0, TREE_KINDS);
    tcase_add_test(tcase, a_path_is_decoded);
    tcase_add_test(tcase, x86_addresses_may_be_canonical);
    tcase_add_test(tcase, rights_are_those_that_the_path_leaves);
    tcase_add_test(tcase, entries_that_make_no_sense_are_told);
    tcase_add_loop_test(tcase, a_cycle_ends_the_dump, 0, 2);
    tcase_add_loop_test(tcase, noise_is_dumped_or_stopped, 0, 3);
    tcase_add_test(tcase, image_is_read_whole_before_its_file_is_truncated);
    tcase_add_test(tcase, what_is_no_image_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
