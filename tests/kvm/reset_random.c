/*
 * Long random sequences of checkpoints, resets, forks, kills, pauses and resumes of guests that write random pages and
 * fork themselves. A guest that has been reset must be, byte for byte, what it was when it was last reset to the same
 * instant, and what the model of guest `random` says; and nobody else may have changed. Prints its seed; SEED= repeats
 * the same decisions, though guests run as they will. OPERATIONS= makes it longer or shorter, SLOWER= shorter.
 */
#include "tests/support/kvm_draw.h"
#include "tests/support/kvm_random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM          (UINT64_C(4) << 20)
#define GUESTS_MOST  12
#define RUNNING_MOST 2 /* they never sleep: more would only take the processor from the test */
#define OPERATIONS   300

/* What a reset of a guest returns it to, as far as this test has seen it. */
struct instant {
    bool exists;
    bool seen;            /* by a reset, or as it was made: then step and hash are known */
    uint64_t step, hash;  /* of all RAM */
    uint64_t least, most; /* else the step lies between these */
};

struct guest {
    uint64_t id;
    struct model *model;
    struct instant instant;
    bool running;
};

struct world {
    struct rig rig;
    uint64_t draws; /* state of the test's own generator */
    struct guest guests[2 * GUESTS_MOST];
    size_t count;
    uint64_t forks, port_forks, checkpoints, resets, hashes, kills;
};

static struct guest *find(struct world *w, uint64_t id)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->guests[i].id == id)
            return &w->guests[i];
    return NULL;
}

static struct guest *add(struct world *w, uint64_t id, const struct model *from, bool running)
{
    ck_assert_uint_lt(w->count, 2 * GUESTS_MOST);
    struct guest *guest = &w->guests[w->count++];
    *guest = (struct guest){.id = id, .model = from ? model_copy(from) : model_new(), .running = running};
    if (id)
        guest->instant = (struct instant){.exists = true, .most = UINT64_MAX}; /* its birth */
    return guest;
}

static void forget(struct world *w, struct guest *guest)
{
    model_free(guest->model);
    *guest = w->guests[--w->count];
}

/* Children that a guest has made by port. Those of the socket are known already, by the reply. */
static void take_forked(struct world *w, const json_t *event)
{
    size_t i;
    const json_t *id;
    json_array_foreach(json_object_get(event_data(event), "children"), i, id)
    {
        uint64_t child = (uint64_t)json_integer_value(id);
        if (find(w, child))
            continue;
        add(w, child, NULL, true);
        w->port_forks++;
    }
}

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
}

static uint64_t hash_ram(struct world *w, uint64_t guest)
{
    static uint64_t words[RAM / 8];
    rig_read(&w->rig, guest, 0, RAM, words);
    uint64_t hash = 0;
    for (size_t i = 0; i < RAM / 8; i++)
        hash = (hash ^ words[i]) * HASH_MULTIPLIER;
    return hash;
}

/* A guest that stands still holds what the model says. */
static void check(struct world *w, struct guest *guest)
{
    set_running(w, guest, false);
    if (draw(&w->draws, 3) == 0) {
        model_check_all(guest->model, &w->rig, guest->id);
        return;
    }
    model_sync(guest->model, &w->rig, guest->id);
    model_check(guest->model, &w->rig, guest->id, draw(&w->draws, model_pages(guest->model) - 15), 16);
}

/* The guest is paused and has just been reset, or its instant just been made. */
static void compare(struct world *w, struct guest *guest)
{
    struct instant *instant = &guest->instant;
    uint64_t step = random_step(&w->rig, guest->id), hash = hash_ram(w, guest->id);
    w->hashes++;
    if (instant->seen) {
        ck_assert_msg(step == instant->step, "guest %llu: step %llu after a reset, want %llu",
                      (unsigned long long)guest->id, (unsigned long long)step, (unsigned long long)instant->step);
        ck_assert_msg(hash == instant->hash, "guest %llu: other memory than after its last reset",
                      (unsigned long long)guest->id);
    } else {
        ck_assert_uint_ge(step, instant->least);
        ck_assert_uint_le(step, instant->most);
    }
    *instant = (struct instant){.exists = true, .seen = true, .step = step, .hash = hash};
    model_check_all(guest->model, &w->rig, guest->id);
}

static void reset(struct world *w, struct guest *guest)
{
    if (!guest->instant.exists) {
        rig_refused(&w->rig, "Unsupported", "nothing to return to", "reset", "{s:I}", "guest", (json_int_t)guest->id);
        return;
    }
    bool stop = draw(&w->draws, 3) != 0;
    if (stop)
        set_running(w, guest, false);
    for (uint64_t times = 1 + draw(&w->draws, 3); times; times--) {
        json_decref(rig_call(&w->rig, "reset", "{s:I}", "guest", (json_int_t)guest->id));
        w->resets++;
    }
    if (!guest->running && draw(&w->draws, 2))
        compare(w, guest);
}

static void checkpoint(struct world *w, struct guest *guest)
{
    struct instant instant = {.exists = true, .least = random_step(&w->rig, guest->id)};
    json_decref(rig_call(&w->rig, "checkpoint", "{s:I}", "guest", (json_int_t)guest->id));
    instant.most = random_step(&w->rig, guest->id);
    guest->instant = instant;
    w->checkpoints++;
    if (!guest->running)
        compare(w, guest);
}

static void fork_one(struct world *w, struct guest *guest)
{
    unsigned count = 1 + (unsigned)draw(&w->draws, 2);
    if (w->count + count > GUESTS_MOST - 2) /* leaves some for those that guests make */
        return;
    const bool paused = draw(&w->draws, 2);
    const uint64_t parent = guest->id;
    struct client_error error;
    json_t *reply;
    if (client_callf(w->rig.client, "fork", &reply, &error, "{s:I, s:i, s:b}", "guest", (json_int_t)parent, "count",
                     (int)count, "paused", (int)paused) < 0) {
        /* Only where guests have made children of their own that this test does not know of yet. */
        ck_assert_msg(strcmp(error.class, "LimitExceeded") == 0, "%s: %s", error.class, error.text);
        return;
    }
    size_t i;
    const json_t *child;
    json_array_foreach(json_object_get(reply, "children"), i, child)
    {
        uint64_t id = (uint64_t)json_integer_value(json_object_get(child, "id"));
        if (!find(w, id))
            add(w, id, find(w, parent)->model, !paused);
        if (paused)
            compare(w, find(w, id));
    }
    json_decref(reply);
    w->forks++;
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

static size_t running(const struct world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->count; i++)
        count += w->guests[i].running;
    return count;
}

static void act(struct world *w)
{
    take_events(w, UINT64_MAX);
    while (w->count > GUESTS_MOST - 4)
        kill_one(w, &w->guests[draw(&w->draws, w->count)]);
    while (running(w) > RUNNING_MOST)
        set_running(w, &w->guests[draw(&w->draws, w->count)], false);
    if (!running(w))
        set_running(w, &w->guests[draw(&w->draws, w->count)], true);
    struct guest *guest = &w->guests[draw(&w->draws, w->count)];
    uint64_t what = draw(&w->draws, 20);
    if (what < 6)
        reset(w, guest);
    else if (what < 9)
        checkpoint(w, guest);
    else if (what < 12)
        fork_one(w, guest);
    else if (what < 13)
        kill_one(w, guest);
    else if (what < 16)
        check(w, guest);
    else
        set_running(w, guest, true);
}

static void finish(struct world *w, uint64_t operations)
{
    for (size_t i = 0; i < w->count; i++)
        set_running(w, &w->guests[i], false);
    for (size_t i = 0; i < w->count; i++) {
        take_events(w, UINT64_MAX); /* may add guests at the end of the list */
        set_running(w, &w->guests[i], false);
        model_check_all(w->guests[i].model, &w->rig, w->guests[i].id);
        if (!w->guests[i].instant.exists)
            continue;
        json_decref(rig_call(&w->rig, "reset", "{s:I}", "guest", (json_int_t)w->guests[i].id));
        compare(w, &w->guests[i]);
    }
    printf("%" PRIu64 " resets, %" PRIu64 " compared, %" PRIu64 " checkpoints, %" PRIu64 " forks, %" PRIu64
           " children by port, %" PRIu64 " kills\n",
           w->resets, w->hashes, w->checkpoints, w->forks, w->port_forks, w->kills);
    if (operations >= OPERATIONS) { /* fewer need not have all, or anything */
        ck_assert_uint_gt(w->resets, operations / 10);
        ck_assert_uint_gt(w->hashes, operations / 20);
        ck_assert_uint_gt(w->checkpoints, operations / 20);
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
    w = (struct world){.rig = RIG("--memory", "4M", "--limit-guests", limit, "@random", seed_word, "pages=400",
                                  "fill=150", "pace_us=100", fork_every),
                       .draws = seed};
    add(&w, 0, NULL, true);
    random_wait_started(&w.rig, 0);
    const uint64_t operations = draw_operations(OPERATIONS, 20);
    for (uint64_t i = 0; i < operations; i++)
        act(&w);
    finish(&w, operations);
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
