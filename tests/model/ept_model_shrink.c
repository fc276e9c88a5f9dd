/* The random tests tested: bugs planted in front of the library are found, and shortened to a few operations. */
#include <check.h>
#include <stdlib.h>

#include "tests/support/model_exec.h"
#include "tests/support/model_shrink.h"

static struct lab *lab;
static struct model_format planted; /* EPT, with one call that does not do what it should */

static void setup(void)
{
    lab = lab_new();
    planted = model_ept;
}

static void teardown(void)
{
    lab_free(lab);
}

static bool run_fails(void *ctx, const struct script *script)
{
    (void)ctx;
    return !model_run(lab, &planted, script, true);
}

/* Finds a run that fails, shortens it, and sees at most so many operations left. */
static void find(bool failing, size_t most)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct script script = script_of_seed(seed, 300, planted.levels, failing);
        bool failed = !model_run(lab, &planted, &script, false);

        if (failed) {
            shrink(&script, run_fails, NULL, 3000);
            ck_assert(run_fails(NULL, &script));
            ck_assert_uint_le(script.count, most);
        }
        free(script.ops);
        if (failed)
            return;
    }
    ck_abort_msg("no run finds the bug");
}

static enum pt_status protect_leaves_dirty(struct pt_cursor *cursor, uint64_t length, struct pt_change change)
{
    change.clear &= ~PT_D;
    return model_ept.call.cursor_protect_range(cursor, length, change);
}

START_TEST(a_property_that_is_not_changed_is_found)
{
    planted.call.cursor_protect_range = protect_leaves_dirty;
    find(false, 3); /* a mapping, a write by hardware, and the change */
}
END_TEST

static void sync_without_flush(struct pt_gather *gather)
{
    gather->nranges = 0;
    model_ept.call.gather_sync(gather);
}

START_TEST(a_flush_that_is_forgotten_is_found)
{
    planted.call.gather_sync = sync_without_flush;
    find(false, 2); /* a mapping, and its end; the end of the run syncs */
}
END_TEST

/* Shares, but leaves the last page of the source writable. */
static enum pt_status share_too_little(struct pt_cursor *dst, struct pt_cursor *src, uint64_t length)
{
    if (length <= PT_PAGE_SIZE)
        return model_ept.call.cursor_share_from(dst, src, length);
    return model_ept.call.cursor_share_from(dst, src, length - PT_PAGE_SIZE);
}

START_TEST(a_page_that_is_not_shared_is_found)
{
    planted.call.cursor_share_from = share_too_little;
    find(false, 2);
}
END_TEST

/* Where frames are refused, part of the range has been mapped. */
static enum pt_status map_half(struct pt_cursor *cursor, uint64_t hpa, uint64_t length, pt_prop prop)
{
    enum pt_status status = model_ept.call.cursor_map_range(cursor, hpa, length, prop);
    uint64_t at = model_ept.call.cursor_at(cursor);

    if (status == PT_EFRAME && model_ept.call.cursor_map(cursor, hpa, 1, prop & ~PT_TRACKED) == PT_OK)
        (void)!model_ept.call.cursor_jump(cursor, at);
    return status;
}

START_TEST(a_failure_that_changes_something_is_found)
{
    planted.call.cursor_map_range = map_half;
    find(true, 1);
}
END_TEST

/* A list is cut to what matters, and what is left is as plain as it can be. */
static bool has_share_then_collapse(void *ctx, const struct script *script)
{
    size_t i = 0;

    (void)ctx;
    while (i < script->count && script->ops[i].code != OP_SHARE)
        i++;
    while (i < script->count && !(script->ops[i].code == OP_COLLAPSE && script->ops[i].start >= 0x5000))
        i++;
    return i < script->count;
}

START_TEST(only_what_matters_is_left)
{
    struct script script = script_of_seed(1, 1000, 4, false);

    ck_assert(has_share_then_collapse(NULL, &script));
    shrink(&script, has_share_then_collapse, NULL, 10000);
    ck_assert_uint_eq(script.count, 2);
    ck_assert_uint_eq(script.variant, 0);
    ck_assert_int_eq(script.ops[0].code, OP_SHARE);
    ck_assert_uint_eq(script.ops[0].start + script.ops[0].length + script.ops[0].times + script.ops[0].tree, 0);
    ck_assert_int_eq(script.ops[1].code, OP_COLLAPSE);
    ck_assert_uint_ge(script.ops[1].start, 0x5000);
    ck_assert_uint_eq(script.ops[1].start & (script.ops[1].start - 1), 0); /* one bit is left */
    free(script.ops);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model: planted bugs");
    TCase *tcase = tcase_create("shrink");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 600);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_property_that_is_not_changed_is_found);
    tcase_add_test(tcase, a_flush_that_is_forgotten_is_found);
    tcase_add_test(tcase, a_page_that_is_not_shared_is_found);
    tcase_add_test(tcase, a_failure_that_changes_something_is_found);
    tcase_add_test(tcase, only_what_matters_is_left);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
