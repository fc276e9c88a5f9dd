/*
 * Checkpoint and reset of one guest or a few: everything is as it was, whatever the guest has done since, crashing
 * included, and nobody else is touched.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_rig.h"
#include "tests/support/rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM (4u << 20)

static struct rig start_counter(void)
{
    struct rig rig = RIG("--memory", "4M", "@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    return rig;
}

static uint64_t counter(struct rig *rig, uint64_t guest)
{
    return rig_probe(rig, guest).counter;
}

/* All RAM of a guest that stands still; for the caller to free. */
static uint8_t *ram_of(struct rig *rig, uint64_t guest)
{
    uint8_t *ram = malloc(RAM);
    ck_assert_ptr_nonnull(ram);
    rig_read(rig, guest, 0, RAM, ram);
    return ram;
}

static void check_ram(struct rig *rig, uint64_t guest, const uint8_t *wanted)
{
    uint8_t *found = ram_of(rig, guest);
    for (size_t at = 0; at < RAM; at += 4096)
        ck_assert_msg(memcmp(found + at, wanted + at, 4096) == 0, "guest %llu: the page at %#zx differs",
                      (unsigned long long)guest, at);
    free(found);
}

static uint64_t reset(struct rig *rig, uint64_t guest)
{
    json_t *report = rig_call(rig, "reset", "{s:I}", "guest", (json_int_t)guest);
    uint64_t dropped = (uint64_t)json_integer_value(json_object_get(report, "dropped_pages"));
    json_decref(report);
    return dropped;
}

static bool resets_to(struct rig *rig, uint64_t guest, const char *target)
{
    json_t *guests = rig_call(rig, "query-guests", NULL);
    const char *to = json_string_value(json_object_get(json_array_get(guests, (size_t)guest), "reset_to"));
    bool same = target ? to && strcmp(to, target) == 0 : !to;
    json_decref(guests);
    return same;
}

START_TEST(root_returns_to_its_checkpoint_again_and_again)
{
    struct rig rig = start_counter();
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "checkpoint", 0);
    uint8_t *ram = ram_of(&rig, 0);
    const unsigned times = rounds(10, 3);
    for (unsigned i = 0; i < times; i++) {
        rig_do(&rig, "resume", 0);
        rig_run_on(&rig, 0, 1000);
        rig_do(&rig, "pause", 0);
        ck_assert_uint_gt(reset(&rig, 0), 0);
        check_ram(&rig, 0, ram);
        ck_assert_uint_eq(reset(&rig, 0), 0); /* nothing has been written since */
        check_ram(&rig, 0, ram);
    }
    free(ram);
    ck_assert_uint_eq(rig_stat(&rig, 0, "checkpoints"), 1);
    ck_assert_uint_eq(rig_stat(&rig, 0, "resets"), 2 * times);
    ck_assert_uint_eq(rig_stat(&rig, 0, "overlay_bytes"), 0);
    ck_assert_uint_eq(rig_guest(&rig, 0).generation, 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(checkpoint_of_a_running_guest_is_one_instant)
{
    struct rig rig = start_counter();
    for (unsigned round = 0; round < rounds(5, 2); round++) {
        uint64_t before = counter(&rig, 0);
        rig_do(&rig, "checkpoint", 0);
        uint64_t after = counter(&rig, 0);
        ck_assert(rig_state_is(&rig, 0, "running"));
        rig_run_on(&rig, 0, 1000);
        rig_do(&rig, "pause", 0);
        reset(&rig, 0);
        uint8_t *ram = ram_of(&rig, 0);
        ck_assert_uint_ge(counter(&rig, 0), before);
        ck_assert_uint_le(counter(&rig, 0), after);
        for (int i = 0; i < 3; i++) {
            rig_do(&rig, "resume", 0);
            rig_run_on(&rig, 0, 1000);
            rig_do(&rig, "pause", 0);
            reset(&rig, 0);
            check_ram(&rig, 0, ram);
        }
        free(ram);
        rig_do(&rig, "resume", 0);
    }
    rig_quit(&rig);
}
END_TEST

START_TEST(running_guest_runs_on_and_paused_one_stays_paused)
{
    struct rig rig = start_counter();
    rig_do(&rig, "checkpoint", 0);
    for (int i = 0; i < 3; i++) {
        reset(&rig, 0);
        ck_assert(rig_state_is(&rig, 0, "running"));
        rig_run_on(&rig, 0, 1000);
    }
    rig_do(&rig, "pause", 0);
    reset(&rig, 0);
    ck_assert(rig_state_is(&rig, 0, "paused"));
    uint64_t count = counter(&rig, 0);
    rig_sleep_ms(30);
    ck_assert_uint_eq(counter(&rig, 0), count);
    rig_do(&rig, "resume", 0);
    rig_run_on(&rig, 0, 1000);
    rig_quit(&rig);
}
END_TEST

START_TEST(later_checkpoint_takes_the_place_of_the_earlier)
{
    struct rig rig = start_counter();
    rig_do(&rig, "pause", 0);
    for (unsigned round = 0; round < rounds(4, 2); round++) {
        rig_do(&rig, "checkpoint", 0);
        uint8_t *ram = ram_of(&rig, 0);
        for (int i = 0; i < 2; i++) {
            rig_do(&rig, "resume", 0);
            rig_run_on(&rig, 0, 1000);
            rig_do(&rig, "pause", 0);
            reset(&rig, 0);
            check_ram(&rig, 0, ram);
        }
        free(ram);
        rig_do(&rig, "resume", 0);
        rig_run_on(&rig, 0, 1000);
        rig_do(&rig, "pause", 0);
    }
    rig_quit(&rig);
}
END_TEST

START_TEST(child_returns_to_its_birth_with_its_identity)
{
    struct rig rig = start_counter();
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    ck_assert(resets_to(&rig, child, "fork"));
    ck_assert(resets_to(&rig, 0, NULL));
    uint8_t *ram = ram_of(&rig, child);
    const struct boot_info info = rig_boot_info(&rig, child);
    ck_assert_uint_eq(info.guest_id, child);
    reset(&rig, child); /* that has never run */
    check_ram(&rig, child, ram);
    for (unsigned i = 0; i < rounds(5, 2); i++) {
        rig_do(&rig, "resume", child);
        rig_run_on(&rig, child, 1000);
        rig_do(&rig, "pause", child);
        ck_assert_uint_gt(reset(&rig, child), 0);
        check_ram(&rig, child, ram);
    }
    rig_run_on(&rig, 0, 1000);
    uint64_t grandchild = rig_fork(&rig, child, 1, false, NULL);
    RIG_UNTIL(rig_probe(&rig, grandchild).guest_id == grandchild);
    reset(&rig, child); /* a fork of it is nothing it returns to */
    check_ram(&rig, child, ram);
    free(ram);
    rig_quit(&rig);
}
END_TEST

START_TEST(forks_of_a_guest_do_not_move_its_checkpoint)
{
    struct rig rig = start_counter();
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "checkpoint", 0);
    uint8_t *ram = ram_of(&rig, 0);
    for (unsigned i = 0; i < rounds(4, 2); i++) {
        rig_do(&rig, "resume", 0);
        rig_run_on(&rig, 0, 1000);
        rig_do(&rig, "pause", 0);
        uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
        uint8_t *child_ram = ram_of(&rig, child);
        if (i % 2) {
            rig_do(&rig, "resume", 0);
            rig_run_on(&rig, 0, 1000);
            rig_do(&rig, "pause", 0);
        }
        reset(&rig, 0);
        check_ram(&rig, 0, ram);
        check_ram(&rig, child, child_ram);
        free(child_ram);
        rig_do(&rig, "resume", child);
        rig_run_on(&rig, child, 1000);
        rig_do(&rig, "kill", child);
    }
    free(ram);
    rig_quit(&rig);
}
END_TEST

START_TEST(children_and_siblings_of_a_reset_guest_do_not_notice)
{
    struct rig rig = start_counter();
    rig_do(&rig, "checkpoint", 0);
    uint64_t children[3];
    rig_fork(&rig, 0, 3, true, children);
    uint8_t *ram = ram_of(&rig, children[1]);
    uint64_t grandchild = rig_fork(&rig, children[0], 1, true, NULL);
    uint8_t *grandchild_ram = ram_of(&rig, grandchild);
    rig_do(&rig, "resume", children[0]);
    for (unsigned i = 0; i < rounds(5, 2); i++) {
        rig_run_on(&rig, children[0], 1000);
        reset(&rig, children[0]);
        reset(&rig, 0);
        rig_run_on(&rig, 0, 1000);
        check_ram(&rig, children[1], ram);
        check_ram(&rig, grandchild, grandchild_ram);
    }
    rig_do(&rig, "kill", 0);
    rig_do(&rig, "kill", children[0]);
    check_ram(&rig, children[1], ram);
    check_ram(&rig, grandchild, grandchild_ram);
    rig_do(&rig, "resume", grandchild);
    rig_run_on(&rig, grandchild, 1000);
    reset(&rig, grandchild);
    rig_do(&rig, "resume", children[1]);
    rig_run_on(&rig, children[1], 1000);
    free(grandchild_ram);
    free(ram);
    rig_quit(&rig);
}
END_TEST

START_TEST(child_of_a_guest_that_was_reset_continues_from_there)
{
    struct rig rig = start_counter();
    rig_do(&rig, "checkpoint", 0);
    rig_run_on(&rig, 0, 1000);
    rig_do(&rig, "pause", 0);
    reset(&rig, 0);
    uint64_t count = counter(&rig, 0);
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL); /* of a guest whose registers KVM has not seen yet */
    ck_assert_uint_eq(counter(&rig, child), count);
    ck_assert_uint_eq(rig_probe(&rig, child).nonce, rig_probe(&rig, 0).nonce);
    rig_do(&rig, "resume", child);
    RIG_UNTIL(counter(&rig, child) > count + 1000);
    ck_assert_uint_eq(rig_probe(&rig, child).guest_id, child);
    rig_do(&rig, "resume", 0);
    RIG_UNTIL(counter(&rig, 0) > count + 1000);
    ck_assert_uint_eq(rig_probe(&rig, 0).guest_id, 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(guest_beyond_its_overlay_limit_is_reset_and_goes_on)
{
    struct rig rig = RIG("--memory", "32M", "--limit-overlay", "512K", "@workload", "resident=8M", "dirty=1M");
    RIG_UNTIL(rig_marks(&rig, 0, MARK_RESIDENT) == 1);
    rig_do(&rig, "checkpoint", 0);
    for (int i = 0; i < 5; i++) {
        RIG_UNTIL(rig_state_is(&rig, 0, "paused"));
        ck_assert_uint_gt(reset(&rig, 0), (512 << 10) / 4096);
        ck_assert(rig_state_is(&rig, 0, "paused"));
        ck_assert_uint_eq(rig_stat(&rig, 0, "overlay_bytes"), 0);
        rig_do(&rig, "resume", 0);
    }
    rig_quit(&rig);
}
END_TEST

START_TEST(view_says_what_the_window_shows)
{
    struct rig rig = start_counter();
    rig_do(&rig, "checkpoint", 0);
    rig_run_on(&rig, 0, 1000);
    rig_do(&rig, "pause", 0);
    for (int i = 0; i < 2; i++) {
        json_t *leaf = rig_call(&rig, "translate", "{s:i, s:I}", "guest", 0, "gpa", (json_int_t)PROBE_GPA);
        ck_assert_str_eq(json_string_value(json_object_get(leaf, "backing")), i ? "layer" : "overlay");
        ck_assert_int_eq(json_is_true(json_object_get(leaf, "dirty")), !i);
        ck_assert(!json_is_true(json_object_get(leaf, "write")));
        json_decref(leaf);
        reset(&rig, 0);
    }
    rig_quit(&rig);
}
END_TEST

START_TEST(what_cannot_be_reset_is_refused)
{
    struct rig rig = start_counter();
    rig_refused(&rig, "Unsupported", "make a checkpoint first", "reset", "{s:i}", "guest", 0);
    rig_refused(&rig, "GuestNotFound", "7", "reset", "{s:i}", "guest", 7);
    rig_refused(&rig, "GuestNotFound", "7", "checkpoint", "{s:i}", "guest", 7);
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    rig_refused(&rig, "Unsupported", "make a checkpoint first", "reset", "{s:i}", "guest", 0);
    rig_do(&rig, "checkpoint", child);
    ck_assert(resets_to(&rig, child, "checkpoint"));
    rig_do(&rig, "kill", child);
    ck_assert(resets_to(&rig, child, NULL));
    rig_refused(&rig, "GuestNotFound", "has ended", "reset", "{s:i}", "guest", 1);
    rig_refused(&rig, "GuestNotFound", "has ended", "checkpoint", "{s:i}", "guest", 1);
    rig_run_on(&rig, 0, 1000);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reset_guests");
    TCase *tests = tcase_create("reset");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, root_returns_to_its_checkpoint_again_and_again);
    tcase_add_test(tests, checkpoint_of_a_running_guest_is_one_instant);
    tcase_add_test(tests, running_guest_runs_on_and_paused_one_stays_paused);
    tcase_add_test(tests, later_checkpoint_takes_the_place_of_the_earlier);
    tcase_add_test(tests, child_returns_to_its_birth_with_its_identity);
    tcase_add_test(tests, forks_of_a_guest_do_not_move_its_checkpoint);
    tcase_add_test(tests, children_and_siblings_of_a_reset_guest_do_not_notice);
    tcase_add_test(tests, child_of_a_guest_that_was_reset_continues_from_there);
    tcase_add_test(tests, guest_beyond_its_overlay_limit_is_reset_and_goes_on);
    tcase_add_test(tests, view_says_what_the_window_shows);
    tcase_add_test(tests, what_cannot_be_reset_is_refused);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
