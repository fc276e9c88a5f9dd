/*
 * What cannot be saved or restored: by the socket an error of the right class that names the thing, and the VMM and its
 * guests go on; by the command line one line and exit status 125. Nothing is left behind, and nothing lost.
 */
#include "tests/support/kvm_snapshot.h"

#include <cleave/snapshot.h>
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAM (8u << 20)

static struct rig start_counter(void)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    return rig;
}

static void write_file(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "w");
    ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
}

static char *read_file(const char *path, size_t *length)
{
    *length = (size_t)snapshot_size(path);
    char *bytes = malloc(*length);
    FILE *file = fopen(path, "r");
    ck_assert(bytes && file);
    ck_assert_uint_eq(fread(bytes, 1, *length, file), *length);
    fclose(file);
    return bytes;
}

/* Neither by the socket nor by the command line. */
static void not_restored(struct rig *rig, const char *path, const char *class, const char *word)
{
    for (int eager = 0; eager < 2; eager++)
        rig_refused(rig, class, word, "restore", "{s:s, s:b}", "path", path, "eager", eager);
    ck_assert_uint_eq(rig_live(rig), 1);
    REFUSED(RUN("--restore", path), path, word);
    REFUSED(RUN("--restore", path, "--restore-eager"), path, word);
}

/* A second way to a folder, as the files of a test are all in the first. */
static const char *make_folder(const char *name)
{
    const char *path = snapshot_place(name);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    return path;
}

START_TEST(what_is_no_file_is_not_restored)
{
    struct rig rig = start_counter();
    not_restored(&rig, snapshot_place("nothing"), "InvalidArgument", "No such file");
    not_restored(&rig, snapshot_place("nothing/in/it"), "InvalidArgument", "No such file");
    not_restored(&rig, getenv("TMPDIR"), "InvalidArgument", "directory");
    not_restored(&rig, "/dev/null", "InvalidArgument", "regular file");
    ck_assert_int_eq(mkfifo(snapshot_place("fifo"), 0600), 0); /* must not be waited for */
    not_restored(&rig, snapshot_place("fifo"), "InvalidArgument", "regular file");
    rig_run_on(&rig, 0, 1000);
    rig_quit(&rig);
}
END_TEST

START_TEST(what_is_no_snapshot_is_not_restored)
{
    struct rig rig = start_counter();
    write_file(snapshot_place("empty"), "", 0);
    not_restored(&rig, snapshot_place("empty"), "InvalidArgument", "empty");
    static const char text[8192] = "This is no snapshot.";
    write_file(snapshot_place("text"), text, sizeof text);
    not_restored(&rig, snapshot_place("text"), "SnapshotInvalid", "snapshot");
    write_file(snapshot_place("short-text"), text, 20);
    not_restored(&rig, snapshot_place("short-text"), "SnapshotInvalid", "");
    char guest[4096];
    vmm_build_path(guest, sizeof guest, "guest/counter.elf");
    not_restored(&rig, guest, "SnapshotInvalid", "");
    rig_run_on(&rig, 0, 1000);
    rig_quit(&rig);
}
END_TEST

START_TEST(truncated_and_spoilt_files_are_not_restored)
{
    struct rig rig = start_counter();
    const char *good = snapshot_place("good"), *bad = snapshot_place("bad");
    rig_snapshot(&rig, 0, good);
    size_t length;
    char *bytes = read_file(good, &length);
    const size_t cuts[] = {1, 8, 100, 4095, 4096, length / 2, length - 4096, length - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        write_file(bad, bytes, cuts[i]);
        rig_refused(&rig, "SnapshotInvalid", bad, "restore", "{s:s}", "path", bad);
        if (i % 3 == 0)
            REFUSED(RUN("--restore", bad), bad);
    }
    for (size_t at = 0; at < length; at += at < 256 ? 9 : 997) {
        bytes[at] ^= 0x10;
        write_file(bad, bytes, length);
        bytes[at] ^= 0x10;
        if (snapshot_is_whole(bad)) /* some bytes belong to nothing */
            continue;
        struct client_error error = {0};
        int result = client_callf(rig.client, "restore", NULL, &error, "{s:s, s:b}", "path", bad, "eager", 1);
        ck_assert_msg(result < 0 && strcmp(error.class, "SnapshotInvalid") == 0, "byte %zu: %s", at, error.text);
        ck_assert_ptr_nonnull(strstr(error.text, bad));
    }
    ck_assert_uint_eq(rig_live(&rig), 1);
    free(bytes);
    rig_quit(&rig);
}
END_TEST

START_TEST(page_data_is_checked_by_an_eager_restore)
{
    struct rig rig = start_counter();
    rig_snapshot(&rig, 0, snapshot_place("full"));
    rig_run_on(&rig, 0, 1000);
    rig_diff(&rig, 0, snapshot_place("diff"));
    size_t length;
    char *bytes = read_file(snapshot_place("full"), &length);
    bytes[length - 1] ^= 1; /* page data ends the file or lies before something small: one of the two is noticed */
    for (size_t at = 0; at < length; at += 512)
        bytes[at + 100 < length ? at + 100 : at] ^= at > 3 * length / 4;
    write_file(snapshot_place("full"), bytes, length);
    free(bytes);
    ck_assert(!snapshot_is_whole(snapshot_place("full")));
    not_restored(&rig, snapshot_place("full"), "SnapshotInvalid", "");
    rig_refused(&rig, "SnapshotInvalid", snapshot_place("full"), "restore", "{s:s, s:b}", "path",
                snapshot_place("diff"), "eager", 1);
    rig_run_on(&rig, 0, 1000);
    rig_quit(&rig);
}
END_TEST

START_TEST(guest_of_another_kind_of_machine_is_not_restored_here)
{
    struct rig rig = start_counter();
    rig_snapshot(&rig, 0, snapshot_place("8M"));
    rig_quit(&rig);
    rig = RIG("--memory", "12M", "@counter", "quiet=1");
    rig_refused(&rig, "Unsupported", "8192 KiB", "restore", "{s:s}", "path", snapshot_place("8M"));
    rig_run_on(&rig, 0, 1000);
    rig_quit(&rig);
    rig = RIG("--memory", "8M", "--cpus", "2", "@counter", "quiet=1");
    rig_refused(&rig, "Unsupported", "1 vCPUs", "restore", "{s:s}", "path", snapshot_place("8M"));
    rig_quit(&rig);
}
END_TEST

static void not_saved(struct rig *rig, const char *path, const char *class, const char *word)
{
    rig_refused(rig, class, word, "snapshot", "{s:i, s:s}", "guest", 0, "path", path);
    rig_refused(rig, class, word, "snapshot", "{s:i, s:s, s:b}", "guest", 0, "path", path, "compress", 1);
    rig_run_on(rig, 0, 1000);
}

START_TEST(places_that_take_no_file_are_not_saved_to)
{
    struct rig rig = start_counter();
    const char *folder = make_folder("folder");
    not_saved(&rig, folder, "InvalidArgument", "directory");
    not_saved(&rig, snapshot_place("folder/"), "InvalidArgument", "directory");
    not_saved(&rig, snapshot_place("folder/."), "InvalidArgument", "directory");
    not_saved(&rig, snapshot_place("folder/none/file"), "InvalidArgument", "No such file");
    write_file(snapshot_place("plain"), "text", 4);
    not_saved(&rig, snapshot_place("plain/file"), "InvalidArgument", "Not a directory");
    not_saved(&rig, "/dev/null", "InvalidArgument", "/dev/null");
    not_saved(&rig, "/proc/file", "InvalidArgument", "/proc/file");
    char name[300];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    not_saved(&rig, snapshot_place(name), "InvalidArgument", "too long");
    ck_assert_int_eq(symlink("loop", snapshot_place("loop")), 0);
    not_saved(&rig, snapshot_place("loop"), "InvalidArgument", "link");
    rig_refused(&rig, "GuestNotFound", "7", "snapshot", "{s:i, s:s}", "guest", 7, "path", snapshot_place("seven"));
    ck_assert_uint_eq(snapshot_count_files(folder), 0);
    ck_assert_int_lt(access(snapshot_place("seven"), F_OK), 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(diff_without_anything_to_build_on_is_refused)
{
    struct rig rig = start_counter();
    rig_refused(&rig, "Unsupported", "full", "snapshot", "{s:i, s:s, s:s}", "guest", 0, "path",
                snapshot_place("orphan"), "kind", "diff");
    uint64_t child = rig_fork(&rig, 0, 1, false, NULL);
    rig_refused(&rig, "Unsupported", "full", "snapshot", "{s:I, s:s, s:s}", "guest", (json_int_t)child, "path",
                snapshot_place("orphan"), "kind", "diff");
    ck_assert_int_lt(access(snapshot_place("orphan"), F_OK), 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(files_that_a_guest_needs_are_not_replaced_by_its_own)
{
    struct rig rig = start_counter();
    const char *full = snapshot_place("full"), *diff = snapshot_place("diff"), *hard = snapshot_place("hard");
    rig_snapshot(&rig, 0, full);
    rig_snapshot(&rig, 0, full); /* it does not run from it */
    rig_refused(&rig, "InvalidArgument", full, "snapshot", "{s:i, s:s, s:s}", "guest", 0, "path", full, "kind", "diff");
    rig_diff(&rig, 0, diff);
    rig_refused(&rig, "InvalidArgument", full, "snapshot", "{s:i, s:s, s:s}", "guest", 0, "path", full, "kind", "diff");
    uint64_t guest = rig_restore(&rig, diff, 0);
    ck_assert_int_eq(link(full, hard), 0);
    ck_assert_int_eq(symlink(diff, snapshot_place("soft")), 0);
    const char *const names[] = {full, diff, hard, snapshot_place("soft")};
    for (size_t i = 0; i < 4; i++)
        rig_refused(&rig, "InvalidArgument", "runs from", "snapshot", "{s:I, s:s}", "guest", (json_int_t)guest, "path",
                    names[i]);
    snapshot_check_whole(full);
    snapshot_check_whole(diff);
    rig_run_on(&rig, guest, 1000);
    rig_snapshot(&rig, guest, snapshot_place("other"));
    rig_quit(&rig);
}
END_TEST

/* As long as a chain may be, and no longer: what could never be restored is not saved. */
START_TEST(diff_that_no_chain_has_room_for_is_refused)
{
    struct rig rig = start_counter();
    char name[16];
    rig_snapshot(&rig, 0, snapshot_place("link-1"));
    for (unsigned i = 2; i <= SNAPSHOT_CHAIN_MAX; i++) {
        snprintf(name, sizeof name, "link-%u", i);
        rig_diff(&rig, 0, snapshot_place(name));
        if (i == SNAPSHOT_CHAIN_MAX / 2) { /* those that the guest was restored from count, and a child's are its own */
            uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
            rig_diff(&rig, child, snapshot_place("child"));
            rig_quit(&rig);
            rig = RESTORED(snapshot_place(name));
        }
    }
    uint64_t guest = rig_restore(&rig, snapshot_place(name), 0), child = rig_fork(&rig, guest, 1, true, NULL);
    const uint64_t all[] = {0, guest, child};
    for (size_t i = 0; i < 3; i++)
        rig_refused(&rig, "Unsupported", "full", "snapshot", "{s:I, s:s, s:s}", "guest", (json_int_t)all[i], "path",
                    snapshot_place("one-more"), "kind", "diff");
    ck_assert_int_lt(access(snapshot_place("one-more"), F_OK), 0);
    rig_snapshot(&rig, child, snapshot_place("full"));
    rig_diff(&rig, child, snapshot_place("one-more"));
    rig_do(&rig, "kill", guest);
    rig_do(&rig, "kill", rig_restore(&rig, snapshot_place("one-more"), RESTORE_PAUSED));
    rig_quit(&rig);
}
END_TEST

static void diff_is_refused(struct rig *rig, uint64_t guest, const char *word)
{
    rig_refused(rig, "InvalidArgument", word, "snapshot", "{s:I, s:s, s:s}", "guest", (json_int_t)guest, "path",
                snapshot_place("lost"), "kind", "diff");
    ck_assert_int_lt(access(snapshot_place("lost"), F_OK), 0);
}

/* By another guest's, or by something else: what could never be restored is not saved. */
START_TEST(diff_whose_parent_has_been_replaced_is_refused)
{
    struct rig rig = start_counter();
    const char *shared = snapshot_place("shared");
    uint64_t child = rig_fork(&rig, 0, 1, false, NULL);
    rig_snapshot(&rig, 0, shared);
    rig_snapshot(&rig, child, shared);
    diff_is_refused(&rig, 0, shared);
    rig_diff(&rig, child, snapshot_place("diff")); /* it is the other's */
    rig_do(&rig, "kill", rig_restore(&rig, snapshot_place("diff"), RESTORE_PAUSED));
    ck_assert_int_eq(rename(snapshot_place("diff"), snapshot_place("moved")), 0); /* may well come back */
    rig_diff(&rig, child, snapshot_place("next"));
    ck_assert_int_eq(rename(snapshot_place("moved"), snapshot_place("diff")), 0);
    rig_do(&rig, "kill", rig_restore(&rig, snapshot_place("next"), RESTORE_PAUSED));
    write_file(snapshot_place("next"), "text", 4);
    diff_is_refused(&rig, child, snapshot_place("next"));
    rig_snapshot(&rig, 0, snapshot_place("full"));
    rig_diff(&rig, 0, snapshot_place("diff"));
    rig_run_on(&rig, 0, 1000);
    rig_quit(&rig);
}
END_TEST

/* What a guest's diff would build on is known by name, wherever the files are: for a guest that made them, one that was
 * restored from them and one that was forked. */
static void builds_on(struct rig *rig, uint64_t guest, const char *path)
{
    rig_refused(rig, "InvalidArgument", "builds on", "snapshot", "{s:I, s:s, s:s}", "guest", (json_int_t)guest, "path",
                path, "kind", "diff");
    rig_refused(rig, "InvalidArgument", "builds on", "snapshot", "{s:I, s:s, s:s, s:b}", "guest", (json_int_t)guest,
                "path", path, "kind", "diff", "compress", 1);
}

static void move(const char *from, const char *to)
{
    char old[512], new[512];
    snprintf(old, sizeof old, "%s", snapshot_place(from));
    snprintf(new, sizeof new, "%s", snapshot_place(to));
    ck_assert_int_eq(rename(old, new), 0);
}

START_TEST(diff_cannot_replace_what_it_builds_on_wherever_that_is)
{
    static const char *const names[] = {"a", "b", "c"};
    struct rig rig = start_counter();
    make_folder("x");
    rig_snapshot(&rig, 0, snapshot_place("a"));
    rig_diff(&rig, 0, snapshot_place("b"));
    rig_diff(&rig, 0, snapshot_place("c"));
    const uint64_t guests[] = {0, rig_fork(&rig, 0, 1, false, NULL),
                               rig_restore(&rig, snapshot_place("c"), RESTORE_EAGER)}; /* it runs from no file */
    for (unsigned i = 0; i < 3; i++) {
        move("b", "x/b"); /* one in between */
        builds_on(&rig, guests[i], snapshot_place("a"));
        builds_on(&rig, guests[i], snapshot_place("b")); /* its place */
        move("x/b", "b");
        move("c", "x/c"); /* the parent */
        builds_on(&rig, guests[i], snapshot_place("a"));
        builds_on(&rig, guests[i], snapshot_place("b"));
        move("x/c", "c");
        for (unsigned name = 0; name < 3; name++) {
            move(names[name], "other");
            builds_on(&rig, guests[i], snapshot_place("other"));
            move("other", names[name]);
        }
        rig_diff(&rig, guests[i], snapshot_place("d"));
        rig_do(&rig, "kill", rig_restore(&rig, snapshot_place("d"), RESTORE_PAUSED | RESTORE_EAGER));
    }
    rig_quit(&rig);
}
END_TEST

/* A mount namespace of its own. */
static void enter_namespace(void)
{
    int flags = CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0);
    ck_assert_msg(unshare(flags) == 0, "this test needs a mount namespace: %s", strerror(errno));
    ck_assert_msg(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "%s", strerror(errno));
}

/* Without these the programs that root starts may only do what modes allow. */
static void drop_privileges(void)
{
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH, 0, 0, 0), 0);
}

START_TEST(missing_permission_is_said)
{
    drop_privileges();
    struct rig rig = start_counter();
    const char *good = snapshot_place("good"), *locked = make_folder("locked");
    const char *inside = snapshot_place("locked/file");
    rig_snapshot(&rig, 0, good);
    rig_snapshot(&rig, 0, inside);
    ck_assert_int_eq(chmod(good, 0), 0);
    not_restored(&rig, good, "InvalidArgument", "Permission denied");
    not_saved(&rig, good, "InvalidArgument", "Permission denied"); /* nobody may write to it */
    ck_assert_int_eq(chmod(locked, 0500), 0);
    not_saved(&rig, snapshot_place("locked/new"), "InvalidArgument", "Permission denied");
    not_saved(&rig, inside, "InvalidArgument", "Permission denied");
    ck_assert_uint_eq(snapshot_count_files(locked), 1);
    snapshot_check_whole(inside);
    ck_assert_int_eq(chmod(locked, 0), 0);
    not_restored(&rig, inside, "InvalidArgument", "Permission denied");
    ck_assert_int_eq(chmod(locked, 0700), 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(read_only_file_system_is_said)
{
    enter_namespace();
    const char *folder = make_folder("frozen");
    ck_assert_int_eq(mount("none", folder, "tmpfs", MS_RDONLY, NULL), 0);
    struct rig rig = start_counter();
    not_saved(&rig, snapshot_place("frozen/file"), "InvalidArgument", "Read-only");
    rig_quit(&rig);
}
END_TEST

/* Rewrites 4 MiB without end. */
static struct rig start_rewriting(void)
{
    struct rig rig = RIG("--memory", "8M", "--linger", "@pattern", "size=4M");
    RIG_UNTIL(rig_marks(&rig, 0, 1));
    return rig;
}

static void rewrite(struct rig *rig, uint64_t guest)
{
    uint64_t epoch = rig_probe(rig, guest).epoch;
    RIG_UNTIL(rig_probe(rig, guest).epoch > epoch + 1);
}

static void fail_to_save(struct rig *rig, const char *failing, const char *kind)
{
    rig_refused(rig, "IOError", failing, "snapshot", "{s:i, s:s, s:s}", "guest", 0, "path", failing, "kind", kind);
    json_t *event = client_wait_event(rig->client, "SNAPSHOT_DONE", 0, 0);
    ck_assert(event && json_is_string(json_object_get(event_data(event), "error")));
    json_decref(event);
}

/* What failed snapshots were to hold is in the next one: it builds on `base`, not on them. */
static void check_nothing_missed(struct rig *rig, const char *failing)
{
    rewrite(rig, 0);
    fail_to_save(rig, failing, "full");
    rewrite(rig, 0);
    fail_to_save(rig, failing, "diff");
    rewrite(rig, 0);
    rig_do(rig, "pause", 0); /* from here on it writes nothing that would be saved for that alone */
    fail_to_save(rig, failing, "diff");
    rig_do(rig, "checkpoint", 0);
    fail_to_save(rig, failing, "full");
    uint64_t child = rig_fork(rig, 0, 1, true, NULL); /* inherits what is not saved */
    uint8_t *ram = rig_ram(rig, 0, RAM);
    rig_diff(rig, 0, snapshot_place("diff"));
    rig_diff(rig, child, snapshot_place("child"));
    rig_check_ram(rig, rig_restore(rig, snapshot_place("diff"), RESTORE_PAUSED), ram, RAM);
    rig_check_ram(rig, rig_restore(rig, snapshot_place("child"), RESTORE_PAUSED), ram, RAM);
    free(ram);
    rig_do(rig, "resume", 0);
    rewrite(rig, 0);
}

START_TEST(full_disk_loses_nothing)
{
    enter_namespace();
    const char *folder = make_folder("small"), *target = snapshot_place("small/file");
    ck_assert_int_eq(mount("none", folder, "tmpfs", 0, "size=1M"), 0);
    struct rig rig = start_rewriting();
    rig_refused(&rig, "IOError", "No space left", "snapshot", "{s:i, s:s}", "guest", 0, "path", target);
    rig_refused(&rig, "Unsupported", "full", "snapshot", "{s:i, s:s, s:s}", "guest", 0, "path", target, "kind", "diff");
    client_drop_events(rig.client);
    ck_assert_uint_eq(snapshot_count_files(folder), 0);
    rig_snapshot(&rig, 0, snapshot_place("base"));
    client_drop_events(rig.client);
    write_file(target, "old", 3);
    check_nothing_missed(&rig, target);
    ck_assert_uint_eq(snapshot_count_files(folder), 1);
    ck_assert_int_eq(snapshot_size(target), 3);
    rig_quit(&rig);
}
END_TEST

static void send_text(struct client *client, const char *text)
{
    ck_assert_int_eq(client_send_raw(client, text, strlen(text)), 0);
}

/* Stopped for the moment, the VMM finds both requests at once: it forks before it can learn that the disk is full. */
START_TEST(child_made_while_a_save_is_failing_misses_nothing)
{
    enter_namespace();
    const char *folder = make_folder("smaller"), *base = snapshot_place("base-of-both");
    ck_assert_int_eq(mount("none", folder, "tmpfs", 0, "size=1M"), 0);
    struct rig rig = start_rewriting();
    struct client_error error;
    struct client *saver = vmm_process_connect(rig.process, &error);
    ck_assert_ptr_nonnull(saver);
    rig_snapshot(&rig, 0, base);
    rewrite(&rig, 0);
    rig_do(&rig, "pause", 0);
    uint8_t *ram = rig_ram(&rig, 0, RAM);
    char line[1024];
    snprintf(line, sizeof line,
             "{\"execute\":\"snapshot\",\"arguments\":{\"guest\":0,\"path\":\"%s\",\"kind\":\"diff\"}}\n",
             snapshot_place("smaller/file"));
    vmm_process_signal(rig.process, SIGSTOP);
    send_text(saver, line);
    send_text(rig.client, "{\"execute\":\"fork\",\"arguments\":{\"paused\":true}}\n");
    vmm_process_signal(rig.process, SIGCONT);
    json_t *forked = client_recv_reply(rig.client, RIG_PATIENCE_MS),
           *failed = client_recv_reply(saver, RIG_PATIENCE_MS);
    ck_assert(json_object_get(forked, "return") && json_object_get(failed, "error"));
    json_decref(forked);
    json_decref(failed);
    client_close(saver);
    rig_diff(&rig, 1, snapshot_place("of-child"));
    rig_check_ram(&rig, rig_restore(&rig, snapshot_place("of-child"), RESTORE_PAUSED), ram, RAM);
    free(ram);
    rig_quit(&rig);
}
END_TEST

/* Writing fails in the middle of the file: this kernel's way to say so is the limit of a file's size. */
START_TEST(failing_disk_loses_nothing)
{
    struct rig rig = start_rewriting();
    const char *folder = make_folder("failing"), *target = snapshot_place("failing/file");
    rig_snapshot(&rig, 0, snapshot_place("base"));
    client_drop_events(rig.client);
    rewrite(&rig, 0); /* more than the limit has to be saved */
    const struct rlimit small = {1 << 20, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
    pid_t pid = vmm_process_pid(rig.process);
    ck_assert_int_eq(prlimit(pid, RLIMIT_FSIZE, &small, NULL), 0);
    rig_refused(&rig, "IOError", target, "snapshot", "{s:i, s:s, s:s}", "guest", 0, "path", target, "kind", "diff");
    client_drop_events(rig.client);
    ck_assert_uint_eq(snapshot_count_files(folder), 0);
    rewrite(&rig, 0);
    ck_assert_int_eq(prlimit(pid, RLIMIT_FSIZE, &none, NULL), 0);
    rig_do(&rig, "pause", 0);
    uint8_t *ram = rig_ram(&rig, 0, RAM);
    rig_diff(&rig, 0, target);
    rig_check_ram(&rig, rig_restore(&rig, target, RESTORE_PAUSED), ram, RAM);
    free(ram);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_refused");
    TCase *tests = tcase_create("refused");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, what_is_no_file_is_not_restored);
    tcase_add_test(tests, what_is_no_snapshot_is_not_restored);
    tcase_add_test(tests, truncated_and_spoilt_files_are_not_restored);
    tcase_add_test(tests, page_data_is_checked_by_an_eager_restore);
    tcase_add_test(tests, guest_of_another_kind_of_machine_is_not_restored_here);
    tcase_add_test(tests, places_that_take_no_file_are_not_saved_to);
    tcase_add_test(tests, diff_without_anything_to_build_on_is_refused);
    tcase_add_test(tests, diff_that_no_chain_has_room_for_is_refused);
    tcase_add_test(tests, diff_whose_parent_has_been_replaced_is_refused);
    tcase_add_test(tests, diff_cannot_replace_what_it_builds_on_wherever_that_is);
    tcase_add_test(tests, files_that_a_guest_needs_are_not_replaced_by_its_own);
    tcase_add_test(tests, missing_permission_is_said);
    tcase_add_test(tests, read_only_file_system_is_said);
    tcase_add_test(tests, full_disk_loses_nothing);
    tcase_add_test(tests, child_made_while_a_save_is_failing_misses_nothing);
    tcase_add_test(tests, failing_disk_loses_nothing);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
