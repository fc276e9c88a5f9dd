/*
 * Random forks, kills, pauses and resumes of guests that write random pages and fork themselves, against a model of
 * what every page of every guest must hold. Prints its seed; SEED= repeats the same decisions, though guests run as
 * they will. OPERATIONS= makes it longer or shorter, SLOWER= shorter.
 */
#include "tests/support/kvm_draw.h"
#include "tests/support/kvm_random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUESTS_MOST  24
#define RUNNING_MOST 3 /* they never sleep: more would only take the processor from the test */
#define OPERATIONS   400
#define WINDOW       32 /* pages compared at a time, but for the full checks */

struct guest {
    uint64_t id;
    struct model *model;
    bool running;
};

struct world {
    struct rig rig;
    uint64_t draws; /* state of the test's own generator */
    struct guest guests[2 * GUESTS_MOST];
    size_t count;
    uint64_t forks, port_forks, kills, checks;
};

static struct guest *find(struct world *w, uint64_t id)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->guests[i].id == id)
            return &w->guests[i];
    return NULL;
}

static void add(struct world *w, uint64_t id, const struct model *from, bool running)
{
    ck_assert_uint_lt(w->count, 2 * GUESTS_MOST);
    w->guests[w->count++] = (struct guest){id, from ? model_copy(from) : model_new(), running};
}

static void forget(struct world *w, struct guest *guest)
{
    model_free(guest->model);
    *guest = w->guests[--w->count];
}

/* Children that a guest has made by port. Those of the socket are known already, by the reply. */
static void take_forked(struct world *w, const json_t *event)
{
    const struct guest *parent = find(w, (uint64_t)event_guest(event));
    size_t i;
    const json_t *id;
    json_array_foreach(json_object_get(event_data(event), "children"), i, id)
    {
        uint64_t child = (uint64_t)json_integer_value(id);
        if (find(w, child))
            continue;
        add(w, child, parent ? parent->model : NULL, true);
        w->port_forks++;
    }
}

/* `killed` has been killed by this test just now, or is UINT64_MAX. */
static void take_events(struct world *w, uint64_t killed)
{
    json_t *event;
    while ((event = client_next_event(w->rig.client, 0))) {
        const char *name = event_name(event);
        if (strcmp(name, "FORKED") == 0)
            take_forked(w, event);
        if (strcmp(name, "EXITED") == 0 || strcmp(name, "CRASHED") == 0)
            ck_assert_msg((uint64_t)event_guest(event) == killed, "guest %lld ended by itself",
                          (long long)event_guest(event));
        json_decref(event);
    }
}

static void set_running(struct world *w, struct guest *guest, bool running)
{
    if (guest->running == running)
        return;
    rig_do(&w->rig, running ? "resume" : "pause", guest->id);
    guest->running = running;
    if (running)
        random_wait_steps(&w->rig, guest->id, 20);
}

static size_t running(const struct world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->count; i++)
        count += w->guests[i].running;
    return count;
}

static struct guest *any(struct world *w)
{
    return &w->guests[draw(&w->draws, w->count)];
}

static void check_some(struct world *w, struct guest *guest)
{
    const bool was_running = guest->running;
    set_running(w, guest, false);
    model_sync(guest->model, &w->rig, guest->id);
    uint64_t pages = model_pages(guest->model);
    uint64_t count = pages < WINDOW ? pages : WINDOW;
    model_check(guest->model, &w->rig, guest->id, draw(&w->draws, pages - count + 1), count);
    model_check(guest->model, &w->rig, guest->id, draw(&w->draws, pages - count + 1), count);
    w->checks++;
    if (was_running && draw(&w->draws, 4))
        set_running(w, guest, true);
}

/* With every guest paused, or this would take long. */
static void check_all(struct world *w, struct guest *guest)
{
    for (size_t i = 0; i < w->count; i++)
        set_running(w, &w->guests[i], false);
    model_check_all(guest->model, &w->rig, guest->id);
    w->checks++;
}

static void kill_one(struct world *w, struct guest *guest)
{
    if (w->count == 1)
        return;
    uint64_t id = guest->id;
    rig_do(&w->rig, "kill", id);
    forget(w, guest);
    take_events(w, id);
    w->kills++;
}

static void fork_one(struct world *w, struct guest *guest)
{
    unsigned count = 1 + (unsigned)draw(&w->draws, 3);
    if (w->count + count > GUESTS_MOST - 4) /* leaves some for those that guests make */
        return;
    uint64_t children[3], parent = guest->id;
    const bool paused = draw(&w->draws, 2);
    struct client_error error;
    json_t *reply;
    if (client_callf(w->rig.client, "fork", &reply, &error, "{s:I, s:i, s:b}", "guest", (json_int_t)parent, "count",
                     (int)count, "paused", (int)paused) < 0) {
        /* Only where guests have made children of their own that this test does not know of yet. */
        ck_assert_msg(strcmp(error.class, "LimitExceeded") == 0, "%s: %s", error.class, error.text);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        children[i] =
            (uint64_t)json_integer_value(json_object_get(json_array_get(json_object_get(reply, "children"), i), "id"));
    json_decref(reply);
    for (unsigned i = 0; i < count; i++)
        if (!find(w, children[i]))
            add(w, children[i], find(w, parent)->model, !paused);
    w->forks++;
}

static void act(struct world *w)
{
    take_events(w, UINT64_MAX);
    while (w->count > GUESTS_MOST - 8)
        kill_one(w, any(w));
    while (running(w) > RUNNING_MOST)
        set_running(w, any(w), false);
    if (!running(w))
        set_running(w, any(w), true);
    struct guest *guest = any(w);
    switch (draw(&w->draws, 12)) {
    case 0:
    case 1:
    case 2:
        fork_one(w, guest);
        break;
    case 3:
        kill_one(w, guest);
        break;
    case 4:
        check_all(w, guest);
        break;
    case 5:
        set_running(w, guest, false);
        break;
    case 6:
    case 7:
    case 8:
        set_running(w, guest, true);
        break;
    default:
        check_some(w, guest);
    }
}

static void finish(struct world *w, uint64_t operations)
{
    for (size_t i = 0; i < w->count; i++)
        set_running(w, &w->guests[i], false);
    uint64_t most = 0;
    for (size_t i = 0; i < w->count; i++) {
        take_events(w, UINT64_MAX); /* may add guests at the end of the list */
        check_all(w, &w->guests[i]);
        if (model_step(w->guests[i].model) > most)
            most = model_step(w->guests[i].model);
    }
    printf("%" PRIu64 " forks, %" PRIu64 " children by port, %" PRIu64 " kills, %" PRIu64 " checks, %" PRIu64
           " steps\n",
           w->forks, w->port_forks, w->kills, w->checks, most);
    if (operations >= OPERATIONS) { /* fewer need not have all, or anything */
        ck_assert_uint_gt(most, 1000);
        ck_assert_uint_ge(w->forks, operations / 20);
        ck_assert_uint_ge(w->kills, operations / 20);
    }
    while (w->count)
        forget(w, w->guests);
    rig_quit(&w->rig);
}

static void run_world(const char *fork_every)
{
    static struct world w;
    uint64_t seed = draw_seed();
    char seed_word[40], limit[16];
    snprintf(seed_word, sizeof seed_word, "seed=%" PRIu64, seed);
    snprintf(limit, sizeof limit, "%d", GUESTS_MOST);
    w = (struct world){.rig = RIG("--memory", "16M", "--limit-guests", limit, "@random", seed_word, "pages=512",
                                  "fill=150", fork_every),
                       .draws = seed};
    add(&w, 0, NULL, true);
    random_wait_started(&w.rig, 0);
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
