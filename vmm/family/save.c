/*
 * Saving a guest to a snapshot's file. The guest is frozen as for a checkpoint (freeze.h); then a second view that
 * shares its tables holds on to the frozen frames, and a thread of the snapshot's own writes them out while the
 * guest runs on.
 *
 * What a later diff has to store is a bitmap, pages.unsaved: what was published, or undone by a reset, since the last
 * snapshot. A snapshot takes it over at its instant; should it fail, it gives it back, so that no page is ever missed.
 */
#include "vmm/family/freeze.h"
#include "vmm/family/internal.h"

#include "vmm/base/bitmap.h"
#include "vmm/base/clock.h"
#include "vmm/machine/saved_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Snapshots that are written at the same time; more would only take the processors from guests and restores. */
#define WRITERS 4

#define PROGRESS_NS UINT64_C(200000000)

struct save {
    struct cleave_family *family;
    uint64_t guest, command_ns;
    char *path;
    struct saved_as parent; /* of a diff, else path is NULL */
    struct saved_state state;
    struct view view; /* the guest's at the instant */
    bool has_view;
    uint64_t *unsaved; /* as of the instant: what this snapshot settles */
    struct snapshot_source *sources;
    size_t source_room;
    struct snapshot_job job;
    struct snapshot_result result;
    struct snapshot_error error;
    bool failed;
    struct cleave_save_report report;
    cleave_save_fn *done;
    void *context;
    struct save *next;
    struct background *thread;
    bool writing;     /* the thread has been given its work */
    uint64_t told_ns; /* by the thread: when it last had progress told */
    /* Between the thread and the owner: */
    atomic_bool cancel;
    _Atomic uint64_t bytes_done, bytes_total;
    atomic_bool progress; /* to be told */
    atomic_bool ended;    /* the last that the thread says, but for ringing the bell */
};

static void save_free(struct save *save)
{
    if (save->has_view) {
        view_free(&save->view);
        store_reclaim(&save->family->store);
    }
    background_free(save->thread);
    saved_state_free(&save->state);
    free(save->parent.path);
    free(save->path);
    free(save->unsaved);
    free(save->sources);
    free(save);
}

static void return_unsaved(const struct save *save, struct machine *machine)
{
    for (size_t i = 0; i < bitmap_words(machine->memory.bytes / PAGE_BYTES); i++)
        machine->memory.pages.unsaved[i] |= save->unsaved[i];
}

/* ---- What is asked for ---- */

static bool is_file(const struct stat *a, dev_t device, ino_t inode)
{
    return a->st_dev == device && a->st_ino == inode;
}

struct base_search {
    struct layers *layers;
    const struct stat *target;
};

static int compare_base(void *context, const struct view_run *run)
{
    const struct base_search *search = context;
    const struct layer_file *file = layers_find_file(search->layers, run->hpa);
    return file && is_file(search->target, file->device, file->inode);
}

/* What is at the path must not be what the guest needs. What a diff needs, snapshot_save() looks at. */
static int check_target(struct cleave_family *family, struct machine *machine,
                        const struct cleave_save_request *request, struct cleave_failure *failure)
{
    struct stat target;
    if (stat(request->path, &target) < 0)
        return 0;
    struct base_search search = {family->store.layers, &target};
    if (view_each_run(&machine->memory.view, compare_base, &search))
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: guest %" PRIu64 " runs from this file; save to another one",
                    request->path, machine->id);
    return 0;
}

static int check(struct cleave_family *family, struct machine *machine, const struct cleave_save_request *request,
                 struct cleave_failure *failure)
{
    for (const struct save *save = family->saves; save; save = save->next)
        if (save->guest == machine->id)
            return fail(failure, CLEAVE_BUSY, "guest %" PRIu64 " is being saved to %s; wait until that is done",
                        machine->id, save->path);
    if (request->diff && !machine->saved.path)
        return fail(failure, CLEAVE_UNSUPPORTED,
                    "guest %" PRIu64 " has no snapshot that a diff could build on; make a full one first", machine->id);
    if (request->diff && machine->saved.lineage.count >= SNAPSHOT_CHAIN_MAX)
        return fail(failure, CLEAVE_UNSUPPORTED,
                    "guest %" PRIu64 ": its last snapshot builds on %u others, and no more can be; make a full one",
                    machine->id, machine->saved.lineage.count - 1);
    return check_target(family, machine, request, failure);
}

/* Should a snapshot under way fail, the child has changed what that was to settle, as its parent has. */
int family_inherit_saved(struct cleave_family *family, struct machine *child, const struct machine *parent,
                         struct cleave_failure *failure)
{
    if (!parent->saved.path)
        return 0;
    child->saved.path = strdup(parent->saved.path);
    if (!child->saved.path)
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for a guest");
    child->saved.lineage = parent->saved.lineage;
    if (memory_track_unsaved(&child->memory, failure) < 0)
        return -1;
    for (size_t i = 0; i < bitmap_words(child->memory.bytes / PAGE_BYTES); i++)
        child->memory.pages.unsaved[i] = parent->memory.pages.unsaved[i];
    for (const struct save *save = family->saves; save; save = save->next)
        if (save->guest == parent->id)
            return_unsaved(save, child);
    return 0;
}

/* ---- Before and in the pause ---- */

/* All that needs memory and does not depend on the instant. */
static int prepare(struct save *save, struct machine *machine, const struct cleave_save_request *request,
                   struct cleave_failure *failure)
{
    save->path = strdup(request->path);
    save->unsaved = calloc(bitmap_words(machine->memory.bytes / PAGE_BYTES), sizeof(uint64_t));
    if (request->diff) {
        save->parent.path = strdup(machine->saved.path);
        save->parent.lineage = machine->saved.lineage;
    }
    if (!save->path || !save->unsaved || (request->diff && !save->parent.path))
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for a snapshot");
    save->job = (struct snapshot_job){
        .path = save->path,
        .kind = request->diff ? SNAPSHOT_DIFF : SNAPSHOT_FULL,
        .compress = request->compress,
        .parent = request->diff ? &save->parent.lineage : NULL,
        .parent_path = save->parent.path,
        .state = &save->state.state,
        .context = save,
        .cancel = &save->cancel,
    };
    return memory_track_unsaved(&machine->memory, failure);
}

static void take_unsaved(struct save *save, struct machine *machine)
{
    size_t bytes = bitmap_words(machine->memory.bytes / PAGE_BYTES) * sizeof(uint64_t);
    memcpy(save->unsaved, machine->memory.pages.unsaved, bytes);
    memset(machine->memory.pages.unsaved, 0, bytes);
}

/* The guest's memory and state at the instant, kept as long as the save lives. It runs again when this returns. */
static int capture(struct save *save, struct machine *machine, struct cleave_failure *failure)
{
    struct cleave_family *family = save->family;
    struct freezing freezing;
    int result = freeze_prepare(&freezing, family, machine, failure);
    if (result == 0)
        result = freeze(&freezing, failure);
    bool frozen = result == 0;
    if (frozen) {
        take_unsaved(save, machine);
        result = saved_state_encode(&save->state, machine, freezing.state, failure);
    }
    if (result == 0)
        result = view_init(&save->view, family->store.views, machine->memory.bytes, failure);
    if (result == 0) {
        save->has_view = true;
        result = view_share(&save->view, &machine->memory.view, failure);
    }
    if (frozen && result < 0)
        return_unsaved(save, machine);
    save->report.pause_ns = freezing.pause_ns;
    bool moved = freezing.spare && frozen;
    freeze_end(&freezing);
    store_settle(&family->store);
    if (moved && family->config.ready_vms)
        pool_prepare(family->pool, 1);
    return result;
}

/* ---- After it: which bytes of which files ---- */

struct collecting {
    struct save *save;
    uint64_t start, end; /* GPAs: what is wanted of each run */
    bool zeros;          /* those too */
    struct cleave_failure *failure;
};

static int add_source(struct collecting *c, uint64_t gpa, uint64_t bytes, int fd, uint64_t offset)
{
    struct save *save = c->save;
    if (save->job.source_count == save->source_room) {
        size_t room = save->source_room ? 2 * save->source_room : 64;
        struct snapshot_source *grown = realloc(save->sources, room * sizeof *grown);
        if (!grown)
            return fail(c->failure, CLEAVE_NO_MEMORY, "out of memory for a snapshot");
        save->sources = grown;
        save->source_room = room;
    }
    save->sources[save->job.source_count++] = (struct snapshot_source){gpa, bytes, fd, offset};
    return 0;
}

static int collect_run(void *context, const struct view_run *run)
{
    struct collecting *c = context;
    uint64_t gpa = run->gpa > c->start ? run->gpa : c->start;
    uint64_t end = run->gpa + run->bytes < c->end ? run->gpa + run->bytes : c->end;
    while (gpa < end) {
        uint64_t hpa = run->hpa + (gpa - run->gpa), offset, bytes;
        int fd;
        if (!layers_find(c->save->family->store.layers, hpa, &fd, &offset, &bytes))
            return fail(c->failure, CLEAVE_INTERNAL, "the view names HPA %#" PRIx64 ", which no layer backs", hpa);
        if (bytes > end - gpa)
            bytes = end - gpa;
        if ((fd >= 0 || c->zeros) && add_source(c, gpa, bytes, fd, offset) < 0)
            return -1;
        gpa += bytes;
    }
    return 0;
}

static int collect(struct save *save, struct cleave_failure *failure)
{
    uint64_t memory = save->view.memory, pages = memory / PAGE_BYTES;
    struct collecting c = {.save = save, .end = memory, .failure = failure};
    if (save->job.kind == SNAPSHOT_FULL)
        return view_each_run(&save->view, collect_run, &c);
    c.zeros = true;
    uint64_t first, end = 0;
    while ((end = bitmap_next_run(save->unsaved, pages, end, &first)), first < pages) {
        c.start = first * PAGE_BYTES;
        c.end = end * PAGE_BYTES;
        if (view_each_run_in(&save->view, c.start, c.end - c.start, collect_run, &c) < 0)
            return -1;
    }
    return 0;
}

/* ---- The writing ---- */

static void on_progress(void *context, uint64_t done, uint64_t total)
{
    struct save *save = context;
    atomic_store(&save->bytes_total, total);
    atomic_store(&save->bytes_done, done);
    uint64_t now = clock_ns();
    if (now - save->told_ns < PROGRESS_NS)
        return;
    save->told_ns = now;
    atomic_store(&save->progress, true);
    mailbox_ring(&save->family->mailbox);
}

static void write_file(void *argument)
{
    struct save *save = argument;
    struct mailbox *mailbox = &save->family->mailbox;
    save->told_ns = clock_ns();
    save->failed = snapshot_save(&save->job, &save->result, &save->error) < 0;
    atomic_store(&save->ended, true);
    mailbox_ring(mailbox);
}

static void emit(const struct save *save, enum cleave_event_kind kind, const char *reason)
{
    struct cleave_event event = {
        .kind = kind,
        .guest = save->guest,
        .timestamp_ns = clock_ns(),
        .path = save->path,
        .bytes_done = atomic_load(&save->bytes_done),
        .bytes_total = atomic_load(&save->bytes_total),
        .reason = reason,
    };
    family_emit(save->family, &event);
}

/* The guest, if it still has its memory, takes note. */
static void settle_guest(struct save *save)
{
    struct machine *machine = family_find(save->family, save->guest, NULL);
    if (!machine || !machine->vm)
        return;
    char *path = save->failed ? NULL : realpath(save->path, NULL);
    if (!path) { /* the file is there, and still a diff has to build on the one before */
        return_unsaved(save, machine);
        return;
    }
    free(machine->saved.path);
    machine->saved = (struct saved_as){path, save->result.lineage};
    machine->snapshots++;
}

static void begin_writing(struct save *save)
{
    save->writing = true;
    background_add(save->thread, write_file, save);
}

/* Those that wait begin, the oldest first, while there are fewer than may be written at a time. */
static void write_more(struct cleave_family *family)
{
    for (;;) {
        struct save *oldest = NULL;
        unsigned writing = 0;
        for (struct save *save = family->saves; save; save = save->next) {
            writing += save->writing;
            oldest = save->writing ? oldest : save;
        }
        if (!oldest || writing == WRITERS)
            return;
        begin_writing(oldest);
    }
}

/* The file is written, or could not be. */
static void end(struct save *save)
{
    struct cleave_family *family = save->family;
    struct cleave_failure failure;
    if (save->failed)
        family_fail_snapshot(&save->error, &failure);
    save->report.bytes = save->result.bytes;
    save->report.pages = save->result.pages;
    save->report.total_ns = clock_ns() - save->command_ns;
    settle_guest(save);
    emit(save, CLEAVE_EVENT_SNAPSHOT_DONE, save->failed ? failure.text : NULL);
    save->done(save->context, save->failed ? NULL : &save->report, save->failed ? &failure : NULL);
    save_free(save);
    family_check_idle(family);
}

/* One that has ended, taken off the list; NULL: there is none. */
static struct save *take_ended(struct cleave_family *family)
{
    for (struct save **link = &family->saves; *link; link = &(*link)->next) {
        struct save *save = *link;
        if (!atomic_load(&save->ended))
            continue;
        *link = save->next;
        return save;
    }
    return NULL;
}

void family_take_saves(struct cleave_family *family)
{
    for (struct save *save = family->saves; save; save = save->next)
        if (atomic_exchange(&save->progress, false))
            emit(save, CLEAVE_EVENT_SNAPSHOT_PROGRESS, NULL);
    struct save *save;
    while ((save = take_ended(family))) {
        write_more(family);
        end(save);
    }
}

void family_wait_saves(struct cleave_family *family)
{
    while (family->saves) {
        struct save *save = family->saves;
        if (!save->writing)
            begin_writing(save); /* it finds itself cancelled */
        background_drain(save->thread);
        family->saves = save->next;
        end(save);
    }
}

void family_cancel_saves(struct cleave_family *family)
{
    for (struct save *save = family->saves; save; save = save->next)
        atomic_store(&save->cancel, true);
}

/* Before the pause, as it may fail; the thread has nothing to do yet. */
static int make_thread(struct save *save, struct cleave_failure *failure)
{
    save->thread = background_new("saver");
    return save->thread ? 0 : fail(failure, CLEAVE_NO_MEMORY, "out of memory or threads for a snapshot");
}

static void start(struct save *save)
{
    struct cleave_family *family = save->family;
    save->job.sources = save->sources;
    save->job.progress = on_progress;
    save->next = family->saves;
    family->saves = save;
    write_more(family);
}

int family_save(struct cleave_family *family, struct machine *machine, const struct cleave_save_request *request,
                cleave_save_fn *done, void *context, struct cleave_failure *failure)
{
    uint64_t command_ns = clock_ns();
    if (check(family, machine, request, failure) < 0)
        return -1;
    struct save *save = calloc(1, sizeof *save);
    if (!save)
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for a snapshot");
    save->family = family;
    save->guest = machine->id;
    save->command_ns = command_ns;
    save->done = done;
    save->context = context;
    if (prepare(save, machine, request, failure) < 0 || make_thread(save, failure) < 0 ||
        capture(save, machine, failure) < 0) {
        save_free(save);
        return -1;
    }
    if (collect(save, failure) < 0) {
        return_unsaved(save, machine);
        save_free(save);
        return -1;
    }
    start(save);
    return 0;
}
