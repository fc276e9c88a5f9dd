/*
 * The VMM is killed at many moments while it saves: at the path is the old file or the new one, whole, and whoever
 * comes next finds nothing in the way. ROUNDS= makes it longer.
 */
#include "guest/lib/marks.h"
#include "tests/support/kvm_snapshot.h"
#include "tests/support/rounds.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 24

static char folder[256], target[300], base[300], other[300];

static void find_places(int kind)
{
    snprintf(folder, sizeof folder, "%s%d", snapshot_place("folder"), kind);
    snprintf(target, sizeof target, "%s/target", folder);
    snprintf(base, sizeof base, "%s", snapshot_place("base"));
    snprintf(other, sizeof other, "%s", snapshot_place("other"));
    ck_assert_int_eq(mkdir(folder, 0700), 0);
}

/* Goes on from the base, so that it can make diffs to it. Rewrites 12 MiB without end. */
static struct rig start_restored(void)
{
    struct rig rig = RESTORED(base, "--linger");
    rig_do(&rig, "resume", 0);
    return rig;
}

static void make_base(void)
{
    struct rig rig = RIG("--memory", "16M", "@pattern", "size=12M", "after=continue", "linger_us=0");
    RIG_UNTIL(rig_marks(&rig, 0, 1));
    rig_snapshot(&rig, 0, other); /* what is replaced: a diff to base replaces no copy of that */
    rig_snapshot(&rig, 0, base);
    rig_quit(&rig);
}

static void send_snapshot(struct rig *rig, int kind)
{
    char line[1024];
    snprintf(line, sizeof line,
             "{\"execute\":\"snapshot\",\"arguments\":{\"guest\":0,\"path\":\"%s\",\"kind\":\"%s\",\"compress\":%s}}\n",
             target, kind == 1 ? "diff" : "full", kind == 2 ? "true" : "false");
    ck_assert_int_eq(client_send_raw(rig->client, line, strlen(line)), 0);
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* How long a snapshot takes. */
static uint64_t measure_us(int kind)
{
    struct rig rig = start_restored();
    uint64_t start = now_us();
    send_snapshot(&rig, kind);
    json_t *reply = client_recv_reply(rig.client, RIG_PATIENCE_MS);
    ck_assert_msg(json_object_get(reply, "return") != NULL, "%s", reply ? json_dumps(reply, 0) : "no reply");
    json_decref(reply);
    uint64_t took = now_us() - start;
    rig_quit(&rig);
    return took;
}

static bool same_contents(const char *one, const char *two)
{
    if (snapshot_size(one) != snapshot_size(two))
        return false;
    static char a[1 << 16], b[1 << 16];
    FILE *first = fopen(one, "r"), *second = fopen(two, "r");
    ck_assert(first && second);
    size_t n;
    bool same = true;
    while (same && (n = fread(a, 1, sizeof a, first)) > 0)
        same = fread(b, 1, sizeof b, second) == n && memcmp(a, b, n) == 0;
    fclose(first);
    fclose(second);
    return same;
}

/* Kills the VMM so long after the command. True where the new file was in place by then. */
static bool kill_after(uint64_t us, int kind, bool has_old)
{
    const char *copy = snapshot_place("copy");
    if (has_old)
        snapshot_copy(target, copy);
    struct rig rig = start_restored();
    send_snapshot(&rig, kind);
    nanosleep(&(struct timespec){(time_t)(us / 1000000), (long)(us % 1000000) * 1000}, NULL);
    vmm_process_signal(rig.process, SIGKILL);
    ck_assert_int_eq(rig_wait_exit(&rig), 128 + SIGKILL);
    if (access(target, F_OK) < 0) {
        ck_assert(!has_old);
        return false;
    }
    snapshot_check_whole(target);
    return !has_old || !same_contents(target, copy);
}

/* What is there can be continued: by a guest that finds its memory to be of one instant. */
static void check_continues(void)
{
    struct rig rig = RESTORED(target, "--linger");
    rig_do(&rig, "resume", 0);
    RIG_UNTIL(rig_marks(&rig, 0, MARK_VERIFIED) || rig_marks(&rig, 0, MARK_WRONG));
    ck_assert_uint_eq(rig_marks(&rig, 0, MARK_WRONG), 0);
    rig_quit(&rig);
}

static void check_kind(int kind)
{
    find_places(kind);
    make_base();
    const char *text = getenv("ROUNDS");
    unsigned times = text && *text ? (unsigned)strtoul(text, NULL, 10) : rounds(ROUNDS, 6);
    uint64_t took_us = measure_us(kind);
    unlink(target);
    unsigned replaced = 0;
    for (unsigned i = 0; i < times; i++) {
        bool has_old = i % 4 != 0; /* to a new name, and over an old one */
        if (!has_old)
            unlink(target);
        else if (access(target, F_OK) < 0)
            snapshot_copy(other, target);
        replaced += kill_after(took_us * 3 / 2 * i / times, kind, has_old);
        if (i % 6 == 0 && access(target, F_OK) == 0)
            check_continues();
    }
    printf("%u of %u were in place before the kill, of about %llu us each\n", replaced, times,
           (unsigned long long)took_us);
    measure_us(kind); /* clears away what was left, where this file system has no files without a name */
    check_continues();
    ck_assert_uint_eq(snapshot_count_files(folder), 1);
}

START_TEST(full_snapshot_is_there_or_what_was_before)
{
    check_kind(0);
}
END_TEST

START_TEST(diff_is_there_or_what_was_before)
{
    check_kind(1);
}
END_TEST

START_TEST(compressed_snapshot_is_there_or_what_was_before)
{
    check_kind(2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_killed");
    TCase *tests = tcase_create("killed");
    tcase_set_timeout(tests, 2 * RIG_TIMEOUT_S);
    tcase_add_test(tests, full_snapshot_is_there_or_what_was_before);
    tcase_add_test(tests, diff_is_there_or_what_was_before);
    tcase_add_test(tests, compressed_snapshot_is_there_or_what_was_before);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
