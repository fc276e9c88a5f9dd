/*
 * Long random sequences of snapshots of which some fail, before, while or after their file is written, while the guest
 * is forked, reset, checkpointed, resumed or killed; among guests that fork themselves. What a failed one was to hold
 * is in the next: whatever file there is, a guest made of it is as the one that was saved, to the byte where that stood
 * still, and as the model of guest `random` says. Prints its seed; SEED= repeats the same decisions, though guests run
 * as they will. OPERATIONS= makes it longer or shorter, SLOWER= shorter.
 */
#include "tests/support/kvm_draw.h"
#include "tests/support/kvm_random.h"
#include "tests/support/kvm_snapshot.h"

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

struct guest {
    uint64_t id;
    struct model *model;
    bool running;
};

struct world {
    struct rig rig;
    struct client *saver; /* asks for snapshots, so that the other may go on meanwhile */
    uint64_t draws;       /* state of the test's own generator */
    struct guest guests[2 * GUESTS_MOST];
    size_t count;
    uint64_t files, full, diffs, compared, failures, disturbed, resets, checkpoints, forks, kills;
};

static struct guest *find(struct world *w, uint64_t id)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->guests[i].id == id)
            return &w->guests[i];
    return NULL;
}

/* With the model of one whose life it goes on with, which saves replaying that. */
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

/* Children that a guest has made by port. */
static void take_forked(struct world *w, const json_t *event)
{
    size_t i;
    const json_t *id;
    json_array_foreach(json_object_get(event_data(event), "children"), i, id)
    {
        if (!find(w, (uint64_t)json_integer_value(id)))
            add(w, (uint64_t)json_integer_value(id), NULL, true);
    }
}

static void take_events(struct world *w)
{
    json_t *event;
    while ((event = client_next_event(w->rig.client, 0))) {
        if (strcmp(event_name(event), "FORKED") == 0)
            take_forked(w, event);
        ck_assert_msg(strcmp(event_name(event), "CRASHED") != 0, "guest %lld crashed", (long long)event_guest(event));
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

static void call(struct world *w, const char *command, const struct guest *guest)
{
    json_decref(rig_call(&w->rig, command, "{s:I}", "guest", (json_int_t)guest->id));
}

/* Guests without a checkpoint, and that no fork made, have nothing to return to. */
static void reset(struct world *w, const struct guest *guest)
{
    struct client_error error;
    if (client_callf(w->rig.client, "reset", NULL, &error, "{s:I}", "guest", (json_int_t)guest->id) == 0)
        w->resets++;
    else
        ck_assert_msg(guest->id == 0 && strcmp(error.class, "Unsupported") == 0, "%s: %s", error.class, error.text);
}

/* Where guests have made children of their own that this test does not know of yet, there may be no room for more. */
static json_t *make_guest(struct world *w, const char *command, json_t *arguments)
{
    struct client_error error;
    json_t *reply;
    json_object_set_new(arguments, "paused", json_true());
    if (client_call(w->rig.client, command, arguments, &reply, &error) == 0)
        return reply;
    ck_assert_msg(strcmp(error.class, "LimitExceeded") == 0, "%s: %s", error.class, error.text);
    return NULL;
}

static void fork_one(struct world *w, const struct guest *guest)
{
    json_t *reply = make_guest(w, "fork", json_pack("{s:I}", "guest", (json_int_t)guest->id));
    if (!reply)
        return;
    const json_t *child = json_array_get(json_object_get(reply, "children"), 0);
    add(w, (uint64_t)json_integer_value(json_object_get(child, "id")), guest->model, false);
    json_decref(reply);
    take_events(w); /* while the child is known */
    w->forks++;
}

static void kill_one(struct world *w, struct guest *guest)
{
    if (w->count == 1)
        return;
    rig_do(&w->rig, "kill", guest->id);
    forget(w, guest);
    w->kills++;
}

/* Something that changes the guest, its layers or its view. It may be gone afterwards. */
static void disturb(struct world *w, struct guest *guest)
{
    switch (draw(&w->draws, 6)) {
    case 0:
        call(w, "checkpoint", guest);
        w->checkpoints++;
        break;
    case 1:
    case 2:
        reset(w, guest);
        break;
    case 3:
        fork_one(w, guest);
        break;
    case 4:
        if (draw(&w->draws, 3) == 0)
            kill_one(w, guest);
        break;
    default:
        set_running(w, guest, !guest->running);
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
    while (w->count > GUESTS_MOST - 3)
        kill_one(w, &w->guests[draw(&w->draws, w->count)]);
    json_t *reply =
        make_guest(w, "restore", json_pack("{s:s, s:b}", "path", s->path, "eager", draw(&w->draws, 3) == 0));
    if (!reply)
        return;
    uint64_t id = (uint64_t)json_integer_value(json_object_get(reply, "id"));
    json_decref(reply);
    add(w, id, s->model, false);
    if (s->ram)
        rig_check_ram(&w->rig, id, s->ram, RAM);
    model_check_all(find(w, id)->model, &w->rig, id);
    if (draw(&w->draws, 4))
        kill_one(w, find(w, id));
    w->compared++;
}

static void limit_files(struct world *w, bool limited)
{
    const struct rlimit limit = {limited ? 65536 : RLIM_INFINITY, RLIM_INFINITY};
    ck_assert_int_eq(prlimit(vmm_process_pid(w->rig.process), RLIMIT_FSIZE, &limit, NULL), 0);
}

static void choose(struct world *w, struct saving *s)
{
    char name[40];
    snprintf(name, sizeof name, "%d-%" PRIu64, getpid(), w->files++);
    snprintf(s->folder, sizeof s->folder, "%s", snapshot_place(name));
    strcat(name, "/file");
    snprintf(s->path, sizeof s->path, "%s", snapshot_place(name));
    s->diff = draw(&w->draws, 4) != 0;
    s->obstacle = draw(&w->draws, 3) ? NONE : (enum obstacle)(1 + draw(&w->draws, 3));
    if (s->obstacle != NO_FOLDER)
        ck_assert_int_eq(mkdir(s->folder, 0700), 0);
}

/* The round trip of the other client comes after: the snapshot's instant has passed by then. */
static void ask(struct world *w, const struct saving *s)
{
    char line[1024];
    int length = snprintf(line, sizeof line,
                          "{\"execute\":\"snapshot\",\"arguments\":{\"guest\":%" PRIu64
                          ",\"path\":\"%s\",\"kind\":\"%s\",\"compress\":%s}}\n",
                          s->guest, s->path, s->diff ? "diff" : "full", draw(&w->draws, 5) ? "false" : "true");
    ck_assert_int_eq(client_send_raw(w->saver, line, (size_t)length), 0);
    json_decref(rig_call(&w->rig, "query-version", NULL));
}

/* What goes on while the file is written. A limit of files' size would also hit others. */
static void meanwhile(struct world *w, const struct saving *s)
{
    if (s->obstacle == FOLDER_GOES)
        (void)rmdir(s->folder);
    for (uint64_t i = s->obstacle == NO_ROOM ? 0 : draw(&w->draws, 4); i && find(w, s->guest); i--) {
        disturb(w, find(w, s->guest));
        w->disturbed++;
    }
}

static void take_reply(struct world *w, const struct saving *s)
{
    json_t *reply = client_recv_reply(w->saver, RIG_PATIENCE_MS);
    ck_assert_ptr_nonnull(reply);
    const json_t *error = json_object_get(reply, "error");
    const char *class = json_string_value(json_object_get(error, "class"));
    if (s->obstacle == NO_ROOM)
        limit_files(w, false);
    if (!error) {
        check_file(w, s);
        *(s->diff ? &w->diffs : &w->full) += 1;
    } else if (s->obstacle) {
        w->failures++;
    } else { /* nothing to build on: now there is */
        ck_assert_msg(s->diff && strcmp(class, "Unsupported") == 0, "%s: %s", class,
                      json_string_value(json_object_get(error, "desc")));
        if (find(w, s->guest))
            rig_snapshot(&w->rig, s->guest, s->path);
    }
    json_decref(reply);
}

static void save(struct world *w, struct guest *guest)
{
    struct saving s = {.guest = guest->id, .model = model_copy(guest->model)};
    choose(w, &s);
    if (draw(&w->draws, 2))
        set_running(w, guest, false);
    if (!guest->running)
        s.ram = rig_ram(&w->rig, s.guest, RAM);
    if (s.obstacle == NO_ROOM)
        limit_files(w, true);
    ask(w, &s);
    meanwhile(w, &s);
    take_reply(w, &s);
    free(s.ram);
    model_free(s.model);
}

static size_t running(const struct world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->count; i++)
        count += w->guests[i].running;
    return count;
}

static void check(struct world *w, struct guest *guest)
{
    set_running(w, guest, false);
    model_check_all(guest->model, &w->rig, guest->id);
}

static void act(struct world *w)
{
    take_events(w);
    client_drop_events(w->saver);
    while (w->count > GUESTS_MOST - 4)
        kill_one(w, &w->guests[draw(&w->draws, w->count)]);
    while (running(w) > RUNNING_MOST)
        set_running(w, &w->guests[draw(&w->draws, w->count)], false);
    if (!running(w))
        set_running(w, &w->guests[draw(&w->draws, w->count)], true);
    struct guest *guest = &w->guests[draw(&w->draws, w->count)];
    uint64_t what = draw(&w->draws, 10);
    if (what < 4)
        save(w, guest);
    else if (what < 5)
        check(w, guest);
    else if (what < 8)
        disturb(w, guest);
    else
        set_running(w, guest, true);
}

static void finish(struct world *w, uint64_t operations)
{
    for (size_t i = 0; i < w->count; i++) {
        take_events(w); /* may add guests at the end of the list */
        check(w, &w->guests[i]);
    }
    printf("%" PRIu64 " full, %" PRIu64 " diffs, %" PRIu64 " compared, %" PRIu64 " failed, %" PRIu64
           " disturbances, %" PRIu64 " resets, %" PRIu64 " checkpoints, %" PRIu64 " forks, %" PRIu64 " kills\n",
           w->full, w->diffs, w->compared, w->failures, w->disturbed, w->resets, w->checkpoints, w->forks, w->kills);
    if (operations >= OPERATIONS) /* fewer need not have any */
        ck_assert_uint_gt(w->diffs + w->failures, operations / 20);
    while (w->count)
        forget(w, w->guests);
    client_close(w->saver);
    rig_quit(&w->rig);
}

START_TEST(files_miss_nothing_of_disturbed_guests)
{
    static struct world w;
    struct client_error error;
    uint64_t seed = draw_seed();
    char seed_word[40], limit[16];
    snprintf(seed_word, sizeof seed_word, "seed=%" PRIu64, seed);
    snprintf(limit, sizeof limit, "%d", GUESTS_MOST);
    w = (struct world){.rig = RIG("--memory", "4M", "--limit-guests", limit, "@random", seed_word, "pages=400",
                                  "fill=150", "pace_us=200", "fork_every=2000"),
                       .draws = seed};
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
    Suite *suite = suite_create("snapshot_disturbed");
    TCase *tests = tcase_create("random");
    tcase_set_timeout(tests, 2 * RIG_TIMEOUT_S);
    tcase_add_test(tests, files_miss_nothing_of_disturbed_guests);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
