/*
 * Long random sequences of snapshots, full, as chains of diffs and compressed, with restores, forks, checkpoints,
 * resets, kills, pauses and resumes of guests that write random pages; some while a file is written. Whatever is
 * restored must be, byte for byte, what was saved, and what the model of guest `random` says; and at the end every file
 * is looked at again, in a VMM of its own as well. Prints its seed; SEED= repeats the same decisions, though guests run
 * as they will. OPERATIONS= makes it longer or shorter, SLOWER= shorter.
 */
#include "guest/lib/hash.h"
#include "tests/support/kvm_draw.h"
#include "tests/support/kvm_random.h"
#include "tests/support/kvm_snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM          (UINT64_C(4) << 20)
#define GUESTS_MOST  8
#define RUNNING_MOST 2 /* they never sleep: more would only take the processor from the test */
#define OPERATIONS   120
#define FILES_MOST   128
#define DEPTH_MOST   12

/* A guest's memory at some instant. */
struct moment {
    bool known; /* then step and hash are */
    uint64_t step, hash;
    uint64_t least, most; /* else the step lies between these */
};

struct file {
    struct moment moment;
    int depth; /* how many it builds on */
};

struct guest {
    uint64_t id;
    struct model *model;
    bool can_reset;
    struct moment instant; /* that a reset returns it to */
    int depth;             /* of the file that a diff of it would build on; -1: none */
    bool running;
};

struct world {
    struct rig rig;
    struct client *saver; /* waits for its reply while `rig` goes on */
    uint64_t draws;       /* state of the test's own generator */
    struct guest guests[GUESTS_MOST];
    size_t count;
    struct file files[FILES_MOST];
    size_t file_count;
    uint64_t restores, resets, forks, diffs;
};

static const char *path_of(size_t file)
{
    char name[32];
    snprintf(name, sizeof name, "file-%zu", file);
    return snapshot_place(name);
}

static struct guest *add(struct world *w, uint64_t id, const struct model *from, bool running)
{
    ck_assert_uint_lt(w->count, GUESTS_MOST);
    struct guest *guest = &w->guests[w->count++];
    *guest = (struct guest){.id = id, .model = from ? model_copy(from) : model_new(), .depth = -1, .running = running};
    return guest;
}

static void forget(struct world *w, struct guest *guest)
{
    model_free(guest->model);
    *guest = w->guests[--w->count];
}

static void set_running(struct world *w, struct guest *guest, bool running)
{
    if (guest->running == running)
        return;
    rig_do(&w->rig, running ? "resume" : "pause", guest->id);
    guest->running = running;
}

static void check_model(struct world *w, struct guest *guest)
{
    set_running(w, guest, false);
    model_check_all(guest->model, &w->rig, guest->id);
}

static uint64_t step_of(struct world *w, const struct guest *guest)
{
    return random_step(&w->rig, guest->id);
}

/* The guest is paused, and must be what it was at the moment. */
static void compare(struct world *w, struct guest *guest, struct moment *moment, const char *what)
{
    uint64_t step = step_of(w, guest), hash = rig_hash_ram(&w->rig, guest->id, RAM);
    if (moment->known) {
        ck_assert_msg(step == moment->step, "%s, guest %" PRIu64 ": step %" PRIu64 ", want %" PRIu64, what, guest->id,
                      step, moment->step);
        ck_assert_msg(hash == moment->hash, "%s, guest %" PRIu64 ": other memory", what, guest->id);
    } else {
        ck_assert_uint_ge(step, moment->least);
        ck_assert_uint_le(step, moment->most);
    }
    *moment = (struct moment){.known = true, .step = step, .hash = hash};
    check_model(w, guest);
}

/* `guest` as it is: exactly where it is paused, else only that it has come so far. `most` is for the caller to learn.
 */
static struct moment now(struct world *w, const struct guest *guest)
{
    if (guest->running)
        return (struct moment){.least = step_of(w, guest), .most = UINT64_MAX};
    return (struct moment){.known = true, .step = step_of(w, guest), .hash = rig_hash_ram(&w->rig, guest->id, RAM)};
}

static void checkpoint(struct world *w, struct guest *guest)
{
    struct moment moment = now(w, guest);
    rig_do(&w->rig, "checkpoint", guest->id);
    moment.most = step_of(w, guest);
    guest->instant = moment;
    guest->can_reset = true;
}

static void reset(struct world *w, struct guest *guest)
{
    if (!guest->can_reset) {
        rig_refused(&w->rig, "Unsupported", "nothing to return to", "reset", "{s:I}", "guest", (json_int_t)guest->id);
        return;
    }
    if (draw(&w->draws, 3))
        set_running(w, guest, false);
    json_decref(rig_call(&w->rig, "reset", "{s:I}", "guest", (json_int_t)guest->id));
    w->resets++;
    if (!guest->running)
        compare(w, guest, &guest->instant, "reset");
}

static void fork_one(struct world *w, struct guest *parent)
{
    if (w->count == GUESTS_MOST)
        return;
    struct moment moment = now(w, parent);
    bool paused = draw(&w->draws, 2);
    uint64_t id = rig_fork(&w->rig, parent->id, 1, paused, NULL);
    moment.most = step_of(w, parent);
    struct guest *child = add(w, id, parent->model, !paused);
    child->can_reset = true;
    child->instant = moment;
    child->depth = parent->depth;
    if (paused)
        compare(w, child, &child->instant, "fork");
    w->forks++;
}

static void restore(struct world *w)
{
    if (w->count == GUESTS_MOST || !w->file_count)
        return;
    size_t i = draw(&w->draws, w->file_count);
    struct file *file = &w->files[i];
    bool paused = draw(&w->draws, 3);
    uint64_t id =
        rig_restore(&w->rig, path_of(i), (paused ? RESTORE_PAUSED : 0) | (draw(&w->draws, 3) ? 0 : RESTORE_EAGER));
    struct guest *guest = add(w, id, NULL, !paused);
    if (paused)
        compare(w, guest, &file->moment, "restore");
    guest->can_reset = true;
    guest->instant = file->moment;
    guest->depth = file->depth;
    w->restores++;
}

static void kill_one(struct world *w, struct guest *guest)
{
    if (w->count == 1)
        return;
    rig_do(&w->rig, "kill", guest->id);
    forget(w, guest);
}

static size_t running(const struct world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->count; i++)
        count += w->guests[i].running;
    return count;
}

/* Anything but a snapshot. */
static void act_on(struct world *w, struct guest *guest)
{
    uint64_t what = draw(&w->draws, 18);
    if (what < 4)
        reset(w, guest);
    else if (what < 6)
        checkpoint(w, guest);
    else if (what < 8)
        fork_one(w, guest);
    else if (what < 11)
        restore(w);
    else if (what < 13)
        kill_one(w, guest);
    else if (what < 15)
        check_model(w, guest);
    else
        set_running(w, guest, true);
}

static struct guest *draw_guest(struct world *w)
{
    while (w->count > GUESTS_MOST - 2)
        kill_one(w, &w->guests[draw(&w->draws, w->count)]);
    while (running(w) > RUNNING_MOST)
        set_running(w, &w->guests[draw(&w->draws, w->count)], false);
    if (!running(w))
        set_running(w, &w->guests[draw(&w->draws, w->count)], true);
    return &w->guests[draw(&w->draws, w->count)];
}

static json_t *snapshot_arguments(struct world *w, const struct guest *guest, bool diff)
{
    return json_pack("{s:I, s:s, s:s, s:b}", "guest", (json_int_t)guest->id, "path", path_of(w->file_count), "kind",
                     diff ? "diff" : "full", "compress", draw(&w->draws, 4) == 0);
}

/* Sends the command by the other client, so that this one can go on before the file is there. */
static void send_snapshot(struct world *w, json_t *arguments)
{
    json_t *request = json_pack("{s:s, s:o}", "execute", "snapshot", "arguments", arguments);
    char *text = json_dumps(request, JSON_COMPACT);
    ck_assert_ptr_nonnull(text);
    ck_assert_int_eq(client_send_raw(w->saver, text, strlen(text)), 0);
    ck_assert_int_eq(client_send_raw(w->saver, "\n", 1), 0);
    free(text);
    json_decref(request);
    /* Until it is at work: the guest is paused for it when a reply to something later is there. */
    json_t *event = client_wait_event(w->saver, "SNAPSHOT_DONE", CLIENT_ANY_GUEST, 0);
    json_decref(event);
    json_decref(rig_call(&w->rig, "query-guests", NULL));
    json_decref(rig_call(&w->rig, "query-guests", NULL));
}

static void wait_saved(struct world *w)
{
    json_t *reply = client_recv_reply(w->saver, RIG_PATIENCE_MS);
    char *text = reply ? json_dumps(reply, 0) : NULL;
    ck_assert_msg(json_object_get(reply, "return") != NULL, "%s", text ? text : "no reply");
    free(text);
    json_decref(reply);
    client_drop_events(w->saver);
}

static void save(struct world *w, struct guest *guest)
{
    if (w->file_count == FILES_MOST)
        return;
    const uint64_t id = guest->id;
    bool diff = guest->depth >= 0 && guest->depth < DEPTH_MOST && draw(&w->draws, 4) != 0;
    struct file *file = &w->files[w->file_count];
    file->moment = now(w, guest);
    file->depth = diff ? guest->depth + 1 : 0;
    send_snapshot(w, snapshot_arguments(w, guest, diff));
    file->moment.most = step_of(w, guest);
    for (uint64_t meanwhile = draw(&w->draws, 3); meanwhile; meanwhile--)
        act_on(w, draw_guest(w));
    wait_saved(w);
    for (size_t i = 0; i < w->count; i++)
        if (w->guests[i].id == id)
            w->guests[i].depth = file->depth;
    w->file_count++;
    w->diffs += diff;
}

static void act(struct world *w)
{
    client_drop_events(w->rig.client);
    struct guest *guest = draw_guest(w);
    if (draw(&w->draws, 4) == 0)
        save(w, guest);
    else
        act_on(w, guest);
}

/* Every file once more, whatever it builds on. */
static void check_files(struct world *w)
{
    for (size_t i = 0; i < w->file_count; i++) {
        snapshot_check_whole(path_of(i));
        struct guest *guest = add(w, rig_restore(&w->rig, path_of(i), RESTORE_PAUSED), NULL, false);
        compare(w, guest, &w->files[i].moment, path_of(i));
        kill_one(w, guest);
    }
}

/* The files are all that is left, and each VMM starts with one of them. */
static void check_elsewhere(struct world *w)
{
    for (size_t i = w->file_count > 6 ? w->file_count - 6 : 0; i < w->file_count; i++) {
        w->rig = RESTORED(path_of(i));
        struct guest *guest = add(w, 0, NULL, false);
        compare(w, guest, &w->files[i].moment, path_of(i));
        set_running(w, guest, true);
        random_wait_steps(&w->rig, 0, 20);
        check_model(w, guest);
        forget(w, guest);
        rig_quit(&w->rig);
    }
}

static void finish(struct world *w, uint64_t operations)
{
    for (size_t i = 0; i < w->count; i++) {
        check_model(w, &w->guests[i]);
        if (w->guests[i].can_reset)
            reset(w, &w->guests[i]);
    }
    while (w->count > 1)
        kill_one(w, &w->guests[1]);
    check_files(w);
    printf("%zu files, %" PRIu64 " of them diffs; %" PRIu64 " restores, %" PRIu64 " resets, %" PRIu64 " forks\n",
           w->file_count, w->diffs, w->restores, w->resets, w->forks);
    if (operations >= OPERATIONS) { /* fewer need not have all, or anything */
        ck_assert_uint_gt(w->file_count, operations / 10);
        ck_assert_uint_gt(w->diffs, operations / 30);
        ck_assert_uint_gt(w->restores, operations / 30);
    }
    forget(w, w->guests);
    client_close(w->saver);
    rig_quit(&w->rig);
    check_elsewhere(w);
}

START_TEST(every_file_and_every_guest_is_as_the_model_says)
{
    static struct world w;
    uint64_t seed = draw_seed();
    char seed_word[40];
    snprintf(seed_word, sizeof seed_word, "seed=%" PRIu64, seed);
    w = (struct world){
        .rig = RIG("--memory", "4M", "--linger", "@random", seed_word, "pages=400", "fill=150", "pace_us=100"),
        .draws = seed};
    struct client_error error;
    w.saver = vmm_process_connect(w.rig.process, &error);
    ck_assert_msg(w.saver != NULL, "%s", error.text);
    add(&w, 0, NULL, true);
    random_wait_started(&w.rig, 0);
    const uint64_t operations = draw_operations(OPERATIONS, 20);
    for (uint64_t i = 0; i < operations; i++)
        act(&w);
    finish(&w, operations);
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
