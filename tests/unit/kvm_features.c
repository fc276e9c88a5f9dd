/* A guest goes on only where there is every CPU feature that it has seen; what is missing is named. */
#include "vmm/kvm/features.h"

#include <check.h>
#include <stdlib.h>

#define LEAVES 4

/* What a guest has seen, and what a host has; the same leaves unless a test changes one. */
static struct kvm_cpuid_entry2 seen[LEAVES];
static union {
    struct kvm_cpuid2 head;
    char room[sizeof(struct kvm_cpuid2) + LEAVES * sizeof(struct kvm_cpuid_entry2)];
} here;
static struct cleave_failure failure;

static void set_up(void)
{
    static const struct kvm_cpuid_entry2 leaves[LEAVES] = {
        {.function = 1, .ecx = 1u << 28 | 1u << 23, .edx = 1u << 25, .ebx = 0x01000800},
        {.function = 7, .index = 0, .ebx = 1u << 16 | 1u << 5},
        {.function = 0xd, .index = 2, .eax = 256, .ebx = 576},
        {.function = 0x80000001, .index = 0, .edx = 1u << 29 | 1u << 20},
    };
    here.head.nent = LEAVES;
    for (unsigned i = 0; i < LEAVES; i++) {
        const struct kvm_cpuid_entry2 *l = seen + i;
        seen[i] = leaves[i];
        here.head.entries[i] = (struct kvm_cpuid_entry2){
            .function = l->function, .index = l->index, .eax = l->eax, .ebx = l->ebx, .ecx = l->ecx, .edx = l->edx};
    }
}

static void accepted(void)
{
    ck_assert_msg(features_check(seen, LEAVES, &here.head, "a.snap", &failure) == 0, "%s", failure.text);
}

static void refused(const char *text)
{
    ck_assert_int_eq(features_check(seen, LEAVES, &here.head, "a.snap", &failure), -1);
    ck_assert_int_eq(failure.kind, CLEAVE_UNSUPPORTED);
    ck_assert_str_eq(failure.text, text);
}

START_TEST(equal_hosts_will_do)
{
    accepted();
}
END_TEST

START_TEST(host_may_have_more_than_the_guest_has_seen)
{
    here.head.entries[0].ecx = here.head.entries[1].ebx = here.head.entries[3].edx = UINT32_MAX;
    accepted();
}
END_TEST

START_TEST(missing_feature_is_named)
{
    here.head.entries[0].ecx &= ~(1u << 28);
    refused("a.snap: the guest has seen the CPU feature avx, which this host lacks");
    set_up();
    here.head.entries[1].ebx &= ~(1u << 16);
    refused("a.snap: the guest has seen the CPU feature avx512f, which this host lacks");
    set_up();
    here.head.entries[3].edx &= ~(1u << 20);
    refused("a.snap: the guest has seen the CPU feature nx, which this host lacks");
}
END_TEST

START_TEST(missing_leaf_lacks_all_its_features)
{
    here.head.entries[1].function = 6;
    refused("a.snap: the guest has seen the CPU feature avx2, which this host lacks");
}
END_TEST

START_TEST(feature_without_a_name_is_given_by_its_bit)
{
    seen[0].edx |= 1u << 20;
    refused("a.snap: the guest has seen a CPU feature (CPUID leaf 0x1.0, edx bit 20) that this host lacks");
}
END_TEST

/* The APIC's number and the like say on which processor KVM looked, and OSXSAVE mirrors CR4. */
START_TEST(bits_that_are_no_features_do_not_count)
{
    seen[0].ebx = 0x07000800;
    seen[0].ecx |= 1u << 27;
    accepted();
}
END_TEST

START_TEST(vector_state_must_lie_in_the_same_places)
{
    here.head.entries[2].ebx = 640;
    refused("a.snap: this host keeps part 2 of the vector state elsewhere than the guest has seen");
    here.head.entries[2].function = 6;
    refused("a.snap: this host keeps part 2 of the vector state elsewhere than the guest has seen");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kvm_features");
    TCase *tests = tcase_create("features");
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, equal_hosts_will_do);
    tcase_add_test(tests, host_may_have_more_than_the_guest_has_seen);
    tcase_add_test(tests, missing_feature_is_named);
    tcase_add_test(tests, missing_leaf_lacks_all_its_features);
    tcase_add_test(tests, feature_without_a_name_is_given_by_its_bit);
    tcase_add_test(tests, bits_that_are_no_features_do_not_count);
    tcase_add_test(tests, vector_state_must_lie_in_the_same_places);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
