/*
 * Little of everything: few descriptors, little memory, few threads. The VMM either runs, or ends with 125 and one line
 * that names the limit; a limit that is reached while guests run costs none of them.
 */
#include "tests/support/kvm_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB        (UINT64_C(1) << 20)
#define GIB        (UINT64_C(1) << 30)
#define SOME_USER  54321 /* nobody else's, so that its processes are counted alone */
#define NOT_LOADED 127

static char *read_all(int fd)
{
    static char text[8192];
    const ssize_t length = pread(fd, text, sizeof text - 1, 0);
    ck_assert_int_ge(length, 0);
    text[length] = '\0';
    return text;
}

static int new_file(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/out-XXXXXX", getenv("TMPDIR"));
    const int fd = mkostemp(path, O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    return fd;
}

/* Runs the vmm under the limit. Its exit status: what a guest says that has run to its end, or 125 with one line that
 * has `word` in it, or that of a program whose libraries cannot be loaded; or that of a guest that could not be run,
 * where the kernel makes a thread for that; never a signal. */
static int run_under(__rlimit_resource_t resource, rlim_t limit, const char *word, const char *const words[])
{
    char vmm[4096];
    vmm_build_path(vmm, sizeof vmm, "vmm");
    char **argv = rig_words(vmm, words);
    const int output = new_file(), errors = new_file();
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        const struct rlimit both = {limit, limit};
        alarm(RIG_PATIENCE_MS / 1000);
        dup2(output, STDOUT_FILENO);
        dup2(errors, STDERR_FILENO);
        if (setrlimit(resource, &both) == 0)
            execv(argv[0], argv);
        _exit(99);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    rig_free_words(argv);
    const char *said = read_all(errors);
    const unsigned long long shown = limit;
    ck_assert_msg(WIFEXITED(status), "limit %llu: ended by signal %d: %s", shown, WTERMSIG(status), said);
    const int result = WEXITSTATUS(status);
    if (result == EXIT_VMM_REFUSED) {
        ck_assert_msg(said[0] && strchr(said, '\n') == said + strlen(said) - 1, "limit %llu: not one line: %s", shown,
                      said);
        ck_assert_msg(strstr(said, word) != NULL, "limit %llu: no '%s' in: %s", shown, word, said);
    } else if (result == EXIT_VMM_CRASHED) {
        ck_assert_msg(resource == RLIMIT_NPROC && strstr(said, "ulimit -u"), "limit %llu: %s", shown, said);
    } else if (result != NOT_LOADED) {
        ck_assert_msg(result == 21, "limit %llu: exit status %d: %s", shown, result, said);
        ck_assert_ptr_nonnull(strstr(read_all(output), "hello"));
    }
    close(output);
    close(errors);
    return result;
}
#define RUN_UNDER(resource, limit, word, ...) run_under(resource, limit, word, (const char *const[]){__VA_ARGS__, NULL})

/* Where a bound is is nobody's business; that there is one, and what lies on either side of it, is. */
START_TEST(few_descriptors_are_refused_with_one_line)
{
    char socket[512];
    snprintf(socket, sizeof socket, "%s/control", getenv("TMPDIR"));
    int status = 0;
    for (rlim_t limit = 4; limit < 40; limit++) {
        status =
            RUN_UNDER(RLIMIT_NOFILE, limit, "open files", "--memory", "8M", "--control", socket, "@hello", "code=21");
        if (limit <= 8)
            ck_assert_msg(status == EXIT_VMM_REFUSED || status == NOT_LOADED, "limit %d: status %d", (int)limit,
                          status);
        ck_assert_int_ne(access(socket, F_OK), 0);
    }
    ck_assert_int_eq(status, 21);
}
END_TEST

START_TEST(little_address_space_is_refused_with_one_line)
{
    /* With less the kernel cannot load the program, and kills it. */
    for (rlim_t limit = 5 * MIB; limit < 64 * MIB; limit += 3 * MIB + 4096)
        RUN_UNDER(RLIMIT_AS, limit, "", "--memory", "8M", "@hello", "code=21");
}
END_TEST

START_TEST(address_space_for_page_tables_but_for_little_else_is_refused_with_one_line)
{
    int status = 0;
    for (rlim_t limit = 16 * GIB + 16 * MIB; status != 21; limit += limit < 17 * GIB ? 24 * MIB + 4096 : 4 * GIB) {
        ck_assert_uint_lt(limit, 1024 * GIB);
        status = RUN_UNDER(RLIMIT_AS, limit, "", "--memory", "8M", "@hello", "code=21");
    }
}
END_TEST

/* This process goes on as a user whose processes are counted alone: the kernel counts none of root's. Where it is not
 * root's, in a user namespace, which has a count of its own. */
static void become_some_user(void)
{
    if (geteuid() != 0) {
        ck_assert_msg(unshare(CLONE_NEWUSER) == 0, "this test needs a user namespace: %s", strerror(errno));
        return;
    }
    struct stat kvm;
    char path[512];
    snprintf(path, sizeof path, "%s/dev-%d", getenv("TMPDIR"), getpid());
    ck_assert_int_eq(stat("/dev/kvm", &kvm), 0);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    ck_assert_int_eq(chown(getenv("TMPDIR"), SOME_USER, SOME_USER), 0);
    /* A /dev/kvm for it, which nobody else sees. */
    ck_assert_msg(unshare(CLONE_NEWNS) == 0, "this test needs a mount namespace: %s", strerror(errno));
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert_int_eq(mount("none", path, "tmpfs", 0, NULL), 0);
    strcat(path, "/kvm");
    ck_assert_msg(mknod(path, S_IFCHR | 0666, kvm.st_rdev) == 0, "%s", strerror(errno));
    ck_assert_int_eq(chmod(path, 0666), 0);
    ck_assert_int_eq(mount(path, "/dev/kvm", NULL, MS_BIND, NULL), 0);
    ck_assert_int_eq(setgroups(0, NULL), 0);
    ck_assert_int_eq(setresgid(SOME_USER, SOME_USER, SOME_USER), 0);
    ck_assert_int_eq(setresuid(SOME_USER, SOME_USER, SOME_USER), 0);
}

START_TEST(few_threads_are_refused_with_one_line)
{
    become_some_user();
    int status = 0, refused = 0;
    for (rlim_t limit = 2; limit < 16; limit++) { /* this process is one */
        status = RUN_UNDER(RLIMIT_NPROC, limit, "thread", "--memory", "8M", "@hello", "code=21");
        refused += status == EXIT_VMM_REFUSED;
    }
    ck_assert_int_eq(status, 21);
    ck_assert_int_ge(refused, 4);
}
END_TEST

static unsigned count_threads(pid_t process)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", process);
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    unsigned count = 0;
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void set_threads(struct rig *rig, rlim_t limit)
{
    struct rlimit old;
    ck_assert_int_eq(prlimit(vmm_process_pid(rig->process), RLIMIT_NPROC, NULL, &old), 0);
    const struct rlimit both = {limit < old.rlim_max ? limit : old.rlim_max, old.rlim_max};
    ck_assert_msg(prlimit(vmm_process_pid(rig->process), RLIMIT_NPROC, &both, NULL) == 0, "%s", strerror(errno));
}

/* True: it was done. Else for want of memory or threads, and no other reason. */
static bool snapshot_works(struct rig *rig, const char *path)
{
    struct client_error error;
    json_t *arguments = json_pack("{s:i, s:s}", "guest", 0, "path", path);
    if (client_call(rig->client, "snapshot", arguments, NULL, &error) == 0)
        return true;
    ck_assert_msg(strcmp(error.class, "NoMemory") == 0, "%s: %s", error.class, error.text);
    return false;
}

START_TEST(snapshot_without_threads_left_is_refused_and_guests_run_on)
{
    become_some_user();
    struct rig rig = RIG("--memory", "8M", "@counter", "quiet=1");
    rig_counts_beyond(&rig, 0, 1000);
    rig_sleep_ms(500); /* VMs are made ahead */
    char path[512];
    snprintf(path, sizeof path, "%s/snap", vmm_process_directory(rig.process));
    for (unsigned left = 0; left < 4; left++) {
        set_threads(&rig, 1 + count_threads(vmm_process_pid(rig.process)) + left);
        ck_assert(snapshot_works(&rig, path) || left < 3);
        rig_run_on(&rig, 0, 1000);
    }
    set_threads(&rig, RLIM_INFINITY);
    ck_assert(snapshot_works(&rig, path));
    rig_run_on(&rig, 0, 1000);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("launch_limits");
    TCase *tests = tcase_create("limits");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, few_descriptors_are_refused_with_one_line);
    tcase_add_test(tests, little_address_space_is_refused_with_one_line);
    tcase_add_test(tests, address_space_for_page_tables_but_for_little_else_is_refused_with_one_line);
    tcase_add_test(tests, few_threads_are_refused_with_one_line);
    tcase_add_test(tests, snapshot_without_threads_left_is_refused_and_guests_run_on);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
