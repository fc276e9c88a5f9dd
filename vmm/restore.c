/*
 * Restore: a new guest that goes on from a snapshot. Lazily its view names the frames of the snapshot's file, whole
 * blocks as 2 MiB leaves, and the kernel reads from the file what the guest touches; so the first instruction does not
 * wait for the data, and guests of one file share its pages. Eagerly all is read and checked first.
 */
#include "vmm/features.h"
#include "vmm/host_internal.h"

#include "vmm/clock.h"
#include "vmm/saved_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What a guest cannot reach: the search for a file that has become shorter. */
struct loss {
    struct layers *layers;
    const struct layer_file *file;
    uint64_t now; /* bytes */
};

static int find_loss(void *context, const struct view_run *run)
{
    struct loss *loss = context;
    if (!layers_file_truncated(loss->layers, run->hpa, &loss->now))
        return 0;
    loss->file = layers_find_file(loss->layers, run->hpa);
    return 1;
}

bool host_lost_file(struct host *host, struct machine *machine, char *text, size_t room)
{
    struct loss loss = {.layers = host->layers};
    if (!view_each_run(&machine->view, find_loss, &loss))
        return false;
    snprintf(text, room,
             "its memory is gone: the snapshot %s, which it runs from, was cut from %" PRIu64 " to %" PRIu64 " bytes",
             loss.file->path, loss.file->bytes, loss.now);
    return true;
}

int host_blame_lost_file(struct host *host, struct machine *machine, struct failure *failure)
{
    char text[MACHINE_REASON];
    if (host_lost_file(host, machine, text, sizeof text))
        fail(failure, FAIL_IO, "guest %" PRIu64 ": %s", machine->id, text);
    return -1;
}

/* A guest that is being made. */
struct making {
    struct host *host;
    const struct snapshot_chain *chain;
    struct snapshot *top; /* the one that was asked for */
    const char *path;
    struct layer *memory;
    struct machine *machine;
    struct machine_state *state;
    struct failure *failure;
};

int host_fail_snapshot(const struct snapshot_error *error, struct failure *failure)
{
    static const enum failure_class classes[] = {
        [SNAPSHOT_INVALID] = FAIL_SNAPSHOT_INVALID,
        [SNAPSHOT_ARGUMENT] = FAIL_INVALID_ARGUMENT,
        [SNAPSHOT_IO] = FAIL_IO,
        [SNAPSHOT_NO_MEMORY] = FAIL_NO_MEMORY,
        [SNAPSHOT_CANCELLED] = FAIL_IO,
    };
    return fail(failure, classes[error->class], "%s", error->text);
}

bool host_must_load(const struct snapshot_chain *chain, const struct restore_request *request)
{
    for (unsigned i = 0; i < chain->count; i++)
        if (snapshot_compressed(chain->files[i]))
            return true;
    return request->eager;
}

static struct snapshot *top_of(const struct snapshot_chain *chain)
{
    return chain->files[chain->count - 1];
}

int host_check_restore(const struct restoring *restoring, struct failure *failure)
{
    struct host *host = restoring->host;
    const struct options *options = host->options;
    const char *path = restoring->request->path;
    const struct snapshot_state *state = snapshot_state(top_of(restoring->chain));
    if (host_check_limit(host, 1, failure) < 0)
        return -1;
    if (state->machine.memory != options->memory || state->machine.cpus != options->cpus)
        return fail(failure, FAIL_UNSUPPORTED,
                    "%s: a machine of %" PRIu64 " KiB and %u vCPUs, and this VMM's have %" PRIu64
                    " KiB and %u; start another with vmm --restore",
                    path, state->machine.memory >> 10, state->machine.cpus, options->memory >> 10, options->cpus);
    return features_check(state->cpuid, state->cpuid_count, host->kvm.cpuid, path, failure);
}

static int make_machine(struct making *m)
{
    struct host *host = m->host;
    const struct options *options = host->options;
    struct vm_config config = {&host->kvm, host->windows, options->memory, options->cpus};
    struct machine *machine = machine_new(host, host->next_id, options->memory, host->terminal, m->failure);
    if (!machine)
        return -1;
    m->machine = machine;
    machine->generation = snapshot_state(m->top)->machine.generation + 1;
    /* Without a control socket nobody forks but the guest itself, and the pool has nothing yet. */
    if (options->control)
        return pool_take(host->pool, &machine->vm, 1, m->failure);
    machine->vm = vm_new(&config, true, m->failure);
    return machine->vm ? 0 : -1;
}

static int open_zeros(struct host *host, struct failure *failure)
{
    return host->zeros ? 0 : layer_zeros(host->layers, host->options->memory, &host->zeros, failure);
}

static int map_extents(struct making *m, const struct snapshot_extent *extents, size_t count, struct layer **files)
{
    for (size_t i = 0; i < count; i++) {
        const struct snapshot_extent *e = &extents[i];
        uint64_t hpa = e->offset ? layer_hpa(files[e->file]) + e->offset : layer_hpa(m->host->zeros) + e->gpa;
        if (view_map(&m->machine->view, e->gpa, hpa, e->bytes, false, m->failure) < 0)
            return -1;
    }
    return 0;
}

/* The files become layers. A layer that nothing is mapped from goes again at once. */
static int map_files(struct making *m)
{
    struct layers *layers = m->host->layers;
    struct layer *files[SNAPSHOT_CHAIN_MAX];
    struct snapshot_extent *extents;
    struct snapshot_error error;
    size_t count;
    if (open_zeros(m->host, m->failure) < 0)
        return -1;
    if (snapshot_chain_extents(m->chain, &extents, &count, &error) < 0)
        return host_fail_snapshot(&error, m->failure);
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
    struct host *host = m->host;
    struct machine *machine = m->machine;
    if (view_init(&machine->view, host->views, host->options->memory, m->failure) < 0)
        return -1;
    machine->vm->machine = machine; /* from here on machine_end() takes down both */
    if (m->memory)
        return view_map(&machine->view, 0, layer_hpa(m->memory), host->options->memory, false, m->failure);
    if (map_files(m) < 0 || machine_coalesce(machine, host->layers, host_mapping_budget(host), m->failure) < 0)
        return -1;
    machine_drop_retained(machine); /* the window will show what has been merged, and nothing of before */
    return 0;
}

/* KVM is the judge of what a vCPU can be; what it refuses is the file's fault, unless it has no memory left. */
static int restore_vcpus(struct making *m)
{
    struct failure reason;
    if (machine_restore_vm(m->machine->vm, m->state, &reason) == 0)
        return 0;
    if (reason.class == FAIL_NO_MEMORY)
        return fail(m->failure, FAIL_NO_MEMORY, "%s: its vCPUs' state cannot be set: %s", m->path, reason.text);
    return fail(m->failure, FAIL_SNAPSHOT_INVALID, "%s: no vCPU can be in this state: %s", m->path, reason.text);
}

static int remember_origin(struct making *m)
{
    struct machine *machine = m->machine;
    machine->saved.path = realpath(m->path, NULL);
    if (!machine->saved.path) /* renamed or deleted meanwhile: the name it had will do for messages */
        machine->saved.path = strdup(m->path);
    if (!machine->saved.path)
        return fail(m->failure, FAIL_NO_MEMORY, "out of memory for a guest");
    snapshot_chain_lineage(m->chain, &machine->saved.lineage);
    return machine_track_unsaved(machine, m->failure);
}

static int make_state(struct making *m)
{
    struct machine *machine = m->machine;
    const struct snapshot_state *saved = snapshot_state(m->top);
    m->state = saved_state_decode(&m->host->kvm, saved, m->path, m->failure);
    if (!m->state || machine_project(machine, machine->vm, m->failure) < 0 || restore_vcpus(m) < 0)
        return -1;
    machine->uart = m->state->uart;
    machine->fork_result = saved->machine.fork_result;
    for (unsigned i = 0; i < m->state->cpus; i++)
        machine->report.halted += m->state->vcpus[i].halted;
    struct identity identity;
    if (machine_draw_identity(machine, &identity, m->failure) < 0 ||
        machine_write_identity(machine, &identity, m->failure) < 0 || remember_origin(m) < 0)
        return -1;
    instant_set_birth(machine, RESET_TO_RESTORE, m->state, &identity);
    return 0;
}

/* Nothing here can fail. */
static void commit(struct making *m, bool paused, uint64_t command_ns, struct restore_report *report)
{
    struct host *host = m->host;
    struct machine *machine = m->machine;
    for (size_t i = 0; i < host->count; i++)
        if (host->machines[i]->vm)
            console_pass_lines(&host->machines[i]->console);
    host_add(host, machine);
    host->next_id++;
    *report = (struct restore_report){.id = machine->id};
    machine->state = GUEST_PAUSED;
    if (paused)
        return;
    host_start(host, machine);
    uint64_t entered = vm_wait_entered(machine->vm, 1);
    report->ready_ns = entered > command_ns ? entered - command_ns : 0;
}

static void clean_up(struct making *m, bool failed)
{
    struct host *host = m->host;
    struct machine *machine = m->machine;
    if (failed && machine) {
        if (machine->vm && machine->vm->machine)
            vm_free_later(host->reaper, machine_end(machine));
        else if (machine->vm)
            vm_free_later(host->reaper, machine->vm);
        machine_free(machine);
    }
    machine_state_put(m->state);
    if (host->options->control) {
        layers_settle(host->layers);
        pool_prepare(host->pool, failed ? 0 : 1);
    }
}

int host_restore_chain(const struct restoring *restoring, struct restore_report *report, struct failure *failure)
{
    struct host *host = restoring->host;
    struct making m = {
        .host = host,
        .chain = restoring->chain,
        .top = top_of(restoring->chain),
        .path = restoring->request->path,
        .memory = restoring->memory,
        .failure = failure,
    };
    bool done = host_reserve(host, 1, failure) == 0 && host_check_restore(restoring, failure) == 0 &&
                make_machine(&m) == 0 && make_memory(&m) == 0 && make_state(&m) == 0;
    if (done)
        commit(&m, restoring->request->paused, restoring->command_ns, report);
    clean_up(&m, !done);
    return done ? 0 : -1;
}

static int restore(const struct restoring *restoring, host_restore_fn *done, void *context, struct failure *failure)
{
    struct restore_report report;
    if (host_restore_chain(restoring, &report, failure) < 0)
        return -1;
    done(context, &report, NULL);
    return 0;
}

int host_restore(struct host *host, const struct restore_request *request, host_restore_fn *done, void *context,
                 struct failure *failure)
{
    struct snapshot_chain chain;
    struct snapshot_error error;
    const struct restoring restoring = {host, &chain, request, clock_ns(), NULL};
    if (snapshot_chain_open(&chain, request->path, &error) < 0)
        return host_fail_snapshot(&error, failure);
    bool load = host_must_load(&chain, request);
    int result = host_check_restore(&restoring, failure);
    if (result == 0)
        result = load ? host_load_and_restore(&restoring, done, context, failure)
                      : restore(&restoring, done, context, failure);
    if (!load || result < 0)
        snapshot_chain_close(&chain);
    return result;
}
