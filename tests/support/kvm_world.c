/* What tests that draw what to do with guests share: see kvm_world.h. */
#include "tests/support/kvm_world.h"

#include "tests/support/kvm_snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CAPACITY   (sizeof((struct world){0}).guests / sizeof(struct guest))
#define WORDS_MOST 16

struct world world_start(size_t ram, const char *const words[])
{
    struct world w = {.draws = draw_seed(), .ram = ram};
    const char *all[WORDS_MOST] = {NULL};
    char seed[40];
    size_t count = 0;
    for (; words[count]; count++) {
        ck_assert_uint_lt(count, WORDS_MOST - 2);
        all[count] = words[count];
    }
    snprintf(seed, sizeof seed, "seed=%" PRIu64, w.draws);
    all[count] = seed;
    w.rig = rig_start(all);
    world_add(&w, 0, NULL, true);
    random_wait_started(&w.rig, 0);
    return w;
}

void world_end(struct world *w)
{
    while (w->count)
        world_forget(w, w->guests);
    rig_quit(&w->rig);
}

struct guest *world_find(struct world *w, uint64_t id)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->guests[i].id == id)
            return &w->guests[i];
    return NULL;
}

struct guest *world_add(struct world *w, uint64_t id, const struct model *from, bool running)
{
    ck_assert_uint_lt(w->count, CAPACITY);
    struct guest *guest = &w->guests[w->count++];
    *guest = (struct guest){
        .id = id,
        .model = from ? model_copy(from) : model_new(),
        .running = running,
        .can_reset = id != 0,
        .instant = {.most = UINT64_MAX},
        .depth = -1,
    };
    return guest;
}

void world_forget(struct world *w, struct guest *guest)
{
    model_free(guest->model);
    *guest = w->guests[--w->count];
}

/* Children of forks by the socket are known already, by the reply. */
static void take_forked(struct world *w, const json_t *event)
{
    const struct guest *parent = world_find(w, (uint64_t)event_guest(event));
    size_t i;
    const json_t *id;
    json_array_foreach(json_object_get(event_data(event), "children"), i, id)
    {
        uint64_t child = (uint64_t)json_integer_value(id);
        if (world_find(w, child))
            continue;
        world_add(w, child, parent ? parent->model : NULL, true);
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

void world_take_events(struct world *w)
{
    take_events(w, UINT64_MAX);
}

size_t world_running(const struct world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->count; i++)
        count += w->guests[i].running;
    return count;
}

void world_set_running(struct world *w, struct guest *guest, bool running)
{
    if (guest->running == running)
        return;
    rig_do(&w->rig, running ? "resume" : "pause", guest->id);
    guest->running = running;
}

void world_kill(struct world *w, struct guest *guest)
{
    if (w->count == 1)
        return;
    const uint64_t id = guest->id;
    rig_do(&w->rig, "kill", id);
    world_forget(w, guest);
    take_events(w, id);
    w->kills++;
}

bool world_fork(struct world *w, struct guest *parent, unsigned count, bool paused, uint64_t *children)
{
    struct client_error error;
    json_t *reply;
    if (client_callf(w->rig.client, "fork", &reply, &error, "{s:I, s:i, s:b}", "guest", (json_int_t)parent->id, "count",
                     (int)count, "paused", (int)paused) < 0) {
        ck_assert_msg(strcmp(error.class, "LimitExceeded") == 0, "%s: %s", error.class, error.text);
        return false;
    }
    size_t i;
    const json_t *child;
    json_array_foreach(json_object_get(reply, "children"), i, child)
    {
        const uint64_t id = (uint64_t)json_integer_value(json_object_get(child, "id"));
        world_add(w, id, parent->model, !paused);
        if (children)
            children[i] = id;
    }
    ck_assert_uint_eq(i, count);
    json_decref(reply);
    world_take_events(w); /* while the children are known */
    w->forks++;
    return true;
}

static struct guest *any(struct world *w)
{
    return &w->guests[draw(&w->draws, w->count)];
}

struct guest *world_draw(struct world *w, size_t guests, size_t running)
{
    while (w->count > guests || world_running(w) > running)
        if (world_running(w) > running)
            world_set_running(w, any(w), false); /* first, as many can fork faster than others are killed */
        else
            world_kill(w, any(w));
    if (!world_running(w))
        world_set_running(w, any(w), true);
    return any(w);
}

void world_check(struct world *w, struct guest *guest)
{
    world_set_running(w, guest, false);
    model_check_all(guest->model, &w->rig, guest->id);
}

struct instant world_now(struct world *w, const struct guest *guest)
{
    const uint64_t step = random_step(&w->rig, guest->id);
    if (guest->running)
        return (struct instant){.least = step, .most = UINT64_MAX};
    return (struct instant){.known = true, .step = step, .hash = rig_hash_ram(&w->rig, guest->id, w->ram)};
}

void world_compare(struct world *w, struct guest *guest, struct instant *instant, const char *what)
{
    const struct instant now = world_now(w, guest);
    ck_assert(now.known);
    if (instant->known) {
        ck_assert_msg(now.step == instant->step, "%s, guest %" PRIu64 ": step %" PRIu64 ", want %" PRIu64, what,
                      guest->id, now.step, instant->step);
        ck_assert_msg(now.hash == instant->hash, "%s, guest %" PRIu64 ": other memory", what, guest->id);
    } else {
        ck_assert_msg(now.step >= instant->least && now.step <= instant->most,
                      "%s, guest %" PRIu64 ": step %" PRIu64 ", want %" PRIu64 " to %" PRIu64, what, guest->id,
                      now.step, instant->least, instant->most);
    }
    *instant = now;
    world_check(w, guest);
    w->compared++;
}

void world_checkpoint(struct world *w, struct guest *guest)
{
    struct instant instant = {.least = random_step(&w->rig, guest->id)};
    rig_do(&w->rig, "checkpoint", guest->id);
    instant.most = random_step(&w->rig, guest->id);
    guest->instant = instant;
    guest->can_reset = true;
    if (!guest->running)
        world_compare(w, guest, &guest->instant, "checkpoint");
}

void world_reset(struct world *w, struct guest *guest, unsigned times)
{
    const struct boot_info before = rig_boot_info(&w->rig, guest->id);
    for (; times; times--)
        json_decref(rig_call(&w->rig, "reset", "{s:I}", "guest", (json_int_t)guest->id));
    const struct boot_info after = rig_boot_info(&w->rig, guest->id);
    ck_assert_mem_eq(&after, &before, sizeof after); /* who it is stays */
}
