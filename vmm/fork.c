/*
 * Live fork. The parent is paused for as long as it takes to save its vCPUs, take the dirty log and copy what it names
 * into a frozen layer; views are shared, windows mapped and children started after it runs again:
 *
 *   before the pause   VMs from the pool, machines, room in every list: all that can fail for want of memory
 *   in the pause       stop, save, harvest, publish; at the first fork also move
 *   after it           share the view, project it, restore, refresh identity; then start all children at once
 *
 * The first fork is different. Until then the parent's window is its own layer, mapped shared: nothing has to be
 * published, as everything is in the layer already, but the parent must leave that window before a child maps the layer
 * privately, or the child would see what the parent writes later. So the parent moves: it goes on in a fresh VM from
 * the pool whose window maps the layer privately, which costs one mmap and a restore instead of tearing down page
 * tables.
 */
#include "vmm/host_internal.h"

#include "vmm/clock.h"
#include "vmm/log.h"

#include <cleave/guest_abi.h>

#include <inttypes.h>
#include <stdlib.h>

/* Mappings of one window: what is allowed to all is shared out, within reason. */
#define WINDOW_MAPPINGS_LEAST 64
#define WINDOW_MAPPINGS_MOST  4096

const char *const fork_phase_names[FORK_PHASES] = {"stop", "save", "harvest", "publish", "move", "resume"};

/* A fork under way. */
struct forking {
    struct host *host;
    struct machine *parent;
    unsigned count;
    struct machine **children;
    unsigned made;   /* children that exist */
    struct vm **vms; /* one a child, and one more for a parent that has to move; NULL once given to a machine */
    unsigned vm_count;
    struct machine_state state;
    uint32_t child_result; /* what PORT_FORK reads in a child that does not read its index */
    bool moves;
    uint64_t phase_start;
    struct fork_report *report;
    struct failure *failure;
};

void fork_report_free(struct fork_report *report)
{
    free(report->children);
    report->children = NULL;
}

static void end_phase(struct forking *f, enum fork_phase phase)
{
    uint64_t now = clock_ns();
    f->report->phases_ns[phase] = now - f->phase_start;
    f->phase_start = now;
}

static int check(struct forking *f)
{
    struct host *host = f->host;
    if (f->count < 1 || f->count > HOST_FORK_MAX)
        return fail(f->failure, FAIL_INVALID_ARGUMENT, "count %u: want 1 to %d", f->count, HOST_FORK_MAX);
    if (host->options->limit_guests && host->live + f->count > host->options->limit_guests)
        return fail(f->failure, FAIL_LIMIT_EXCEEDED, "%zu guests and %u more would exceed --limit-guests %" PRIu64,
                    host->live, f->count, host->options->limit_guests);
    return 0;
}

/* Everything that needs memory or KVM's time, while the parent still runs. */
static int prepare(struct forking *f)
{
    struct host *host = f->host;
    f->moves = f->parent->window_shared;
    f->vm_count = f->count + f->moves;
    f->children = calloc(f->count, sizeof *f->children);
    f->vms = calloc(f->vm_count, sizeof *f->vms);
    f->report->children = calloc(f->count, sizeof *f->report->children);
    if (!f->children || !f->vms || !f->report->children)
        return fail(f->failure, FAIL_NO_MEMORY, "out of memory for a fork into %u", f->count);
    if (machine_state_init(&f->state, &host->kvm, host->options->cpus, f->failure) < 0 ||
        host_reserve(host, f->count, f->failure) < 0)
        return -1;
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
    if (pool_take(host->pool, f->vms, f->vm_count, f->failure) < 0) {
        f->vm_count = 0;
        return -1;
    }
    return 0;
}

/* The parent goes on in the last of the VMs; its old one is freed off the critical path. */
static int move_parent(struct forking *f)
{
    struct machine *parent = f->parent;
    struct vm *old = parent->vm, *fresh = f->vms[f->vm_count - 1];
    if (machine_project(parent, fresh, f->failure) < 0 || machine_restore_vm(fresh, &f->state, f->failure) < 0 ||
        view_freeze(&parent->view, f->failure) < 0)
        return -1;
    for (unsigned i = 0; i < fresh->cpus; i++) {
        fresh->vcpus[i].waiting = old->vcpus[i].waiting;
        fresh->vcpus[i].ended = old->vcpus[i].ended;
    }
    fresh->machine = parent;
    old->machine = NULL;
    parent->vm = fresh;
    parent->window_shared = false;
    f->vms[f->vm_count - 1] = old; /* clean_up() frees it: it is not as the pool wants them */
    return 0;
}

/* The parent may have ended between the command and the stop; a fork that another vCPU has asked for is not carried out
 * in the children of this one. */
static int inspect_stopped(struct forking *f)
{
    struct machine *parent = f->parent;
    f->child_result = parent->fork_result;
    for (unsigned i = 0; i < parent->vm->cpus; i++) {
        if (parent->vm->vcpus[i].ended)
            return fail(f->failure, FAIL_GUEST_NOT_FOUND, "guest %" PRIu64 " has just ended", parent->id);
        if (parent->vm->vcpus[i].waiting)
            f->child_result = FORK_REFUSED;
    }
    return 0;
}

static int in_pause(struct forking *f)
{
    struct machine *parent = f->parent;
    if (inspect_stopped(f) < 0 || machine_save(parent, &f->state, f->failure) < 0)
        return -1;
    end_phase(f, FORK_SAVE);
    if (machine_harvest(parent, f->failure) < 0)
        return -1;
    end_phase(f, FORK_HARVEST);
    if (machine_publish(parent, f->host->layers, &f->report->published_pages, f->failure) < 0)
        return -1;
    end_phase(f, FORK_PUBLISH);
    if (f->moves && move_parent(f) < 0)
        return -1;
    end_phase(f, FORK_MOVE);
    return 0;
}

/* Stops the parent, freezes its memory, and lets it run on, whether that worked or not. The pause ends when the last of
 * the parent's vCPUs is in the guest again. That is waited for: on a busy host this thread's work for the children
 * would otherwise keep them from the processor. */
static int freeze(struct forking *f)
{
    struct machine *parent = f->parent;
    uint64_t start = f->phase_start = clock_ns();
    vm_stop(parent->vm);
    end_phase(f, FORK_STOP);
    int result = in_pause(f);
    uint64_t resume = clock_ns(), end = resume;
    if (parent->state == GUEST_RUNNING) {
        vm_start(parent->vm);
        uint64_t entered = vm_wait_entered(parent->vm, resume);
        end = entered > resume ? entered : resume;
    }
    f->report->phases_ns[FORK_RESUME] = end - resume;
    f->report->pause_ns = end - start;
    return result;
}

static size_t mapping_budget(const struct host *host)
{
    size_t share = host->map_limit / 2 / (host->live + 1);
    return share < WINDOW_MAPPINGS_LEAST  ? WINDOW_MAPPINGS_LEAST
           : share > WINDOW_MAPPINGS_MOST ? WINDOW_MAPPINGS_MOST
                                          : share;
}

static int build_child(struct forking *f, unsigned i, bool child_reads_index)
{
    struct machine *child = f->children[i];
    if (view_init(&child->view, f->host->views, f->host->options->memory, f->failure) < 0)
        return -1;
    child->vm = f->vms[i]; /* from here on machine_end() takes down both */
    f->vms[i] = NULL;
    child->vm->machine = child;
    child->uart = f->state.uart;
    child->fork_result = child_reads_index ? i + 1 : f->child_result;
    for (unsigned v = 0; v < f->state.cpus; v++)
        child->report.halted += f->state.vcpus[v].halted;
    if (view_share(&child->view, &f->parent->view, f->failure) < 0 ||
        machine_project(child, child->vm, f->failure) < 0 || machine_restore_vm(child->vm, &f->state, f->failure) < 0)
        return -1;
    return machine_refresh_identity(child, f->failure);
}

static int build_children(struct forking *f, bool child_reads_index)
{
    if (machine_coalesce(f->parent, f->host->layers, mapping_budget(f->host), f->failure) < 0)
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
    machine_state_free(&f->state);
    if (failed)
        fork_report_free(f->report);
    layers_settle(host->layers);
    pool_prepare(host->pool, failed ? 0 : f->vm_count);
}

static int try_fork(struct forking *f, bool paused, bool child_reads_index, uint64_t command_ns)
{
    *f->report = (struct fork_report){0};
    bool done = check(f) == 0 && prepare(f) == 0 && freeze(f) == 0 && build_children(f, child_reads_index) == 0;
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
