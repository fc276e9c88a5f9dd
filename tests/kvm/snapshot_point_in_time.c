/*
 * A snapshot is of one instant: the file holds what the guest held then, though the guest writes on while the file is
 * written. Looked at from inside, by the pattern guest's own check, and from outside, by its probe.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_snapshot.h"
#include "tests/support/rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t rewritten_bytes(void)
{
    return on_slow_machine() ? 4 << 20 : 16 << 20;
}

/* Rewrites all its memory without end, many times while a file is written. */
static struct rig start_rewriting(void)
{
    char size[32];
    snprintf(size, sizeof size, "size=%llu", (unsigned long long)rewritten_bytes());
    struct rig rig = RIG("--memory", "24M", "--linger", "@pattern", size, "linger_us=100000");
    RIG_UNTIL(rig_marks(&rig, 0, MARK_RESIDENT));
    return rig;
}

/* It finds itself at an instant of the rewriting, and stays so. */
static void check_inside(struct rig *rig, uint64_t guest)
{
    rig_wait_exited(rig, guest, 0);
    ck_assert_uint_eq(rig_marks(rig, guest, MARK_VERIFIED), 1);
    ck_assert_uint_eq(rig_marks(rig, guest, MARK_WRONG), 0);
    char *console = rig_console(rig, guest);
    ck_assert_ptr_nonnull(strstr(console, "consistent yes"));
    ck_assert_ptr_nonnull(strstr(console, "stable yes"));
    free(console);
}

static void save(struct rig *rig, const char *path, const char *kind, bool compress)
{
    json_t *report = rig_call(rig, "snapshot", "{s:i, s:s, s:s, s:b}", "guest", 0, "path", path, "kind", kind,
                              "compress", (int)compress);
    ck_assert_uint_gt((uint64_t)json_integer_value(json_object_get(report, "pages")), rewritten_bytes() / 4096 / 2);
    json_decref(report);
    uint64_t epoch = rig_probe(rig, 0).epoch;
    RIG_UNTIL(rig_probe(rig, 0).epoch > epoch + 1); /* it writes on, and nothing is left as it was */
}

START_TEST(file_holds_the_instant_whatever_the_guest_writes_meanwhile)
{
    struct rig rig = start_rewriting();
    for (unsigned i = 0; i < rounds(6, 3); i++) {
        const char *path = snapshot_place("pattern");
        save(&rig, path, "full", i % 3 == 2);
        check_inside(&rig, rig_restore(&rig, path, i % 2 ? RESTORE_EAGER : 0));
    }
    ck_assert(rig_state_is(&rig, 0, "running"));
    rig_quit(&rig);
}
END_TEST

START_TEST(diff_holds_the_instant_whatever_the_guest_writes_meanwhile)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    struct rig rig = start_rewriting();
    save(&rig, snapshot_place(names[0]), "full", false);
    for (int i = 1; i < 5; i++)
        save(&rig, snapshot_place(names[i]), "diff", i == 3);
    for (int i = 4; i >= 0; i--)
        check_inside(&rig, rig_restore(&rig, snapshot_place(names[i]), i % 2 ? RESTORE_EAGER : 0));
    rig_quit(&rig);
    struct rig restored = RESTORED(snapshot_place(names[4]), "--linger");
    rig_do(&restored, "resume", 0);
    check_inside(&restored, 0);
    rig_quit(&restored);
}
END_TEST

/* Whose memory is that of its parent's fork, while the parent rewrites it. */
START_TEST(child_is_saved_while_its_parent_rewrites_what_they_share)
{
    struct rig rig = start_rewriting();
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    rig_snapshot(&rig, child, snapshot_place("child"));
    uint64_t grandchild = rig_fork(&rig, child, 1, true, NULL);
    rig_do(&rig, "kill", child);
    rig_diff(&rig, grandchild, snapshot_place("grandchild"));
    ck_assert_int_lt(snapshot_size(snapshot_place("grandchild")), 1 << 20);
    check_inside(&rig, rig_restore(&rig, snapshot_place("child"), 0));
    check_inside(&rig, rig_restore(&rig, snapshot_place("grandchild"), 0));
    rig_do(&rig, "resume", grandchild);
    check_inside(&rig, grandchild);
    rig_quit(&rig);
}
END_TEST

/* What takes frames away from a guest that writes: one that were not held for the file would be gone. */
static void disturb(struct rig *rig, unsigned turn)
{
    rig_do(rig, "checkpoint", 0);
    if (turn % 4 == 1)
        rig_do(rig, "kill", rig_fork(rig, 0, 1, true, NULL));
    if (turn % 4 == 3)
        json_decref(rig_call(rig, "reset", "{s:i}", "guest", 0));
}

START_TEST(forks_and_resets_while_the_file_is_written_do_not_show_in_it)
{
    struct rig rig = start_rewriting();
    struct client_error error;
    struct client *saver = vmm_process_connect(rig.process, &error);
    ck_assert_msg(saver != NULL, "%s", error.text);
    for (unsigned i = 0; i < rounds(6, 2); i++) {
        char line[1024];
        snprintf(line, sizeof line,
                 "{\"execute\":\"snapshot\",\"arguments\":{\"guest\":0,\"path\":\"%s\",\"compress\":true}}\n",
                 snapshot_place("pattern"));
        ck_assert_int_eq(client_send_raw(saver, line, strlen(line)), 0);
        json_t *reply = NULL;
        for (unsigned turn = 0; !reply && turn < RIG_PATIENCE_MS; turn++) {
            disturb(&rig, turn);
            reply = client_recv_reply(saver, 1);
        }
        ck_assert(json_object_get(reply, "return"));
        json_decref(reply);
        client_drop_events(rig.client);
        client_drop_events(saver);
        check_inside(&rig, rig_restore(&rig, snapshot_place("pattern"), 0));
    }
    client_close(saver);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_point_in_time");
    TCase *tests = tcase_create("point in time");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, file_holds_the_instant_whatever_the_guest_writes_meanwhile);
    tcase_add_test(tests, diff_holds_the_instant_whatever_the_guest_writes_meanwhile);
    tcase_add_test(tests, child_is_saved_while_its_parent_rewrites_what_they_share);
    tcase_add_test(tests, forks_and_resets_while_the_file_is_written_do_not_show_in_it);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
