/*
 * A fork is of one instant: a child holds what its parent held then, whatever the parent writes later, and the other
 * way round. Looked at from inside, by the pattern guest's own check, and from outside, by read-memory of paused
 * children.
 */
#include "guest/lib/hash.h"
#include "guest/lib/marks.h"
#include "tests/support/kvm_rig.h"
#include "tests/support/rounds.h"

#include <stdlib.h>
#include <string.h>

#define PAGE  4096
#define WORDS (PAGE / 8)
#define SIZE  (2 << 20)
#define PAGES (SIZE / PAGE)
#define SEED  42

/* The guest's contents of a page: see guest/pattern.c. */
#define WORD_STEP 0x9e3779b97f4a7c15

struct memory {
    struct probe probe;
    uint64_t pages[PAGES][WORDS];
};

/* All that the pattern guest has written. Of a running guest, no two pages need be of the same time. */
static struct memory *read_all(struct rig *rig, uint64_t guest)
{
    struct memory *memory = malloc(sizeof *memory);
    ck_assert_ptr_nonnull(memory);
    memory->probe = rig_probe(rig, guest);
    ck_assert_int_eq(memcmp(memory->probe.name, "pattern", 8), 0);
    ck_assert_uint_eq(memory->probe.pages, PAGES);
    rig_read(rig, guest, memory->probe.first, SIZE, memory->pages);
    return memory;
}

/* How many words at the start of a page are of `epoch`. */
static size_t words_of(const struct memory *memory, uint64_t page, uint64_t epoch)
{
    uint64_t value = hash_mix(hash_mix(memory->probe.seed + epoch) + page);
    size_t i = 0;
    for (; i < WORDS && memory->pages[page][i] == value; i++)
        value += WORD_STEP;
    return i;
}

static bool tail_is(const struct memory *memory, uint64_t page, uint64_t epoch, size_t from)
{
    uint64_t value = hash_mix(hash_mix(memory->probe.seed + epoch) + page) + from * WORD_STEP;
    for (size_t i = from; i < WORDS; i++, value += WORD_STEP)
        if (memory->pages[page][i] != value)
            return false;
    return true;
}

static bool all_of(const struct memory *memory, uint64_t epoch)
{
    for (uint64_t page = 0; page < PAGES; page++)
        if (words_of(memory, page, epoch) != WORDS)
            return false;
    return true;
}

/*
 * An instant of the rewriting: pages before `progress` are of the next epoch, those after it of this one, and the page
 * at `progress` may have been rewritten in part. With all of them done the guest raises `epoch` before it clears
 * `progress`.
 */
static void check_instant(const struct memory *memory)
{
    const uint64_t epoch = memory->probe.epoch, progress = memory->probe.progress;
    ck_assert_uint_le(progress, PAGES);
    if (progress == PAGES) {
        ck_assert(all_of(memory, epoch) || all_of(memory, epoch + 1));
        return;
    }
    for (uint64_t page = 0; page < PAGES; page++) {
        size_t new = words_of(memory, page, epoch + 1);
        const char *where = page < progress ? "before" : page > progress ? "after" : "in";
        bool right = page < progress    ? new == WORDS
                     : page == progress ? tail_is(memory, page, epoch, new)
                                        : words_of(memory, page, epoch) == WORDS;
        ck_assert_msg(right, "page %llu, %s the page being written (%llu) in epoch %llu, is of another time",
                      (unsigned long long)page, where, (unsigned long long)progress, (unsigned long long)epoch);
    }
}

static void check_same(const struct memory *before, const struct memory *now, const char *who)
{
    ck_assert_msg(memcmp(&before->probe, &now->probe, sizeof now->probe) == 0, "the probe of %s has changed", who);
    for (uint64_t page = 0; page < PAGES; page++)
        ck_assert_msg(memcmp(before->pages[page], now->pages[page], PAGE) == 0, "page %llu of %s has changed",
                      (unsigned long long)page, who);
}

static void check_unchanged(struct rig *rig, uint64_t guest, const struct memory *before, const char *who)
{
    struct memory *now = read_all(rig, guest);
    check_same(before, now, who);
    free(now);
}

/* Waits until the running guest has rewritten all its pages since it was at `epoch`. */
static void wait_rewritten(struct rig *rig, uint64_t guest, uint64_t epoch)
{
    RIG_UNTIL(rig_probe(rig, guest).epoch >= epoch + 2);
}

static struct rig start_rewriting(void)
{
    struct rig rig = RIG("--memory", "16M", "--linger", "@pattern", "size=2M", "seed=42", "linger_us=200000");
    RIG_UNTIL(rig_marks(&rig, 0, MARK_RESIDENT));
    return rig;
}

START_TEST(paused_child_holds_the_instant_of_the_first_fork_whatever_its_parent_writes)
{
    struct rig rig = start_rewriting();
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    struct memory *at_fork = read_all(&rig, child);
    ck_assert_uint_eq(at_fork->probe.seed, SEED);
    check_instant(at_fork);
    wait_rewritten(&rig, 0, at_fork->probe.epoch);
    check_unchanged(&rig, child, at_fork, "the child");
    ck_assert_uint_eq(rig_probe(&rig, 0).nonce, at_fork->probe.nonce);
    free(at_fork);
    rig_quit(&rig);
}
END_TEST

START_TEST(each_of_many_forks_shows_its_own_instant_and_no_other)
{
    enum { FORKS_MOST = 8 };
    const unsigned forks = rounds(FORKS_MOST, 4);
    struct rig rig = start_rewriting();
    uint64_t children[FORKS_MOST], epoch = 0;
    struct memory *at_fork[FORKS_MOST];
    for (unsigned i = 0; i < forks; i++) {
        children[i] = rig_fork(&rig, 0, 1, true, NULL);
        at_fork[i] = read_all(&rig, children[i]);
        check_instant(at_fork[i]);
        ck_assert_uint_ge(at_fork[i]->probe.epoch, epoch);
        if (i % 2) {
            epoch = at_fork[i]->probe.epoch + 2; /* from here on no page is as this fork saw it */
            RIG_UNTIL(rig_probe(&rig, 0).epoch >= epoch);
        }
    }
    for (unsigned i = 0; i < forks; i++) {
        check_unchanged(&rig, children[i], at_fork[i], "a child");
        free(at_fork[i]);
    }
    rig_quit(&rig);
}
END_TEST

START_TEST(running_children_find_themselves_at_one_instant_while_their_parent_rewrites_its_memory)
{
    enum { FORKS = 4, COUNT = 3 };
    struct rig rig = start_rewriting();
    uint64_t children[FORKS][COUNT];
    for (int i = 0; i < FORKS; i++) {
        uint64_t epoch = rig_probe(&rig, 0).epoch;
        rig_fork(&rig, 0, COUNT, false, children[i]);
        for (int j = 0; j < COUNT; j++)
            RIG_UNTIL(rig_marks(&rig, children[i][j], MARK_FIRST_OUTPUT));
        wait_rewritten(&rig, 0, epoch);
    }
    for (int i = 0; i < FORKS; i++)
        for (int j = 0; j < COUNT; j++) {
            rig_wait_exited(&rig, children[i][j], 0);
            ck_assert_uint_eq(rig_marks(&rig, children[i][j], MARK_VERIFIED), 1);
            ck_assert_uint_eq(rig_marks(&rig, children[i][j], MARK_WRONG), 0);
            char *console = rig_console(&rig, children[i][j]);
            ck_assert_ptr_nonnull(strstr(console, "consistent yes"));
            ck_assert_ptr_nonnull(strstr(console, "stable yes"));
            free(console);
        }
    ck_assert(rig_state_is(&rig, 0, "running"));
    rig_quit(&rig);
}
END_TEST

START_TEST(children_of_one_fork_are_of_the_same_instant)
{
    enum { COUNT = 4 };
    struct rig rig = start_rewriting();
    uint64_t children[COUNT];
    rig_fork(&rig, 0, COUNT, true, children);
    struct memory *first = read_all(&rig, children[0]);
    check_instant(first);
    for (int i = 1; i < COUNT; i++)
        check_unchanged(&rig, children[i], first, "a sibling");
    free(first);
    rig_quit(&rig);
}
END_TEST

START_TEST(paused_parent_and_its_child_hold_the_same)
{
    struct rig rig = start_rewriting();
    for (unsigned i = 0; i < rounds(3, 2); i++) { /* the first fork, and one that is not */
        rig_do(&rig, "pause", 0);
        struct memory *before = read_all(&rig, 0);
        check_instant(before);
        uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
        ck_assert(rig_state_is(&rig, 0, "paused"));
        check_unchanged(&rig, 0, before, "the parent");
        check_unchanged(&rig, child, before, "the child");
        rig_do(&rig, "resume", 0);
        wait_rewritten(&rig, 0, before->probe.epoch);
        check_unchanged(&rig, child, before, "the child");
        free(before);
    }
    rig_quit(&rig);
}
END_TEST

/* A writing child raises its epoch first; once it has hashed everything after that, all is written. */
static void wait_written(struct rig *rig, uint64_t child)
{
    RIG_UNTIL(rig_probe(rig, child).epoch == 1000 + child);
    uint64_t passes = rig_probe(rig, child).counter;
    RIG_UNTIL(rig_probe(rig, child).counter >= passes + 2);
}

START_TEST(what_a_child_writes_is_seen_by_no_parent_and_no_sibling)
{
    struct rig rig = RIG("--memory", "16M", "--linger", "@pattern", "mode=hold", "size=2M", "seed=42");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 0);
    for (int round = 0; round < 2; round++) { /* the first fork, and one that is not */
        rig_do(&rig, "pause", 0);
        struct memory *before = read_all(&rig, 0);
        ck_assert(all_of(before, 1));
        uint64_t still = rig_fork(&rig, 0, 1, true, NULL), children[4];
        rig_fork(&rig, 0, 4, false, children); /* those with an odd number write */
        for (int i = 0; i < 4; i++) {
            if (children[i] % 2 == 0) {
                RIG_UNTIL(rig_probe(&rig, children[i]).counter > before->probe.counter + 2);
                continue;
            }
            wait_written(&rig, children[i]);
            struct memory *own = read_all(&rig, children[i]);
            ck_assert(all_of(own, 1000 + children[i]));
            free(own);
        }
        check_unchanged(&rig, 0, before, "the parent");
        check_unchanged(&rig, still, before, "a paused sibling");
        for (int i = 0; i < 4; i++) {
            ck_assert(rig_state_is(&rig, children[i], "running")); /* one whose hash changes ends */
            rig_do(&rig, "kill", children[i]);
        }
        rig_do(&rig, "resume", 0);
        RIG_UNTIL(rig_probe(&rig, 0).counter > before->probe.counter + 2);
        free(before);
    }
    ck_assert(rig_state_is(&rig, 0, "running"));
    rig_quit(&rig);
}
END_TEST

START_TEST(child_keeps_its_memory_after_its_parent_is_gone)
{
    struct rig rig = start_rewriting();
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    uint64_t later = rig_fork(&rig, 0, 1, true, NULL);
    struct memory *first = read_all(&rig, child), *second = read_all(&rig, later);
    rig_do(&rig, "kill", 0);
    rig_sleep_ms(100); /* what is freed is freed in the background */
    check_unchanged(&rig, child, first, "the child");
    rig_do(&rig, "kill", child);
    rig_sleep_ms(100);
    check_unchanged(&rig, later, second, "the later child");
    rig_do(&rig, "resume", later);
    rig_wait_exited(&rig, later, 0);
    free(first);
    free(second);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork_point_in_time");
    TCase *tests = tcase_create("point in time");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, paused_child_holds_the_instant_of_the_first_fork_whatever_its_parent_writes);
    tcase_add_test(tests, each_of_many_forks_shows_its_own_instant_and_no_other);
    tcase_add_test(tests, running_children_find_themselves_at_one_instant_while_their_parent_rewrites_its_memory);
    tcase_add_test(tests, children_of_one_fork_are_of_the_same_instant);
    tcase_add_test(tests, paused_parent_and_its_child_hold_the_same);
    tcase_add_test(tests, what_a_child_writes_is_seen_by_no_parent_and_no_sibling);
    tcase_add_test(tests, child_keeps_its_memory_after_its_parent_is_gone);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
