/*
 * Long random sequences of checkpoints, resets, forks, kills, pauses and resumes of guests that write random pages and
 * fork themselves. A guest that has been reset must be, byte for byte, what it was when it was last reset to the same
 * instant, and what the model of guest `random` says; and nobody else may have changed. Prints its seed; SEED= repeats
 * the same decisions, though guests run as they will. OPERATIONS= makes it longer or shorter, SLOWER= shorter.
 */
#include "tests/support/kvm_world.h"

#include <inttypes.h>
#include <stdio.h>

#define RAM          (4u << 20)
#define GUESTS_MOST  12
#define RUNNING_MOST 2 /* they never sleep: more would only take the processor from the test */
#define OPERATIONS   300

struct test {
    struct world world;
    uint64_t checkpoints, resets;
};

/* A guest that stands still holds what the model says. */
static void check(struct world *w, struct guest *guest)
{
    if (draw(&w->draws, 3) == 0) {
        world_check(w, guest);
        return;
    }
    world_set_running(w, guest, false);
    model_sync(guest->model, &w->rig, guest->id);
    model_check(guest->model, &w->rig, guest->id, draw(&w->draws, model_pages(guest->model) - 15), 16);
}

static void reset(struct test *t, struct guest *guest)
{
    struct world *w = &t->world;
    if (!guest->can_reset) {
        rig_refused(&w->rig, "Unsupported", "nothing to return to", "reset", "{s:I}", "guest", (json_int_t)guest->id);
        return;
    }
    if (draw(&w->draws, 3))
        world_set_running(w, guest, false);
    const unsigned times = 1 + (unsigned)draw(&w->draws, 3);
    world_reset(w, guest, times);
    t->resets += times;
    if (!guest->running && draw(&w->draws, 2))
        world_compare(w, guest, &guest->instant, "reset");
}

static void fork_some(struct world *w, struct guest *guest)
{
    uint64_t children[2];
    const unsigned count = 1 + (unsigned)draw(&w->draws, 2);
    const bool paused = draw(&w->draws, 2);
    if (w->count + count > GUESTS_MOST - 2) /* leaves some for those that guests make */
        return;
    if (!world_fork(w, guest, count, paused, children))
        return;
    for (unsigned i = 0; paused && i < count; i++) {
        struct guest *child = world_find(w, children[i]);
        world_compare(w, child, &child->instant, "fork");
    }
}

static void act(struct test *t)
{
    struct world *w = &t->world;
    world_take_events(w);
    struct guest *guest = world_draw(w, GUESTS_MOST - 4, RUNNING_MOST);
    uint64_t what = draw(&w->draws, 20);
    if (what < 6) {
        reset(t, guest);
    } else if (what < 9) {
        world_checkpoint(w, guest);
        t->checkpoints++;
    } else if (what < 12) {
        fork_some(w, guest);
    } else if (what < 13) {
        world_kill(w, guest);
    } else if (what < 16) {
        check(w, guest);
    } else {
        world_set_running(w, guest, true);
    }
}

static void finish(struct test *t, uint64_t operations)
{
    struct world *w = &t->world;
    for (size_t i = 0; i < w->count; i++)
        world_set_running(w, &w->guests[i], false);
    for (size_t i = 0; i < w->count; i++) {
        world_take_events(w); /* may add guests at the end of the list */
        world_check(w, &w->guests[i]);
        if (!w->guests[i].can_reset)
            continue;
        world_reset(w, &w->guests[i], 1);
        world_compare(w, &w->guests[i], &w->guests[i].instant, "reset");
    }
    printf("%" PRIu64 " resets, %" PRIu64 " compared, %" PRIu64 " checkpoints, %" PRIu64 " forks, %" PRIu64
           " children by port, %" PRIu64 " kills\n",
           t->resets, w->compared, t->checkpoints, w->forks, w->port_forks, w->kills);
    if (operations >= OPERATIONS) { /* fewer need not have all, or anything */
        ck_assert_uint_gt(t->resets, operations / 10);
        ck_assert_uint_gt(w->compared, operations / 20);
        ck_assert_uint_gt(t->checkpoints, operations / 20);
    }
    world_end(w);
}

static void run_world(const char *fork_every)
{
    struct test t = {.world = WORLD(RAM, "--memory", "4M", "--limit-guests", "12", "@random", "pages=400", "fill=150",
                                    "pace_us=100", fork_every)};
    const uint64_t operations = draw_operations(OPERATIONS, 20);
    for (uint64_t i = 0; i < operations; i++)
        act(&t);
    finish(&t, operations);
}

START_TEST(every_guest_is_as_the_model_says)
{
    run_world("fork_every=0");
}
END_TEST

START_TEST(every_guest_is_as_the_model_says_while_guests_fork_themselves)
{
    run_world("fork_every=2000");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reset_random");
    TCase *tests = tcase_create("random");
    tcase_set_timeout(tests, 2 * RIG_TIMEOUT_S);
    tcase_add_test(tests, every_guest_is_as_the_model_says);
    tcase_add_test(tests, every_guest_is_as_the_model_says_while_guests_fork_themselves);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
