/* Savers that are killed at every step, whose every system call fails, whose disk is full at every byte: at the path is
 * the old file or the whole new one, and nothing else is left but what cleave-snapshot(5) says. */
#include "tests/support/snapshot_case.h"
#include "tests/support/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct snapshot_case c;
static struct forge old; /* what is at the path at first */
static char path[CASE_PATH * 2 + 16];
static bool without_tmpfile, nothing_there;

/* Results of a saver in a child process. */
enum { SAVED, FAILED, FAILED_WRONGLY };

static void setup(void)
{
    case_open(&c, 4 * CASE_MIB, 1);
    case_fill(&c, 0x7000, 3 * SNAPSHOT_PAGE);
    strcpy(path, case_path(&c, "a.snap"));
    struct snapshot_job job = case_job(&c, path);
    case_save(&job);
    old = case_read(path);
    case_fill(&c, 0x1000, 40 * SNAPSHOT_PAGE);
    case_fill(&c, 2 * CASE_MIB, 2 * CASE_MIB);
    without_tmpfile = nothing_there = false;
}

static void teardown(void)
{
    free(old.data);
    case_close(&c);
}

/* File systems without files that have no name are rare where tests run: to the process, its own becomes one. */
static void forbid_tmpfile(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(126);
}

static int save(void *context)
{
    struct snapshot_job job = case_job(&c, path);
    struct snapshot_error error = {SNAPSHOT_INVALID, ""};
    (void)context;
    if (without_tmpfile)
        forbid_tmpfile();
    if (snapshot_save(&job, NULL, &error) == 0)
        return SAVED;
    bool right = error.class == SNAPSHOT_IO || error.class == SNAPSHOT_ARGUMENT;
    if (right && strncmp(error.text, path, strlen(path)) == 0)
        return FAILED;
    fprintf(stderr, "class %d: %s\n", error.class, error.text);
    return FAILED_WRONGLY;
}

static void restore_old(void)
{
    if (nothing_there)
        unlink(path);
    else
        case_write(path, &old);
}

/* True: at the path is the new file, whole. False: the old one, bit for bit. */
static bool is_new(void)
{
    struct snapshot_error error;
    if (nothing_there && access(path, F_OK) < 0)
        return false;
    struct forge now = case_read(path);
    bool same = !nothing_there && now.bytes == old.bytes && memcmp(now.data, old.data, old.bytes) == 0;
    free(now.data);
    if (same)
        return false;
    struct snapshot *snapshot = snapshot_open(path, &error);
    ck_assert_msg(snapshot != NULL, "neither the old file nor a whole one: %s", snapshot ? "" : error.text);
    ck_assert_int_eq(snapshot_verify(snapshot, &error), 0);
    snapshot_close(snapshot);
    return true;
}

static unsigned hidden_files(void)
{
    unsigned hidden, files = case_files(&c, &hidden);
    ck_assert_uint_le(files - hidden, 1);
    return hidden;
}

/* Kills at every step. `left`: at how many of them a file remains under a name of its own. */
static unsigned kill_everywhere(unsigned *left)
{
    unsigned steps = 0, changes = 0;
    bool was_new = false;
    int status = -1;

    *left = 0;
    for (restore_old(); steps_kill(save, NULL, steps + 1, &status); restore_old(), steps++) {
        bool now_new = is_new();
        changes += now_new != was_new;
        was_new = now_new;
        unsigned hidden = hidden_files();
        ck_assert_uint_le(hidden, 1);
        *left += hidden;
        if (hidden) { /* the next one to save there takes it away */
            ck_assert_int_eq(save(NULL), SAVED);
            ck_assert_uint_eq(hidden_files(), 0);
        }
    }
    ck_assert_int_eq(status, SAVED);
    ck_assert(is_new());
    ck_assert_uint_eq(hidden_files(), 0);
    ck_assert_uint_eq(changes, 1); /* once it is there it stays */
    return steps;
}

START_TEST(killed_at_every_step)
{
    unsigned left, steps = kill_everywhere(&left);
    ck_assert_uint_ge(steps, 40);
    /* From where the link is made to where it is renamed: when leaving the one call and entering the other. */
    ck_assert_uint_ge(left, 1);
    ck_assert_uint_le(left, 2);
}
END_TEST

START_TEST(killed_at_every_step_where_nothing_was)
{
    unsigned left;
    nothing_there = true;
    kill_everywhere(&left);
    ck_assert_uint_eq(left, 0);
    case_write(path, &old); /* for what ends the test */
}
END_TEST

static int save_without_tmpfile(void *context)
{
    without_tmpfile = true;
    return save(context);
}

START_TEST(killed_at_every_step_without_tmpfile)
{
    unsigned steps = 0, left = 0;
    int status = -1;
    for (restore_old(); steps_kill(save_without_tmpfile, NULL, steps + 1, &status); restore_old(), steps++) {
        is_new();
        unsigned hidden = hidden_files();
        ck_assert_uint_le(hidden, 1); /* the one before has been removed */
        left += hidden;
    }
    ck_assert_int_eq(status, SAVED);
    ck_assert(is_new());
    ck_assert_uint_eq(hidden_files(), 0);
    ck_assert_uint_ge(left, 10);
}
END_TEST

/* One call fails, all others work: then saving fails, or could do without, or only the directory's sync is missing. */
static void fail_everywhere(steps_fn *saver, int error)
{
    unsigned failures = 0, calls = 0;
    int status;
    long number = -1;

    for (restore_old(); steps_fail(saver, NULL, calls + 1, error, &status, &number); restore_old(), calls++) {
        ck_assert_msg(status == SAVED || status == FAILED, "call %u (number %ld): exit status %d", calls, number,
                      status);
        failures += status == FAILED;
        bool now_new = is_new();
        ck_assert_msg(status == FAILED || now_new, "call %u (number %ld): saved, and nothing is there", calls, number);
        ck_assert_msg(status == SAVED || !now_new || number == SYS_fsync, "call %u (number %ld)", calls, number);
        ck_assert_msg(hidden_files() == 0, "call %u (number %ld): a file is left", calls, number);
    }
    ck_assert_uint_ge(failures, 10);
}

START_TEST(every_call_fails)
{
    fail_everywhere(save, EIO);
    fail_everywhere(save, ENOSPC);
}
END_TEST

START_TEST(every_call_fails_without_tmpfile)
{
    fail_everywhere(save_without_tmpfile, EIO);
}
END_TEST

/* Only a machine that loses its power would show that a sync is missing, so that their order is looked at. */
START_TEST(data_is_synced_before_it_has_a_name)
{
    static const long wanted[] = {SYS_pwrite64, SYS_fsync, SYS_linkat, SYS_renameat, SYS_fsync};
    long calls[512];
    int status;
    unsigned count = steps_trace(save, NULL, calls, 512, &status), found = 0;

    ck_assert_int_eq(status, SAVED);
    ck_assert_uint_ge(count, 20);
    for (unsigned i = 0; i < count; i++) { /* the last writes, and then only these, in this order */
        if (calls[i] == SYS_pwrite64)
            found = 1;
        else if (found < 5 && calls[i] == wanted[found])
            found++;
        else if (calls[i] == SYS_fsync || calls[i] == SYS_linkat || calls[i] == SYS_renameat)
            found = 6; /* out of order */
    }
    ck_assert_uint_eq(found, 5);
}
END_TEST

/* A machine may have far more memory than it has touched. */
START_TEST(holes_are_not_read)
{
    long calls[512];
    int status;
    unsigned reads = 0;

    case_punch(&c, 0, c.memory);
    case_fill(&c, 0, SNAPSHOT_PAGE);
    unsigned count = steps_trace(save, NULL, calls, 512, &status);
    ck_assert_int_eq(status, SAVED);
    for (unsigned i = 0; i < count; i++)
        reads += calls[i] == SYS_pread64;
    ck_assert_uint_eq(reads, 1);
    case_expect(path, c.ram, c.memory);
}
END_TEST

/* A mount of its own, where there are the rights to or where the kernel lets users have some of their own. */
static void own_mounts(void)
{
    uid_t user = geteuid();
    gid_t group = getegid();
    char map[64];
    if (user != 0 || unshare(CLONE_NEWNS) < 0) {
        ck_assert_msg(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0, "no mounts of its own: %s", strerror(errno));
        const char *const lines[][2] = {
            {"/proc/self/setgroups", "deny"}, {"/proc/self/uid_map", "0 %u 1"}, {"/proc/self/gid_map", "0 %u 1"}};
        for (unsigned i = 0; i < 3; i++) {
            int fd = open(lines[i][0], O_WRONLY | O_CLOEXEC);
            ck_assert_int_ge(fd, 0);
            snprintf(map, sizeof map, i == 0 ? "deny" : "0 %u 1", i == 1 ? user : group);
            ck_assert_int_eq(write(fd, map, strlen(map)), (ssize_t)strlen(map));
            close(fd);
        }
    }
    ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

/* A disk of every size, in steps of a page, from one with only the old file on it to one that is large enough. */
START_TEST(the_disk_is_full)
{
    char disk[CASE_PATH * 2], size[32];
    unsigned failures = 0;
    struct snapshot_error error;

    memset(c.ram + 2 * CASE_MIB, 0, 2 * CASE_MIB); /* what is left needs some 50 pages */
    strcpy(disk, case_path(&c, "disk"));
    own_mounts();
    ck_assert_int_eq(mkdir(disk, 0700), 0);
    snprintf(path, sizeof path, "%s/a.snap", disk);
    for (unsigned pages = (unsigned)(old.bytes / 4096) + 2;; pages++) {
        snprintf(size, sizeof size, "size=%u", pages * 4096);
        ck_assert_int_eq(mount("none", disk, "tmpfs", 0, size), 0);
        case_write(path, &old);
        struct snapshot_job job = case_job(&c, path);
        int result = snapshot_save(&job, NULL, &error);
        bool now_new = is_new();
        unsigned entries = 0;
        struct snapshot_case on_disk = c;
        strcpy(on_disk.folder, disk);
        case_files(&on_disk, &entries);
        ck_assert_int_eq(umount(disk), 0);
        ck_assert_uint_eq(entries, 0);
        ck_assert_int_eq(now_new, result == 0);
        if (result == 0)
            break;
        ck_assert_int_eq(error.class, SNAPSHOT_IO);
        ck_assert_msg(strstr(error.text, "No space left on device") != NULL, "%s", error.text);
        failures++;
    }
    ck_assert_uint_ge(failures, 30);
    ck_assert_int_eq(rmdir(disk), 0);
}
END_TEST

/* Steps of no page, and at the end those of a byte. */
static uint64_t next_limit(uint64_t limit, uint64_t whole)
{
    if (limit + 1500 < whole)
        return limit + 1500;
    return limit < whole - 1 ? whole - 1 : limit + 1;
}

/* The same by way of a limit on what a process may write, which reaches the last byte. */
START_TEST(a_file_may_not_grow_so_long)
{
    unsigned failures = 0;
    struct snapshot_error error;
    struct snapshot_job job = case_job(&c, path);

    memset(c.ram + 2 * CASE_MIB, 0, 2 * CASE_MIB);
    struct snapshot_result whole = case_save(&job);
    ck_assert_ptr_ne(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    for (uint64_t limit = 0; limit <= whole.bytes; limit = next_limit(limit, whole.bytes)) {
        struct rlimit most = {limit, RLIM_INFINITY}, any = {RLIM_INFINITY, RLIM_INFINITY};
        restore_old();
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &most), 0);
        int result = snapshot_save(&job, NULL, &error);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &any), 0);
        ck_assert_int_eq(is_new(), result == 0);
        ck_assert_int_eq(result == 0, limit == whole.bytes);
        ck_assert_uint_eq(hidden_files(), 0);
        if (result < 0)
            ck_assert_msg(strstr(error.text, "File too large") != NULL, "%s", error.text);
        failures += result < 0;
    }
    ck_assert_uint_ge(failures, 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("savers that are stopped");
    TCase *tcase = tcase_create("savers that are stopped");

    tcase_set_timeout(tcase, 280);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, killed_at_every_step);
    tcase_add_test(tcase, killed_at_every_step_where_nothing_was);
    tcase_add_test(tcase, killed_at_every_step_without_tmpfile);
    tcase_add_test(tcase, every_call_fails);
    tcase_add_test(tcase, every_call_fails_without_tmpfile);
    tcase_add_test(tcase, data_is_synced_before_it_has_a_name);
    tcase_add_test(tcase, holes_are_not_read);
    tcase_add_test(tcase, the_disk_is_full);
    tcase_add_test(tcase, a_file_may_not_grow_so_long);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
