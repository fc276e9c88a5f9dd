/*
 * Saving a guest to a snapshot's file. The guest is frozen as for a checkpoint (freeze.h); then a second view that
 * shares its tables holds on to the frozen frames, and a thread of libuv's pool writes them out while the guest runs
 * on.
 *
 * What a later diff has to store is a bitmap, pages.unsaved: what was published, or undone by a reset, since the last
 * snapshot. A snapshot takes it over at its instant; should it fail, it gives it back, so that no page is ever missed.
 */
#include "vmm/bitmap.h"
#include "vmm/clock.h"
#include "vmm/freeze.h"
#include "vmm/host_internal.h"
#include "vmm/saved_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PROGRESS_MS 200

struct save {
    uv_work_t work;
    struct host *host;
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
    struct snapshot_report report;
    host_snapshot_fn *done;
    void *context;
    struct save *next;
    /* Between the thread and the event loop: */
    atomic_bool cancel;
    _Atomic uint64_t bytes_done, bytes_total;
    uint64_t reported; /* bytes_done as last told */
};

static void save_free(struct save *save)
{
    if (save->has_view) {
        view_free(&save->view);
        layers_settle(save->host->layers);
    }
    saved_state_free(&save->state);
    free(save->parent.path);
    free(save->path);
    free(save->unsaved);
    free(save->sources);
    free(save);
}

static void return_unsaved(const struct save *save, struct machine *machine)
{
    for (size_t i = 0; i < bitmap_words(machine->view.memory / PAGE_BYTES); i++)
        machine->pages.unsaved[i] |= save->unsaved[i];
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
static int check_target(struct host *host, struct machine *machine, const struct snapshot_request *request,
                        struct failure *failure)
{
    struct stat target;
    if (stat(request->path, &target) < 0)
        return 0;
    struct base_search search = {host->layers, &target};
    if (view_each_run(&machine->view, compare_base, &search))
        return fail(failure, FAIL_INVALID_ARGUMENT, "%s: guest %" PRIu64 " runs from this file; save to another one",
                    request->path, machine->id);
    return 0;
}

static int check(struct host *host, struct machine *machine, const struct snapshot_request *request,
                 struct failure *failure)
{
    for (const struct save *save = host->saves; save; save = save->next)
        if (save->guest == machine->id)
            return fail(failure, FAIL_BUSY, "guest %" PRIu64 " is being saved to %s; wait until that is done",
                        machine->id, save->path);
    if (request->diff && !machine->saved.path)
        return fail(failure, FAIL_UNSUPPORTED,
                    "guest %" PRIu64 " has no snapshot that a diff could build on; make a full one first", machine->id);
    if (request->diff && machine->saved.lineage.count >= SNAPSHOT_CHAIN_MAX)
        return fail(failure, FAIL_UNSUPPORTED,
                    "guest %" PRIu64 ": its last snapshot builds on %u others, and no more can be; make a full one",
                    machine->id, machine->saved.lineage.count - 1);
    return check_target(host, machine, request, failure);
}

/* Should a snapshot under way fail, the child has changed what that was to settle, as its parent has. */
int host_inherit_saved(struct host *host, struct machine *child, const struct machine *parent, struct failure *failure)
{
    if (!parent->saved.path)
        return 0;
    child->saved.path = strdup(parent->saved.path);
    if (!child->saved.path)
        return fail(failure, FAIL_NO_MEMORY, "out of memory for a guest");
    child->saved.lineage = parent->saved.lineage;
    if (machine_track_unsaved(child, failure) < 0)
        return -1;
    for (size_t i = 0; i < bitmap_words(child->view.memory / PAGE_BYTES); i++)
        child->pages.unsaved[i] = parent->pages.unsaved[i];
    for (const struct save *save = host->saves; save; save = save->next)
        if (save->guest == parent->id)
            return_unsaved(save, child);
    return 0;
}

/* ---- Before and in the pause ---- */

/* All that needs memory and does not depend on the instant. */
static int prepare(struct save *save, struct machine *machine, const struct snapshot_request *request,
                   struct failure *failure)
{
    save->path = strdup(request->path);
    save->unsaved = calloc(bitmap_words(machine->view.memory / PAGE_BYTES), sizeof(uint64_t));
    if (request->diff) {
        save->parent.path = strdup(machine->saved.path);
        save->parent.lineage = machine->saved.lineage;
    }
    if (!save->path || !save->unsaved || (request->diff && !save->parent.path))
        return fail(failure, FAIL_NO_MEMORY, "out of memory for a snapshot");
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
    return machine_track_unsaved(machine, failure);
}

static void take_unsaved(struct save *save, struct machine *machine)
{
    size_t bytes = bitmap_words(machine->view.memory / PAGE_BYTES) * sizeof(uint64_t);
    memcpy(save->unsaved, machine->pages.unsaved, bytes);
    memset(machine->pages.unsaved, 0, bytes);
}

/* The guest's memory and state at the instant, kept as long as the save lives. It runs again when this returns. */
static int capture(struct save *save, struct machine *machine, struct failure *failure)
{
    struct host *host = save->host;
    struct freezing freezing;
    int result = freeze_prepare(&freezing, host, machine, failure);
    if (result == 0)
        result = freeze(&freezing, failure);
    bool frozen = result == 0;
    if (frozen) {
        take_unsaved(save, machine);
        result = saved_state_encode(&save->state, machine, freezing.state, freezing.fork_result, failure);
    }
    if (result == 0)
        result = view_init(&save->view, host->views, machine->view.memory, failure);
    if (result == 0) {
        save->has_view = true;
        result = view_share(&save->view, &machine->view, failure);
    }
    if (frozen && result < 0)
        return_unsaved(save, machine);
    save->report.pause_ns = freezing.pause_ns;
    bool moved = freezing.spare && frozen;
    freeze_end(&freezing);
    layers_settle(host->layers);
    if (moved)
        pool_prepare(host->pool, 1);
    return result;
}

/* ---- After it: which bytes of which files ---- */

struct collecting {
    struct save *save;
    uint64_t start, end; /* GPAs: what is wanted of each run */
    bool zeros;          /* those too */
    struct failure *failure;
};

static int add_source(struct collecting *c, uint64_t gpa, uint64_t bytes, int fd, uint64_t offset)
{
    struct save *save = c->save;
    if (save->job.source_count == save->source_room) {
        size_t room = save->source_room ? 2 * save->source_room : 64;
        struct snapshot_source *grown = realloc(save->sources, room * sizeof *grown);
        if (!grown)
            return fail(c->failure, FAIL_NO_MEMORY, "out of memory for a snapshot");
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
        if (!layers_find(c->save->host->layers, hpa, &fd, &offset, &bytes))
            return fail(c->failure, FAIL_INTERNAL, "the view names HPA %#" PRIx64 ", which no layer backs", hpa);
        if (bytes > end - gpa)
            bytes = end - gpa;
        if ((fd >= 0 || c->zeros) && add_source(c, gpa, bytes, fd, offset) < 0)
            return -1;
        gpa += bytes;
    }
    return 0;
}

static int collect(struct save *save, struct failure *failure)
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
}

static void write_file(uv_work_t *work)
{
    struct save *save = work->data;
    save->failed = snapshot_save(&save->job, &save->result, &save->error) < 0;
}

static void emit(const struct save *save, enum host_event_kind kind, const char *reason)
{
    struct host_event event = {
        .kind = kind,
        .guest = save->guest,
        .timestamp_ns = clock_ns(),
        .path = save->path,
        .bytes_done = atomic_load(&save->bytes_done),
        .bytes_total = atomic_load(&save->bytes_total),
        .reason = reason,
    };
    host_emit(save->host, &event);
}

static void on_timer(uv_timer_t *timer)
{
    struct host *host = timer->data;
    for (struct save *save = host->saves; save; save = save->next) {
        uint64_t done = atomic_load(&save->bytes_done);
        if (done != save->reported)
            emit(save, EVENT_SNAPSHOT_PROGRESS, NULL);
        save->reported = done;
    }
}

static void add_save(struct save *save)
{
    struct host *host = save->host;
    if (!host->saves)
        uv_timer_start(&host->save_timer, on_timer, PROGRESS_MS, PROGRESS_MS);
    save->next = host->saves;
    host->saves = save;
}

static void remove_save(struct save *save)
{
    struct host *host = save->host;
    struct save **link = &host->saves;
    while (*link != save)
        link = &(*link)->next;
    *link = save->next;
    if (!host->saves)
        uv_timer_stop(&host->save_timer);
}

/* The guest, if it still has its memory, takes note. */
static void settle_guest(struct save *save)
{
    struct machine *machine = host_find(save->host, save->guest, NULL);
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

static void on_written(uv_work_t *work, int status)
{
    (void)status;
    struct save *save = work->data;
    struct host *host = save->host;
    struct failure failure;
    if (save->failed)
        host_fail_snapshot(&save->error, &failure);
    save->report.bytes = save->result.bytes;
    save->report.pages = save->result.pages;
    save->report.total_ns = clock_ns() - save->command_ns;
    remove_save(save);
    settle_guest(save);
    emit(save, EVENT_SNAPSHOT_DONE, save->failed ? failure.text : NULL);
    save->done(save->context, save->failed ? NULL : &save->report, save->failed ? &failure : NULL);
    save_free(save);
    host_finish_without_guests(host);
}

void host_cancel_saves(struct host *host)
{
    for (struct save *save = host->saves; save; save = save->next)
        atomic_store(&save->cancel, true);
}

static int start(struct save *save, struct failure *failure)
{
    save->job.sources = save->sources;
    save->job.progress = on_progress;
    save->work.data = save;
    int error = uv_queue_work(save->host->loop, &save->work, write_file, on_written);
    if (error < 0)
        return fail_errno(failure, -error, "cannot start writing %s", save->path);
    add_save(save);
    return 0;
}

int host_snapshot(struct host *host, const struct snapshot_request *request, host_snapshot_fn *done, void *context,
                  struct failure *failure)
{
    uint64_t command_ns = clock_ns();
    struct machine *machine = host_find_live(host, request->guest, failure);
    if (!machine || check(host, machine, request, failure) < 0)
        return -1;
    struct save *save = calloc(1, sizeof *save);
    if (!save)
        return fail(failure, FAIL_NO_MEMORY, "out of memory for a snapshot");
    save->host = host;
    save->guest = machine->id;
    save->command_ns = command_ns;
    save->done = done;
    save->context = context;
    if (prepare(save, machine, request, failure) < 0 || capture(save, machine, failure) < 0) {
        save_free(save);
        return -1;
    }
    if (collect(save, failure) < 0 || start(save, failure) < 0) {
        return_unsaved(save, machine);
        save_free(save);
        return -1;
    }
    return 0;
}
