/*
 * Long random sequences of snapshots of which some fail, before, while or after their file is written, while the guest
 * is forked, reset, checkpointed, resumed or killed; among guests that fork themselves. What a failed one was to hold
 * is in the next: whatever file there is, a guest made of it is as the one that was saved, to the byte where that stood
 * still, and as the model of guest `random` says. Prints its seed; SEED= repeats the same decisions, though guests run
 * as they will. OPERATIONS= makes it longer or shorter, SLOWER= shorter.
 */
#include "tests/support/kvm_snapshot.h"
#include "tests/support/kvm_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAM          (4u << 20)
#define GUESTS_MOST  10
#define RUNNING_MOST 2 /* they never sleep: more would only take the processor from the test */
#define OPERATIONS   80

struct test {
    struct world world;
    struct client *saver; /* asks for snapshots, so that the world's may go on meanwhile */
    uint64_t files, full, diffs, failures, disturbed, resets, checkpoints;
};

/* Guests without a checkpoint, and that no fork made, have nothing to return to. */
static void reset(struct test *t, const struct guest *guest)
{
    struct client_error error;
    if (client_callf(t->world.rig.client, "reset", NULL, &error, "{s:I}", "guest", (json_int_t)guest->id) == 0)
        t->resets++;
    else
        ck_assert_msg(guest->id == 0 && strcmp(error.class, "Unsupported") == 0, "%s: %s", error.class, error.text);
}

/* Something that changes the guest, its layers or its view. It may be gone afterwards. */
static void disturb(struct test *t, struct guest *guest)
{
    struct world *w = &t->world;
    switch (draw(&w->draws, 6)) {
    case 0:
        rig_do(&w->rig, "checkpoint", guest->id);
        t->checkpoints++;
        break;
    case 1:
    case 2:
        reset(t, guest);
        break;
    case 3:
        world_fork(w, guest, 1, true, NULL);
        break;
    case 4:
        if (draw(&w->draws, 3) == 0)
            world_kill(w, guest);
        break;
    default:
        world_set_running(w, guest, !guest->running);
    }
}

/* How a snapshot is made to fail: not at all, by a folder that is not there or that goes while the file is written, or
 * by a file that may not grow. */
enum obstacle { NONE, NO_FOLDER, FOLDER_GOES, NO_ROOM };

struct saving {
    uint64_t guest;
    char folder[512], path[512];
    bool diff;
    enum obstacle obstacle;
    struct model *model; /* of the guest, before */
    uint8_t *ram;        /* where it stands still */
};

/* Makes a guest of the file, which must be as the one that was saved. It joins the others, or goes again. */
static void check_file(struct world *w, const struct saving *s)
{
    struct client_error error;
    json_t *reply;
    while (w->count > GUESTS_MOST - 3)
        world_kill(w, &w->guests[draw(&w->draws, w->count)]);
    if (client_callf(w->rig.client, "restore", &reply, &error, "{s:s, s:b, s:b}", "path", s->path, "eager",
                     draw(&w->draws, 3) == 0, "paused", true) < 0) {
        ck_assert_msg(strcmp(error.class, "LimitExceeded") == 0, "%s: %s", error.class, error.text);
        return; /* there are guests that this test does not know of yet */
    }
    struct guest *guest = world_add(w, (uint64_t)json_integer_value(json_object_get(reply, "id")), s->model, false);
    json_decref(reply);
    if (s->ram)
        rig_check_ram(&w->rig, guest->id, s->ram, RAM);
    world_check(w, guest);
    if (draw(&w->draws, 4))
        world_kill(w, guest);
    w->compared++;
}

static void limit_files(struct world *w, bool limited)
{
    const struct rlimit limit = {limited ? 65536 : RLIM_INFINITY, RLIM_INFINITY};
    ck_assert_int_eq(prlimit(vmm_process_pid(w->rig.process), RLIMIT_FSIZE, &limit, NULL), 0);
}

static void choose(struct test *t, struct saving *s)
{
    struct world *w = &t->world;
    char name[40];
    snprintf(name, sizeof name, "%d-%" PRIu64, getpid(), t->files++);
    snprintf(s->folder, sizeof s->folder, "%s", snapshot_place(name));
    strcat(name, "/file");
    snprintf(s->path, sizeof s->path, "%s", snapshot_place(name));
    s->diff = draw(&w->draws, 4) != 0;
    s->obstacle = draw(&w->draws, 3) ? NONE : (enum obstacle)(1 + draw(&w->draws, 3));
    if (s->obstacle != NO_FOLDER)
        ck_assert_int_eq(mkdir(s->folder, 0700), 0);
}

/* The round trip of the other client comes after: the snapshot's instant has passed by then. */
static void ask(struct test *t, const struct saving *s)
{
    struct world *w = &t->world;
    char line[1024];
    int length = snprintf(line, sizeof line,
                          "{\"execute\":\"snapshot\",\"arguments\":{\"guest\":%" PRIu64
                          ",\"path\":\"%s\",\"kind\":\"%s\",\"compress\":%s}}\n",
                          s->guest, s->path, s->diff ? "diff" : "full", draw(&w->draws, 5) ? "false" : "true");
    ck_assert_int_eq(client_send_raw(t->saver, line, (size_t)length), 0);
    json_decref(rig_call(&w->rig, "query-version", NULL));
}

/* What goes on while the file is written. A limit of files' size would also hit others. */
static void meanwhile(struct test *t, const struct saving *s)
{
    struct world *w = &t->world;
    if (s->obstacle == FOLDER_GOES)
        (void)rmdir(s->folder);
    for (uint64_t i = s->obstacle == NO_ROOM ? 0 : draw(&w->draws, 4); i && world_find(w, s->guest); i--) {
        disturb(t, world_find(w, s->guest));
        t->disturbed++;
    }
}

static void take_reply(struct test *t, const struct saving *s)
{
    struct world *w = &t->world;
    json_t *reply = client_recv_reply(t->saver, RIG_PATIENCE_MS);
    ck_assert_ptr_nonnull(reply);
    const json_t *error = json_object_get(reply, "error");
    const char *class = json_string_value(json_object_get(error, "class"));
    if (s->obstacle == NO_ROOM)
        limit_files(w, false);
    if (!error) {
        check_file(w, s);
        *(s->diff ? &t->diffs : &t->full) += 1;
    } else if (s->obstacle) {
        t->failures++;
    } else { /* nothing to build on: now there is */
        ck_assert_msg(s->diff && strcmp(class, "Unsupported") == 0, "%s: %s", class,
                      json_string_value(json_object_get(error, "desc")));
        if (world_find(w, s->guest))
            rig_snapshot(&w->rig, s->guest, s->path);
    }
    json_decref(reply);
}

static void save(struct test *t, struct guest *guest)
{
    struct world *w = &t->world;
    struct saving s = {.guest = guest->id, .model = model_copy(guest->model)};
    choose(t, &s);
    if (draw(&w->draws, 2))
        world_set_running(w, guest, false);
    if (!guest->running)
        s.ram = rig_ram(&w->rig, s.guest, RAM);
    if (s.obstacle == NO_ROOM)
        limit_files(w, true);
    ask(t, &s);
    meanwhile(t, &s);
    take_reply(t, &s);
    free(s.ram);
    model_free(s.model);
}

static void act(struct test *t)
{
    struct world *w = &t->world;
    world_take_events(w);
    client_drop_events(t->saver);
    struct guest *guest = world_draw(w, GUESTS_MOST - 4, RUNNING_MOST);
    uint64_t what = draw(&w->draws, 10);
    if (what < 4)
        save(t, guest);
    else if (what < 5)
        world_check(w, guest);
    else if (what < 8)
        disturb(t, guest);
    else
        world_set_running(w, guest, true);
}

static void finish(struct test *t, uint64_t operations)
{
    struct world *w = &t->world;
    for (size_t i = 0; i < w->count; i++) {
        world_take_events(w); /* may add guests at the end of the list */
        world_check(w, &w->guests[i]);
    }
    printf("%" PRIu64 " full, %" PRIu64 " diffs, %" PRIu64 " compared, %" PRIu64 " failed, %" PRIu64
           " disturbances, %" PRIu64 " resets, %" PRIu64 " checkpoints, %" PRIu64 " forks, %" PRIu64 " kills\n",
           t->full, t->diffs, w->compared, t->failures, t->disturbed, t->resets, t->checkpoints, w->forks, w->kills);
    if (operations >= OPERATIONS) /* fewer need not have any */
        ck_assert_uint_gt(t->diffs + t->failures, operations / 20);
    client_close(t->saver);
    world_end(w);
}

START_TEST(files_miss_nothing_of_disturbed_guests)
{
    struct test t = {.world = WORLD(RAM, "--memory", "4M", "--limit-guests", "10", "@random", "pages=400", "fill=150",
                                    "pace_us=200", "fork_every=2000")};
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
    Suite *suite = suite_create("snapshot_disturbed");
    TCase *tests = tcase_create("random");
    tcase_set_timeout(tests, 2 * RIG_TIMEOUT_S);
    tcase_add_test(tests, files_miss_nothing_of_disturbed_guests);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
