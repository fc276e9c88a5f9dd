/*
 * How guests end that do not end well: exit status 126 with the reason, the failing address and the registers on
 * stderr; and how the VMM is ended from outside, which gives 124 and leaves nothing behind.
 */
#include "tests/support/kvm_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check_crash(struct outcome outcome, const char *const words[])
{
    static const char *const registers[] = {"rip ", "rax ", "rsp ", "r15 ", "cr2 ", "cr3 ", "efer "};
    ck_assert_msg(outcome.status == EXIT_VMM_CRASHED, "exit status %d, want 126: %s%s", outcome.status, outcome.output,
                  outcome.errors);
    ck_assert_msg(strncmp(outcome.errors, "vmm: guest 0 crashed: ", 22) == 0, "%s", outcome.errors);
    for (size_t i = 0; i < sizeof registers / sizeof registers[0]; i++)
        ck_assert_msg(strstr(outcome.errors, registers[i]) != NULL, "no '%s' in: %s", registers[i], outcome.errors);
    const char *end = strchr(outcome.errors, '\n');
    for (size_t i = 0; words[i]; i++) {
        const char *found = strstr(outcome.errors, words[i]);
        ck_assert_msg(found && found < end, "no '%s' in the first line of: %s", words[i], outcome.errors);
    }
    ck_assert_str_eq(outcome.output, ""); /* the console is the guest's alone */
    outcome_free(&outcome);
}
#define CRASHES(outcome, ...) check_crash(outcome, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(unhandled_exceptions_of_ring_3_are_named_with_their_address)
{
    CRASHES(RUN("--memory", "8M", "@crash", "how=ud"), "exception 6 ", "#UD", "rip 0x2");
    CRASHES(RUN("--memory", "8M", "@crash", "how=write"), "exception 14 ", "#PF", "error code 0x6",
            "cr2 0x700000000000");
    CRASHES(RUN("--memory", "8M", "@crash", "how=read"), "exception 14 ", "error code 0x4", "cr2 0x700000000008");
    CRASHES(RUN("--memory", "8M", "@crash", "how=jump"), "exception 14 ", "rip 0x700000000010", "cr2 0x700000000010");
    CRASHES(RUN("--memory", "8M", "@crash", "how=stack"), "exception 14 ", "cr2 0x6ffffffffff8");
    CRASHES(RUN("--memory", "8M", "@crash", "how=gp"), "exception 13 ", "#GP");
    CRASHES(RUN("--memory", "8M", "@crash", "how=de"), "exception 0 ", "#DE");
    CRASHES(RUN("--memory", "8M", "@crash", "how=bp"), "exception 3 ", "#BP");
    CRASHES(RUN("--memory", "8M", "--cpl", "3", "@crash", "how=hlt"), "exception 13 ", "#GP");
    CRASHES(RUN("--memory", "8M", "--cpl", "3", "@crash", "how=port"), "exception 13 ", "#GP");
    CRASHES(RUN("--memory", "8M", "--cpl", "3", "@crash", "how=mmio"), "exception 14 ", "#PF", "cr2 0x8000000000");
}
END_TEST

START_TEST(unhandled_exceptions_of_ring_0_are_named_with_their_address)
{
    CRASHES(RUN("--memory", "8M", "@crash", "how=ud", "ring=0"), "exception 6 ", "#UD", "rip 0x2");
    CRASHES(RUN("--memory", "8M", "@crash", "how=write", "ring=0"), "exception 14 ", "error code 0x2",
            "cr2 0x700000000000");
    CRASHES(RUN("--memory", "8M", "@crash", "how=read", "ring=0"), "exception 14 ", "error code 0,",
            "cr2 0x700000000008");
    CRASHES(RUN("--memory", "8M", "@crash", "how=jump", "ring=0"), "exception 14 ", "rip 0x700000000010");
    CRASHES(RUN("--memory", "8M", "@crash", "how=stack", "ring=0"), "exception 14 ", "cr2 0x6ffffffffff8");
    CRASHES(RUN("--memory", "8M", "@crash", "how=gp", "ring=0"), "exception 13 ", "#GP");
    CRASHES(RUN("--memory", "8M", "@crash", "how=de", "ring=0"), "exception 0 ", "#DE");
}
END_TEST

START_TEST(triple_fault_is_a_crash)
{
    CRASHES(RUN("--memory", "8M", "@crash", "how=triple"), "triple fault");
    CRASHES(RUN("--memory", "8M", "--cpl", "3", "@crash", "how=triple"), "exception 13 ", "#GP");
}
END_TEST

/* A KVM that interprets ring 0 may not know an instruction; one that runs it does. */
START_TEST(instruction_that_kvm_cannot_emulate_is_a_crash_and_never_a_hang)
{
    struct outcome outcome = RUN("--memory", "8M", "@crash", "how=vex");
    if (outcome.status == EXIT_VMM_CRASHED) {
        CRASHES(outcome, "KVM internal error");
        return;
    }
    ck_assert_int_eq(outcome.status, 3);
    outcome_free(&outcome);
}
END_TEST

START_TEST(halting_every_vcpu_ends_the_guest_with_0)
{
    struct outcome outcome = RUN("--memory", "8M", "@crash", "how=hlt");
    ck_assert_msg(outcome.status == 0, "%s", outcome.errors);
    outcome_free(&outcome);
    outcome = RUN("--memory", "8M", "--cpus", "4", "@crash", "how=hlt");
    ck_assert_msg(outcome.status == 0, "%s", outcome.errors);
    outcome_free(&outcome);
}
END_TEST

START_TEST(crash_of_one_vcpu_ends_the_guest)
{
    CRASHES(RUN("--memory", "8M", "--cpus", "4", "--cpl", "3", "@crash", "how=ud"), "exception 6 ");
}
END_TEST

START_TEST(elf_guest_crashes_like_a_flat_one)
{
    CRASHES(RUN("--memory", "8M", "@crash.elf", "how=write"), "exception 14 ", "cr2 0x700000000000");
}
END_TEST

START_TEST(guest_that_hangs_is_ended_by_quit)
{
    struct rig rig = RIG("--memory", "8M", "--cpus", "2", "@crash", "how=hang");
    RIG_UNTIL(memcmp(rig_probe(&rig, 0).magic, PROBE_MAGIC, 8) == 0);
    ck_assert(rig_state_is(&rig, 0, "running"));
    char path[512];
    snprintf(path, sizeof path, "%s", vmm_process_socket(rig.process));
    ck_assert_int_eq(access(path, F_OK), 0);
    json_decref(rig_call(&rig, "quit", NULL));
    ck_assert_int_eq(vmm_process_wait(rig.process, RIG_PATIENCE_MS), EXIT_VMM_QUIT);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
}
END_TEST

static void check_signal(int signal)
{
    struct rig rig = RIG("--memory", "8M", "@crash", "how=hang");
    rig_fork(&rig, 0, 3, false, NULL);
    char path[512];
    snprintf(path, sizeof path, "%s", vmm_process_socket(rig.process));
    vmm_process_signal(rig.process, signal);
    ck_assert_int_eq(vmm_process_wait(rig.process, RIG_PATIENCE_MS), EXIT_VMM_QUIT);
    ck_assert_int_ne(access(path, F_OK), 0);
    char *errors = vmm_process_errors(rig.process);
    ck_assert_str_eq(errors, "");
    free(errors);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
}

START_TEST(sigterm_sigint_and_sighup_end_the_vmm_like_quit)
{
    signal(SIGHUP, SIG_DFL); /* nohup(1) may have been here */
    check_signal(SIGTERM);
    check_signal(SIGINT);
    check_signal(SIGHUP);
}
END_TEST

START_TEST(vmm_that_is_to_outlive_its_terminal_is_deaf_to_sighup)
{
    signal(SIGHUP, SIG_IGN); /* as by nohup(1) */
    struct rig rig = RIG("--memory", "8M", "@crash", "how=hang");
    vmm_process_signal(rig.process, SIGHUP);
    rig_sleep_ms(100);
    ck_assert(rig_state_is(&rig, 0, "running"));
    rig_quit(&rig);
}
END_TEST

START_TEST(killed_root_gives_the_status_of_quit)
{
    struct rig rig = RIG("--memory", "8M", "@crash", "how=hang");
    rig_do(&rig, "kill", 0);
    ck_assert_int_eq(rig_wait_exit(&rig), EXIT_VMM_QUIT);
}
END_TEST

/* One reporter for one crash: the control client is told why, and query-guests remembers. */
START_TEST(crash_is_told_to_control_clients)
{
    struct rig rig = RIG("--memory", "8M", "--paused", "--linger", "@crash", "how=write");
    rig_do(&rig, "resume", 0);
    json_t *event = client_wait_event(rig.client, "CRASHED", 0, RIG_PATIENCE_MS);
    ck_assert_ptr_nonnull(event);
    const char *reason = json_string_value(json_object_get(event_data(event), "reason"));
    ck_assert_ptr_nonnull(reason);
    ck_assert_ptr_nonnull(strstr(reason, "0x700000000000"));
    json_decref(event);
    ck_assert(rig_state_is(&rig, 0, "crashed"));
    ck_assert_int_eq(rig_guest(&rig, 0).exit_code, -1);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("launch_crashes");
    TCase *tests = tcase_create("crashes");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, unhandled_exceptions_of_ring_3_are_named_with_their_address);
    tcase_add_test(tests, unhandled_exceptions_of_ring_0_are_named_with_their_address);
    tcase_add_test(tests, triple_fault_is_a_crash);
    tcase_add_test(tests, instruction_that_kvm_cannot_emulate_is_a_crash_and_never_a_hang);
    tcase_add_test(tests, halting_every_vcpu_ends_the_guest_with_0);
    tcase_add_test(tests, crash_of_one_vcpu_ends_the_guest);
    tcase_add_test(tests, elf_guest_crashes_like_a_flat_one);
    tcase_add_test(tests, guest_that_hangs_is_ended_by_quit);
    tcase_add_test(tests, sigterm_sigint_and_sighup_end_the_vmm_like_quit);
    tcase_add_test(tests, vmm_that_is_to_outlive_its_terminal_is_deaf_to_sighup);
    tcase_add_test(tests, killed_root_gives_the_status_of_quit);
    tcase_add_test(tests, crash_is_told_to_control_clients);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
