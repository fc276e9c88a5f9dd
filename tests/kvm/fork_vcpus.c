/*
 * What a fork does to processors: with several of them all continue in every child, and every register keeps its value
 * in parent and children.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_rig.h"

#include <stdlib.h>
#include <string.h>

/* Every vCPU's own counter has grown since `before`. */
static bool all_count(struct rig *rig, uint64_t guest, const struct probe *before, unsigned cpus)
{
    const struct probe now = rig_probe(rig, guest);
    for (unsigned i = 0; i < cpus; i++)
        if (now.cpu[i].counter <= before->cpu[i].counter)
            return false;
    return now.shared > before->shared;
}

static void check_cpus(const char *word, unsigned cpus)
{
    struct rig rig = RIG("--memory", "8M", "--cpus", word, "@smp", "rounds=2", "times=1000", "mode=forever");
    RIG_UNTIL(rig_marks(&rig, 0, MARK_ROUND)); /* all have met */
    for (int round = 0; round < 3; round++) {
        uint64_t children[2];
        rig_fork(&rig, 0, 2, round == 1, children);
        for (int i = 0; i < 2; i++) {
            if (round == 1) {
                rig_count_of_vcpus(&rig, children[i], cpus);
                rig_do(&rig, "resume", children[i]);
            }
            const struct probe before = rig_probe(&rig, children[i]);
            RIG_UNTIL(all_count(&rig, children[i], &before, cpus));
            RIG_UNTIL(rig_marks(&rig, children[i], MARK_VERIFIED)); /* seen from inside */
            rig_do(&rig, "pause", children[i]);
            rig_count_of_vcpus(&rig, children[i], cpus);
            ck_assert_uint_eq(rig_guest(&rig, children[i]).generation, 1);
            rig_do(&rig, "kill", children[i]);
        }
        const struct probe before = rig_probe(&rig, 0);
        RIG_UNTIL(all_count(&rig, 0, &before, cpus));
    }
    uint64_t child = rig_fork(&rig, 0, 1, false, NULL), grandchild = rig_fork(&rig, child, 1, false, NULL);
    RIG_UNTIL(rig_marks(&rig, grandchild, MARK_VERIFIED));
    rig_quit(&rig);
}

START_TEST(four_vcpus_all_continue_in_parent_and_children)
{
    check_cpus("4", 4);
}
END_TEST

START_TEST(eight_vcpus_all_continue_in_parent_and_children)
{
    check_cpus("8", 8);
}
END_TEST

/* vCPUs that have halted stay halted in a child, and the guest ends when all have. */
START_TEST(halted_vcpus_stay_halted_in_children)
{
    struct rig rig = RIG("--memory", "8M", "--cpus", "4", "--linger", "@state", "spins=100000");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 2);
    uint64_t child = rig_fork(&rig, 0, 1, false, NULL);
    rig_wait_exited(&rig, child, 0);
    ck_assert_uint_eq(rig_marks(&rig, child, MARK_VERIFIED), 1);
    uint64_t count = rig_probe(&rig, 0).counter;
    RIG_UNTIL(rig_probe(&rig, 0).counter > count + 2);
    rig_quit(&rig);
}
END_TEST

START_TEST(registers_keep_their_values_in_parent_and_children)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "@state", "spins=200000");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 0);
    for (int round = 0; round < 8; round++) {
        uint64_t children[3];
        rig_fork(&rig, 0, 2, false, children);
        children[2] = rig_fork(&rig, 0, 1, true, NULL);
        rig_do(&rig, "pause", 0);
        rig_sleep_ms(7); /* RDTSC must not go back after it either */
        rig_do(&rig, "resume", 0);
        rig_do(&rig, "resume", children[2]);
        for (int i = 0; i < 3; i++) {
            rig_wait_exited(&rig, children[i], 0);
            char *console = rig_console(&rig, children[i]);
            ck_assert_ptr_nonnull(strstr(console, " ok "));
            free(console);
        }
    }
    ck_assert(rig_state_is(&rig, 0, "running")); /* it ends with 1 where it loses anything */
    rig_quit(&rig);
}
END_TEST

START_TEST(registers_keep_their_values_in_forks_of_forks)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "@state", "spins=200000", "after=continue");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 0);
    uint64_t guest = 0;
    for (int depth = 0; depth < 8; depth++) {
        uint64_t parent = guest;
        guest = rig_fork(&rig, parent, 1, false, NULL);
        RIG_UNTIL(rig_marks(&rig, guest, MARK_VERIFIED) || !rig_state_is(&rig, guest, "running"));
        ck_assert_uint_eq(rig_marks(&rig, guest, MARK_WRONG), 0);
        ck_assert(rig_state_is(&rig, parent, "running"));
        rig_do(&rig, "kill", parent);
    }
    ck_assert(rig_state_is(&rig, guest, "running"));
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork_vcpus");
    TCase *tests = tcase_create("vcpus");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, four_vcpus_all_continue_in_parent_and_children);
    tcase_add_test(tests, eight_vcpus_all_continue_in_parent_and_children);
    tcase_add_test(tests, halted_vcpus_stay_halted_in_children);
    tcase_add_test(tests, registers_keep_their_values_in_parent_and_children);
    tcase_add_test(tests, registers_keep_their_values_in_forks_of_forks);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
