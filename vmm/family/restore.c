/*
 * Restore: a new guest that goes on from a snapshot. Lazily its view names the frames of the snapshot's file, whole
 * blocks as 2 MiB leaves, and the kernel reads from the file what the guest touches; so the first instruction does not
 * wait for the data, and guests of one file share its pages. Eagerly all is read and checked first.
 */
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"
#include "vmm/kvm/features.h"
#include "vmm/machine/saved_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A guest that is being made. */
struct making {
    struct cleave_family *family;
    const struct snapshot_chain *chain;
    struct snapshot *top; /* the one that was asked for */
    const char *path;
    struct layer *memory;
    struct machine *machine;
    struct machine_state *state;
    struct cleave_failure *failure;
};

static struct snapshot *top_of(const struct snapshot_chain *chain)
{
    return chain->files[chain->count - 1];
}

/* What the guest has seen of a processor, as KVM has it. */
static const struct kvm_cpuid_entry2 *seen(const struct snapshot_state *state)
{
    _Static_assert(sizeof(struct snapshot_cpuid) == sizeof(struct kvm_cpuid_entry2), "CPUID entries are KVM's");
    return (const struct kvm_cpuid_entry2 *)state->cpuid;
}

static int check_features(const struct cleave_family *family, const struct snapshot_state *state, const char *path,
                          struct cleave_failure *failure)
{
    return features_check(seen(state), state->cpuid_count, family->kvm.cpuid, path, failure);
}

int family_open_snapshot(struct cleave_family *family, const char *path, struct cleave_failure *failure)
{
    struct snapshot_error error;
    family->snapshot = calloc(1, sizeof *family->snapshot);
    family->snapshot_path = strdup(path);
    if (!family->snapshot || !family->snapshot_path || snapshot_chain_open(family->snapshot, path, &error) < 0) {
        bool opened = family->snapshot && family->snapshot_path;
        free(family->snapshot);
        family->snapshot = NULL;
        return opened ? family_fail_snapshot(&error, failure)
                      : fail(failure, CLEAVE_NO_MEMORY, "out of memory for a snapshot");
    }
    const struct snapshot_state *state = snapshot_state(top_of(family->snapshot));
    family->config.memory = state->machine.memory;
    family->config.cpus = state->machine.cpus;
    return check_features(family, state, path, failure) < 0
               ? -1
               : kvm_show_cpuid(&family->kvm, seen(state), state->cpuid_count, failure);
}

/* Nobody needs the chain once its guest has been made. */
void family_close_snapshot(struct cleave_family *family)
{
    if (family->snapshot)
        snapshot_chain_close(family->snapshot);
    free(family->snapshot);
    free(family->snapshot_path);
    family->snapshot = NULL;
    family->snapshot_path = NULL;
}

int family_check_restore(const struct restoring *restoring, struct cleave_failure *failure)
{
    struct cleave_family *family = restoring->family;
    const struct cleave_config *config = &family->config;
    const char *path = restoring->request->path;
    const struct snapshot_state *state = snapshot_state(top_of(restoring->chain));
    if (family_check_limit(family, 1, failure) < 0)
        return -1;
    if (state->machine.memory != config->memory || state->machine.cpus != config->cpus)
        return fail(failure, CLEAVE_UNSUPPORTED,
                    "%s: a machine of %" PRIu64 " KiB and %u vCPUs, and this VMM's have %" PRIu64
                    " KiB and %u; start another with vmm --restore",
                    path, state->machine.memory >> 10, state->machine.cpus, config->memory >> 10, config->cpus);
    return check_features(family, state, path, failure);
}

static int make_machine(struct making *m)
{
    struct cleave_family *family = m->family;
    struct machine *machine =
        machine_new(family->next_id, &family->store, family->terminal, &family->mailbox, m->failure);
    if (!machine)
        return -1;
    m->machine = machine;
    machine->generation = snapshot_state(m->top)->machine.generation + 1;
    struct vm *vm = NULL;
    if (!family->config.ready_vms)
        vm = vm_new(&family->vms, true, m->failure);
    else if (pool_take(family->pool, &vm, 1, m->failure) < 0)
        return -1;
    if (vm)
        machine_take_vm(machine, vm); /* from here on machine_end() takes down both */
    return vm ? 0 : -1;
}

static int map_extents(struct making *m, const struct snapshot_extent *extents, size_t count, struct layer **files)
{
    for (size_t i = 0; i < count; i++) {
        const struct snapshot_extent *e = &extents[i];
        uint64_t hpa = e->offset ? layer_hpa(files[e->file]) + e->offset : layer_hpa(m->family->store.zeros) + e->gpa;
        if (view_map(&m->machine->memory.view, e->gpa, hpa, e->bytes, false, m->failure) < 0)
            return -1;
    }
    return 0;
}

/* The files become layers. A layer that nothing is mapped from goes again at once. */
static int map_files(struct making *m)
{
    struct layers *layers = m->family->store.layers;
    struct layer *files[SNAPSHOT_CHAIN_MAX];
    struct snapshot_extent *extents;
    struct snapshot_error error;
    size_t count;
    if (store_need_zeros(&m->family->store, m->failure) < 0)
        return -1;
    if (snapshot_chain_extents(m->chain, &extents, &count, &error) < 0)
        return family_fail_snapshot(&error, m->failure);
    unsigned opened = 0;
    while (opened < m->chain->count) {
        struct snapshot *file = m->chain->files[opened];
        if (layer_open(layers, snapshot_fd(file), snapshot_path(file), &files[opened], m->failure) < 0)
            break;
        opened++;
    }
    int result = opened == m->chain->count ? map_extents(m, extents, count, files) : -1;
    for (unsigned i = 0; i < opened; i++)
        layer_close(layers, files[i]);
    free(extents);
    return result;
}

static int make_memory(struct making *m)
{
    struct cleave_family *family = m->family;
    struct memory *memory = &m->machine->memory;
    if (memory_make_view(memory, m->failure) < 0)
        return -1;
    if (m->memory)
        return view_map(&memory->view, 0, layer_hpa(m->memory), memory->bytes, false, m->failure);
    if (map_files(m) < 0 || memory_coalesce(memory, family_mapping_budget(family), m->failure) < 0)
        return -1;
    memory_drop_retained(memory); /* the window will show what has been merged, and nothing of before */
    return 0;
}

/* KVM is the judge of what a vCPU can be; what it refuses is the file's fault, unless it has no memory left. */
static int restore_vcpus(struct making *m)
{
    struct cleave_failure reason;
    if (machine_restore_vm(m->machine->vm, m->state, &reason) == 0)
        return 0;
    if (reason.kind == CLEAVE_NO_MEMORY)
        return fail(m->failure, CLEAVE_NO_MEMORY, "%s: its vCPUs' state cannot be set: %s", m->path, reason.text);
    return fail(m->failure, CLEAVE_SNAPSHOT_INVALID, "%s: no vCPU can be in this state: %s", m->path, reason.text);
}

static int remember_origin(struct making *m)
{
    struct machine *machine = m->machine;
    machine->saved.path = realpath(m->path, NULL);
    if (!machine->saved.path) /* renamed or deleted meanwhile: the name it had will do for messages */
        machine->saved.path = strdup(m->path);
    if (!machine->saved.path)
        return fail(m->failure, CLEAVE_NO_MEMORY, "out of memory for a guest");
    snapshot_chain_lineage(m->chain, &machine->saved.lineage);
    return memory_track_unsaved(&machine->memory, m->failure);
}

static int make_state(struct making *m)
{
    struct machine *machine = m->machine;
    const struct snapshot_state *saved = snapshot_state(m->top);
    m->state = saved_state_decode(&m->family->kvm, saved, m->path, m->failure);
    if (!m->state || memory_project(&machine->memory, machine->memory.window, m->failure) < 0 || restore_vcpus(m) < 0)
        return -1;
    machine_take_devices(machine, m->state);
    struct identity identity;
    if (machine_draw_identity(machine, &identity, m->failure) < 0 ||
        machine_write_identity(machine, &identity, m->failure) < 0 || remember_origin(m) < 0)
        return -1;
    machine_set_birth(machine, CLEAVE_RESET_TO_RESTORE, m->state, &identity);
    return 0;
}

/* Nothing here can fail. */
static void commit(struct making *m, bool paused, uint64_t command_ns, struct cleave_restore_report *report)
{
    struct cleave_family *family = m->family;
    struct machine *machine = m->machine;
    family_pass_lines(family);
    family_add(family, machine);
    family->next_id++;
    *report = (struct cleave_restore_report){.id = machine->id};
    machine->state = CLEAVE_PAUSED;
    if (paused)
        return;
    family_start(family, machine);
    uint64_t entered = vm_wait_entered(machine->vm, 1);
    report->ready_ns = entered > command_ns ? entered - command_ns : 0;
}

static void clean_up(struct making *m, bool failed)
{
    struct cleave_family *family = m->family;
    struct machine *machine = m->machine;
    if (failed && machine) {
        if (machine->vm)
            vm_free_later(family->reaper, machine_end(machine));
        machine_free(machine);
    }
    machine_state_put(m->state);
    if (family->config.ready_vms) {
        store_settle(&family->store);
        pool_prepare(family->pool, failed ? 0 : 1);
    }
}

int family_restore_chain(const struct restoring *restoring, struct cleave_restore_report *report,
                         struct cleave_failure *failure)
{
    struct cleave_family *family = restoring->family;
    struct making m = {
        .family = family,
        .chain = restoring->chain,
        .top = top_of(restoring->chain),
        .path = restoring->request->path,
        .memory = restoring->memory,
        .failure = failure,
    };
    bool done = family_reserve(family, 1, failure) == 0 && family_check_restore(restoring, failure) == 0 &&
                make_machine(&m) == 0 && make_memory(&m) == 0 && make_state(&m) == 0;
    if (done)
        commit(&m, restoring->request->paused, restoring->command_ns, report);
    clean_up(&m, !done);
    return done ? 0 : -1;
}
