/*
 * One guest's crash, hang or exit disturbs no other; each guest has an identity of its own, lines of its own on the
 * console, and gives back what it held when it ends.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_random.h"
#include "tests/support/rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What children of `random` with ends=1 do, by their number modulo 4. */
enum { GOES_ON, CRASHES, HANGS, EXITS };
#define EXITS_WITH 7

static bool has_ended(struct rig *rig, uint64_t guest)
{
    return !rig_state_is(rig, guest, "running") && !rig_state_is(rig, guest, "paused");
}

/* A child has read its own identity, and with it its orders. */
static bool knows_itself(struct rig *rig, uint64_t guest)
{
    struct random_state state;
    rig_read(rig, guest, RANDOM_STATE_GPA, offsetof(struct random_state, history), &state);
    return state.guest_id == guest;
}

static void check_child(struct rig *rig, uint64_t child)
{
    switch (child % 4) {
    case GOES_ON:
        RIG_UNTIL(knows_itself(rig, child));
        random_wait_steps(rig, child, 100);
        break;
    case HANGS:
        RIG_UNTIL(knows_itself(rig, child));
        ck_assert(rig_state_is(rig, child, "running"));
        break;
    case CRASHES:
        RIG_UNTIL(has_ended(rig, child));
        ck_assert(rig_state_is(rig, child, "crashed"));
        break;
    default:
        rig_wait_exited(rig, child, EXITS_WITH);
    }
}

START_TEST(crash_hang_and_exit_of_children_disturb_neither_parent_nor_siblings)
{
    struct rig rig = RIG("--memory", "16M", "@random", "ends=1", "pages=512", "fill=512", "seed=5");
    random_wait_started(&rig, 0);
    struct model *parent = model_new();
    uint64_t children[8];
    for (unsigned round = 0; round < rounds(3, 1); round++) {
        rig_fork(&rig, 0, 8, false, children);
        for (int i = 0; i < 8; i++)
            check_child(&rig, children[i]);
        random_wait_steps(&rig, 0, 100);
        rig_do(&rig, "pause", 0);
        model_check_all(parent, &rig, 0);
        for (int i = 0; i < 8; i++) {
            if (children[i] % 4 == GOES_ON) {
                struct model *sibling = model_copy(parent);
                rig_do(&rig, "pause", children[i]);
                model_check_all(sibling, &rig, children[i]);
                model_free(sibling);
            }
            if (children[i] % 4 == HANGS || children[i] % 4 == GOES_ON)
                rig_do(&rig, "kill", children[i]); /* one that hangs can be ended like any other */
        }
        rig_do(&rig, "resume", 0);
    }
    ck_assert_uint_eq(rig_live(&rig), 1);
    char *errors = vmm_process_errors(rig.process);
    ck_assert_ptr_nonnull(strstr(errors, "guest 1 crashed: unhandled exception 6"));
    free(errors);
    model_free(parent);
    rig_quit(&rig);
}
END_TEST

START_TEST(children_live_on_when_their_parent_crashes)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "@crash", "how=write", "delay_us=3000000");
    uint64_t children[4];
    rig_fork(&rig, 0, 4, true, children);
    RIG_UNTIL(rig_state_is(&rig, 0, "crashed"));
    for (int i = 0; i < 4; i++)
        ck_assert(rig_state_is(&rig, children[i], "paused"));
    struct probe probe = rig_probe(&rig, children[3]);
    ck_assert_mem_eq(probe.magic, PROBE_MAGIC, 8);
    for (int i = 0; i < 4; i++) {
        rig_do(&rig, "resume", children[i]);
        RIG_UNTIL(rig_state_is(&rig, children[i], "crashed")); /* each in its turn, by its own doing */
        ck_assert_uint_eq(rig_live(&rig), 3 - (size_t)i);
    }
    rig_quit(&rig);
}
END_TEST

START_TEST(status_is_the_roots_even_where_a_child_crashes_after_it)
{
    struct rig rig = RIG("--memory", "8M", "--paused", "@crash", "how=ud", "delay_us=50000");
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    rig_do(&rig, "kill", 0);
    rig_do(&rig, "resume", child);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);

    rig = RIG("--memory", "8M", "--paused", "@crash", "how=exit", "code=42");
    child = rig_fork(&rig, 0, 1, true, NULL);
    rig_do(&rig, "resume", 0);
    RIG_UNTIL(rig_state_is(&rig, 0, "exited"));
    ck_assert(vmm_process_running(rig.process)); /* a guest is left */
    rig_do(&rig, "resume", child);
    ck_assert_int_eq(rig_wait_exit(&rig), 42);
}
END_TEST

START_TEST(lingering_vmm_outlives_its_last_guest)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "@hello", "code=9");
    rig_wait_exited(&rig, 0, 9);
    rig_sleep_ms(50);
    ck_assert(vmm_process_running(rig.process));
    ck_assert_uint_eq(rig_live(&rig), 0);
    rig_refused(&rig, "GuestNotFound", "0", "fork", "{s:i}", "guest", 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(every_guest_has_its_own_number_generation_and_entropy)
{
    enum { CHILDREN = 6, ALL = CHILDREN + 3 };
    struct rig rig = RIG("--memory", "8M", "@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 0);
    uint64_t ids[ALL] = {0};
    rig_fork(&rig, 0, CHILDREN, true, ids + 1);
    rig_fork(&rig, ids[1], 2, true, ids + 1 + CHILDREN);
    struct boot_info infos[ALL];
    for (size_t i = 0; i < ALL; i++) {
        infos[i] = rig_boot_info(&rig, ids[i]);
        ck_assert_uint_eq(ids[i], i); /* counting up */
        ck_assert_mem_eq(infos[i].magic, BOOT_INFO_MAGIC, 8);
        ck_assert_uint_eq(infos[i].version, BOOT_INFO_VERSION);
        ck_assert_uint_eq(infos[i].ram_bytes, 8 << 20);
        ck_assert_uint_eq(infos[i].guest_id, i);
        ck_assert_uint_eq(infos[i].generation, i == 0 ? 0 : i <= CHILDREN ? 1 : 2);
        ck_assert_uint_eq(rig_guest(&rig, i).generation, infos[i].generation);
        for (size_t j = 0; j < i; j++)
            ck_assert_mem_ne(infos[i].entropy, infos[j].entropy, BOOT_INFO_ENTROPY);
    }
    struct boot_info again = rig_boot_info(&rig, ids[1]);
    ck_assert_mem_eq(&again, &infos[1], sizeof again);
    ck_assert_int_eq(rig_guest(&rig, ids[1 + CHILDREN]).parent, (int64_t)ids[1]);
    ck_assert_uint_eq(rig_guest(&rig, 0).children, CHILDREN);
    rig_quit(&rig);
}
END_TEST

START_TEST(lines_of_children_are_led_by_their_number)
{
    enum { CHILDREN = 12 };
    struct rig rig =
        RIG("--memory", "8M", "@counter", "quiet=1"); /* each guest prints one line, once it knows itself */
    RIG_UNTIL(rig_probe(&rig, 0).counter > 0);
    uint64_t children[CHILDREN];
    rig_fork(&rig, 0, CHILDREN, false, children);
    for (int i = 0; i < CHILDREN; i++) {
        const uint64_t known = rig_probe(&rig, children[i]).counter;
        RIG_UNTIL(rig_probe(&rig, children[i]).guest_id == children[i]);
        RIG_UNTIL(rig_probe(&rig, children[i]).counter > known + 1000);
        rig_do(&rig, "kill", children[i]);
    }
    char *output = vmm_process_output(rig.process), *rest = output;
    unsigned lines = 0;
    for (char *line; (line = strsep(&rest, "\n")) && *line; lines++) {
        unsigned long long led = 0, count, guest;
        ck_assert_msg(strncmp(line, "[g", 2) != 0 || sscanf(line, "[g%llu] ", &led) == 1, "%s", line);
        const char *text = led ? strchr(line, ' ') + 1 : line;
        ck_assert_msg(sscanf(text, "counter %llu guest %llu ", &count, &guest) == 2, "%s", line);
        ck_assert_msg(guest == led, "%s", line);
    }
    ck_assert_uint_eq(lines, 1 + CHILDREN);
    free(output);
    rig_quit(&rig);
}
END_TEST

START_TEST(children_of_a_guest_that_never_ran_start_where_it_would_have)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "--paused", "@hello");
    uint64_t children[3];
    rig_fork(&rig, 0, 3, true, children);
    for (int i = 0; i < 3; i++) {
        rig_do(&rig, "resume", children[i]);
        rig_wait_exited(&rig, children[i], 0);
        char *console = rig_console(&rig, children[i]), want[64];
        snprintf(want, sizeof want, "hello from guest %llu generation 1 vcpus 1 ram %d\n",
                 (unsigned long long)children[i], 8 << 20);
        ck_assert_str_eq(console, want);
        free(console);
    }
    ck_assert(rig_state_is(&rig, 0, "paused"));
    rig_quit(&rig);
}
END_TEST

START_TEST(guest_that_floods_the_console_delays_no_sibling)
{
    struct rig rig = RIG("--memory", "8M", "@counter", "every=1");
    uint64_t children[2];
    rig_fork(&rig, 0, 2, false, children);
    for (int i = 0; i < 2; i++)
        RIG_UNTIL(rig_probe(&rig, children[i]).guest_id == children[i]);
    for (int i = 0; i < 20; i++) { /* the VMM answers, and pauses and ends them, in the middle of it */
        rig_do(&rig, "pause", children[i % 2]);
        rig_do(&rig, "resume", children[i % 2]);
        free(rig_console(&rig, 0));
    }
    rig_do(&rig, "kill", children[0]);
    uint64_t counter = rig_probe(&rig, children[1]).counter;
    RIG_UNTIL(rig_probe(&rig, children[1]).counter > counter);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork_isolation");
    TCase *tests = tcase_create("isolation");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, crash_hang_and_exit_of_children_disturb_neither_parent_nor_siblings);
    tcase_add_test(tests, children_live_on_when_their_parent_crashes);
    tcase_add_test(tests, status_is_the_roots_even_where_a_child_crashes_after_it);
    tcase_add_test(tests, lingering_vmm_outlives_its_last_guest);
    tcase_add_test(tests, every_guest_has_its_own_number_generation_and_entropy);
    tcase_add_test(tests, lines_of_children_are_led_by_their_number);
    tcase_add_test(tests, children_of_a_guest_that_never_ran_start_where_it_would_have);
    tcase_add_test(tests, guest_that_floods_the_console_delays_no_sibling);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
