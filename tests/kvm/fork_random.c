/*
 * Random forks, kills, pauses and resumes of guests that write random pages and fork themselves, against a model of
 * what every page of every guest must hold. Prints its seed; SEED= repeats the same decisions, though guests run as
 * they will. OPERATIONS= makes it longer or shorter, SLOWER= shorter.
 */
#include "tests/support/kvm_world.h"

#include <inttypes.h>
#include <stdio.h>

#define RAM          (16u << 20)
#define GUESTS_MOST  24
#define RUNNING_MOST 3 /* they never sleep: more would only take the processor from the test */
#define OPERATIONS   400
#define WINDOW       32 /* pages compared at a time, but for the full checks */

static void resume(struct world *w, struct guest *guest)
{
    if (guest->running)
        return;
    world_set_running(w, guest, true);
    random_wait_steps(&w->rig, guest->id, 20);
}

static void check_some(struct world *w, struct guest *guest)
{
    const bool was_running = guest->running;
    world_set_running(w, guest, false);
    model_sync(guest->model, &w->rig, guest->id);
    uint64_t pages = model_pages(guest->model);
    uint64_t count = pages < WINDOW ? pages : WINDOW;
    model_check(guest->model, &w->rig, guest->id, draw(&w->draws, pages - count + 1), count);
    model_check(guest->model, &w->rig, guest->id, draw(&w->draws, pages - count + 1), count);
    if (was_running && draw(&w->draws, 4))
        resume(w, guest);
}

static void stop_all(struct world *w)
{
    for (size_t i = 0; i < w->count; i++)
        world_set_running(w, &w->guests[i], false);
}

static void fork_one(struct world *w, struct guest *guest)
{
    unsigned count = 1 + (unsigned)draw(&w->draws, 3);
    if (w->count + count <= GUESTS_MOST - 4) /* leaves some for those that guests make */
        world_fork(w, guest, count, draw(&w->draws, 2), NULL);
}

static void act(struct world *w)
{
    world_take_events(w);
    struct guest *guest = world_draw(w, GUESTS_MOST - 8, RUNNING_MOST);
    switch (draw(&w->draws, 12)) {
    case 0:
    case 1:
    case 2:
        fork_one(w, guest);
        break;
    case 3:
        world_kill(w, guest);
        break;
    case 4:
        stop_all(w); /* or this would take long */
        world_check(w, guest);
        break;
    case 5:
        world_set_running(w, guest, false);
        break;
    case 6:
    case 7:
    case 8:
        resume(w, guest);
        break;
    default:
        check_some(w, guest);
    }
}

static void finish(struct world *w, uint64_t operations)
{
    uint64_t most = 0;
    for (size_t i = 0; i < w->count; i++) {
        world_take_events(w); /* may add guests at the end of the list, which run */
        stop_all(w);
        world_check(w, &w->guests[i]);
        if (model_step(w->guests[i].model) > most)
            most = model_step(w->guests[i].model);
    }
    printf("%" PRIu64 " forks, %" PRIu64 " children by port, %" PRIu64 " kills, %" PRIu64 " steps\n", w->forks,
           w->port_forks, w->kills, most);
    if (operations >= OPERATIONS) { /* fewer need not have all, or anything */
        ck_assert_uint_gt(most, 1000);
        ck_assert_uint_ge(w->forks, operations / 20);
        ck_assert_uint_ge(w->kills, operations / 20);
    }
    world_end(w);
}

static void run_world(const char *fork_every)
{
    struct world w =
        WORLD(RAM, "--memory", "16M", "--limit-guests", "24", "@random", "pages=512", "fill=150", fork_every);
    const uint64_t operations = draw_operations(OPERATIONS, 50);
    for (uint64_t i = 0; i < operations; i++)
        act(&w);
    finish(&w, operations);
}

START_TEST(every_page_of_every_guest_is_as_the_model_says)
{
    run_world("fork_every=0");
}
END_TEST

START_TEST(every_page_is_as_the_model_says_while_guests_fork_themselves)
{
    run_world("fork_every=2000");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork_random");
    TCase *tests = tcase_create("random");
    tcase_set_timeout(tests, 2 * RIG_TIMEOUT_S);
    tcase_add_test(tests, every_page_of_every_guest_is_as_the_model_says);
    tcase_add_test(tests, every_page_is_as_the_model_says_while_guests_fork_themselves);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
