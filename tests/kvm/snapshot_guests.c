/*
 * Guests saved to files and continued from there, by the control socket and by the command line: everything is as it
 * was, each one is a guest of its own, and all that can be done with a guest can be done with it.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_random.h"
#include "tests/support/kvm_snapshot.h"
#include "tests/support/rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM (4u << 20)

static struct rig start_counter(void)
{
    struct rig rig = RIG("--memory", "4M", "--linger", "@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    return rig;
}

static uint64_t counter(struct rig *rig, uint64_t guest)
{
    return rig_probe(rig, guest).counter;
}

static bool console_has(struct rig *rig, uint64_t guest, const char *words)
{
    char *console = rig_console(rig, guest);
    bool found = strstr(console, words) != NULL;
    free(console);
    return found;
}

static bool resets_to(struct rig *rig, uint64_t guest, const char *target)
{
    json_t *guests = rig_call(rig, "query-guests", NULL);
    const char *to = json_string_value(json_object_get(json_array_get(guests, (size_t)guest), "reset_to"));
    bool same = target ? to && strcmp(to, target) == 0 : !to;
    json_decref(guests);
    return same;
}

static void reset(struct rig *rig, uint64_t guest)
{
    json_decref(rig_call(rig, "reset", "{s:I}", "guest", (json_int_t)guest));
}

static void save_compressed(struct rig *rig, uint64_t guest, const char *path)
{
    json_decref(rig_call(rig, "snapshot", "{s:I, s:s, s:b}", "guest", (json_int_t)guest, "path", path, "compress", 1));
}

/* A paused counter, its RAM, and that saved in three files: full, compressed, and as a diff of an earlier one. */
static uint8_t *save_all_kinds(struct rig *rig)
{
    rig_snapshot(rig, 0, snapshot_place("early"));
    rig_run_on(rig, 0, 1000);
    rig_do(rig, "pause", 0);
    uint8_t *ram = rig_ram(rig, 0, RAM);
    rig_diff(rig, 0, snapshot_place("diff"));
    rig_snapshot(rig, 0, snapshot_place("full"));
    save_compressed(rig, 0, snapshot_place("compressed"));
    ck_assert(rig_state_is(rig, 0, "paused"));
    ck_assert_int_lt(snapshot_size(snapshot_place("diff")), snapshot_size(snapshot_place("full")));
    ck_assert_int_lt(snapshot_size(snapshot_place("compressed")), snapshot_size(snapshot_place("full")));
    const char *const all[] = {"early", "diff", "full", "compressed"};
    for (size_t i = 0; i < 4; i++)
        snapshot_check_whole(snapshot_place(all[i]));
    return ram;
}

static void check_restored(struct rig *rig, uint64_t guest, const uint8_t *ram)
{
    rig_check_ram(rig, guest, ram, RAM);
    rig_do(rig, "resume", guest);
    rig_run_on(rig, guest, 1000);
    const struct probe probe = rig_probe(rig, guest);
    const struct probe *then = (const void *)(ram + PROBE_GPA);
    ck_assert_uint_gt(probe.counter, then->counter);
    ck_assert_uint_eq(probe.nonce, then->nonce); /* it has not started anew */
}

START_TEST(by_command_line_it_continues_where_it_was)
{
    struct rig rig = start_counter();
    uint8_t *ram = save_all_kinds(&rig);
    rig_quit(&rig); /* the file is all there is */
    const char *const files[] = {"full", "diff", "compressed"};
    for (size_t i = 0; i < 3; i++)
        for (int eager = 0; eager < 2; eager++) {
            const char *path = snapshot_place(files[i]);
            struct rig restored = eager ? RESTORED(path, "--restore-eager") : RESTORED(path);
            check_restored(&restored, 0, ram);
            ck_assert_uint_eq(rig_guest(&restored, 0).generation, 1);
            ck_assert_int_eq(rig_guest(&restored, 0).parent, -1);
            rig_quit(&restored);
        }
    free(ram);
}
END_TEST

START_TEST(by_socket_it_continues_beside_the_one_that_was_saved)
{
    struct rig rig = start_counter();
    uint8_t *ram = save_all_kinds(&rig);
    const char *const files[] = {"full", "diff", "compressed"};
    for (size_t i = 0; i < 3; i++)
        for (int eager = 0; eager < 2; eager++) {
            uint64_t guest = rig_restore(&rig, snapshot_place(files[i]), RESTORE_PAUSED | (eager ? RESTORE_EAGER : 0));
            check_restored(&rig, guest, ram);
            rig_do(&rig, "kill", guest);
        }
    rig_check_ram(&rig, 0, ram, RAM);
    rig_do(&rig, "resume", 0);
    rig_run_on(&rig, 0, 1000);
    uint64_t guest = rig_restore(&rig, snapshot_place("full"), 0); /* of a guest that is elsewhere by now */
    rig_run_on(&rig, guest, 1000);
    rig_quit(&rig);
    free(ram);
}
END_TEST

START_TEST(options_of_the_machine_come_from_the_file)
{
    struct rig rig = RIG("--memory", "12M", "--cpus", "3", "@smp", "mode=forever", "rounds=1");
    RIG_UNTIL(rig_marks(&rig, 0, MARK_ROUND));
    rig_snapshot(&rig, 0, snapshot_place("smp"));
    rig_quit(&rig);
    struct rig restored = RESTORED(snapshot_place("smp"));
    json_t *facts = rig_call(&restored, "query-version", NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(facts, "memory")), 12 << 20);
    ck_assert_int_eq(json_integer_value(json_object_get(facts, "vcpus")), 3);
    json_decref(facts);
    rig_do(&restored, "resume", 0);
    RIG_UNTIL(rig_marks(&restored, 0, MARK_VERIFIED)); /* every vCPU goes on */
    rig_quit(&restored);
}
END_TEST

START_TEST(restored_guests_have_identities_of_their_own)
{
    struct rig rig = start_counter();
    const char *path = snapshot_place("counter");
    rig_snapshot(&rig, 0, path);
    struct boot_info infos[4] = {rig_boot_info(&rig, 0)};
    for (uint64_t i = 1; i < 4; i++) {
        uint64_t guest = rig_restore(&rig, path, i == 2 ? RESTORE_PAUSED : 0);
        ck_assert_uint_eq(guest, i);
        infos[i] = rig_boot_info(&rig, guest);
        ck_assert_uint_eq(infos[i].guest_id, guest);
        ck_assert_uint_eq(infos[i].generation, 1);
        ck_assert_uint_eq(rig_guest(&rig, guest).generation, 1);
        ck_assert_int_eq(rig_guest(&rig, guest).parent, -1);
        for (uint64_t j = 0; j < i; j++)
            ck_assert_mem_ne(infos[i].entropy, infos[j].entropy, BOOT_INFO_ENTROPY);
    }
    uint64_t child = rig_fork(&rig, 3, 1, true, NULL);
    ck_assert_uint_eq(rig_guest(&rig, child).generation, 2);
    rig_snapshot(&rig, child, snapshot_place("child"));
    ck_assert_uint_eq(rig_guest(&rig, rig_restore(&rig, snapshot_place("child"), 0)).generation, 3);
    ck_assert_uint_eq(rig_boot_info(&rig, 0).generation, 0);
    rig_quit(&rig);
    struct rig restored = RESTORED(path);
    const struct boot_info info = rig_boot_info(&restored, 0);
    ck_assert_uint_eq(info.guest_id, 0);
    ck_assert_uint_eq(info.generation, 1);
    for (uint64_t j = 0; j < 4; j++)
        ck_assert_mem_ne(info.entropy, infos[j].entropy, BOOT_INFO_ENTROPY);
    rig_quit(&restored);
}
END_TEST

START_TEST(guests_from_one_file_do_not_notice_each_other)
{
    struct rig rig = start_counter();
    rig_do(&rig, "pause", 0);
    const char *path = snapshot_place("counter");
    rig_snapshot(&rig, 0, path);
    uint8_t *ram = rig_ram(&rig, 0, RAM);
    uint64_t running[2] = {rig_restore(&rig, path, 0), rig_restore(&rig, path, 0)};
    uint64_t paused = rig_restore(&rig, path, RESTORE_PAUSED);
    rig_run_on(&rig, running[0], 1000);
    rig_run_on(&rig, running[1], 1000);
    rig_check_ram(&rig, paused, ram, RAM);
    rig_do(&rig, "kill", running[0]);
    rig_run_on(&rig, running[1], 1000);
    rig_check_ram(&rig, paused, ram, RAM);
    rig_check_ram(&rig, 0, ram, RAM);
    struct rig other = RESTORED(path); /* the same file in another process */
    rig_check_ram(&other, 0, ram, RAM);
    rig_do(&other, "resume", 0);
    rig_run_on(&other, 0, 1000);
    rig_check_ram(&rig, paused, ram, RAM);
    snapshot_check_whole(path); /* nobody has written to it */
    rig_quit(&other);
    rig_quit(&rig);
    free(ram);
}
END_TEST

START_TEST(restored_guest_has_a_console_and_marks_of_its_own)
{
    struct rig rig = RIG("--memory", "4M", "@counter", "interval_us=2000");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    const char *path = snapshot_place("counter");
    rig_snapshot(&rig, 0, path);
    uint64_t guest = rig_restore(&rig, path, RESTORE_PAUSED);
    char *console = rig_console(&rig, guest);
    ck_assert_str_eq(console, "");
    free(console);
    rig_do(&rig, "resume", guest);
    rig_run_on(&rig, guest, 1000);
    rig_do(&rig, "pause", guest);
    ck_assert(console_has(&rig, guest, "guest 1 generation 1"));
    ck_assert(rig_state_is(&rig, 0, "running"));
    rig_quit(&rig);
}
END_TEST

/* Where this KVM lets a guest have a TSC of its own. */
static bool has_own_tsc(void)
{
    struct rig rig = RIG("--memory", "4M", "@system");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 0);
    bool own = console_has(&rig, 0, "tsc own");
    rig_quit(&rig);
    return own;
}

/* A guest that waits 3 s of its TSC and exits is saved after the first tenth, and nothing runs for a while. */
START_TEST(tsc_does_not_count_the_time_in_the_file)
{
    if (!has_own_tsc())
        return;
    enum { DELAY_MS = 3000 };
    uint64_t started_ms = rig_now_ms();
    struct rig rig = RIG("--memory", "4M", "--linger", "@crash", "how=exit", "code=7", "delay_us=3000000");
    RIG_UNTIL(memcmp(rig_probe(&rig, 0).name, "crash", 5) == 0);
    rig_sleep_ms(DELAY_MS / 10);
    rig_do(&rig, "pause", 0);
    uint64_t ran_ms = rig_now_ms() - started_ms;
    rig_snapshot(&rig, 0, snapshot_place("waiting"));
    rig_quit(&rig);
    ck_assert_uint_lt(ran_ms, DELAY_MS);
    rig_sleep_ms(DELAY_MS);
    struct rig restored = RESTORED(snapshot_place("waiting"), "--linger");
    started_ms = rig_now_ms();
    rig_do(&restored, "resume", 0);
    rig_wait_exited(&restored, 0, 7);
    /* The clocks of an emulated machine may differ by some percent. */
    ck_assert_uint_ge(rig_now_ms() - started_ms + ran_ms, DELAY_MS * 3 / 4);
    rig_quit(&restored);
}
END_TEST

START_TEST(snapshot_of_a_running_guest_is_one_instant_and_it_runs_on)
{
    struct rig rig = start_counter();
    for (int i = 0; i < 10; i++) {
        uint64_t before = counter(&rig, 0);
        rig_snapshot(&rig, 0, snapshot_place("counter"));
        uint64_t after = counter(&rig, 0);
        ck_assert(rig_state_is(&rig, 0, "running"));
        uint64_t guest = rig_restore(&rig, snapshot_place("counter"), RESTORE_PAUSED);
        ck_assert_uint_ge(counter(&rig, guest), before);
        ck_assert_uint_le(counter(&rig, guest), after);
        rig_do(&rig, "kill", guest);
        rig_run_on(&rig, 0, 1000);
    }
    ck_assert(resets_to(&rig, 0, NULL)); /* a snapshot is nothing to return to */
    ck_assert_uint_eq(rig_stat(&rig, 0, "snapshots"), 10);
    rig_quit(&rig);
}
END_TEST

START_TEST(restored_guest_is_reset_to_the_restore)
{
    struct rig rig = start_counter();
    uint8_t *ram = save_all_kinds(&rig);
    const char *const files[] = {"full", "diff", "compressed"};
    for (size_t i = 0; i < 3; i++) {
        uint64_t guest = rig_restore(&rig, snapshot_place(files[i]), i ? RESTORE_PAUSED : 0);
        const struct boot_info info = rig_boot_info(&rig, guest);
        ck_assert(resets_to(&rig, guest, "restore"));
        for (unsigned round = 0; round < rounds(5, 2); round++) {
            rig_do(&rig, "resume", guest);
            rig_run_on(&rig, guest, 1000);
            rig_do(&rig, "pause", guest);
            reset(&rig, guest);
            rig_check_ram(&rig, guest, ram, RAM);
            const struct boot_info now = rig_boot_info(&rig, guest);
            ck_assert_mem_eq(&now, &info, sizeof now); /* who it is stays */
        }
        rig_do(&rig, "kill", guest);
    }
    rig_quit(&rig);
    struct rig restored = RESTORED(snapshot_place("diff"));
    ck_assert(resets_to(&restored, 0, "restore"));
    rig_do(&restored, "resume", 0);
    rig_run_on(&restored, 0, 1000);
    rig_do(&restored, "pause", 0);
    reset(&restored, 0);
    rig_check_ram(&restored, 0, ram, RAM);
    rig_quit(&restored);
    free(ram);
}
END_TEST

START_TEST(restored_guest_takes_checkpoints_and_is_forked)
{
    struct rig rig = start_counter();
    rig_snapshot(&rig, 0, snapshot_place("counter"));
    uint64_t guest = rig_restore(&rig, snapshot_place("counter"), 0);
    rig_run_on(&rig, guest, 1000);
    rig_do(&rig, "pause", guest);
    rig_do(&rig, "checkpoint", guest);
    ck_assert(resets_to(&rig, guest, "checkpoint"));
    uint8_t *ram = rig_ram(&rig, guest, RAM);
    uint64_t child = rig_fork(&rig, guest, 1, false, NULL);
    rig_do(&rig, "resume", guest);
    rig_run_on(&rig, guest, 1000);
    rig_run_on(&rig, child, 1000);
    rig_do(&rig, "pause", guest);
    rig_do(&rig, "pause", child);
    reset(&rig, guest);
    rig_check_ram(&rig, guest, ram, RAM);
    reset(&rig, child);
    rig_check_ram(&rig, child, ram, RAM);
    rig_do(&rig, "kill", guest);
    rig_do(&rig, "resume", child);
    rig_run_on(&rig, child, 1000);
    free(ram);
    rig_quit(&rig);
}
END_TEST

/* Snapshot upon snapshot, each restored in the place of the one before, in a process of its own. */
START_TEST(restored_guest_is_saved_and_restored_again)
{
    struct rig rig = start_counter();
    rig_snapshot(&rig, 0, snapshot_place("generation-0"));
    for (unsigned i = 1; i <= 6; i++) {
        char from[32], to[32];
        snprintf(from, sizeof from, "generation-%u", i - 1);
        snprintf(to, sizeof to, "generation-%u", i);
        uint64_t before = counter(&rig, 0);
        rig_quit(&rig);
        rig = RESTORED(snapshot_place(from));
        ck_assert_uint_eq(rig_guest(&rig, 0).generation, i);
        ck_assert_uint_le(counter(&rig, 0), before);
        if (i % 2)
            rig_do(&rig, "resume", 0); /* even ones have not run before they are saved again */
        if (i % 2)
            rig_run_on(&rig, 0, 1000);
        if (i % 3) /* as a diff to the file that it came from */
            rig_diff(&rig, 0, snapshot_place(to));
        else
            rig_snapshot(&rig, 0, snapshot_place(to));
    }
    rig_do(&rig, "pause", 0);
    rig_diff(&rig, 0, snapshot_place("last"));
    uint8_t *ram = rig_ram(&rig, 0, RAM);
    rig_quit(&rig);
    rig = RESTORED(snapshot_place("last"));
    check_restored(&rig, 0, ram);
    rig_quit(&rig);
    free(ram);
}
END_TEST

/* Of a restored guest, what it had not written is nowhere but zero; a diff has to say so where its parent does not. */
START_TEST(diff_holds_what_has_become_zero_again)
{
    struct rig rig = RIG("--memory", "4M", "@random", "pages=400", "pace_us=20");
    random_wait_started(&rig, 0);
    rig_snapshot(&rig, 0, snapshot_place("zero-1"));
    rig_quit(&rig);
    rig = RESTORED(snapshot_place("zero-1"));
    uint8_t *ram = rig_ram(&rig, 0, RAM);
    rig_do(&rig, "resume", 0);
    random_wait_steps(&rig, 0, 200);
    rig_diff(&rig, 0, snapshot_place("zero-2"));
    rig_do(&rig, "pause", 0);
    reset(&rig, 0);
    rig_diff(&rig, 0, snapshot_place("zero-3"));
    rig_check_ram(&rig, rig_restore(&rig, snapshot_place("zero-3"), RESTORE_PAUSED), ram, RAM);
    rig_check_ram(&rig, rig_restore(&rig, snapshot_place("zero-3"), RESTORE_PAUSED | RESTORE_EAGER), ram, RAM);
    rig_quit(&rig);
    free(ram);
}
END_TEST

static uint64_t pages_of_diff(struct rig *rig, uint64_t guest, const char *path)
{
    json_t *report =
        rig_call(rig, "snapshot", "{s:I, s:s, s:s}", "guest", (json_int_t)guest, "path", path, "kind", "diff");
    uint64_t pages = (uint64_t)json_integer_value(json_object_get(report, "pages"));
    json_decref(report);
    return pages;
}

/* Not what was written between earlier snapshots, nor what forks and checkpoints have published and merged. */
START_TEST(diff_holds_nothing_that_its_parent_has)
{
    struct rig rig = RIG("--memory", "4M", "@random", "pages=400", "pace_us=20");
    random_wait_started(&rig, 0);
    rig_snapshot(&rig, 0, snapshot_place("has-0"));
    random_wait_steps(&rig, 0, 200);
    rig_snapshot(&rig, 0, snapshot_place("has-1")); /* what it has published is no diff's any more */
    random_wait_steps(&rig, 0, 200);
    rig_do(&rig, "pause", 0);
    ck_assert_uint_gt(pages_of_diff(&rig, 0, snapshot_place("has-2")), 0);
    rig_do(&rig, "checkpoint", 0);
    rig_do(&rig, "kill", rig_fork(&rig, 0, 1, true, NULL));
    ck_assert_uint_eq(pages_of_diff(&rig, 0, snapshot_place("has-3")), 0);
    uint8_t *ram = rig_ram(&rig, 0, RAM);
    rig_check_ram(&rig, rig_restore(&rig, snapshot_place("has-3"), RESTORE_PAUSED), ram, RAM);
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    ck_assert_uint_eq(pages_of_diff(&rig, child, snapshot_place("has-4")), 1); /* who it is */
    free(ram);
    rig_quit(&rig);
}
END_TEST

START_TEST(each_link_of_a_chain_of_diffs_is_its_own_instant)
{
    enum { LINKS = 6 };
    struct rig rig = start_counter();
    uint8_t *rams[LINKS];
    char name[16];
    for (int i = 0; i < LINKS; i++) {
        snprintf(name, sizeof name, "link-%d", i);
        rig_do(&rig, "pause", 0);
        if (i)
            rig_diff(&rig, 0, snapshot_place(name));
        else
            rig_snapshot(&rig, 0, snapshot_place(name));
        rams[i] = rig_ram(&rig, 0, RAM);
        rig_do(&rig, "resume", 0);
        if (i == 2)
            rig_do(&rig, "checkpoint", 0); /* publishes, and is no snapshot */
        rig_run_on(&rig, 0, 1000);
        if (i == 3) { /* what is undone has changed as well */
            rig_do(&rig, "pause", 0);
            reset(&rig, 0);
        }
    }
    for (int i = LINKS - 1; i >= 0; i--) {
        snprintf(name, sizeof name, "link-%d", i);
        uint64_t guest = rig_restore(&rig, snapshot_place(name), RESTORE_PAUSED);
        rig_check_ram(&rig, guest, rams[i], RAM);
        free(rams[i]);
    }
    rig_quit(&rig);
}
END_TEST

START_TEST(limit_of_guests_counts_restored_ones)
{
    struct rig rig = RIG("--memory", "4M", "--limit-guests", "2", "@counter", "quiet=1");
    rig_snapshot(&rig, 0, snapshot_place("counter"));
    uint64_t guest = rig_restore(&rig, snapshot_place("counter"), 0);
    rig_refused(&rig, "LimitExceeded", "--limit-guests", "restore", "{s:s}", "path", snapshot_place("counter"));
    ck_assert_uint_eq(rig_live(&rig), 2);
    rig_do(&rig, "kill", guest);
    rig_run_on(&rig, rig_restore(&rig, snapshot_place("counter"), 0), 1000);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_guests");
    TCase *tests = tcase_create("snapshot");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, by_command_line_it_continues_where_it_was);
    tcase_add_test(tests, by_socket_it_continues_beside_the_one_that_was_saved);
    tcase_add_test(tests, options_of_the_machine_come_from_the_file);
    tcase_add_test(tests, restored_guests_have_identities_of_their_own);
    tcase_add_test(tests, guests_from_one_file_do_not_notice_each_other);
    tcase_add_test(tests, restored_guest_has_a_console_and_marks_of_its_own);
    tcase_add_test(tests, tsc_does_not_count_the_time_in_the_file);
    tcase_add_test(tests, snapshot_of_a_running_guest_is_one_instant_and_it_runs_on);
    tcase_add_test(tests, restored_guest_is_reset_to_the_restore);
    tcase_add_test(tests, restored_guest_takes_checkpoints_and_is_forked);
    tcase_add_test(tests, restored_guest_is_saved_and_restored_again);
    tcase_add_test(tests, diff_holds_what_has_become_zero_again);
    tcase_add_test(tests, diff_holds_nothing_that_its_parent_has);
    tcase_add_test(tests, each_link_of_a_chain_of_diffs_is_its_own_instant);
    tcase_add_test(tests, limit_of_guests_counts_restored_ones);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
