/*
 * Reset: a guest goes back, in place, to its last checkpoint or to the fork that made it (instant.h).
 *
 * Its overlay are the private copies in its window that the dirty log names. There are two ways to be rid of one:
 *
 *   drop       MADV_DONTNEED: the window shows again what it was mapped from, and the memory is free. The guest's next
 *              write pays for a copy again.
 *   copy back  overwrite it with the frame that the view names. It stays private, and the next write is cheap.
 *
 * Copying back is the only way where the window was mapped from something older (pages.outdated): such pages were
 * published since, and mapping the window anew there would cost far more, a mapping a run. It is also the better one in
 * a loop of resets, where the guest writes the same pages again and again: it takes a fifth of the time on both sides.
 * So a page is dropped the first time, and copied back from then on (pages.kept), up to a limit.
 */
#include "vmm/base/bitmap.h"
#include "vmm/base/clock.h"
#include "vmm/family/internal.h"
#include "vmm/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

/* Memory that a guest may keep from reset to reset; beyond it all is dropped. */
#define KEEP_BYTES (UINT64_C(64) << 20)

const char *const reset_phase_names[RESET_PHASES] = {"stop", "memory", "state", "resume"};

/* A reset under way. */
struct resetting {
    struct machine *machine;
    struct layers *layers;
    uint64_t pages; /* of the guest's RAM */
    uint64_t phase_start;
    struct reset_report *report;
    struct failure *failure;
};

static void end_phase(struct resetting *r, enum reset_phase phase)
{
    uint64_t now = clock_ns();
    r->report->phases_ns[phase] = now - r->phase_start;
    r->phase_start = now;
}

/* All that differs from the instant: into `written`, as it is all in the overlay now that the view is back. */
static int find_differences(struct resetting *r)
{
    struct machine *machine = r->machine;
    struct pages *pages = &machine->pages;
    if (kvm_get_dirty_log(machine->vm->fd, pages->log) < 0)
        return fail_errno(r->failure, errno, "KVM_GET_DIRTY_LOG");
    bool settle = instant_return_view(machine);
    machine->harvested_pages += bitmap_count(pages->log, r->pages);
    for (size_t i = 0; i < bitmap_words(r->pages); i++) {
        pages->written[i] |= pages->log[i] | pages->published[i];
        pages->published[i] = 0;
        if (pages->unsaved)
            pages->unsaved[i] |= pages->written[i];
    }
    r->report->dropped_pages = bitmap_count(pages->written, r->pages);
    if (settle)
        layers_settle(r->layers);
    return 0;
}

/* Into the dirty log's place: which of them to drop. They are kept next time, or else nothing is kept any more. */
static uint64_t *choose_drops(struct resetting *r)
{
    struct pages *pages = &r->machine->pages;
    uint64_t *drop = pages->log;
    size_t words = bitmap_words(r->pages);
    for (size_t i = 0; i < words; i++)
        drop[i] = pages->written[i] & ~pages->kept[i] & ~pages->outdated[i];
    uint64_t kept = pages->kept_count + bitmap_count(drop, r->pages);
    if (kept * PAGE_BYTES <= KEEP_BYTES) {
        for (size_t i = 0; i < words; i++)
            pages->kept[i] |= drop[i];
        pages->kept_count = kept;
        return drop;
    }
    for (size_t i = 0; i < words; i++) {
        drop[i] |= pages->kept[i] & ~pages->outdated[i];
        pages->kept[i] = 0;
    }
    pages->kept_count = 0;
    return drop;
}

static int drop_runs(struct resetting *r, const uint64_t *drop)
{
    struct machine *machine = r->machine;
    uint64_t first, end = 0;
    while ((end = bitmap_next_run(drop, r->pages, end, &first)), first < r->pages) {
        void *at = (void *)(uintptr_t)(machine->vm->window + first * PAGE_BYTES);
        if (madvise(at, (end - first) * PAGE_BYTES, MADV_DONTNEED) < 0)
            return fail_errno(r->failure, errno, "MADV_DONTNEED");
        bitmap_clear(machine->pages.written, first, end);
    }
    return 0;
}

struct copying {
    struct resetting *r;
    uint64_t start, end; /* GPAs */
};

static int copy_run(void *context, const struct view_run *run)
{
    struct copying *copying = context;
    struct resetting *r = copying->r;
    uint64_t from = run->gpa > copying->start ? run->gpa : copying->start;
    uint64_t until = run->gpa + run->bytes < copying->end ? run->gpa + run->bytes : copying->end;
    void *to = (void *)(uintptr_t)(r->machine->vm->window + from);
    return layers_read(r->layers, run->hpa + (from - run->gpa), to, until - from, r->machine->window_fragile,
                       r->failure);
}

static int copy_back(struct resetting *r)
{
    struct machine *machine = r->machine;
    uint64_t *written = machine->pages.written, first, end = 0;
    while ((end = bitmap_next_run(written, r->pages, end, &first)), first < r->pages) {
        struct copying copying = {r, first * PAGE_BYTES, end * PAGE_BYTES};
        if (view_each_run_in(&machine->view, copying.start, copying.end - copying.start, copy_run, &copying) < 0)
            return -1;
        bitmap_clear(written, first, end);
    }
    return 0;
}

/*
 * A child's identity was written over its parent's at birth and is no part of its view yet. The first reset writes it
 * again and publishes that page, so that later ones find it in the view like all else. Should that fail for want of
 * memory, the page stays in the overlay, and the next reset tries again.
 */
static int return_identity(struct resetting *r)
{
    struct machine *machine = r->machine;
    struct instant *instant = &machine->instant;
    struct pages *pages = &machine->pages;
    if (!instant->has_identity)
        return 0;
    if (machine_write_identity(machine, &instant->identity, r->failure) < 0)
        return -1;
    uint64_t published = 0;
    if (machine_publish(machine, r->layers, &published, r->failure) < 0)
        return 0;
    for (size_t i = 0; i < bitmap_words(r->pages); i++) {
        pages->outdated[i] |= pages->published[i];
        pages->published[i] = 0;
    }
    instant->has_identity = false;
    layers_settle(r->layers);
    return 0;
}

static int return_memory(struct resetting *r)
{
    if (find_differences(r) < 0 || drop_runs(r, choose_drops(r)) < 0 || copy_back(r) < 0)
        return -1;
    return return_identity(r);
}

/* What vCPU threads have reported belongs to the life that is undone, a fork asked for and not yet made included. */
static void return_report(struct machine *machine)
{
    struct machine_report *report = &machine->report;
    pthread_mutex_lock(&report->lock);
    report->end = END_NONE;
    report->reason[0] = report->registers[0] = '\0';
    report->halted = 0;
    for (unsigned i = 0; i < machine->vm->cpus; i++) {
        report->halted += machine->vm->vcpus[i].halted;
        report->forks[i] = 0;
    }
    machine->uart = machine->instant.state->uart;
    pthread_mutex_unlock(&report->lock);
}

static int return_state(struct resetting *r)
{
    struct machine *machine = r->machine;
    const struct machine_state *state = machine->instant.state;
    for (unsigned i = 0; i < state->cpus; i++) {
        struct vcpu *vcpu = &machine->vm->vcpus[i];
        const struct vcpu_state *from = &state->vcpus[i];
        /* How KVM leaves a vCPU that has crashed is its own matter: then nothing is taken for granted. */
        int result = machine_has_ended(machine) ? vcpu_state_restore(state->kvm, vcpu->fd, vcpu->run, from, r->failure)
                                                : vcpu_state_return(state->kvm, vcpu->fd, vcpu->run, from, r->failure);
        if (result < 0)
            return -1;
        vcpu->halted = from->halted;
        vcpu->ended = vcpu->waiting = vcpu->incomplete = false;
    }
    machine->fork_result = machine->instant.fork_result;
    return_report(machine);
    return 0;
}

static void resume(struct resetting *r)
{
    struct machine *machine = r->machine;
    machine->state = GUEST_RUNNING;
    vm_start(machine->vm);
    vm_wait_entered(machine->vm, r->phase_start);
}

static void emit(struct host *host, const struct machine *machine, enum host_event_kind kind)
{
    struct host_event event = {.kind = kind, .guest = machine->id, .timestamp_ns = clock_ns()};
    host_emit(host, &event);
}

/* A guest that is neither what it was nor what it should be must not run; an ended one does not anyway. */
static void stay_paused(struct host *host, struct machine *machine, struct failure *failure)
{
    host_blame_lost_file(host, machine, failure);
    if (machine->state != GUEST_RUNNING)
        return;
    machine->state = GUEST_PAUSED;
    log_warning("guest %" PRIu64 " is paused: it could not be reset", machine->id);
    emit(host, machine, EVENT_PAUSED);
}

/* The guest, if it has something to return to. */
static struct machine *find(struct host *host, uint64_t guest, struct failure *failure)
{
    host_take_reports(host);
    struct machine *machine = host_find(host, guest, failure);
    if (machine && !machine->vm) {
        fail(failure, FAIL_GUEST_NOT_FOUND, "guest %" PRIu64 " has ended, and had no checkpoint to return to", guest);
        return NULL;
    }
    if (machine && !machine->instant.state) {
        fail(failure, FAIL_UNSUPPORTED,
             "guest %" PRIu64 " has nothing to return to: no fork made it, so make a checkpoint first", guest);
        return NULL;
    }
    return machine;
}

/* The guest, stopped. Where it has ended just now, that is reported before it lives again. */
static struct machine *stop(struct host *host, uint64_t guest, struct failure *failure)
{
    struct machine *machine = find(host, guest, failure);
    if (!machine || machine_track(machine, failure) < 0)
        return NULL;
    vm_stop(machine->vm);
    if (machine_end_reported(machine) && !machine_has_ended(machine))
        return find(host, guest, failure);
    return machine;
}

int host_reset(struct host *host, uint64_t guest, struct reset_report *report, struct failure *failure)
{
    *report = (struct reset_report){0};
    uint64_t start = clock_ns();
    struct machine *machine = stop(host, guest, failure);
    if (!machine)
        return -1;
    struct resetting r = {
        .machine = machine,
        .layers = host->layers,
        .pages = machine->view.memory / PAGE_BYTES,
        .phase_start = start,
        .report = report,
        .failure = failure,
    };
    end_phase(&r, RESET_STOP);
    int result = return_memory(&r);
    end_phase(&r, RESET_MEMORY);
    if (result == 0)
        result = return_state(&r);
    end_phase(&r, RESET_STATE);
    if (result < 0) {
        stay_paused(host, machine, failure);
        return -1;
    }
    machine->end = END_NONE;
    if (machine->state != GUEST_PAUSED)
        resume(&r);
    end_phase(&r, RESET_RESUME);
    report->total_ns = r.phase_start - start;
    machine->resets++;
    emit(host, machine, EVENT_RESET);
    return 0;
}
