/* Hundreds of snapshots and restores leave nothing behind: no frame, table, mapping, thread, descriptor or memory. */
#include "tests/support/kvm_held.h"
#include "tests/support/kvm_random.h"
#include "tests/support/kvm_snapshot.h"
#include "tests/support/rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMES 200

static struct rig start_random(void)
{
    struct rig rig = RIG("--memory", "8M", "@random", "pages=1000", "fill=1000", "pace_us=20");
    random_wait_started(&rig, 0);
    rig_do(&rig, "pause", 0);
    return rig;
}

static void drop_events(struct rig *rig)
{
    client_drop_events(rig->client);
}

/* Of several vCPUs, so that their state would be seen. */
START_TEST(snapshots_leave_nothing)
{
    struct rig rig = RIG("--memory", "4M", "--cpus", "4", "@random", "pages=100");
    random_wait_started(&rig, 0);
    rig_do(&rig, "pause", 0);
    struct held before = {0};
    for (int i = 0; i < (int)rounds(TIMES, 36); i++) {
        if (i == 16)
            before = rig_held(&rig);
        if (i % 4)
            rig_snapshot(&rig, 0, snapshot_place("full"));
        else if (i % 8)
            json_decref(rig_call(&rig, "snapshot", "{s:i, s:s, s:b}", "guest", 0, "path", snapshot_place("full"),
                                 "compress", 1));
        if (i % 4)
            rig_diff(&rig, 0, snapshot_place("diff"));
        drop_events(&rig);
    }
    rig_check_held(&rig, &before);
    rig_quit(&rig);
}
END_TEST

/* The guest's memory comes to lie in the overlay and in layers; what is saved of it is given back with the file. */
START_TEST(snapshots_of_a_running_guest_leave_nothing)
{
    struct rig rig = start_random();
    for (int i = 0; i < (int)rounds(TIMES, 36); i++) {
        rig_do(&rig, "resume", 0);
        random_wait_steps(&rig, 0, 5);
        rig_snapshot(&rig, 0, snapshot_place("full"));
        rig_do(&rig, "pause", 0);
        drop_events(&rig);
    }
    rig_snapshot(&rig, 0, snapshot_place("full"));
    const struct held held = rig_held(&rig);
    ck_assert_uint_le(held.layers, (8 << 20) + (4 << 20)); /* a frame for each page, and room to publish into */
    ck_assert_uint_le(held.anonymous_kib, (8 << 10) + (16 << 10));
    ck_assert_uint_le(held.descriptors, 100);
    rig_quit(&rig);
}
END_TEST

/* One of each kind, with what can be done to it. */
static void restore_and_kill(struct rig *rig, int i)
{
    static const char *const names[] = {"full", "diff", "compressed"};
    unsigned how = (i % 2 ? RESTORE_EAGER : 0) | (i % 4 < 2 ? RESTORE_PAUSED : 0);
    uint64_t guest = rig_restore(rig, snapshot_place(names[i % 3]), how);
    if (i % 5 == 0)
        json_decref(rig_call(rig, "reset", "{s:I}", "guest", (json_int_t)guest));
    if (i % 5 == 1)
        rig_do(rig, "kill", rig_fork(rig, guest, 1, false, NULL));
    if (i % 5 == 2)
        rig_do(rig, "checkpoint", guest);
    if (i % 5 == 3)
        rig_diff(rig, guest, snapshot_place("diff-of-restored"));
    rig_do(rig, "kill", guest);
    drop_events(rig);
}

START_TEST(restores_leave_nothing)
{
    struct rig rig = start_random();
    rig_snapshot(&rig, 0, snapshot_place("full"));
    json_decref(
        rig_call(&rig, "snapshot", "{s:i, s:s, s:b}", "guest", 0, "path", snapshot_place("compressed"), "compress", 1));
    rig_snapshot(&rig, 0, snapshot_place("full"));
    rig_diff(&rig, 0, snapshot_place("diff"));
    for (int i = 0; i < (int)rounds(30, 15); i++)
        restore_and_kill(&rig, i);
    const struct held before = rig_held(&rig);
    for (int i = 0; i < (int)rounds(TIMES, 36); i++)
        restore_and_kill(&rig, i);
    rig_check_held(&rig, &before);
    rig_quit(&rig);
}
END_TEST

START_TEST(refused_and_failed_ones_leave_nothing)
{
    struct rig rig = start_random();
    rig_snapshot(&rig, 0, snapshot_place("full"));
    FILE *file = fopen(snapshot_place("bad"), "w");
    ck_assert_ptr_nonnull(file);
    fputs("CLEAVE", file);
    fclose(file);
    snapshot_copy(snapshot_place("full"), snapshot_place("cut"));
    ck_assert_int_eq(truncate(snapshot_place("cut"), snapshot_size(snapshot_place("cut")) - 100), 0);
    struct held before = {0};
    for (int i = 0; i < (int)rounds(TIMES, 36); i++) {
        if (i == 16)
            before = rig_held(&rig);
        static const char *const names[] = {"none", "bad", "cut"};
        struct client_error error;
        ck_assert_int_lt(client_callf(rig.client, "restore", NULL, &error, "{s:s, s:b}", "path",
                                      snapshot_place(names[i % 3]), "eager", i % 2),
                         0);
        rig_refused(&rig, "InvalidArgument", "", "snapshot", "{s:i, s:s}", "guest", 0, "path",
                    i % 2 ? "/" : "/dev/null");
        drop_events(&rig);
    }
    rig_check_held(&rig, &before);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_leaks");
    TCase *tests = tcase_create("leaks");
    tcase_set_timeout(tests, 2 * RIG_TIMEOUT_S);
    tcase_add_test(tests, snapshots_leave_nothing);
    tcase_add_test(tests, snapshots_of_a_running_guest_leave_nothing);
    tcase_add_test(tests, restores_leave_nothing);
    tcase_add_test(tests, refused_and_failed_ones_leave_nothing);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
