/* --limit-overlay: a guest that has written too much since it was made or forked is paused, and clients are told. */
#include "tests/support/kvm_rig.h"

#include <stdlib.h>

static bool told_of(struct rig *rig, uint64_t guest)
{
    json_t *event;
    bool told = false;
    while (!told && (event = client_next_event(rig->client, 100))) {
        told = strcmp(event_name(event), "OVERLAY_LIMIT") == 0 && (uint64_t)event_guest(event) == guest;
        json_decref(event);
    }
    return told;
}

START_TEST(guest_beyond_its_overlay_is_paused_and_clients_are_told)
{
    struct rig rig = RIG("--memory", "32M", "--limit-overlay", "512K", "@workload", "resident=8M", "dirty=1M");
    RIG_UNTIL(rig_marks(&rig, 0, 1) == 1);
    rig_fork(&rig, 0, 1, true, NULL);
    RIG_UNTIL(told_of(&rig, 0));
    ck_assert(rig_state_is(&rig, 0, "paused"));
    ck_assert_uint_gt(rig_stat(&rig, 0, "overlay_bytes"), 512 << 10);
    ck_assert(rig_state_is(&rig, 1, "paused")); /* as it was made */
    rig_quit(&rig);
}
END_TEST

START_TEST(fork_empties_the_overlay_so_that_the_parent_can_go_on)
{
    struct rig rig = RIG("--memory", "32M", "--limit-overlay", "512K", "@workload", "resident=8M", "dirty=1M");
    RIG_UNTIL(rig_marks(&rig, 0, 1) == 1);
    rig_fork(&rig, 0, 1, true, NULL);
    RIG_UNTIL(rig_state_is(&rig, 0, "paused"));
    rig_fork(&rig, 0, 1, true, NULL);
    ck_assert_uint_lt(rig_stat(&rig, 0, "overlay_bytes"), 512 << 10);
    rig_do(&rig, "resume", 0);
    RIG_UNTIL(rig_state_is(&rig, 0, "paused")); /* it has written its megabyte again */
    rig_quit(&rig);
}
END_TEST

START_TEST(guest_within_its_overlay_runs_on)
{
    struct rig rig = RIG("--memory", "32M", "--limit-overlay", "4M", "@workload", "resident=8M", "dirty=1M");
    RIG_UNTIL(rig_marks(&rig, 0, 1) == 1);
    rig_fork(&rig, 0, 1, true, NULL);
    RIG_UNTIL(rig_stat(&rig, 0, "overlay_bytes") > 1 << 20);
    rig_sleep_ms(300);
    ck_assert(rig_state_is(&rig, 0, "running"));
    rig_quit(&rig);
}
END_TEST

START_TEST(root_has_no_overlay_before_its_first_fork)
{
    struct rig rig = RIG("--memory", "32M", "--limit-overlay", "512K", "@workload", "resident=8M", "dirty=1M");
    RIG_UNTIL(rig_marks(&rig, 0, 1) == 1);
    rig_sleep_ms(300);
    ck_assert(rig_state_is(&rig, 0, "running"));
    ck_assert_uint_eq(rig_stat(&rig, 0, "overlay_bytes"), 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(bad_limit_is_refused)
{
    REFUSED(RUN("--limit-overlay", "0", "@hello"), "--limit-overlay 0");
    REFUSED(RUN("--limit-overlay", "much", "@hello"), "--limit-overlay much");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("overlay_limit");
    TCase *tests = tcase_create("overlay limit");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, guest_beyond_its_overlay_is_paused_and_clients_are_told);
    tcase_add_test(tests, fork_empties_the_overlay_so_that_the_parent_can_go_on);
    tcase_add_test(tests, guest_within_its_overlay_runs_on);
    tcase_add_test(tests, root_has_no_overlay_before_its_first_fork);
    tcase_add_test(tests, bad_limit_is_refused);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
