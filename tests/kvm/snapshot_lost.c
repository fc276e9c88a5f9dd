/*
 * A snapshot's file that is truncated takes with it also the private copies of the pages behind its new end: what the
 * VMM does with the memory of a guest that has written such pages fails, or works, and ends nobody else.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_snapshot.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Rewrites 4 MiB without end. */
static struct rig start_rewriting(void)
{
    struct rig rig =
        RIG("--memory", "8M", "--linger", "@pattern", "size=4M", "mode=rewrite", "after=continue", "linger_us=1000");
    RIG_UNTIL(rig_marks(&rig, 0, MARK_RESIDENT));
    return rig;
}

static void rewrite(struct rig *rig, uint64_t guest)
{
    uint64_t epoch = rig_probe(rig, guest).epoch;
    RIG_UNTIL(rig_probe(rig, guest).epoch > epoch + 1);
}

/* A restored guest that is paused with a checkpoint, has written most of its memory before and after that, and has lost
 * it since. */
static uint64_t lose(struct rig *rig, const char *path)
{
    rig_snapshot(rig, 0, path);
    uint64_t guest = rig_restore(rig, path, 0);
    rewrite(rig, guest);
    rig_do(rig, "checkpoint", guest);
    rewrite(rig, guest);
    rig_do(rig, "pause", guest);
    ck_assert_int_eq(truncate(path, 8192), 0);
    return guest;
}

START_TEST(reset_says_which_file_is_gone_and_leaves_the_guest_paused)
{
    struct rig rig = start_rewriting();
    const char *path = snapshot_place("short");
    uint64_t guest = lose(&rig, path);
    for (int i = 0; i < 2; i++) {
        rig_refused(&rig, "IOError", path, "reset", "{s:I}", "guest", (json_int_t)guest);
        ck_assert(rig_state_is(&rig, guest, "paused"));
    }
    rig_do(&rig, "resume", guest);
    RIG_UNTIL(rig_state_is(&rig, guest, "crashed"));
    rig_refused(&rig, "IOError", path, "reset", "{s:I}", "guest", (json_int_t)guest);
    rewrite(&rig, 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(what_cannot_be_read_any_more_is_not_forked_and_not_saved)
{
    struct rig rig = start_rewriting();
    const char *path = snapshot_place("short"), *other = snapshot_place("other");
    uint64_t guest = lose(&rig, path);
    rig_refused(&rig, "IOError", path, "fork", "{s:I}", "guest", (json_int_t)guest);
    rig_refused(&rig, "IOError", path, "checkpoint", "{s:I}", "guest", (json_int_t)guest);
    rig_refused(&rig, "IOError", path, "snapshot", "{s:I, s:s}", "guest", (json_int_t)guest, "path", other);
    rig_refused(&rig, "IOError", path, "read-memory", "{s:I, s:I, s:I}", "guest", (json_int_t)guest, "gpa",
                (json_int_t)(6 << 20), "length", (json_int_t)4096);
    ck_assert_int_lt(access(other, F_OK), 0);
    rewrite(&rig, 0);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_lost");
    TCase *tests = tcase_create("lost");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, reset_says_which_file_is_gone_and_leaves_the_guest_paused);
    tcase_add_test(tests, what_cannot_be_read_any_more_is_not_forked_and_not_saved);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
