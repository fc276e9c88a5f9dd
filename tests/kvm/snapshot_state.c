/*
 * What a file holds beside memory: registers of all kinds, MSRs, the UART, the ports, every vCPU. The guests check
 * themselves: they keep the same values in memory and in the machine, so that they see where one of them has come back
 * without the other.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_snapshot.h"
#include "tests/support/rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Saves guest 0 at some instant of its rounds, and lets what is restored go on beside it. */
static void check_here(struct rig *rig, unsigned times, uint64_t counts)
{
    const char *path = snapshot_place("state");
    for (unsigned i = 0; i < times; i++) {
        if (i % 3 == 0)
            rig_do(rig, "pause", 0);
        rig_snapshot(rig, 0, path);
        if (i % 3 == 0)
            rig_do(rig, "resume", 0);
        uint64_t guest = rig_restore(rig, path, i % 2 ? RESTORE_EAGER : 0);
        rig_run_on(rig, guest, counts);
        if (i % 4 == 1) { /* to the restore, and from there again */
            json_decref(rig_call(rig, "reset", "{s:I}", "guest", (json_int_t)guest));
            rig_run_on(rig, guest, counts);
        }
        rig_do(rig, "kill", guest);
        rig_run_on(rig, 0, 1);
    }
}

/* From process to process, in a file each time. */
static void check_elsewhere(struct rig *rig, unsigned times, uint64_t counts)
{
    for (unsigned i = 0; i < times; i++) {
        const char *path = snapshot_place(i % 2 ? "odd" : "even");
        rig_snapshot(rig, 0, path);
        rig_run_on(rig, 0, 1);
        rig_quit(rig);
        *rig = RESTORED(path);
        rig_do(rig, "resume", 0);
        rig_run_on(rig, 0, counts);
    }
}

/* `counts` are of the guest's counter. */
static void check_self(struct rig *rig, uint64_t counts)
{
    RIG_UNTIL(rig_probe(rig, 0).counter > 0 || !rig_state_is(rig, 0, "running"));
    check_here(rig, rounds(12, 4), counts);
    check_elsewhere(rig, rounds(8, 2), counts);
    rig_quit(rig);
}

START_TEST(system_registers_and_ports_continue)
{
    struct rig rig = RIG("--memory", "4M", "@system");
    check_self(&rig, 3);
}
END_TEST

/* Where this KVM runs XSETBV in ring 0 at all, and keeps what it has set. */
START_TEST(xcr0_continues)
{
    struct rig rig = RIG("--memory", "4M", "--linger", "@system", "xcr=1");
    if (rig_counts_beyond(&rig, 0, 3))
        check_self(&rig, 3);
    else
        rig_quit(&rig);
}
END_TEST

START_TEST(general_and_vector_registers_and_bases_continue)
{
    struct rig rig = RIG("--memory", "4M", "@state", "spins=200000", "after=continue");
    check_self(&rig, 2);
}
END_TEST

/* Where this KVM does that. */
START_TEST(avx_registers_continue)
{
    struct rig rig = RIG("--memory", "4M", "--linger", "@state", "spins=200000", "after=continue", "avx=1");
    if (rig_counts_beyond(&rig, 0, 0))
        check_self(&rig, 2);
    else
        rig_quit(&rig);
}
END_TEST

START_TEST(all_vcpus_continue_from_one_instant)
{
    enum { CPUS = 4 };
    struct rig rig = RIG("--memory", "4M", "--cpus", "4", "@smp", "rounds=1", "times=1000", "mode=forever");
    RIG_UNTIL(rig_marks(&rig, 0, MARK_ROUND) == 1);
    for (unsigned i = 0; i < rounds(6, 2); i++) {
        rig_snapshot(&rig, 0, snapshot_place("smp")); /* while they run */
        uint64_t guest = rig_restore(&rig, snapshot_place("smp"), RESTORE_PAUSED);
        rig_count_of_vcpus(&rig, guest, CPUS); /* no vCPU has counted twice or not at all */
        rig_do(&rig, "pause", 0);
        rig_do(&rig, "resume", guest);
        RIG_UNTIL(rig_marks(&rig, guest, MARK_VERIFIED)); /* every vCPU goes on */
        rig_do(&rig, "pause", guest);
        rig_count_of_vcpus(&rig, guest, CPUS);
        rig_do(&rig, "kill", guest);
        rig_do(&rig, "resume", 0);
    }
    rig_quit(&rig);
}
END_TEST

/* The guest ends when all vCPUs have halted: one of two has when it is saved, the other does in a while. */
START_TEST(halted_vcpus_stay_halted)
{
    struct rig rig = RIG("--memory", "4M", "--cpus", "2", "--linger", "@crash", "how=hlt", "delay_us=2000000");
    RIG_UNTIL(rig_stat(&rig, 0, "exits_hlt") == 1);
    rig_snapshot(&rig, 0, snapshot_place("halted"));
    uint64_t guest = rig_restore(&rig, snapshot_place("halted"), 0);
    rig_wait_exited(&rig, guest, 0);
    rig_quit(&rig);
    struct rig restored = RESTORED(snapshot_place("halted"), "--linger");
    rig_do(&restored, "resume", 0);
    rig_wait_exited(&restored, 0, 0);
    ck_assert_uint_eq(rig_stat(&restored, 0, "exits_hlt"), 1); /* of the one that had not */
    rig_quit(&restored);
}
END_TEST

static bool says_index(struct rig *rig, uint64_t guest, unsigned index)
{
    char words[32], *console = rig_console(rig, guest);
    snprintf(words, sizeof words, " index %u nonce", index);
    bool found = strstr(console, words) != NULL;
    free(console);
    return found;
}

/* A child of a fork by port that has not run yet has its index still to read. */
START_TEST(answer_of_the_fork_port_is_saved)
{
    struct rig rig = RIG("--memory", "4M", "@forker", "children=3", "linger_us=1000000000");
    RIG_UNTIL(rig_live(&rig) == 4);
    for (unsigned child = 1; child <= 3; child++) {
        rig_do(&rig, "pause", child);
        json_decref(rig_call(&rig, "reset", "{s:i}", "guest", (int)child)); /* to its birth */
        rig_snapshot(&rig, child, snapshot_place("child"));
        uint64_t guest = rig_restore(&rig, snapshot_place("child"), 0);
        RIG_UNTIL(says_index(&rig, guest, child));
        rig_do(&rig, "kill", guest);
    }
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_state");
    TCase *tests = tcase_create("state");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, system_registers_and_ports_continue);
    tcase_add_test(tests, xcr0_continues);
    tcase_add_test(tests, general_and_vector_registers_and_bases_continue);
    tcase_add_test(tests, avx_registers_continue);
    tcase_add_test(tests, all_vcpus_continue_from_one_instant);
    tcase_add_test(tests, halted_vcpus_stay_halted);
    tcase_add_test(tests, answer_of_the_fork_port_is_saved);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
