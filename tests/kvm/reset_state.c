/*
 * What returns beside memory: registers of all kinds, MSRs, the UART, the ports. The guests check themselves: they keep
 * the same values in memory and in the machine, so that they see where one of them has returned without the other.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESETS 40

static void reset(struct rig *rig, uint64_t guest)
{
    json_decref(rig_call(rig, "reset", "{s:I}", "guest", (json_int_t)guest));
}

/* Checkpoints and resets of a guest that checks itself, in turns, and the same for a child of it. `rounds` are of the
 * guest's counter. */
static void check_self(struct rig *rig, uint64_t rounds)
{
    RIG_UNTIL(rig_probe(rig, 0).counter > 0 || !rig_state_is(rig, 0, "running"));
    for (int i = 0; i < RESETS; i++) {
        if (i % 10 == 0)
            rig_do(rig, "checkpoint", 0);
        rig_run_on(rig, 0, rounds);
        if (i % 3 == 0)
            rig_do(rig, "pause", 0);
        reset(rig, 0);
        if (i % 3 == 0)
            rig_do(rig, "resume", 0);
    }
    rig_run_on(rig, 0, rounds);
    rig_do(rig, "pause", 0);
    reset(rig, 0);
    uint64_t child = rig_fork(rig, 0, 1, false, NULL);
    const struct boot_info info = rig_boot_info(rig, child);
    for (int i = 0; i < RESETS / 4; i++) {
        rig_run_on(rig, child, rounds);
        reset(rig, child);
        const struct boot_info now = rig_boot_info(rig, child);
        ck_assert_mem_eq(&now, &info, sizeof info); /* who it is stays, though it may write to that page */
    }
    rig_run_on(rig, child, rounds);
    rig_do(rig, "kill", child);
    rig_do(rig, "resume", 0);
    rig_run_on(rig, 0, rounds);
}

START_TEST(system_registers_and_ports_return_with_memory)
{
    struct rig rig = RIG("--memory", "8M", "@system");
    check_self(&rig, 3);
    rig_quit(&rig);
}
END_TEST

/* Where this KVM runs XSETBV in ring 0 at all, and keeps what it has set. */
START_TEST(xcr0_returns_with_memory)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "@system", "xcr=1");
    if (rig_counts_beyond(&rig, 0, 3))
        check_self(&rig, 3);
    rig_quit(&rig);
}
END_TEST

START_TEST(general_and_vector_registers_return_with_memory)
{
    struct rig rig = RIG("--memory", "8M", "@state", "spins=200000", "after=continue");
    check_self(&rig, 2);
    rig_quit(&rig);
}
END_TEST

/* Where this KVM does that. */
START_TEST(avx_registers_return_with_memory)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "@state", "spins=200000", "after=continue", "avx=1");
    if (rig_counts_beyond(&rig, 0, 0))
        check_self(&rig, 2);
    rig_quit(&rig);
}
END_TEST

static void wait_until_all_count(struct rig *rig, uint64_t guest, unsigned cpus)
{
    const struct probe before = rig_probe(rig, guest);
    for (unsigned i = 0; i < cpus; i++)
        RIG_UNTIL(rig_probe(rig, guest).cpu[i].counter > before.cpu[i].counter + 100);
}

START_TEST(all_vcpus_return_to_one_instant)
{
    enum { CPUS = 4 };
    struct rig rig = RIG("--memory", "8M", "--cpus", "4", "@smp", "rounds=1", "times=1000", "mode=forever");
    RIG_UNTIL(rig_marks(&rig, 0, MARK_ROUND) == 1);
    wait_until_all_count(&rig, 0, CPUS);
    rig_do(&rig, "checkpoint", 0);
    rig_do(&rig, "pause", 0);
    reset(&rig, 0);
    const struct probe instant = rig_probe(&rig, 0);
    uint64_t count = rig_count_of_vcpus(&rig, 0, CPUS);
    for (int i = 0; i < 10; i++) {
        rig_do(&rig, "resume", 0);
        wait_until_all_count(&rig, 0, CPUS);
        if (i % 2)
            reset(&rig, 0); /* while they run */
        rig_do(&rig, "pause", 0);
        rig_count_of_vcpus(&rig, 0, CPUS); /* no vCPU has counted twice or not at all */
        reset(&rig, 0);
        const struct probe probe = rig_probe(&rig, 0);
        ck_assert_mem_eq(&probe, &instant, sizeof probe);
        ck_assert_uint_eq(rig_count_of_vcpus(&rig, 0, CPUS), count);
    }
    uint64_t child = rig_fork(&rig, 0, 1, false, NULL);
    RIG_UNTIL(rig_marks(&rig, child, MARK_VERIFIED)); /* every vCPU goes on */
    reset(&rig, child);
    RIG_UNTIL(rig_marks(&rig, child, MARK_VERIFIED) == 2);
    rig_quit(&rig);
}
END_TEST

static unsigned count_words(const char *text, const char *words)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, words)); at++)
        count++;
    return count;
}

/* How often the child has printed this index, and it must have printed no other. */
static unsigned indexes(struct rig *rig, uint64_t child, uint64_t index)
{
    char words[32], *console = rig_console(rig, child);
    snprintf(words, sizeof words, " index %u nonce", (unsigned)index);
    unsigned count = count_words(console, words);
    ck_assert_uint_eq(count_words(console, " nonce"), count);
    free(console);
    return count;
}

/* `forker` asks by port and then reads the answer: a child that is reset to its birth has to read its index again. */
START_TEST(child_of_a_fork_by_port_reads_its_index_again)
{
    struct rig rig = RIG("--memory", "8M", "@forker", "children=3", "linger_us=1000000000");
    RIG_UNTIL(rig_live(&rig) == 4);
    for (uint64_t child = 1; child <= 3; child++) {
        RIG_UNTIL(indexes(&rig, child, child) == 1);
        reset(&rig, child);
        RIG_UNTIL(indexes(&rig, child, child) == 2);
        rig_do(&rig, "pause", child);
        reset(&rig, child);
        rig_do(&rig, "checkpoint", child); /* before it reads */
        for (unsigned times = 3; times < 5; times++) {
            rig_do(&rig, "resume", child);
            RIG_UNTIL(indexes(&rig, child, child) == times);
            rig_do(&rig, "pause", child);
            reset(&rig, child);
        }
    }
    rig_quit(&rig);
}
END_TEST

START_TEST(console_and_marks_are_the_hosts_record_and_stay)
{
    struct rig rig = RIG("--memory", "8M", "@counter", "interval_us=1000");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "checkpoint", 0);
    rig_do(&rig, "resume", 0);
    rig_sleep_ms(50);
    rig_do(&rig, "pause", 0);
    char *before = rig_console(&rig, 0);
    reset(&rig, 0);
    char *after = rig_console(&rig, 0);
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reset_state");
    TCase *tests = tcase_create("state");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, system_registers_and_ports_return_with_memory);
    tcase_add_test(tests, xcr0_returns_with_memory);
    tcase_add_test(tests, general_and_vector_registers_return_with_memory);
    tcase_add_test(tests, avx_registers_return_with_memory);
    tcase_add_test(tests, all_vcpus_return_to_one_instant);
    tcase_add_test(tests, child_of_a_fork_by_port_reads_its_index_again);
    tcase_add_test(tests, console_and_marks_are_the_hosts_record_and_stay);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
