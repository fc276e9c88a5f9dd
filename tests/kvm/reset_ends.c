/*
 * Guests that end with a checkpoint: they can be reset, as often as they end, whatever way they end, and keep the VMM
 * for that until somebody gives them up.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_rig.h"
#include "tests/support/rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reset(struct rig *rig, uint64_t guest)
{
    json_decref(rig_call(rig, "reset", "{s:I}", "guest", (json_int_t)guest));
}

/* The next of these two events of the guest. */
static bool next_is(struct rig *rig, uint64_t guest, const char *wanted)
{
    for (;;) {
        json_t *event = client_wait_event(rig->client, NULL, (int64_t)guest, RIG_PATIENCE_MS);
        ck_assert_msg(event != NULL, "no event %s", wanted);
        const char *name = event_name(event);
        bool is_end = strcmp(name, "EXITED") == 0 || strcmp(name, "CRASHED") == 0;
        bool found = strcmp(name, wanted) == 0, other = is_end || strcmp(name, "RESET") == 0;
        json_decref(event);
        if (found || other)
            return found;
    }
}

/* Ends again and again; `state` and `event` say how. Leaves it ended. */
static void end_again_and_again(struct rig *rig, uint64_t guest, const char *state, const char *event)
{
    for (int i = 0; i < 5; i++) {
        ck_assert(next_is(rig, guest, event));
        ck_assert(rig_state_is(rig, guest, state));
        reset(rig, guest);
        ck_assert(next_is(rig, guest, "RESET"));
    }
    ck_assert(next_is(rig, guest, event));
}

static struct rig start_crash(const char *how, const char *ring)
{
    char how_word[32], ring_word[32];
    snprintf(how_word, sizeof how_word, "how=%s", how);
    snprintf(ring_word, sizeof ring_word, "ring=%s", ring);
    struct rig rig = RIG("--memory", "8M", "--paused", "@crash", how_word, ring_word);
    rig_do(&rig, "checkpoint", 0);
    rig_do(&rig, "resume", 0);
    return rig;
}

START_TEST(crashed_guest_is_reset_and_crashes_again)
{
    static const char *const ways[][2] = {{"ud", "3"},    {"write", "3"},  {"gp", "3"}, {"de", "3"},
                                          {"stack", "3"}, {"triple", "0"}, {"ud", "0"}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct rig rig = start_crash(ways[i][0], ways[i][1]);
        end_again_and_again(&rig, 0, "crashed", "CRASHED");
        ck_assert(vmm_process_running(rig.process));
        rig_do(&rig, "kill", 0);
        ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_CRASHED);
    }
}
END_TEST

START_TEST(exited_guest_is_reset_and_exits_again)
{
    struct rig rig = RIG("--memory", "8M", "--paused", "@crash", "how=exit", "code=5");
    rig_do(&rig, "checkpoint", 0);
    rig_do(&rig, "resume", 0);
    end_again_and_again(&rig, 0, "exited", "EXITED");
    ck_assert_int_eq(rig_guest(&rig, 0).exit_code, 5);
    rig_do(&rig, "kill", 0);
    ck_assert_int_eq(rig_wait_exit(&rig), 5);

    rig = start_crash("hlt", "0"); /* all vCPUs halt for good */
    end_again_and_again(&rig, 0, "exited", "EXITED");
    rig_quit(&rig);
}
END_TEST

/* How far a guest counts that takes orders meanwhile and ends by itself: much longer than they take. */
static unsigned limit(void)
{
    return on_slow_machine() ? 30000000 : 400000000;
}

static struct rig start_counter(void)
{
    char limit_word[32];
    snprintf(limit_word, sizeof limit_word, "limit=%u", limit());
    return RIG("--memory", "8M", "--limit-guests", "2", "@counter", "quiet=1", limit_word);
}

START_TEST(guest_that_was_reset_after_its_end_is_like_any_other)
{
    struct rig rig = start_counter();
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    rig_do(&rig, "checkpoint", 0);
    RIG_UNTIL(rig_state_is(&rig, 0, "exited"));
    for (int i = 0; i < 2; i++) {
        reset(&rig, 0);
        ck_assert(rig_state_is(&rig, 0, "running"));
        ck_assert_int_eq(rig_guest(&rig, 0).exit_code, -1);
        uint64_t child = rig_fork(&rig, 0, 1, false, NULL);
        RIG_UNTIL(rig_probe(&rig, child).guest_id == child);
        rig_do(&rig, "kill", child);
        rig_do(&rig, "pause", 0);
        rig_do(&rig, "checkpoint", 0);
        rig_do(&rig, "resume", 0);
        RIG_UNTIL(rig_state_is(&rig, 0, "exited"));
    }
    rig_quit(&rig);
}
END_TEST

START_TEST(ended_guest_shows_its_memory_and_takes_no_orders)
{
    struct rig rig = start_counter();
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    rig_do(&rig, "checkpoint", 0);
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    RIG_UNTIL(rig_state_is(&rig, 0, "exited"));
    ck_assert_uint_eq(rig_probe(&rig, 0).counter, limit());
    ck_assert_uint_gt(rig_stat(&rig, 0, "overlay_bytes"), 0);
    static const char *const orders[] = {"fork", "pause", "resume", "checkpoint"};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        rig_refused(&rig, "GuestNotFound", "reset returns it", orders[i], "{s:i}", "guest", 0);
    rig_refused(&rig, "LimitExceeded", "2 guests", "fork", "{s:I}", "guest", (json_int_t)child);
    ck_assert(rig_state_is(&rig, 0, "exited"));
    reset(&rig, 0);
    ck_assert_uint_lt(rig_probe(&rig, 0).counter, limit());
    rig_quit(&rig);
}
END_TEST

START_TEST(vmm_stays_for_a_reset_until_the_last_is_given_up)
{
    struct rig rig = start_counter();
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    uint64_t child = rig_fork(&rig, 0, 1, false, NULL);
    rig_do(&rig, "checkpoint", child);
    RIG_UNTIL(rig_live(&rig) == 0);
    rig_refused(&rig, "GuestNotFound", "no checkpoint", "reset", "{s:i}", "guest", 0);
    rig_refused(&rig, "GuestNotFound", "has ended", "kill", "{s:i}", "guest", 0);
    reset(&rig, child);
    RIG_UNTIL(rig_live(&rig) == 0);
    rig_sleep_ms(50);
    ck_assert(vmm_process_running(rig.process));
    rig_do(&rig, "kill", child);
    ck_assert_int_eq(rig_wait_exit(&rig), 0); /* the root's exit code */
}
END_TEST

START_TEST(child_without_a_checkpoint_is_gone_when_it_ends)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "--paused", "@crash", "how=ud");
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    rig_do(&rig, "resume", 0);
    rig_do(&rig, "resume", child);
    RIG_UNTIL(rig_live(&rig) == 0);
    rig_refused(&rig, "GuestNotFound", "no checkpoint", "reset", "{s:I}", "guest", (json_int_t)child);
    ck_assert_uint_eq(rig_stat(&rig, child, "host_table_bytes"), 0); /* and all it held */
    rig_quit(&rig);
}
END_TEST

START_TEST(vcpus_that_ran_when_the_guest_ended_return_too)
{
    struct rig rig = RIG("--memory", "8M", "--cpus", "4", "--paused", "@smp", "rounds=20", "times=20000");
    rig_do(&rig, "checkpoint", 0);
    rig_do(&rig, "resume", 0);
    end_again_and_again(&rig, 0, "exited", "EXITED");
    ck_assert_int_eq(rig_guest(&rig, 0).exit_code, 0); /* 1 where the vCPUs' counts do not agree */
    ck_assert_uint_eq(rig_marks(&rig, 0, MARK_ROUND), 6);
    rig_do(&rig, "kill", 0);
    ck_assert_int_eq(rig_wait_exit(&rig), 0);
}
END_TEST

START_TEST(no_vcpu_runs_on_after_the_end)
{
    struct rig rig = RIG("--memory", "8M", "--cpus", "3", "@smp", "rounds=1", "times=10", "mode=forever", "after=exit");
    RIG_UNTIL(rig_marks(&rig, 0, MARK_ROUND) == 1);
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    rig_do(&rig, "kill", 0);
    rig_do(&rig, "checkpoint", child);
    rig_do(&rig, "resume", child);
    RIG_UNTIL(rig_state_is(&rig, child, "exited")); /* by vCPU 0, while the others count */
    const struct probe at_end = rig_probe(&rig, child);
    rig_sleep_ms(50);
    const struct probe later = rig_probe(&rig, child);
    ck_assert_mem_eq(&later, &at_end, sizeof later);
    reset(&rig, child);
    RIG_UNTIL(rig_state_is(&rig, child, "exited"));
    ck_assert_uint_eq(rig_marks(&rig, child, MARK_VERIFIED), 2); /* every vCPU went on */
    rig_quit(&rig);
}
END_TEST

START_TEST(quit_and_an_end_of_its_own_say_each_end_once)
{
    struct rig rig = start_crash("ud", "3");
    ck_assert(next_is(&rig, 0, "CRASHED"));
    json_decref(rig_call(&rig, "quit", NULL));
    json_t *event;
    while ((event = client_next_event(rig.client, RIG_PATIENCE_MS))) {
        ck_assert_str_ne(event_name(event), "EXITED");
        ck_assert_str_ne(event_name(event), "CRASHED");
        json_decref(event);
    }
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reset_ends");
    TCase *tests = tcase_create("ends");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, crashed_guest_is_reset_and_crashes_again);
    tcase_add_test(tests, exited_guest_is_reset_and_exits_again);
    tcase_add_test(tests, guest_that_was_reset_after_its_end_is_like_any_other);
    tcase_add_test(tests, ended_guest_shows_its_memory_and_takes_no_orders);
    tcase_add_test(tests, vmm_stays_for_a_reset_until_the_last_is_given_up);
    tcase_add_test(tests, child_without_a_checkpoint_is_gone_when_it_ends);
    tcase_add_test(tests, vcpus_that_ran_when_the_guest_ended_return_too);
    tcase_add_test(tests, no_vcpu_runs_on_after_the_end);
    tcase_add_test(tests, quit_and_an_end_of_its_own_say_each_end_once);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
