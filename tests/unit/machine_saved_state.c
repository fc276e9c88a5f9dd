/* A machine's state on its way into a snapshot and back: nothing is lost, clocks go on from the instant, and what this
 * host's KVM cannot hold is refused. No KVM is asked: to these functions its structs are bytes. */
#include "vmm/machine/saved_state.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define CPUS       3
#define MSRS       5
#define XSAVE      8192
#define GUEST_TSC  UINT64_C(1000000000)
#define CLOCK_NS   UINT64_C(123456789012)
#define FORK_READS 77

static union {
    struct kvm_cpuid2 head;
    char room[sizeof(struct kvm_cpuid2) + 2 * sizeof(struct kvm_cpuid_entry2)];
} cpuid;
static struct kvm kvm;
static struct machine machine;
static struct machine_state *state;
static struct saved_state saved;
static struct cleave_failure failure;

/* Bytes that differ from part to part. */
static void scribble(void *to, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)to)[i] = (uint8_t)(seed * 31 + i * 7 + 1);
}

static void fill_vcpu(struct vcpu_state *vcpu, unsigned i)
{
    scribble(&vcpu->regs, sizeof vcpu->regs, 10 + i);
    scribble(&vcpu->sregs, sizeof vcpu->sregs, 20 + i);
    scribble(&vcpu->xcrs, sizeof vcpu->xcrs, 30 + i);
    scribble(&vcpu->debugregs, sizeof vcpu->debugregs, 40 + i);
    scribble(&vcpu->events, sizeof vcpu->events, 50 + i);
    scribble(vcpu->xsave, XSAVE, 60 + i);
    scribble(vcpu->msrs, MSRS * sizeof vcpu->msrs[0], 70 + i);
    vcpu->mp_state.mp_state = i;
    vcpu->halted = i == 1;
    vcpu_state_set_tsc(&kvm, vcpu, GUEST_TSC + i, state->host_tsc);
}

/* A machine of which all is set, on a host that can do everything. */
static void set_up(void)
{
    memset(&cpuid, 0, sizeof cpuid);
    cpuid.head.nent = 2;
    cpuid.head.entries[1].function = 7;
    kvm = (struct kvm){
        .xsave_size = XSAVE,
        .has_xcrs = true,
        .has_debugregs = true,
        .has_tsc_offset = true,
        .msr_count = MSRS,
        .tsc_khz = 2000000,
        .cpuid = &cpuid.head,
    };
    for (unsigned i = 0; i < MSRS; i++)
        kvm.msrs[i] = 0x100 + i;
    memset(&machine, 0, sizeof machine);
    machine.id = 5;
    machine.generation = 6;
    machine.memory.bytes = 8 << 20;
    state = machine_state_new(&kvm, CPUS, &failure);
    ck_assert_ptr_nonnull(state);
    state->host_tsc = kvm_host_tsc() - UINT64_C(5000000000); /* the file has lain about since */
    state->clock.clock = CLOCK_NS;
    for (unsigned i = 0; i < CPUS; i++)
        state->fork_results[i] = FORK_READS + i;
    scribble(&state->uart, 7, 80);
    uart_receive(&state->uart, "unread", 6);
    state->uart.input_start = 1; /* it has read the first */
    state->uart.looped = 'x';
    state->uart.looped_ready = true;
    for (unsigned i = 0; i < CPUS; i++)
        fill_vcpu(&state->vcpus[i], i);
}

static void tear_down(void)
{
    saved_state_free(&saved);
    machine_state_put(state);
}

static void encode(void)
{
    ck_assert_int_eq(saved_state_encode(&saved, &machine, state, &failure), 0);
}

static struct machine_state *decode(void)
{
    struct machine_state *got = saved_state_decode(&kvm, &saved.state, "a.snap", &failure);
    ck_assert_msg(got != NULL, "%s", failure.text);
    return got;
}

static void refused(enum cleave_failure_kind class, const char *word)
{
    ck_assert_ptr_null(saved_state_decode(&kvm, &saved.state, "a.snap", &failure));
    ck_assert_int_eq(failure.kind, class);
    ck_assert_msg(strncmp(failure.text, "a.snap: ", 8) == 0 && strstr(failure.text, word), "%s", failure.text);
}

static void expect_vcpu(const struct vcpu_state *got, const struct vcpu_state *wanted)
{
    ck_assert_mem_eq(&got->regs, &wanted->regs, sizeof got->regs);
    ck_assert_mem_eq(&got->sregs, &wanted->sregs, sizeof got->sregs);
    ck_assert_mem_eq(&got->xcrs, &wanted->xcrs, sizeof got->xcrs);
    ck_assert_mem_eq(&got->debugregs, &wanted->debugregs, sizeof got->debugregs);
    ck_assert_mem_eq(&got->events, &wanted->events, sizeof got->events);
    ck_assert_mem_eq(&got->mp_state, &wanted->mp_state, sizeof got->mp_state);
    ck_assert_mem_eq(got->xsave, wanted->xsave, XSAVE);
    ck_assert_mem_eq(got->msrs, wanted->msrs, MSRS * sizeof got->msrs[0]);
    ck_assert_int_eq(got->halted, wanted->halted);
}

START_TEST(all_of_it_comes_back)
{
    encode();
    struct machine_state *got = decode();
    ck_assert_uint_eq(got->cpus, CPUS);
    for (unsigned i = 0; i < CPUS; i++)
        expect_vcpu(&got->vcpus[i], &state->vcpus[i]);
    ck_assert_mem_eq(got->fork_results, state->fork_results, sizeof got->fork_results);
    ck_assert_uint_eq(got->clock.clock, CLOCK_NS);
    const struct uart *a = &got->uart, *b = &state->uart;
    ck_assert(a->ier == b->ier && a->fcr == b->fcr && a->lcr == b->lcr && a->mcr == b->mcr && a->scr == b->scr);
    ck_assert(a->dll == b->dll && a->dlm == b->dlm && a->looped == b->looped && a->looped_ready == b->looped_ready);
    ck_assert_uint_eq(uart_unread(a), 5);
    ck_assert_mem_eq(a->input + a->input_start, "nread", 5);
    const struct snapshot_machine *m = &saved.state.machine;
    ck_assert_uint_eq(m->memory, machine.memory.bytes);
    ck_assert_uint_eq(m->cpus, CPUS);
    ck_assert_uint_eq(m->fork_result, FORK_READS);
    ck_assert_uint_eq(m->guest_id, 5);
    ck_assert_uint_eq(m->generation, 6);
    ck_assert_uint_eq(saved.state.cpuid_count, 2);
    ck_assert_uint_eq(saved.state.cpuid[1].function, 7);
    machine_state_put(got);
}
END_TEST

/* However long the file lay about, and wherever this host's TSC is; vCPUs keep their distances. */
START_TEST(a_file_with_one_fork_result_has_it_for_every_vcpu)
{
    encode();
    for (unsigned i = 0; i < CPUS; i++)
        saved.state.vcpus[i].count--; /* the last record */
    struct machine_state *got = decode();
    for (unsigned i = 0; i < CPUS; i++)
        ck_assert_uint_eq(got->fork_results[i], FORK_READS);
    machine_state_put(got);
}
END_TEST

START_TEST(tsc_goes_on_from_the_instant)
{
    encode();
    struct machine_state *got = decode();
    ck_assert_uint_gt(got->host_tsc, state->host_tsc);
    for (unsigned i = 0; i < CPUS; i++) {
        ck_assert_uint_eq(saved.vcpus[i].tsc, GUEST_TSC + i);
        ck_assert_uint_eq(vcpu_state_tsc(&kvm, &got->vcpus[i], got->host_tsc), GUEST_TSC + i);
        ck_assert_uint_eq(vcpu_state_tsc(&kvm, &got->vcpus[i], got->host_tsc + 1000), GUEST_TSC + i + 1000);
    }
    machine_state_put(got);
    kvm.has_tsc_offset = false; /* an older kernel, which takes the value itself */
    got = decode();
    for (unsigned i = 0; i < CPUS; i++)
        ck_assert_uint_eq(got->vcpus[i].tsc, GUEST_TSC + i);
    machine_state_put(got);
}
END_TEST

START_TEST(host_may_have_more_than_the_one_that_saved)
{
    kvm.has_xcrs = kvm.has_debugregs = false;
    kvm.msr_count = MSRS - 1;
    encode();
    kvm.has_xcrs = kvm.has_debugregs = true;
    kvm.msr_count = MSRS;
    kvm.msr_defaults[MSRS - 1] = 0xdef;
    kvm.xsave_size = 2 * XSAVE;
    struct machine_state *got = decode();
    ck_assert_uint_eq(got->vcpus[2].xcrs.nr_xcrs, 1);
    ck_assert_uint_eq(got->vcpus[2].xcrs.xcrs[0].value, 1);
    ck_assert_uint_eq(got->vcpus[2].debugregs.dr6, 0xffff0ff0);
    ck_assert_uint_eq(got->vcpus[2].debugregs.dr7, 0x400);
    ck_assert_uint_eq(got->vcpus[2].msrs[MSRS - 1], 0xdef);
    ck_assert_mem_eq(got->vcpus[2].msrs, state->vcpus[2].msrs, (MSRS - 1) * sizeof(uint64_t));
    const uint8_t *xsave = (const uint8_t *)got->vcpus[2].xsave;
    ck_assert_mem_eq(xsave, state->vcpus[2].xsave, XSAVE);
    for (size_t i = XSAVE; i < 2 * XSAVE; i++)
        ck_assert_uint_eq(xsave[i], 0);
    machine_state_put(got);
}
END_TEST

START_TEST(host_with_less_is_refused)
{
    encode();
    kvm.msr_count = MSRS - 1;
    refused(CLEAVE_UNSUPPORTED, "MSR 0x104");
    kvm.msr_count = MSRS;
    kvm.xsave_size = XSAVE / 2;
    refused(CLEAVE_UNSUPPORTED, "vector state");
}
END_TEST

START_TEST(machine_that_nothing_can_wake_is_refused)
{
    for (unsigned i = 0; i < CPUS; i++)
        state->vcpus[i].halted = true;
    encode();
    refused(CLEAVE_SNAPSHOT_INVALID, "halted");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("machine_saved_state");
    TCase *tests = tcase_create("saved_state");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, all_of_it_comes_back);
    tcase_add_test(tests, a_file_with_one_fork_result_has_it_for_every_vcpu);
    tcase_add_test(tests, tsc_goes_on_from_the_instant);
    tcase_add_test(tests, host_may_have_more_than_the_one_that_saved);
    tcase_add_test(tests, host_with_less_is_refused);
    tcase_add_test(tests, machine_that_nothing_can_wake_is_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
