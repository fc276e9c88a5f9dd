/*
 * Files that are right in every checksum and hold what their guest never was: state that a vCPU is about to act on
 * must take effect, and be saved again; state that no vCPU or not this host can have is refused by name.
 */
#include "tests/support/kvm_snapshot.h"
#include "tests/support/snapshot_forge.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UD_VECTOR   6
#define CR0_PE      1u
#define CR0_PG      0x80000000u
#define UNKNOWN_MSR 0x4000beef

static struct rig start_counter(void)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    return rig;
}

static struct forge read_file(const char *path)
{
    struct forge forge = {.bytes = (size_t)snapshot_size(path)};
    forge.data = malloc(forge.bytes);
    FILE *file = fopen(path, "r");
    ck_assert(file && forge.data);
    ck_assert_uint_eq(fread(forge.data, 1, forge.bytes, file), forge.bytes);
    fclose(file);
    return forge;
}

/* A snapshot of the guest to be changed. */
static struct forge save(struct rig *rig, uint64_t guest)
{
    rig_snapshot(rig, guest, snapshot_place("good"));
    return read_file(snapshot_place("good"));
}

/* As a file whose checksums are right again; the forge is freed. */
static const char *write_forged(struct forge *forge)
{
    const char *path = snapshot_place("forged");
    forge_repair(forge);
    FILE *file = fopen(path, "w");
    ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
    ck_assert_uint_eq(fwrite(forge->data, 1, forge->bytes, file), forge->bytes);
    ck_assert_int_eq(fclose(file), 0);
    free(forge->data);
    return path;
}

/* A record of the first vCPU: type and length of 4 bytes each, then the data, to a multiple of 8. */
static void *find_record(const struct forge *forge, enum snapshot_record_type type)
{
    const struct layout_section *section = forge_section(forge, LAYOUT_VCPU);
    uint8_t *content = forge_content(forge, section);
    ck_assert_ptr_nonnull(content);
    for (uint64_t at = 0; at < section->bytes;) {
        uint32_t head[2];
        memcpy(head, content + at, sizeof head);
        if (head[0] == type)
            return content + at + sizeof head;
        at += sizeof head + layout_align(head[1], LAYOUT_ALIGN);
    }
    ck_abort_msg("no record of type %d", (int)type);
}

/* An invalid opcode that the vCPU has met and not yet taken. */
static const char *save_with_exception(struct rig *rig)
{
    struct forge forge = save(rig, 0);
    struct kvm_vcpu_events *events = find_record(&forge, SNAPSHOT_VCPU_EVENTS);
    events->exception.injected = 1;
    events->exception.nr = UD_VECTOR;
    return write_forged(&forge);
}

static void check_takes_exception(struct rig *rig, uint64_t guest)
{
    rig_do(rig, "resume", guest);
    RIG_UNTIL(!rig_state_is(rig, guest, "running"));
    ck_assert(rig_state_is(rig, guest, "crashed"));
}

START_TEST(pending_event_is_restored_and_taken)
{
    struct rig rig = start_counter();
    uint64_t guest = rig_restore(&rig, save_with_exception(&rig), RESTORE_PAUSED);
    check_takes_exception(&rig, guest);
    rig_quit(&rig);
}
END_TEST

START_TEST(pending_event_is_saved_again)
{
    struct rig rig = start_counter();
    uint64_t guest = rig_restore(&rig, save_with_exception(&rig), RESTORE_PAUSED);
    struct forge again = save(&rig, guest);
    const struct kvm_vcpu_events *events = find_record(&again, SNAPSHOT_VCPU_EVENTS);
    ck_assert(events->exception.injected || events->exception.pending);
    ck_assert_uint_eq(events->exception.nr, UD_VECTOR);
    free(again.data);
    check_takes_exception(&rig, rig_restore(&rig, snapshot_place("good"), RESTORE_PAUSED));
    check_takes_exception(&rig, rig_fork(&rig, guest, 1, true, NULL));
    rig_quit(&rig);
}
END_TEST

static void refused(struct rig *rig, struct forge *forge, const char *class, const char *word)
{
    const char *path = write_forged(forge);
    rig_refused(rig, class, word, "restore", "{s:s}", "path", path);
    rig_refused(rig, class, word, "restore", "{s:s, s:b}", "path", path, "eager", 1);
    ck_assert_uint_eq(rig_live(rig), 1);
    REFUSED(RUN("--restore", path), path, word);
}

START_TEST(cpu_feature_that_this_host_lacks_is_named)
{
    struct rig rig = start_counter();
    struct forge forge = save(&rig, 0);
    const struct layout_section *section = forge_section(&forge, LAYOUT_CPUID);
    struct snapshot_cpuid *leaves = forge_content(&forge, section);
    bool found = false;
    for (size_t i = 0; i < section->bytes / sizeof *leaves; i++)
        if (leaves[i].function == 1) {
            found = true;
            leaves[i].edx |= 1u << 30; /* of Itanium alone */
        }
    ck_assert(found);
    refused(&rig, &forge, "Unsupported", "ia64");
    rig_quit(&rig);
}
END_TEST

START_TEST(msr_that_this_host_lacks_is_named)
{
    struct rig rig = start_counter();
    struct forge forge = save(&rig, 0);
    struct kvm_msr_entry *msrs = find_record(&forge, SNAPSHOT_VCPU_MSRS);
    msrs[0].index = UNKNOWN_MSR;
    refused(&rig, &forge, "Unsupported", "0x4000beef");
    rig_quit(&rig);
}
END_TEST

/* Paging without protection: SDM volume 3, 4.1.1. */
START_TEST(state_that_no_vcpu_can_be_in_is_refused)
{
    struct rig rig = start_counter();
    struct forge forge = save(&rig, 0);
    struct kvm_sregs *sregs = find_record(&forge, SNAPSHOT_VCPU_SREGS);
    sregs->cr0 = (sregs->cr0 & ~(uint64_t)CR0_PE) | CR0_PG;
    refused(&rig, &forge, "SnapshotInvalid", "KVM_SET_SREGS");
    rig_quit(&rig);
}
END_TEST

START_TEST(guest_that_could_never_run_is_refused)
{
    struct rig rig = start_counter();
    struct forge forge = save(&rig, 0);
    *(uint8_t *)find_record(&forge, SNAPSHOT_VCPU_HALTED) = 1;
    refused(&rig, &forge, "SnapshotInvalid", "halted");
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_forged");
    TCase *tests = tcase_create("forged");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, pending_event_is_restored_and_taken);
    tcase_add_test(tests, pending_event_is_saved_again);
    tcase_add_test(tests, cpu_feature_that_this_host_lacks_is_named);
    tcase_add_test(tests, msr_that_this_host_lacks_is_named);
    tcase_add_test(tests, state_that_no_vcpu_can_be_in_is_refused);
    tcase_add_test(tests, guest_that_could_never_run_is_refused);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
