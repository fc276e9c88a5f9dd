/*
 * What can happen to a file while guests run from it: renamed, deleted and replaced it goes on to serve them;
 * truncated, it ends those who need what is gone, with a message that names it, and nobody else.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Hashes all its memory again and again, and ends where the hash changes. */
static struct rig start_holding(void)
{
    struct rig rig = RIG("--memory", "12M", "--linger", "@pattern", "mode=hold", "size=8M", "writers=none");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 0);
    return rig;
}

/* It has hashed everything more than once, and found it as it was. */
static void check_holds(struct rig *rig, uint64_t guest)
{
    uint64_t before = rig_probe(rig, guest).counter;
    RIG_UNTIL(!rig_state_is(rig, guest, "running") || rig_probe(rig, guest).counter > before + 2);
    ck_assert(rig_state_is(rig, guest, "running"));
    ck_assert_uint_eq(rig_marks(rig, guest, MARK_WRONG), 0);
}

static void resume_and_check(struct rig *rig, uint64_t guest)
{
    rig_do(rig, "resume", guest);
    check_holds(rig, guest);
}

static void fill_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(file_is_renamed_and_deleted_while_guests_run_from_it)
{
    struct rig rig = start_holding();
    const char *path = snapshot_place("file"), *name = snapshot_place("renamed");
    rig_snapshot(&rig, 0, path);
    uint64_t one = rig_restore(&rig, path, RESTORE_PAUSED), two = rig_restore(&rig, path, RESTORE_PAUSED);
    ck_assert_int_eq(rename(path, name), 0);
    resume_and_check(&rig, one);
    rig_refused(&rig, "InvalidArgument", path, "restore", "{s:s}", "path", path);
    uint64_t three = rig_restore(&rig, name, RESTORE_PAUSED);
    ck_assert_int_eq(unlink(name), 0);
    resume_and_check(&rig, two);
    resume_and_check(&rig, three);
    uint64_t child = rig_fork(&rig, three, 1, false, NULL);
    rig_do(&rig, "kill", one);
    rig_do(&rig, "kill", two);
    rig_do(&rig, "kill", three);
    check_holds(&rig, child); /* by now the file is nowhere but in its memory */
    rig_snapshot(&rig, child, path);
    check_holds(&rig, rig_restore(&rig, path, 0));
    rig_quit(&rig);
}
END_TEST

START_TEST(file_is_replaced_while_guests_run_from_it)
{
    struct rig rig = start_holding();
    const char *path = snapshot_place("file");
    rig_snapshot(&rig, 0, path);
    uint64_t one = rig_restore(&rig, path, RESTORE_PAUSED), two = rig_restore(&rig, path, RESTORE_PAUSED);
    rig_snapshot(&rig, 0, path); /* by the VMM */
    resume_and_check(&rig, one);
    fill_file(snapshot_place("other"), "no snapshot");
    ck_assert_int_eq(rename(snapshot_place("other"), path), 0); /* by somebody else */
    resume_and_check(&rig, two);
    rig_refused(&rig, "SnapshotInvalid", path, "restore", "{s:s}", "path", path);
    rig_snapshot(&rig, one, path); /* it is not its own any more */
    check_holds(&rig, rig_restore(&rig, path, 0));
    rig_quit(&rig);
}
END_TEST

START_TEST(parent_of_a_diff_is_deleted_while_guests_run_from_them)
{
    struct rig rig = start_holding();
    const char *full = snapshot_place("full"), *diff = snapshot_place("diff");
    rig_snapshot(&rig, 0, full);
    rig_diff(&rig, 0, diff);
    uint64_t guest = rig_restore(&rig, diff, RESTORE_PAUSED);
    ck_assert_int_eq(unlink(full), 0);
    resume_and_check(&rig, guest);
    rig_refused(&rig, "SnapshotInvalid", full, "restore", "{s:s}", "path", diff);
    rig_snapshot(&rig, guest, full); /* another one, though at the same place */
    rig_refused(&rig, "SnapshotInvalid", full, "restore", "{s:s}", "path", diff);
    check_holds(&rig, guest);
    rig_quit(&rig);
}
END_TEST

/* Beside their child after a move, as when both are copied to another machine. */
START_TEST(parents_are_found_beside_their_child)
{
    struct rig rig = start_holding();
    rig_snapshot(&rig, 0, snapshot_place("one"));
    rig_diff(&rig, 0, snapshot_place("two"));
    rig_diff(&rig, 0, snapshot_place("three"));
    rig_quit(&rig);
    ck_assert_int_eq(mkdir(snapshot_place("elsewhere"), 0700), 0);
    ck_assert_int_eq(rename(snapshot_place("one"), snapshot_place("elsewhere/one")), 0);
    ck_assert_int_eq(rename(snapshot_place("two"), snapshot_place("elsewhere/two")), 0);
    ck_assert_int_eq(rename(snapshot_place("three"), snapshot_place("elsewhere/three")), 0);
    rig = RESTORED(snapshot_place("elsewhere/three"));
    resume_and_check(&rig, 0);
    rig_quit(&rig);
}
END_TEST

static void check_crashed_by(struct rig *rig, uint64_t guest, const char *path)
{
    json_t *event = client_wait_event(rig->client, "CRASHED", (int64_t)guest, RIG_PATIENCE_MS);
    ck_assert_ptr_nonnull(event);
    const char *reason = json_string_value(json_object_get(event_data(event), "reason"));
    ck_assert_msg(reason && strstr(reason, path), "no %s in: %s", path, reason);
    json_decref(event);
    ck_assert(rig_state_is(rig, guest, "crashed"));
}

START_TEST(truncated_file_ends_who_needs_it_and_nobody_else)
{
    struct rig rig = start_holding();
    const char *path = snapshot_place("short"), *good = snapshot_place("good");
    rig_snapshot(&rig, 0, path);
    rig_snapshot(&rig, 0, good);
    uint64_t running = rig_restore(&rig, path, 0), paused = rig_restore(&rig, path, RESTORE_PAUSED);
    uint64_t eager = rig_restore(&rig, path, RESTORE_EAGER), other = rig_restore(&rig, good, 0);
    uint64_t child = rig_fork(&rig, running, 1, true, NULL);
    check_holds(&rig, running);
    ck_assert_int_eq(truncate(path, snapshot_size(path) / 2), 0);
    check_crashed_by(&rig, running, path);
    rig_do(&rig, "resume", paused);
    check_crashed_by(&rig, paused, path);
    rig_do(&rig, "resume", child);
    check_crashed_by(&rig, child, path);
    check_holds(&rig, eager);
    check_holds(&rig, other);
    check_holds(&rig, 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(vmm_of_a_truncated_file_alone_exits_as_for_a_crash)
{
    struct rig rig = start_holding();
    rig_snapshot(&rig, 0, snapshot_place("short"));
    rig_quit(&rig);
    rig = RESTORED(snapshot_place("short"));
    rig_do(&rig, "resume", 0);
    check_holds(&rig, 0);
    ck_assert_int_eq(truncate(snapshot_place("short"), 0), 0);
    int status = vmm_process_wait(rig.process, RIG_PATIENCE_MS);
    char *errors = vmm_process_errors(rig.process);
    ck_assert_int_eq(status, EXIT_VMM_CRASHED);
    ck_assert_msg(strstr(errors, snapshot_place("short")) != NULL, "%s", errors);
    free(errors);
    rig_wait_exit(&rig);
}
END_TEST

/* What the VMM itself does with the memory of a guest whose file is gone fails, or works, and is no end of the VMM. */
static void use_lost_memory(struct rig *rig, uint64_t guest)
{
    static char buffer[65536];
    struct client_error error;
    for (uint64_t gpa = 0; gpa < 12 << 20; gpa += sizeof buffer)
        (void)client_read_memory(rig->client, guest, gpa, sizeof buffer, buffer, &error);
    static const char *const commands[] = {"fork", "checkpoint", "reset", "fork", "translate", "query-stats"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        json_t *arguments = json_pack("{s:I}", "guest", (json_int_t)guest);
        if (strcmp(commands[i], "fork") == 0)
            json_object_set_new(arguments, "paused", json_true());
        if (strcmp(commands[i], "translate") == 0)
            json_object_set_new(arguments, "gpa", json_integer(1 << 20));
        int result = client_call(rig->client, commands[i], arguments, NULL, &error);
        ck_assert_msg(result == 0 || strcmp(error.class, CLIENT_CONNECTION) != 0, "%s: %s", commands[i], error.text);
    }
    int result = client_callf(rig->client, "snapshot", NULL, &error, "{s:I, s:s}", "guest", (json_int_t)guest, "path",
                              snapshot_place("of-lost"));
    ck_assert_msg(result < 0 && strcmp(error.class, "IOError") == 0, "%s", error.text);
    ck_assert_int_lt(access(snapshot_place("of-lost"), F_OK), 0);
}

START_TEST(vmm_survives_what_it_does_with_lost_memory_itself)
{
    struct rig rig = start_holding();
    const char *path = snapshot_place("short");
    rig_snapshot(&rig, 0, path);
    uint64_t fresh = rig_restore(&rig, path, RESTORE_PAUSED), used = rig_restore(&rig, path, 0);
    check_holds(&rig, used);
    rig_do(&rig, "pause", used);
    ck_assert_int_eq(truncate(path, 8192), 0);
    use_lost_memory(&rig, used);
    use_lost_memory(&rig, fresh);
    check_holds(&rig, 0);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_files");
    TCase *tests = tcase_create("files");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, file_is_renamed_and_deleted_while_guests_run_from_it);
    tcase_add_test(tests, file_is_replaced_while_guests_run_from_it);
    tcase_add_test(tests, parent_of_a_diff_is_deleted_while_guests_run_from_them);
    tcase_add_test(tests, parents_are_found_beside_their_child);
    tcase_add_test(tests, truncated_file_ends_who_needs_it_and_nobody_else);
    tcase_add_test(tests, vmm_of_a_truncated_file_alone_exits_as_for_a_crash);
    tcase_add_test(tests, vmm_survives_what_it_does_with_lost_memory_itself);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
