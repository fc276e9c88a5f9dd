/*
 * Live fork. The parent is paused for as long as it takes to save its vCPUs, take the dirty log and copy what it names
 * into a frozen layer (freeze.h); views are shared, windows mapped and children started after it runs again:
 *
 *   before the pause   VMs from the pool, machines, room in every list: all that can fail for want of memory
 *   in the pause       stop, save, harvest, publish; at the first fork also move
 *   after it           share the view, project it, restore, refresh identity; then start all children at once
 */
#include "vmm/family/freeze.h"
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"

#include <inttypes.h>
#include <stdlib.h>

/* A fork under way. */
struct forking {
    struct host *host;
    struct machine *parent;
    unsigned count;
    struct machine **children;
    unsigned made;   /* children that exist */
    struct vm **vms; /* one a child; NULL once given to a machine */
    unsigned vm_count;
    struct freezing freezing;
    struct fork_report *report;
    struct failure *failure;
};

void fork_report_free(struct fork_report *report)
{
    free(report->children);
    report->children = NULL;
}

static int check(struct forking *f)
{
    struct host *host = f->host;
    if (f->count < 1 || f->count > HOST_FORK_MAX)
        return fail(f->failure, FAIL_INVALID_ARGUMENT, "count %u: want 1 to %d", f->count, HOST_FORK_MAX);
    return host_check_limit(host, f->count, f->failure);
}

static int make_children(struct forking *f)
{
    struct host *host = f->host;
    for (; f->made < f->count; f->made++) {
        struct machine *child =
            machine_new(host, host->next_id + f->made, host->options->memory, host->terminal, f->failure);
        if (!child)
            return -1;
        f->children[f->made] = child;
        child->parent = f->parent->id;
        child->has_parent = true;
        child->generation = f->parent->generation + 1;
    }
    return 0;
}

/* Everything that needs memory or KVM's time, while the parent still runs. */
static int prepare(struct forking *f)
{
    struct host *host = f->host;
    f->children = calloc(f->count, sizeof *f->children);
    f->vms = calloc(f->count, sizeof *f->vms);
    f->report->children = calloc(f->count, sizeof *f->report->children);
    if (!f->children || !f->vms || !f->report->children)
        return fail(f->failure, FAIL_NO_MEMORY, "out of memory for a fork into %u", f->count);
    if (host_reserve(host, f->count, f->failure) < 0 || make_children(f) < 0 ||
        freeze_prepare(&f->freezing, host, f->parent, f->failure) < 0 ||
        pool_take(host->pool, f->vms, f->count, f->failure) < 0)
        return -1;
    f->vm_count = f->count;
    return 0;
}

static int freeze_parent(struct forking *f)
{
    int result = freeze(&f->freezing, f->failure);
    f->report->pause_ns = f->freezing.pause_ns;
    f->report->published_pages = f->freezing.published_pages;
    for (int i = 0; i < FORK_PHASES; i++)
        f->report->phases_ns[i] = f->freezing.phases_ns[i];
    return result;
}

static int build_child(struct forking *f, unsigned i, bool child_reads_index)
{
    struct machine *child = f->children[i];
    const struct machine_state *state = f->freezing.state;
    if (view_init(&child->view, f->host->views, f->host->options->memory, f->failure) < 0)
        return -1;
    child->vm = f->vms[i]; /* from here on machine_end() takes down both */
    f->vms[i] = NULL;
    child->vm->machine = child;
    child->uart = state->uart;
    child->fork_result = child_reads_index ? i + 1 : f->freezing.fork_result;
    for (unsigned v = 0; v < state->cpus; v++)
        child->report.halted += state->vcpus[v].halted;
    if (host_inherit_saved(f->host, child, f->parent, f->failure) < 0 ||
        view_share(&child->view, &f->parent->view, f->failure) < 0 ||
        machine_project(child, child->vm, f->failure) < 0 || machine_restore_vm(child->vm, state, f->failure) < 0)
        return -1;
    struct identity identity;
    if (machine_draw_identity(child, &identity, f->failure) < 0 ||
        machine_write_identity(child, &identity, f->failure) < 0)
        return -1;
    instant_set_birth(child, RESET_TO_FORK, f->freezing.state, &identity);
    return 0;
}

static int build_children(struct forking *f, bool child_reads_index)
{
    if (machine_coalesce(f->parent, f->host->layers, host_mapping_budget(f->host), f->failure) < 0)
        return -1;
    for (unsigned i = 0; i < f->count; i++)
        if (build_child(f, i, child_reads_index) < 0)
            return -1;
    return 0;
}

static void emit_forked(struct forking *f)
{
    uint64_t ids[HOST_FORK_MAX];
    for (unsigned i = 0; i < f->count; i++)
        ids[i] = f->children[i]->id;
    struct host_event event = {
        .kind = EVENT_FORKED,
        .guest = f->parent->id,
        .timestamp_ns = clock_ns(),
        .children = ids,
        .child_count = f->count,
    };
    host_emit(f->host, &event);
}

/* Nothing here can fail: the children become guests, and all of them run before any is waited for. */
static void commit(struct forking *f, bool paused, uint64_t command_ns)
{
    for (unsigned i = 0; i < f->count; i++) {
        f->children[i]->state = paused ? GUEST_PAUSED : GUEST_RUNNING;
        host_add(f->host, f->children[i]);
        if (!paused)
            vm_start(f->children[i]->vm);
    }
    console_pass_lines(&f->parent->console); /* from now on others write to the terminal, too */
    f->host->next_id += f->count;
    f->parent->children += f->count;
    f->parent->forks++;
    emit_forked(f);
    for (unsigned i = 0; i < f->count; i++) {
        f->report->children[i].id = f->children[i]->id;
        if (paused)
            continue;
        uint64_t entered = vm_wait_entered(f->children[i]->vm, 1);
        f->report->children[i].ready_ns = entered > command_ns ? entered - command_ns : 0;
        host_report_started(f->host, f->children[i]);
    }
    f->report->count = f->count;
}

/* What is left over, and after a failure everything. VMs that have had a guest's memory do not go back to the pool. */
static void clean_up(struct forking *f, bool failed)
{
    struct host *host = f->host;
    unsigned used = f->vm_count + (f->freezing.spare ? 1 : 0);
    for (unsigned i = 0; failed && i < f->made; i++) {
        if (f->children[i]->vm)
            vm_free_later(host->reaper, machine_end(f->children[i]));
        machine_free(f->children[i]);
    }
    for (unsigned i = 0; i < f->vm_count; i++)
        if (f->vms[i])
            vm_free_later(host->reaper, f->vms[i]);
    free(f->vms);
    free(f->children);
    freeze_end(&f->freezing);
    if (failed)
        fork_report_free(f->report);
    layers_settle(host->layers);
    pool_prepare(host->pool, failed ? 0 : used);
}

static int try_fork(struct forking *f, bool paused, bool child_reads_index, uint64_t command_ns)
{
    *f->report = (struct fork_report){0};
    f->freezing = (struct freezing){.host = f->host};
    bool done = check(f) == 0 && prepare(f) == 0 && freeze_parent(f) == 0 && build_children(f, child_reads_index) == 0;
    if (done)
        commit(f, paused, command_ns);
    clean_up(f, !done);
    return done ? 0 : -1;
}

int host_fork_machine(struct host *host, struct machine *parent, unsigned count, bool paused, bool child_reads_index,
                      struct fork_report *report, struct failure *failure)
{
    uint64_t command_ns = clock_ns();
    const struct forking fresh = {.host = host, .parent = parent, .count = count, .report = report, .failure = failure};
    struct forking f = fresh;
    if (try_fork(&f, paused, child_reads_index, command_ns) == 0)
        return 0;
    if (failure->class != FAIL_NO_MEMORY)
        return -1;
    /* What ended guests held may still be on its way back: have it, and try once more. */
    background_drain(host->reaper);
    f = fresh;
    return try_fork(&f, paused, child_reads_index, command_ns);
}

int host_fork(struct host *host, uint64_t guest, unsigned count, bool paused, struct fork_report *report,
              struct failure *failure)
{
    *report = (struct fork_report){0};
    struct machine *parent = host_find_live(host, guest, failure);
    if (!parent)
        return -1;
    return host_fork_machine(host, parent, count, paused, false, report, failure);
}
