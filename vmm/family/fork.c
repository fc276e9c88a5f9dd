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
    struct cleave_family *family;
    struct machine *parent;
    unsigned count;
    struct machine **children;
    unsigned made;   /* children that exist */
    struct vm **vms; /* one a child; NULL once given to a machine */
    unsigned vm_count;
    struct freezing freezing;
    struct cleave_fork_report *report;
    struct cleave_failure *failure;
};

void cleave_fork_report_free(struct cleave_fork_report *report)
{
    free(report->children);
    report->children = NULL;
}

static int check(struct forking *f)
{
    struct cleave_family *family = f->family;
    if (f->count < 1 || f->count > CLEAVE_FORK_MAX)
        return fail(f->failure, CLEAVE_INVALID_ARGUMENT, "count %u: want 1 to %d", f->count, CLEAVE_FORK_MAX);
    return family_check_limit(family, f->count, f->failure);
}

static int make_children(struct forking *f)
{
    struct cleave_family *family = f->family;
    for (; f->made < f->count; f->made++) {
        struct machine *child =
            machine_new(family->next_id + f->made, &family->store, family->terminal, &family->mailbox, f->failure);
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
    struct cleave_family *family = f->family;
    f->children = calloc(f->count, sizeof *f->children);
    f->vms = calloc(f->count, sizeof *f->vms);
    f->report->children = calloc(f->count, sizeof *f->report->children);
    if (!f->children || !f->vms || !f->report->children)
        return fail(f->failure, CLEAVE_NO_MEMORY, "out of memory for a fork into %u", f->count);
    if (family_reserve(family, f->count, f->failure) < 0 || make_children(f) < 0 ||
        freeze_prepare(&f->freezing, family, f->parent, f->failure) < 0 ||
        pool_take(family->pool, f->vms, f->count, f->failure) < 0)
        return -1;
    f->vm_count = f->count;
    return 0;
}

static int freeze_parent(struct forking *f)
{
    int result = freeze(&f->freezing, f->failure);
    f->report->pause_ns = f->freezing.pause_ns;
    f->report->published_pages = f->freezing.published_pages;
    for (int i = 0; i < CLEAVE_FORK_PHASES; i++)
        f->report->phases_ns[i] = f->freezing.phases_ns[i];
    return result;
}

static int build_child(struct forking *f, unsigned i, int asker)
{
    struct machine *child = f->children[i];
    const struct machine_state *state = f->freezing.state;
    if (memory_make_view(&child->memory, f->failure) < 0)
        return -1;
    machine_take_vm(child, f->vms[i]); /* from here on machine_end() takes down both */
    f->vms[i] = NULL;
    machine_take_devices(child, state);
    console_begin(&child->console, &state->line);
    if (asker >= 0)
        child->fork_results[asker] = i + 1;
    if (family_inherit_saved(f->family, child, f->parent, f->failure) < 0 ||
        view_share(&child->memory.view, &f->parent->memory.view, f->failure) < 0 ||
        memory_project(&child->memory, child->memory.window, f->failure) < 0 ||
        machine_restore_vm(child->vm, state, f->failure) < 0)
        return -1;
    struct identity identity;
    if (machine_draw_identity(child, &identity, f->failure) < 0 ||
        machine_write_identity(child, &identity, f->failure) < 0)
        return -1;
    machine_set_birth(child, CLEAVE_RESET_TO_FORK, f->freezing.state, &identity);
    return 0;
}

static int build_children(struct forking *f, int asker)
{
    if (memory_coalesce(&f->parent->memory, family_mapping_budget(f->family), f->failure) < 0)
        return -1;
    for (unsigned i = 0; i < f->count; i++)
        if (build_child(f, i, asker) < 0)
            return -1;
    return 0;
}

static void emit_forked(struct forking *f)
{
    uint64_t ids[CLEAVE_FORK_MAX];
    for (unsigned i = 0; i < f->count; i++)
        ids[i] = f->children[i]->id;
    const struct cleave_event event = {
        .kind = CLEAVE_EVENT_FORKED,
        .guest = f->parent->id,
        .timestamp_ns = clock_ns(),
        .children = ids,
        .child_count = f->count,
    };
    family_emit(f->family, &event);
}

/* Nothing here can fail: the children become guests, and all of them run before any is waited for. */
static void commit(struct forking *f, bool paused, uint64_t command_ns)
{
    for (unsigned i = 0; i < f->count; i++) {
        f->children[i]->state = paused ? CLEAVE_PAUSED : CLEAVE_RUNNING;
        family_add(f->family, f->children[i]);
        if (!paused)
            vm_start(f->children[i]->vm);
    }
    console_pass_lines(&f->parent->console); /* from now on others write to the terminal, too */
    f->family->next_id += f->count;
    f->parent->children += f->count;
    f->parent->forks++;
    emit_forked(f);
    for (unsigned i = 0; i < f->count; i++) {
        f->report->children[i].id = f->children[i]->id;
        if (paused)
            continue;
        uint64_t entered = vm_wait_entered(f->children[i]->vm, 1);
        f->report->children[i].ready_ns = entered > command_ns ? entered - command_ns : 0;
        family_report_started(f->family, f->children[i]);
    }
    f->report->count = f->count;
}

/* What is left over, and after a failure everything. VMs that have had a guest's memory do not go back to the pool. */
static void clean_up(struct forking *f, bool failed)
{
    struct cleave_family *family = f->family;
    unsigned used = f->vm_count + (f->freezing.spare ? 1 : 0);
    for (unsigned i = 0; failed && i < f->made; i++) {
        if (f->children[i]->vm)
            vm_free_later(family->reaper, machine_end(f->children[i]));
        machine_free(f->children[i]);
    }
    for (unsigned i = 0; i < f->vm_count; i++)
        if (f->vms[i])
            vm_free_later(family->reaper, f->vms[i]);
    free(f->vms);
    free(f->children);
    freeze_end(&f->freezing);
    if (failed)
        cleave_fork_report_free(f->report);
    store_settle(&family->store);
    pool_prepare(family->pool, failed ? 0 : used);
}

static int try_fork(struct forking *f, bool paused, int asker, uint64_t command_ns)
{
    *f->report = (struct cleave_fork_report){0};
    f->freezing = (struct freezing){.family = f->family};
    bool done = check(f) == 0 && prepare(f) == 0 && freeze_parent(f) == 0 && build_children(f, asker) == 0;
    if (done)
        commit(f, paused, command_ns);
    clean_up(f, !done);
    return done ? 0 : -1;
}

int family_fork(struct cleave_family *family, struct machine *parent, unsigned count, bool paused, int asker,
                struct cleave_fork_report *report, struct cleave_failure *failure)
{
    uint64_t command_ns = clock_ns();
    const struct forking fresh = {
        .family = family, .parent = parent, .count = count, .report = report, .failure = failure};
    struct forking f = fresh;
    if (try_fork(&f, paused, asker, command_ns) == 0)
        return 0;
    if (failure->kind != CLEAVE_NO_MEMORY)
        return -1;
    /* What ended guests held may still be on its way back: have it, and try once more. */
    background_drain(family->reaper);
    f = fresh;
    return try_fork(&f, paused, asker, command_ns);
}
