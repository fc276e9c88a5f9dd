/*
 * Writes scattered over all of RAM, fork after fork: the VMM merges pages again when a window would take too many
 * mappings, and no guest may notice: not the parent, whose window shows the old pages on, nor any child.
 */
#include "tests/support/kvm_random.h"
#include "tests/support/rounds.h"

#include <stdio.h>

#define MAPPINGS_MOST (4096 + 16) /* the budget of a window, and what its own writes since the fork add */
#define STEPS         4000        /* between two forks: some 2,000 pages */
#define FORKS         6

struct scattered {
    struct rig rig;
    struct model *parent;
    uint64_t children[FORKS];
    struct model *models[FORKS];
};

static struct scattered start_scattered(const char *fill)
{
    struct scattered s = {
        .rig = RIG("--memory", "64M", "@random", "pages=12000", "pace_us=10", "run=2", "seed=7", fill),
        .parent = model_new(),
    };
    random_wait_started(&s.rig, 0);
    return s;
}

/* Lets the parent write, and makes a paused child of it. */
static void write_and_fork(struct scattered *s, int i)
{
    random_wait_steps(&s->rig, 0, STEPS);
    s->children[i] = rig_fork(&s->rig, 0, 1, true, NULL);
    s->models[i] = model_copy(i ? s->models[i - 1] : s->parent);
    model_sync(s->models[i], &s->rig, s->children[i]);
    ck_assert_uint_le(rig_stat(&s->rig, s->children[i], "mappings"), MAPPINGS_MOST);
}

/* Other pages in each child, and some of every block that is merged. */
static void check_some(const struct model *model, struct rig *rig, uint64_t guest)
{
    model_check_some(model, rig, guest, on_slow_machine() ? 16 : 4, guest);
}

static void check_parent(struct scattered *s)
{
    rig_do(&s->rig, "pause", 0);
    model_check_many(s->parent, &s->rig, 0, 0);
    rig_do(&s->rig, "resume", 0);
}

/* So many pages have been published, one here and one there, that they would have taken more mappings than are left. */
static void check_merged(struct scattered *s)
{
    ck_assert_uint_gt(rig_stat(&s->rig, 0, "published_pages"), 2 * MAPPINGS_MOST);
    ck_assert_uint_le(rig_stat(&s->rig, 0, "mappings"), MAPPINGS_MOST + 3 * STEPS); /* what is not yet forked adds */
    ck_assert_uint_gt(rig_stat(&s->rig, s->children[FORKS - 1], "leaves_4k"), 0);
}

static void finish(struct scattered *s)
{
    for (int i = 0; i < FORKS; i++)
        model_free(s->models[i]);
    model_free(s->parent);
    rig_quit(&s->rig);
}

START_TEST(parent_and_children_keep_their_pages_when_scattered_pages_are_merged)
{
    struct scattered s = start_scattered("fill=6000");
    for (int i = 0; i < FORKS; i++)
        write_and_fork(&s, i);
    check_merged(&s);
    check_parent(&s);
    for (int i = 0; i < FORKS; i++)
        check_some(s.models[i], &s.rig, s.children[i]);
    finish(&s);
}
END_TEST

START_TEST(parent_keeps_its_pages_when_the_children_that_shared_them_are_gone)
{
    struct scattered s = start_scattered("fill=0");
    for (int i = 0; i < FORKS; i++) {
        write_and_fork(&s, i);
        if (i)
            rig_do(&s.rig, "kill", s.children[i - 1]);
        if (i == FORKS / 2)
            check_parent(&s);
    }
    check_some(s.models[FORKS - 1], &s.rig, s.children[FORKS - 1]);
    rig_do(&s.rig, "kill", s.children[FORKS - 1]);
    rig_sleep_ms(200); /* frames that nobody counts are freed in the background */
    check_parent(&s);
    uint64_t last = rig_fork(&s.rig, 0, 1, true, NULL);
    struct model *model = model_copy(s.parent);
    model_sync(model, &s.rig, last);
    check_some(model, &s.rig, last);
    model_free(model);
    finish(&s);
}
END_TEST

START_TEST(child_of_merged_pages_runs_on_and_has_children_of_its_own)
{
    struct scattered s = start_scattered("fill=12000");
    for (int i = 0; i < FORKS; i++)
        write_and_fork(&s, i);
    rig_do(&s.rig, "kill", 0);
    uint64_t child = s.children[FORKS - 1];
    struct model *model = s.models[FORKS - 1];
    for (unsigned i = 0; i < rounds(4, 2); i++) {
        rig_do(&s.rig, "resume", child);
        random_wait_steps(&s.rig, child, STEPS);
        rig_do(&s.rig, "pause", child);
        uint64_t next = rig_fork(&s.rig, child, 1, true, NULL);
        ck_assert_uint_le(rig_stat(&s.rig, next, "mappings"), MAPPINGS_MOST);
        model_sync(model, &s.rig, child);
        check_some(model, &s.rig, child);
        rig_do(&s.rig, "kill", child);
        child = next;
    }
    rig_sleep_ms(200);
    model_check_many(model, &s.rig, child, 1);
    check_some(s.models[0], &s.rig, s.children[0]);
    finish(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork_scatter");
    TCase *tests = tcase_create("scatter");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, parent_and_children_keep_their_pages_when_scattered_pages_are_merged);
    tcase_add_test(tests, parent_keeps_its_pages_when_the_children_that_shared_them_are_gone);
    tcase_add_test(tests, child_of_merged_pages_runs_on_and_has_children_of_its_own);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
