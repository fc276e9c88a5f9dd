/*
 * Long random sequences of snapshots, full, as chains of diffs and compressed, with restores, forks, checkpoints,
 * resets, kills, pauses and resumes of guests that write random pages; some while a file is written. Whatever is
 * restored must be, byte for byte, what was saved, and what the model of guest `random` says; and at the end every file
 * is looked at again, in a VMM of its own as well. Prints its seed; SEED= repeats the same decisions, though guests run
 * as they will. OPERATIONS= makes it longer or shorter, SLOWER= shorter.
 */
#include "guest/lib/hash.h"
#include "tests/support/kvm_snapshot.h"
#include "tests/support/kvm_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM          (4u << 20)
#define GUESTS_MOST  8
#define RUNNING_MOST 2 /* they never sleep: more would only take the processor from the test */
#define OPERATIONS   120
#define FILES_MOST   128
#define DEPTH_MOST   12

struct file {
    struct instant instant;
    int depth; /* how many it builds on */
};

struct test {
    struct world world;
    struct client *saver; /* waits for its reply while the world's goes on */
    struct file files[FILES_MOST];
    size_t file_count;
    uint64_t restores, resets, diffs;
};

static const char *path_of(size_t file)
{
    char name[32];
    snprintf(name, sizeof name, "file-%zu", file);
    return snapshot_place(name);
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
    world_reset(w, guest, 1);
    t->resets++;
    if (!guest->running)
        world_compare(w, guest, &guest->instant, "reset");
}

static void fork_one(struct world *w, struct guest *parent)
{
    if (w->count == GUESTS_MOST)
        return;
    struct instant instant = world_now(w, parent);
    const bool paused = draw(&w->draws, 2);
    uint64_t id;
    ck_assert(world_fork(w, parent, 1, paused, &id));
    instant.most = random_step(&w->rig, parent->id);
    struct guest *child = world_find(w, id);
    child->instant = instant;
    child->depth = parent->depth;
    if (paused)
        world_compare(w, child, &child->instant, "fork");
}

static void restore(struct test *t)
{
    struct world *w = &t->world;
    if (w->count == GUESTS_MOST || !t->file_count)
        return;
    const size_t i = draw(&w->draws, t->file_count);
    struct file *file = &t->files[i];
    const bool paused = draw(&w->draws, 3);
    const unsigned how = (paused ? RESTORE_PAUSED : 0) | (draw(&w->draws, 3) ? 0 : RESTORE_EAGER);
    struct guest *guest = world_add(w, rig_restore(&w->rig, path_of(i), how), NULL, !paused);
    if (paused)
        world_compare(w, guest, &file->instant, "restore");
    guest->instant = file->instant;
    guest->depth = file->depth;
    t->restores++;
}

/* Anything but a snapshot. */
static void act_on(struct test *t, struct guest *guest)
{
    struct world *w = &t->world;
    const uint64_t what = draw(&w->draws, 18);
    if (what < 4)
        reset(t, guest);
    else if (what < 6)
        world_checkpoint(w, guest);
    else if (what < 8)
        fork_one(w, guest);
    else if (what < 11)
        restore(t);
    else if (what < 13)
        world_kill(w, guest);
    else if (what < 15)
        world_check(w, guest);
    else
        world_set_running(w, guest, true);
}

static struct guest *draw_guest(struct world *w)
{
    return world_draw(w, GUESTS_MOST - 2, RUNNING_MOST);
}

static json_t *snapshot_arguments(struct test *t, const struct guest *guest, bool diff)
{
    return json_pack("{s:I, s:s, s:s, s:b}", "guest", (json_int_t)guest->id, "path", path_of(t->file_count), "kind",
                     diff ? "diff" : "full", "compress", draw(&t->world.draws, 4) == 0);
}

/* Sends the command by the other client, so that this one can go on before the file is there. */
static void send_snapshot(struct test *t, json_t *arguments)
{
    struct rig *rig = &t->world.rig;
    json_t *request = json_pack("{s:s, s:o}", "execute", "snapshot", "arguments", arguments);
    char *text = json_dumps(request, JSON_COMPACT);
    ck_assert_ptr_nonnull(text);
    ck_assert_int_eq(client_send_raw(t->saver, text, strlen(text)), 0);
    ck_assert_int_eq(client_send_raw(t->saver, "\n", 1), 0);
    free(text);
    json_decref(request);
    /* Until it is at work: the guest is paused for it when a reply to something later is there. */
    json_decref(rig_call(rig, "query-guests", NULL));
    json_decref(rig_call(rig, "query-guests", NULL));
}

static void wait_saved(struct test *t)
{
    json_t *reply = client_recv_reply(t->saver, RIG_PATIENCE_MS);
    char *text = reply ? json_dumps(reply, 0) : NULL;
    ck_assert_msg(json_object_get(reply, "return") != NULL, "%s", text ? text : "no reply");
    free(text);
    json_decref(reply);
    client_drop_events(t->saver);
}

static void save(struct test *t, struct guest *guest)
{
    struct world *w = &t->world;
    if (t->file_count == FILES_MOST)
        return;
    const uint64_t id = guest->id;
    const bool diff = guest->depth >= 0 && guest->depth < DEPTH_MOST && draw(&w->draws, 4) != 0;
    struct file *file = &t->files[t->file_count];
    file->instant = world_now(w, guest);
    file->depth = diff ? guest->depth + 1 : 0;
    send_snapshot(t, snapshot_arguments(t, guest, diff));
    file->instant.most = random_step(&w->rig, id);
    for (uint64_t meanwhile = draw(&w->draws, 3); meanwhile; meanwhile--)
        act_on(t, draw_guest(w));
    wait_saved(t);
    guest = world_find(w, id);
    if (guest)
        guest->depth = file->depth;
    t->file_count++;
    t->diffs += diff;
}

static void act(struct test *t)
{
    world_take_events(&t->world);
    struct guest *guest = draw_guest(&t->world);
    if (draw(&t->world.draws, 4) == 0)
        save(t, guest);
    else
        act_on(t, guest);
}

/* Every file once more, whatever it builds on. */
static void check_files(struct test *t)
{
    struct world *w = &t->world;
    for (size_t i = 0; i < t->file_count; i++) {
        snapshot_check_whole(path_of(i));
        struct guest *guest = world_add(w, rig_restore(&w->rig, path_of(i), RESTORE_PAUSED), NULL, false);
        world_compare(w, guest, &t->files[i].instant, path_of(i));
        world_kill(w, guest);
    }
}

/* The files are all that is left, and each VMM starts with one of them. */
static void check_elsewhere(struct test *t)
{
    struct world *w = &t->world;
    for (size_t i = t->file_count > 6 ? t->file_count - 6 : 0; i < t->file_count; i++) {
        w->rig = RESTORED(path_of(i));
        struct guest *guest = world_add(w, 0, NULL, false);
        world_compare(w, guest, &t->files[i].instant, path_of(i));
        world_set_running(w, guest, true);
        random_wait_steps(&w->rig, 0, 20);
        world_check(w, guest);
        world_end(w);
    }
}

static void finish(struct test *t, uint64_t operations)
{
    struct world *w = &t->world;
    for (size_t i = 0; i < w->count; i++) {
        world_check(w, &w->guests[i]);
        if (w->guests[i].can_reset)
            reset(t, &w->guests[i]);
    }
    while (w->count > 1)
        world_kill(w, &w->guests[1]);
    check_files(t);
    printf("%zu files, %" PRIu64 " of them diffs; %" PRIu64 " restores, %" PRIu64 " resets, %" PRIu64 " forks\n",
           t->file_count, t->diffs, t->restores, t->resets, w->forks);
    if (operations >= OPERATIONS) { /* fewer need not have all, or anything */
        ck_assert_uint_gt(t->file_count, operations / 10);
        ck_assert_uint_gt(t->diffs, operations / 30);
        ck_assert_uint_gt(t->restores, operations / 30);
    }
    client_close(t->saver);
    world_end(w);
    check_elsewhere(t);
}

START_TEST(every_file_and_every_guest_is_as_the_model_says)
{
    struct test t = {.world =
                         WORLD(RAM, "--memory", "4M", "--linger", "@random", "pages=400", "fill=150", "pace_us=100")};
    struct client_error error;
    t.saver = vmm_process_connect(t.world.rig.process, &error);
    ck_assert_msg(t.saver != NULL, "%s", error.text);
    const uint64_t operations = draw_operations(OPERATIONS, 20);
    for (uint64_t i = 0; i < operations; i++)
        act(&t);
    finish(&t, operations);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_random");
    TCase *tests = tcase_create("random");
    tcase_set_timeout(tests, 2 * RIG_TIMEOUT_S);
    tcase_add_test(tests, every_file_and_every_guest_is_as_the_model_says);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
