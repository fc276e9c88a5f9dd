/* Thousands of resets, in every mixture with forks and checkpoints, leave nothing behind: no frame, table, mapping,
 * thread, descriptor or memory. */
#include "tests/support/kvm_held.h"
#include "tests/support/kvm_random.h"
#include "tests/support/rounds.h"

#include <stdlib.h>

static void reset(struct rig *rig, uint64_t guest)
{
    json_decref(rig_call(rig, "reset", "{s:I}", "guest", (json_int_t)guest));
    client_drop_events(rig->client);
}

static struct rig start_random(void)
{
    struct rig rig = RIG("--memory", "16M", "@random", "pages=2000", "fill=2000", "pace_us=20");
    random_wait_started(&rig, 0);
    return rig;
}

START_TEST(thousands_of_resets_leave_nothing)
{
    struct rig rig = start_random();
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "checkpoint", 0);
    for (int i = 0; i < 4; i++) { /* what the guest writes in a round it keeps from here on */
        rig_do(&rig, "resume", 0);
        random_wait_steps(&rig, 0, 2000);
        rig_do(&rig, "pause", 0);
        reset(&rig, 0);
    }
    const struct held before = rig_held(&rig);
    for (int i = 0; i < (int)rounds(3000, 400); i++) {
        if (i % 100 == 0)
            rig_do(&rig, "resume", 0);
        reset(&rig, 0);
        if (i % 100 == 99) {
            rig_do(&rig, "pause", 0);
            reset(&rig, 0);
        }
    }
    rig_check_held(&rig, &before);
    rig_quit(&rig);
}
END_TEST

/* One of everything. The root ends as it was. */
static void mix(struct rig *rig)
{
    uint64_t child = rig_fork(rig, 0, 1, false, NULL);
    reset(rig, child);
    uint64_t grandchild = rig_fork(rig, child, 1, true, NULL);
    reset(rig, child);
    rig_do(rig, "checkpoint", child);
    reset(rig, grandchild);
    rig_do(rig, "checkpoint", grandchild);
    rig_do(rig, "resume", grandchild);
    rig_do(rig, "kill", rig_fork(rig, child, 2, false, NULL));
    reset(rig, child);
    reset(rig, grandchild);
    rig_do(rig, "checkpoint", child);
    json_t *list = rig_call(rig, "query-guests", NULL);
    size_t i;
    const json_t *each;
    json_array_foreach(list, i, each) if (i && json_is_null(json_object_get(each, "reason")))
        rig_do(rig, "kill", (uint64_t)json_integer_value(json_object_get(each, "id")));
    json_decref(list);
    reset(rig, 0);
}

START_TEST(resets_among_forks_and_checkpoints_leave_nothing)
{
    struct rig rig = start_random();
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "checkpoint", 0);
    for (int i = 0; i < (int)rounds(20, 10); i++)
        mix(&rig);
    const struct held before = rig_held(&rig);
    for (int i = 0; i < (int)rounds(150, 20); i++)
        mix(&rig);
    rig_check_held(&rig, &before);
    rig_quit(&rig);
}
END_TEST

START_TEST(hundreds_of_checkpoints_hold_no_more_than_one)
{
    struct rig rig = start_random();
    rig_do(&rig, "pause", 0);
    for (int i = 0; i < 20; i++)
        rig_do(&rig, "checkpoint", 0);
    const struct held before = rig_held(&rig);
    for (int i = 0; i < (int)rounds(300, 60); i++) {
        rig_do(&rig, "resume", 0);
        if (i % 3)
            reset(&rig, 0);
        random_wait_steps(&rig, 0, 50);
        rig_do(&rig, "pause", 0);
        rig_do(&rig, "checkpoint", 0);
        if (i % 2)
            reset(&rig, 0);
    }
    const struct held after = rig_held(&rig);
    ck_assert_uint_eq(after.layers, before.layers); /* all of RAM has a frame, one each */
    ck_assert_uint_le(after.tables, before.tables + (16 << 20) / 512);
    ck_assert_uint_le(after.anonymous_kib, before.anonymous_kib + (16 << 10) + 4096); /* the overlay, as after forks */
    rig_quit(&rig);
}
END_TEST

START_TEST(thousands_of_checkpoints_leave_nothing)
{
    struct rig rig = start_random();
    rig_do(&rig, "pause", 0);
    for (int i = 0; i < 20; i++)
        rig_do(&rig, "checkpoint", 0);
    const struct held before = rig_held(&rig);
    for (int i = 0; i < (int)rounds(2000, 600); i++) /* of vCPU state alone 600 would be 5 MiB */
        rig_do(&rig, "checkpoint", 0);
    rig_check_held(&rig, &before);
    rig_quit(&rig);
}
END_TEST

START_TEST(guest_that_writes_much_in_each_round_keeps_little)
{
    enum { LIMIT_KIB = 64 << 10 };
    struct rig rig = RIG("--memory", "160M", "@workload", "resident=96M", "dirty=96M", "marks=1", "period_us=1000");
    RIG_UNTIL(rig_marks(&rig, 0, 1) == 1);
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "checkpoint", 0);
    const struct held before = rig_held(&rig);
    for (unsigned i = 0; i < rounds(3, 1); i++) {
        unsigned marks = rig_marks(&rig, 0, 0x10);
        rig_do(&rig, "resume", 0);
        RIG_UNTIL(rig_marks(&rig, 0, 0x10) > marks + 1); /* the first may end a round that was under way */
        rig_do(&rig, "pause", 0);
        ck_assert_uint_gt(rig_stat(&rig, 0, "overlay_bytes"), 90u << 20);
        reset(&rig, 0);
        ck_assert_uint_le(rig_stat(&rig, 0, "kept_bytes"), (uint64_t)LIMIT_KIB << 10);
        ck_assert_uint_le(rig_held(&rig).anonymous_kib, before.anonymous_kib + LIMIT_KIB + 4096);
    }
    rig_quit(&rig);
}
END_TEST

/* What a reset keeps is given up all together when it becomes too much; but not the page that says who the guest is. */
START_TEST(child_that_writes_much_stays_who_it_is)
{
    struct rig rig =
        RIG("--memory", "160M", "@workload", "resident=96M", "dirty=96M", "marks=1", "period_us=1000", "stay=1");
    RIG_UNTIL(rig_marks(&rig, 0, 1) == 1);
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    rig_do(&rig, "pause", 0);
    const struct boot_info info = rig_boot_info(&rig, child);
    for (unsigned i = 0; i < rounds(2, 1); i++) {
        reset(&rig, child);
        const struct boot_info before = rig_boot_info(&rig, child);
        ck_assert_mem_eq(&before, &info, sizeof info);
        rig_do(&rig, "resume", child);
        RIG_UNTIL(rig_stat(&rig, child, "overlay_bytes") > 90u << 20);
        rig_do(&rig, "pause", child);
        reset(&rig, child);
        const struct boot_info after = rig_boot_info(&rig, child);
        ck_assert_mem_eq(&after, &info, sizeof info);
    }
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reset_leaks");
    TCase *tests = tcase_create("leaks");
    tcase_set_timeout(tests, 2 * RIG_TIMEOUT_S);
    tcase_add_test(tests, thousands_of_resets_leave_nothing);
    tcase_add_test(tests, resets_among_forks_and_checkpoints_leave_nothing);
    tcase_add_test(tests, hundreds_of_checkpoints_hold_no_more_than_one);
    tcase_add_test(tests, thousands_of_checkpoints_leave_nothing);
    tcase_add_test(tests, guest_that_writes_much_in_each_round_keeps_little);
    tcase_add_test(tests, child_that_writes_much_stays_who_it_is);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
