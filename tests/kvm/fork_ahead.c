/*
 * Publishing ahead: what a running guest has written much of is published before the pause of a fork, and only what it
 * writes meanwhile in the pause. That a child still holds one instant is fork_point_in_time's business.
 */
#include "tests/support/kvm_rig.h"

#define DIRTY_BYTES (4 << 20)
#define DIRTY_PAGES (DIRTY_BYTES / 4096)

/* A guest that has been forked once, and writes to as many pages again and again. */
static struct rig start_dirtying(void)
{
    struct rig rig = RIG("--memory", "32M", "--linger", "@workload", "resident=8M", "dirty=4M", "period_us=20000");
    RIG_UNTIL(rig_marks(&rig, 0, 1));
    rig_do(&rig, "kill", rig_fork(&rig, 0, 1, true, NULL));
    return rig;
}

/* Forks once the guest has written all of it; returns how many pages were published ahead. */
static uint64_t fork_dirty(struct rig *rig)
{
    RIG_UNTIL(rig_stat(rig, 0, "overlay_bytes") >= DIRTY_BYTES);
    uint64_t ahead = rig_stat(rig, 0, "published_ahead_pages"), published = rig_stat(rig, 0, "published_pages");
    rig_do(rig, "kill", rig_fork(rig, 0, 1, true, NULL));
    ck_assert_uint_ge(rig_stat(rig, 0, "published_pages") - published, DIRTY_PAGES);
    return rig_stat(rig, 0, "published_ahead_pages") - ahead;
}

START_TEST(much_that_a_running_guest_has_written_is_published_before_the_pause)
{
    struct rig rig = start_dirtying();
    ck_assert_uint_ge(fork_dirty(&rig), DIRTY_PAGES);
    rig_quit(&rig);
}
END_TEST

START_TEST(nothing_is_published_ahead_for_a_paused_guest)
{
    struct rig rig = start_dirtying();
    RIG_UNTIL(rig_stat(&rig, 0, "overlay_bytes") >= DIRTY_BYTES);
    rig_do(&rig, "pause", 0);
    ck_assert_uint_eq(fork_dirty(&rig), 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(little_is_published_in_the_pause)
{
    struct rig rig = RIG("--memory", "32M", "--linger", "@workload", "resident=8M", "dirty=64K", "period_us=20000");
    RIG_UNTIL(rig_marks(&rig, 0, 1));
    for (int i = 0; i < 3; i++)
        rig_do(&rig, "kill", rig_fork(&rig, 0, 1, true, NULL));
    ck_assert_uint_eq(rig_stat(&rig, 0, "published_ahead_pages"), 0);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork_ahead");
    TCase *tests = tcase_create("ahead");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, much_that_a_running_guest_has_written_is_published_before_the_pause);
    tcase_add_test(tests, nothing_is_published_ahead_for_a_paused_guest);
    tcase_add_test(tests, little_is_published_in_the_pause);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
