/*
 * What runs out while guests are saved and restored: descriptors of the VMM, memory of KVM. The error is NoMemory,
 * never one that blames the request or the file; guests go on, and the same request succeeds when there is enough
 * again.
 */
#include "tests/support/kvm_snapshot.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static struct rig start_counter(void)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    return rig;
}

static size_t count_descriptors(const struct rig *rig)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", vmm_process_pid(rig->process));
    return snapshot_count_files(path);
}

static void limit_descriptors(const struct rig *rig, rlim_t most)
{
    struct rlimit limit;
    pid_t pid = vmm_process_pid(rig->process);
    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

/* Done, or refused in the one right class. */
static bool may_do(struct rig *rig, json_t **reply, const char *command, const char *path, const char *key,
                   json_t *value)
{
    struct client_error error;
    json_t *arguments = json_pack("{s:s, s:o}", "path", path, key, value);
    if (strcmp(command, "snapshot") == 0)
        json_object_set_new(arguments, "guest", json_integer(0));
    int result = client_call(rig->client, command, arguments, reply, &error);
    ck_assert_msg(result == 0 || strcmp(error.class, "NoMemory") == 0, "%s: %s: %s", command, error.class, error.text);
    return result == 0;
}

static bool may_restore(struct rig *rig, const char *path, bool eager)
{
    json_t *reply;
    if (!may_do(rig, &reply, "restore", path, "eager", json_boolean(eager)))
        return false;
    rig_do(rig, "kill", (uint64_t)json_integer_value(json_object_get(reply, "id")));
    json_decref(reply);
    return true;
}

/* How many of the four have been done. */
static unsigned do_what_can_be(struct rig *rig)
{
    const char *full = snapshot_place("full"), *diff = snapshot_place("diff");
    unsigned done = may_do(rig, NULL, "snapshot", snapshot_place("new"), "kind", json_string("full"));
    done += may_do(rig, NULL, "snapshot", snapshot_place("newer"), "kind", json_string("diff"));
    done += may_restore(rig, full, false);
    return done + may_restore(rig, diff, true);
}

START_TEST(without_descriptors_snapshot_and_restore_say_no_memory)
{
    struct rig rig = start_counter();
    rig_snapshot(&rig, 0, snapshot_place("full"));
    rig_diff(&rig, 0, snapshot_place("diff"));
    ck_assert_uint_eq(do_what_can_be(&rig), 4);
    size_t open = count_descriptors(&rig);
    limit_descriptors(&rig, 3);
    ck_assert(!may_do(&rig, NULL, "snapshot", snapshot_place("new"), "kind", json_string("full")));
    ck_assert(!may_do(&rig, NULL, "snapshot", snapshot_place("new"), "kind", json_string("diff")));
    ck_assert(!may_restore(&rig, snapshot_place("full"), false));
    ck_assert(!may_restore(&rig, snapshot_place("diff"), true));
    for (size_t limit = open - 3; limit < open + 24; limit++) {
        limit_descriptors(&rig, limit);
        do_what_can_be(&rig);
    }
    limit_descriptors(&rig, RLIM_INFINITY);
    ck_assert_uint_eq(do_what_can_be(&rig), 4);
    snapshot_check_whole(snapshot_place("new"));
    snapshot_check_whole(snapshot_place("newer"));
    rig_run_on(&rig, 0, 1000);
    rig_quit(&rig);
}
END_TEST

/* From here on this ioctl fails in this process and those that it starts. */
static void fail_ioctl(unsigned long request, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)request, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_msg(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "%s", strerror(errno));
}

/* By a VMM of which one call fails that launching a guest needs none of. */
static void restore_is_refused(int error, const char *class, const char *word)
{
    struct rig rig = start_counter();
    const char *path = snapshot_place("file");
    rig_snapshot(&rig, 0, path);
    rig_quit(&rig);
    fail_ioctl(KVM_SET_MP_STATE, error);
    rig = start_counter();
    for (int eager = 0; eager < 2; eager++)
        rig_refused(&rig, class, word, "restore", "{s:s, s:b}", "path", path, "eager", eager);
    ck_assert_uint_eq(rig_live(&rig), 1);
    rig_run_on(&rig, 0, 1000);
    rig_quit(&rig);
}

START_TEST(what_kvm_has_no_memory_for_is_not_blamed_on_the_file)
{
    restore_is_refused(ENOMEM, "NoMemory", "Cannot allocate memory");
}
END_TEST

START_TEST(what_kvm_refuses_is_blamed_on_the_file)
{
    restore_is_refused(EINVAL, "SnapshotInvalid", "no vCPU can be in this state");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_exhausted");
    TCase *tests = tcase_create("exhausted");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, without_descriptors_snapshot_and_restore_say_no_memory);
    tcase_add_test(tests, what_kvm_has_no_memory_for_is_not_blamed_on_the_file);
    tcase_add_test(tests, what_kvm_refuses_is_blamed_on_the_file);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
