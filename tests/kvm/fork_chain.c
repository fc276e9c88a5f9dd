/*
 * Forks of forks: by the control socket and by the guests' own port, deep and wide, each one continuing where its
 * parent was and none started anew.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 10

START_TEST(children_continue_their_parents_count_and_do_not_restart)
{
    struct rig rig = RIG("@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    for (int round = 0; round < 2; round++) {
        const struct probe before = rig_probe(&rig, 0);
        uint64_t children[3];
        rig_fork(&rig, 0, 3, true, children);
        const struct probe after = rig_probe(&rig, 0);
        for (int i = 0; i < 3; i++) {
            struct probe child = rig_probe(&rig, children[i]);
            ck_assert_uint_eq(child.nonce, before.nonce);
            ck_assert_uint_ge(child.counter, before.counter);
            ck_assert_uint_le(child.counter, after.counter);
            rig_sleep_ms(20);
            ck_assert_uint_eq(rig_probe(&rig, children[i]).counter, child.counter);
            rig_do(&rig, "resume", children[i]);
            RIG_UNTIL(rig_probe(&rig, children[i]).counter > child.counter + 1000);
            child = rig_probe(&rig, children[i]);
            ck_assert_uint_eq(child.nonce, before.nonce);
            ck_assert_uint_eq(child.guest_id, children[i]);
            ck_assert_uint_eq(child.generation, 1);
            rig_do(&rig, "kill", children[i]);
        }
        RIG_UNTIL(rig_probe(&rig, 0).counter > after.counter + 1000);
        ck_assert_uint_eq(rig_probe(&rig, 0).guest_id, 0);
    }
    rig_quit(&rig);
}
END_TEST

START_TEST(every_guest_of_a_chain_by_socket_holds_its_own_instant)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "@pattern", "size=1M", "linger_us=20000", "after=continue");
    RIG_UNTIL(rig_marks(&rig, 0, MARK_RESIDENT));
    uint64_t guest = 0, nonce = rig_probe(&rig, 0).nonce;
    for (uint64_t depth = 1; depth <= DEPTH; depth++) {
        uint64_t parent = guest, epoch = rig_probe(&rig, parent).epoch;
        guest = rig_fork(&rig, parent, 1, false, NULL);
        RIG_UNTIL(rig_marks(&rig, guest, MARK_VERIFIED) || !rig_state_is(&rig, guest, "running"));
        ck_assert_uint_eq(rig_marks(&rig, guest, MARK_VERIFIED), 1);
        ck_assert_uint_eq(rig_probe(&rig, guest).nonce, nonce);
        const struct rig_guest info = rig_guest(&rig, guest);
        ck_assert_int_eq(info.parent, (int64_t)parent);
        ck_assert_uint_eq(info.generation, depth);
        RIG_UNTIL(rig_probe(&rig, parent).epoch > epoch); /* it runs on */
        if (depth % 3 == 0)
            rig_do(&rig, "kill", parent); /* an ancestor's end is nobody's matter */
        else
            rig_do(&rig, "pause", parent);
    }
    ck_assert(rig_state_is(&rig, guest, "running"));
    rig_quit(&rig);
}
END_TEST

START_TEST(chain_of_paused_guests_that_never_ran_is_of_one_instant)
{
    struct rig rig = RIG("--memory", "8M", "@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    uint64_t guest = rig_fork(&rig, 0, 1, true, NULL);
    const struct probe first = rig_probe(&rig, guest);
    for (uint64_t depth = 2; depth <= DEPTH; depth++) {
        guest = rig_fork(&rig, guest, 1, true, NULL);
        const struct probe probe = rig_probe(&rig, guest);
        ck_assert_mem_eq(&probe, &first, sizeof probe);
        ck_assert_uint_eq(rig_boot_info(&rig, guest).generation, depth);
    }
    rig_do(&rig, "resume", guest);
    RIG_UNTIL(rig_probe(&rig, guest).counter > first.counter + 1000);
    rig_quit(&rig);
}
END_TEST

/* What `forker` prints is led by the guest's number in all guests but the root. */
static void check_line(const char *output, uint64_t guest, uint64_t generation, uint64_t level, const char *nonce)
{
    char want[128];
    snprintf(want, sizeof want, "[g%llu] forker guest %llu generation %llu level %llu index ",
             (unsigned long long)guest, (unsigned long long)guest, (unsigned long long)generation,
             (unsigned long long)level);
    const char *line = strstr(output, want);
    ck_assert_msg(line != NULL, "no '%s' in:\n%s", want, output);
    const char *found = strstr(line, "nonce ");
    ck_assert_msg(found && strncmp(found, nonce, 22) == 0, "another nonce than '%.22s' in:\n%s", nonce, output);
}

/* Generation by generation: each guest but the deepest makes children, and the root's exit code is the VMM's. */
static void check_tree(const char *children, const char *depth, uint64_t guests)
{
    char children_word[32], depth_word[32];
    snprintf(children_word, sizeof children_word, "children=%s", children);
    snprintf(depth_word, sizeof depth_word, "depth=%s", depth);
    struct rig rig = RIG("--memory", "8M", "--linger", "@forker", children_word, depth_word);
    RIG_UNTIL(rig_live(&rig) == 0);
    json_t *list = rig_call(&rig, "query-guests", NULL);
    ck_assert_uint_eq(json_array_size(list), guests);
    char *output = vmm_process_output(rig.process), *console = rig_console(&rig, 0);
    const char *nonce = strstr(console, "nonce ");
    ck_assert_ptr_nonnull(nonce);
    uint64_t of_code[16] = {0};
    for (uint64_t id = 0; id < guests; id++) {
        const struct rig_guest guest = rig_guest(&rig, id);
        ck_assert_str_eq(guest.state, "exited");
        if (id == 0) {
            ck_assert_int_eq(guest.exit_code, 0);
            continue;
        }
        ck_assert_uint_eq(guest.generation, rig_guest(&rig, (uint64_t)guest.parent).generation + 1);
        check_line(output, id, guest.generation, guest.generation, nonce);
        ck_assert_int_ge(guest.exit_code, 11);
        ck_assert_int_lt(guest.exit_code, 10 + 16);
        of_code[guest.exit_code - 10]++;
    }
    for (uint64_t i = 1; i <= strtoull(children, NULL, 10); i++) /* each index as often as the others */
        ck_assert_uint_eq(of_code[i], (guests - 1) / strtoull(children, NULL, 10));
    free(output);
    free(console);
    json_decref(list);
    rig_quit(&rig);
}

START_TEST(guest_forks_itself_by_port_ten_deep)
{
    check_tree("1", "10", 11);
}
END_TEST

START_TEST(guest_forks_itself_by_port_into_a_tree)
{
    check_tree("2", "4", 31);
    check_tree("5", "2", 31);
}
END_TEST

START_TEST(vmm_exits_with_the_roots_code_when_the_last_child_has_ended)
{
    struct outcome outcome = RUN("--memory", "8M", "@forker", "children=3", "depth=2");
    ck_assert_int_eq(outcome.status, 0);
    ck_assert_str_eq(outcome.errors, "");
    ck_assert_ptr_nonnull(strstr(outcome.output, "[g12] forker guest 12 generation 2 level 2 index "));
    outcome_free(&outcome);
}
END_TEST

START_TEST(root_may_end_long_before_its_children)
{
    struct rig rig = RIG("--memory", "8M", "@counter", "quiet=1", "limit=2000000000");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    uint64_t child = rig_fork(&rig, 0, 1, false, NULL), grandchild = rig_fork(&rig, child, 1, false, NULL);
    rig_do(&rig, "kill", 0);
    rig_do(&rig, "kill", child);
    uint64_t count = rig_probe(&rig, grandchild).counter;
    RIG_UNTIL(rig_probe(&rig, grandchild).counter > count + 1000);
    ck_assert_uint_eq(rig_live(&rig), 1);
    rig_do(&rig, "kill", grandchild);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT); /* the root was killed */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork_chain");
    TCase *tests = tcase_create("chain");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, children_continue_their_parents_count_and_do_not_restart);
    tcase_add_test(tests, every_guest_of_a_chain_by_socket_holds_its_own_instant);
    tcase_add_test(tests, chain_of_paused_guests_that_never_ran_is_of_one_instant);
    tcase_add_test(tests, guest_forks_itself_by_port_ten_deep);
    tcase_add_test(tests, guest_forks_itself_by_port_into_a_tree);
    tcase_add_test(tests, vmm_exits_with_the_roots_code_when_the_last_child_has_ended);
    tcase_add_test(tests, root_may_end_long_before_its_children);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
