/* What is saved comes back: memory of every pattern, state, diffs on diffs, compressed or not; and where data lies in
 * the file. */
#include "tests/support/snapshot_case.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS 12

static struct snapshot_case c;

static void setup(void)
{
    case_open(&c, 17 * CASE_MIB, 2); /* the last block is half of one */
}

static void teardown(void)
{
    case_close(&c);
}

START_TEST(state_comes_back)
{
    struct snapshot_job job = case_job(&c, case_path(&c, "a"));
    struct snapshot_result result = case_save(&job);
    struct snapshot *snapshot = case_snapshot(job.path);

    case_expect_state(snapshot_state(snapshot), &c.state);
    ck_assert_str_eq(snapshot_path(snapshot), job.path);
    ck_assert_mem_eq(snapshot_name(snapshot), &result.lineage.names[0], sizeof(struct snapshot_name));
    ck_assert_uint_eq(snapshot_bytes(snapshot), result.bytes);
    ck_assert_int_eq(snapshot_kind(snapshot), SNAPSHOT_FULL);
    ck_assert_ptr_null(snapshot_parent(snapshot));
    ck_assert_ptr_null(snapshot_parent_path(snapshot));
    snapshot_close(snapshot);
}
END_TEST

START_TEST(memory_of_any_pattern_comes_back)
{
    struct snapshot_job job = case_job(&c, case_path(&c, "a"));

    for (unsigned round = 0; round < ROUNDS; round++) {
        case_scribble(&c, 1 + round * 3, NULL);
        job.compress = round % 2;
        case_save(&job);
        case_expect(job.path, c.ram, c.memory);
    }
}
END_TEST

/* Sources of several files and of none, cut anywhere, not in the order of their offsets, with memory between them that
 * is zero. */
START_TEST(memory_in_pieces_comes_back)
{
    uint64_t pages = c.memory / SNAPSHOT_PAGE;
    struct snapshot_source *sources = calloc(pages, sizeof *sources);
    struct snapshot_job job = case_job(&c, case_path(&c, "a"));
    int other = dup(c.fd);

    job.sources = sources;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint8_t *wanted = calloc(pages, SNAPSHOT_PAGE);
        case_scribble(&c, 20, NULL);
        job.source_count = 0;
        for (uint64_t at = 0, n; at < pages; at += n) {
            n = 1 + case_random(&c, case_random(&c, 3) ? 20 : 900);
            n = n < pages - at ? n : pages - at;
            if (!case_random(&c, 3))
                continue;
            uint64_t from = case_random(&c, pages - n + 1) * SNAPSHOT_PAGE, gpa = at * SNAPSHOT_PAGE;
            int fd = (int[]){c.fd, other, -1}[case_random(&c, 3)];
            sources[job.source_count++] = (struct snapshot_source){gpa, n * SNAPSHOT_PAGE, fd, from};
            if (fd >= 0)
                memcpy(wanted + gpa, c.ram + from, n * SNAPSHOT_PAGE);
        }
        case_save(&job);
        case_expect(job.path, wanted, c.memory);
        free(wanted);
    }
    close(other);
    free(sources);
}
END_TEST

static void diffs_come_back(bool compress_some)
{
    uint8_t *dirty = calloc(c.memory / SNAPSHOT_PAGE, 1);
    const char *names[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    uint8_t *models[8];
    struct snapshot_result result;

    case_scribble(&c, 30, NULL);
    struct snapshot_job job = case_job(&c, case_path(&c, "0"));
    result = case_save(&job);
    for (unsigned i = 0; i < 8; i++) {
        if (i) {
            case_scribble(&c, 1 + i * 2, dirty);
            result = case_save_diff(&c, case_path(&c, names[i]), &result.lineage, case_path(&c, names[i - 1]), dirty,
                                    compress_some && i % 3 == 1);
        }
        models[i] = malloc(c.memory);
        memcpy(models[i], c.ram, c.memory);
    }
    for (unsigned i = 0; i < 8; i++) {
        case_expect(case_path(&c, names[i]), models[i], c.memory);
        free(models[i]);
    }
    free(dirty);
}

START_TEST(diffs_on_diffs_come_back)
{
    diffs_come_back(false);
}
END_TEST

/* Pages next to each other that lie at adjacent offsets, but of two files. */
START_TEST(extents_do_not_go_from_file_to_file)
{
    uint8_t *dirty = calloc(c.memory / SNAPSHOT_PAGE, 1);
    struct snapshot_job job = case_job(&c, case_path(&c, "0"));

    case_fill(&c, SNAPSHOT_PAGE, 2 * SNAPSHOT_PAGE); /* at 4096 and 8192 */
    struct snapshot_result result = case_save(&job);
    case_fill(&c, 0, SNAPSHOT_PAGE);
    case_fill(&c, 2 * SNAPSHOT_PAGE, SNAPSHOT_PAGE);
    dirty[0] = dirty[2] = 1; /* at 4096 and 8192 too */
    case_save_diff(&c, case_path(&c, "1"), &result.lineage, job.path, dirty, false);
    case_expect(case_path(&c, "1"), c.ram, c.memory);
    free(dirty);
}
END_TEST

/* Its last section is empty and comes after a name of any length. */
START_TEST(a_diff_of_nothing)
{
    uint8_t *dirty = calloc(c.memory / SNAPSHOT_PAGE, 1);
    const char *names[] = {"0", "1", "22", "333", "4444"};
    struct snapshot_job job = case_job(&c, case_path(&c, "0"));

    case_scribble(&c, 5, NULL);
    struct snapshot_result result = case_save(&job);
    for (unsigned i = 1; i < 5; i++) {
        result =
            case_save_diff(&c, case_path(&c, names[i]), &result.lineage, case_path(&c, names[i - 1]), dirty, i % 2);
        ck_assert_uint_eq(result.pages + result.zero_pages, 0);
        case_expect(case_path(&c, names[i]), c.ram, c.memory);
    }
    free(dirty);
}
END_TEST

START_TEST(compressed_diffs_among_others_come_back)
{
    diffs_come_back(true);
}
END_TEST

START_TEST(untouched_memory_takes_no_space)
{
    struct snapshot_job job = case_job(&c, case_path(&c, "a"));
    memset(c.ram + 4 * CASE_MIB, 0, 4 * CASE_MIB); /* zeros that are there */
    struct snapshot_result result = case_save(&job);
    struct snapshot *snapshot = case_snapshot(job.path);
    size_t count;

    ck_assert_uint_eq(result.pages, 0);
    ck_assert_uint_eq(result.zero_pages, c.memory / SNAPSHOT_PAGE);
    ck_assert_uint_lt(result.bytes, 16384);
    snapshot_runs(snapshot, &count);
    ck_assert_uint_eq(count, 0);
    snapshot_close(snapshot);
}
END_TEST

/* Whole blocks at multiples of 2 MiB, one run each; the others fill the first 2 MiB and then more. */
START_TEST(data_lies_where_it_can_be_mapped)
{
    struct snapshot_job job = case_job(&c, case_path(&c, "a"));
    struct stat status;
    size_t count;

    case_fill(&c, 2 * CASE_MIB, 4 * CASE_MIB);
    case_fill(&c, 9 * CASE_MIB, 2 * CASE_MIB); /* two halves, which fill the room before the blocks to its last page */
    case_fill(&c, 14 * CASE_MIB, 2 * CASE_MIB);
    struct snapshot_result result = case_save(&job);
    struct snapshot *snapshot = case_snapshot(job.path);
    const struct snapshot_run *runs = snapshot_runs(snapshot, &count);
    static const struct {
        uint64_t gpa, bytes, offset;
    } wanted[] = {
        {2 * CASE_MIB, 2 * CASE_MIB, 2 * CASE_MIB},
        {4 * CASE_MIB, 2 * CASE_MIB, 4 * CASE_MIB},
        {9 * CASE_MIB, CASE_MIB, 4096},
        {10 * CASE_MIB, CASE_MIB - 4096, 4096 + CASE_MIB},
        {11 * CASE_MIB - 4096, 4096, 6 * CASE_MIB},
        {14 * CASE_MIB, 2 * CASE_MIB, 8 * CASE_MIB},
    };

    ck_assert_uint_eq(count, sizeof wanted / sizeof *wanted);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(runs[i].gpa, wanted[i].gpa);
        ck_assert_uint_eq(runs[i].bytes, wanted[i].bytes);
        ck_assert_uint_eq(runs[i].offset, wanted[i].offset);
        ck_assert_uint_eq(runs[i].stored, wanted[i].bytes);
    }
    ck_assert_uint_eq(result.pages, 8 * CASE_MIB / SNAPSHOT_PAGE);
    ck_assert_int_eq(stat(job.path, &status), 0);
    ck_assert_uint_eq((uint64_t)status.st_size, result.bytes);
    ck_assert_uint_lt(result.bytes, 10 * CASE_MIB + 32768);
    ck_assert_uint_lt((uint64_t)status.st_blocks * 512, 8 * CASE_MIB + 65536); /* room that is left over is a hole */
    snapshot_close(snapshot);
}
END_TEST

/* What no file holds anything of stays untouched, so that it costs a restored guest nothing. */
START_TEST(loading_writes_no_zero_page)
{
    struct snapshot_job job = case_job(&c, case_path(&c, "0"));
    uint8_t *dirty = calloc(c.memory / SNAPSHOT_PAGE, 1), *memory = malloc(c.memory), *untouched = malloc(c.memory);
    struct snapshot_error error;

    case_fill(&c, 0, 4 * CASE_MIB);
    struct snapshot_result result = case_save(&job);
    memset(c.ram + CASE_MIB, 0, CASE_MIB);
    memset(dirty + CASE_MIB / SNAPSHOT_PAGE, 1, CASE_MIB / SNAPSHOT_PAGE);
    case_save_diff(&c, case_path(&c, "1"), &result.lineage, job.path, dirty, false);

    struct snapshot_chain chain = case_chain(case_path(&c, "1"));
    memset(memory, 0x5a, c.memory);
    ck_assert_int_eq(snapshot_chain_load(&chain, memory, NULL, &error), 0);
    ck_assert_mem_eq(memory, c.ram, CASE_MIB);
    ck_assert_mem_eq(memory + 2 * CASE_MIB, c.ram + 2 * CASE_MIB, 2 * CASE_MIB);
    memset(untouched, 0x5a, c.memory);
    ck_assert_mem_eq(memory + CASE_MIB, untouched, CASE_MIB);
    ck_assert_mem_eq(memory + 4 * CASE_MIB, untouched, c.memory - 4 * CASE_MIB);
    snapshot_chain_close(&chain);
    free(untouched);
    free(memory);
    free(dirty);
}
END_TEST

START_TEST(loading_can_be_cancelled)
{
    struct snapshot_job job = case_job(&c, case_path(&c, "a"));
    uint8_t *memory = calloc(1, c.memory);
    struct snapshot_error error;
    atomic_bool cancel = false;

    case_fill(&c, 0, 4 * CASE_MIB);
    case_save(&job);
    struct snapshot_chain chain = case_chain(job.path);
    ck_assert_int_eq(snapshot_chain_load(&chain, memory, &cancel, &error), 0);
    ck_assert_mem_eq(memory, c.ram, 4 * CASE_MIB);
    cancel = true;
    ck_assert_int_eq(snapshot_chain_load(&chain, memory, &cancel, &error), -1);
    ck_assert_int_eq(error.class, SNAPSHOT_CANCELLED);
    snapshot_chain_close(&chain);
    free(memory);
}
END_TEST

START_TEST(a_compressed_file_is_smaller_and_not_mapped)
{
    struct snapshot_job job = case_job(&c, case_path(&c, "a"));
    struct snapshot_extent *extents;
    struct snapshot_error error;
    size_t count;

    case_fill(&c, 0, 8 * CASE_MIB);
    job.compress = true;
    struct snapshot_result result = case_save(&job);
    ck_assert_uint_lt(result.bytes, 2 * CASE_MIB);
    struct snapshot_chain chain = case_chain(job.path);
    ck_assert(snapshot_compressed(chain.files[0]));
    ck_assert_int_eq(snapshot_chain_extents(&chain, &extents, &count, &error), -1);
    ck_assert_int_eq(error.class, SNAPSHOT_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "compressed"));
    snapshot_chain_close(&chain);
}
END_TEST

/* An open snapshot is the file, not its name. */
START_TEST(a_file_may_be_replaced_or_deleted_while_open)
{
    struct snapshot_job job = case_job(&c, case_path(&c, "a"));
    uint8_t *memory = calloc(1, c.memory), *model = malloc(c.memory);
    struct snapshot_error error;

    case_scribble(&c, 20, NULL);
    memcpy(model, c.ram, c.memory);
    case_save(&job);
    struct snapshot_chain chain = case_chain(job.path);
    case_scribble(&c, 20, NULL);
    case_save(&job);
    ck_assert_int_eq(unlink(job.path), 0);
    ck_assert_int_eq(snapshot_chain_load(&chain, memory, NULL, &error), 0);
    ck_assert_mem_eq(memory, model, c.memory);
    ck_assert_int_eq(snapshot_verify(chain.files[0], &error), 0);
    snapshot_chain_close(&chain);
    free(memory);
    free(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot files");
    TCase *tcase = tcase_create("snapshot files");

    tcase_set_timeout(tcase, 240);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, state_comes_back);
    tcase_add_test(tcase, memory_of_any_pattern_comes_back);
    tcase_add_test(tcase, memory_in_pieces_comes_back);
    tcase_add_test(tcase, diffs_on_diffs_come_back);
    tcase_add_test(tcase, extents_do_not_go_from_file_to_file);
    tcase_add_test(tcase, a_diff_of_nothing);
    tcase_add_test(tcase, compressed_diffs_among_others_come_back);
    tcase_add_test(tcase, untouched_memory_takes_no_space);
    tcase_add_test(tcase, data_lies_where_it_can_be_mapped);
    tcase_add_test(tcase, loading_writes_no_zero_page);
    tcase_add_test(tcase, loading_can_be_cancelled);
    tcase_add_test(tcase, a_compressed_file_is_smaller_and_not_mapped);
    tcase_add_test(tcase, a_file_may_be_replaced_or_deleted_while_open);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
