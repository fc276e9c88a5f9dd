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

/* A restore under way. */
struct restoring {
    struct host *host;
    const struct snapshot_chain *chain;
    struct snapshot *top; /* the one that was asked for */
    const char *path;
    bool eager;
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

static bool is_compressed(const struct snapshot_chain *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        if (snapshot_compressed(chain->files[i]))
            return true;
    return false;
}

static int check(const struct restoring *r)
{
    const struct options *options = r->host->options;
    const struct snapshot_state *state = snapshot_state(r->top);
    if (host_check_limit(r->host, 1, r->failure) < 0)
        return -1;
    if (state->machine.memory != options->memory || state->machine.cpus != options->cpus)
        return fail(r->failure, FAIL_UNSUPPORTED,
                    "%s: a machine of %" PRIu64 " KiB and %u vCPUs, and this VMM's have %" PRIu64
                    " KiB and %u; start another with vmm --restore",
                    r->path, state->machine.memory >> 10, state->machine.cpus, options->memory >> 10, options->cpus);
    return features_check(state->cpuid, state->cpuid_count, r->host->kvm.cpuid, r->path, r->failure);
}

static int make_machine(struct restoring *r)
{
    struct host *host = r->host;
    const struct options *options = host->options;
    struct vm_config config = {&host->kvm, host->windows, options->memory, options->cpus};
    struct machine *machine = machine_new(host, host->next_id, options->memory, host->terminal, r->failure);
    if (!machine)
        return -1;
    r->machine = machine;
    machine->generation = snapshot_state(r->top)->machine.generation + 1;
    /* Without a control socket nobody forks but the guest itself, and the pool has nothing yet. */
    if (options->control)
        return pool_take(host->pool, &machine->vm, 1, r->failure);
    machine->vm = vm_new(&config, true, r->failure);
    return machine->vm ? 0 : -1;
}

/* Memory of the guest's own, read and checked whole. */
static int load(struct restoring *r)
{
    struct layers *layers = r->host->layers;
    uint64_t bytes = r->host->options->memory;
    struct layer *layer;
    struct snapshot_error error;
    if (layer_new(layers, bytes, &layer, r->failure) < 0)
        return -1;
    int result = -1;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, layer_fd(layer), 0);
    if (memory == MAP_FAILED) {
        fail_errno(r->failure, errno, "cannot map %" PRIu64 " bytes to restore into", bytes);
    } else {
        result = snapshot_chain_load(r->chain, memory, &error) < 0
                     ? host_fail_snapshot(&error, r->failure)
                     : view_map(&r->machine->view, 0, layer_hpa(layer), bytes, false, r->failure);
        munmap(memory, bytes);
    }
    layer_close(layers, layer);
    return result;
}

static int open_zeros(struct host *host, struct failure *failure)
{
    return host->zeros ? 0 : layer_zeros(host->layers, host->options->memory, &host->zeros, failure);
}

static int map_extents(struct restoring *r, const struct snapshot_extent *extents, size_t count, struct layer **files)
{
    for (size_t i = 0; i < count; i++) {
        const struct snapshot_extent *e = &extents[i];
        uint64_t hpa = e->offset ? layer_hpa(files[e->file]) + e->offset : layer_hpa(r->host->zeros) + e->gpa;
        if (view_map(&r->machine->view, e->gpa, hpa, e->bytes, false, r->failure) < 0)
            return -1;
    }
    return 0;
}

/* The files become layers. A layer that nothing is mapped from goes again at once. */
static int map_files(struct restoring *r)
{
    struct layers *layers = r->host->layers;
    struct layer *files[SNAPSHOT_CHAIN_MAX];
    struct snapshot_extent *extents;
    struct snapshot_error error;
    size_t count;
    if (open_zeros(r->host, r->failure) < 0)
        return -1;
    if (snapshot_chain_extents(r->chain, &extents, &count, &error) < 0)
        return host_fail_snapshot(&error, r->failure);
    unsigned opened = 0;
    while (opened < r->chain->count) {
        struct snapshot *file = r->chain->files[opened];
        if (layer_open(layers, snapshot_fd(file), snapshot_path(file), &files[opened], r->failure) < 0)
            break;
        opened++;
    }
    int result = opened == r->chain->count ? map_extents(r, extents, count, files) : -1;
    for (unsigned i = 0; i < opened; i++)
        layer_close(layers, files[i]);
    free(extents);
    return result;
}

static int make_memory(struct restoring *r)
{
    struct host *host = r->host;
    struct machine *machine = r->machine;
    if (view_init(&machine->view, host->views, host->options->memory, r->failure) < 0)
        return -1;
    machine->vm->machine = machine; /* from here on machine_end() takes down both */
    if (r->eager)
        return load(r);
    if (map_files(r) < 0 || machine_coalesce(machine, host->layers, host_mapping_budget(host), r->failure) < 0)
        return -1;
    machine_drop_retained(machine); /* the window will show what has been merged, and nothing of before */
    return 0;
}

/* KVM is the judge of what a vCPU can be; what it refuses is the file's fault. */
static int restore_vcpus(struct restoring *r)
{
    struct failure reason;
    if (machine_restore_vm(r->machine->vm, r->state, &reason) == 0)
        return 0;
    return fail(r->failure, FAIL_SNAPSHOT_INVALID, "%s: no vCPU can be in this state: %s", r->path, reason.text);
}

static int remember_origin(struct restoring *r)
{
    struct machine *machine = r->machine;
    machine->saved.path = realpath(r->path, NULL);
    if (!machine->saved.path) /* renamed or deleted meanwhile: the name it had will do for messages */
        machine->saved.path = strdup(r->path);
    if (!machine->saved.path)
        return fail(r->failure, FAIL_NO_MEMORY, "out of memory for a guest");
    machine->saved.name = *snapshot_name(r->top);
    machine->saved.chain = r->chain->count;
    return machine_track_unsaved(machine, r->failure);
}

static int make_state(struct restoring *r)
{
    struct machine *machine = r->machine;
    const struct snapshot_state *saved = snapshot_state(r->top);
    r->state = saved_state_decode(&r->host->kvm, saved, r->path, r->failure);
    if (!r->state || machine_project(machine, machine->vm, r->failure) < 0 || restore_vcpus(r) < 0)
        return -1;
    machine->uart = r->state->uart;
    machine->fork_result = saved->machine.fork_result;
    for (unsigned i = 0; i < r->state->cpus; i++)
        machine->report.halted += r->state->vcpus[i].halted;
    struct identity identity;
    if (machine_draw_identity(machine, &identity, r->failure) < 0 ||
        machine_write_identity(machine, &identity, r->failure) < 0 || remember_origin(r) < 0)
        return -1;
    instant_set_birth(machine, RESET_TO_RESTORE, r->state, &identity);
    return 0;
}

/* Nothing here can fail. */
static void commit(struct restoring *r, bool paused, uint64_t command_ns, struct restore_report *report)
{
    struct host *host = r->host;
    struct machine *machine = r->machine;
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

static void clean_up(struct restoring *r, bool failed)
{
    struct host *host = r->host;
    struct machine *machine = r->machine;
    if (failed && machine) {
        if (machine->vm && machine->vm->machine)
            vm_free_later(host->reaper, machine_end(machine));
        else if (machine->vm)
            vm_free_later(host->reaper, machine->vm);
        machine_free(machine);
    }
    machine_state_put(r->state);
    if (host->options->control) {
        layers_settle(host->layers);
        pool_prepare(host->pool, failed ? 0 : 1);
    }
}

int host_restore_chain(struct host *host, const struct snapshot_chain *chain, const struct restore_request *request,
                       struct restore_report *report, struct failure *failure)
{
    uint64_t command_ns = clock_ns();
    struct restoring r = {
        .host = host,
        .chain = chain,
        .top = chain->files[chain->count - 1],
        .path = request->path,
        .eager = request->eager || is_compressed(chain),
        .failure = failure,
    };
    bool done = host_reserve(host, 1, failure) == 0 && check(&r) == 0 && make_machine(&r) == 0 &&
                make_memory(&r) == 0 && make_state(&r) == 0;
    if (done)
        commit(&r, request->paused, command_ns, report);
    clean_up(&r, !done);
    return done ? 0 : -1;
}

int host_restore(struct host *host, const struct restore_request *request, struct restore_report *report,
                 struct failure *failure)
{
    uint64_t command_ns = clock_ns();
    struct snapshot_chain chain;
    struct snapshot_error error;
    if (snapshot_chain_open(&chain, request->path, &error) < 0)
        return host_fail_snapshot(&error, failure);
    uint64_t opening_ns = clock_ns() - command_ns;
    int result = host_restore_chain(host, &chain, request, report, failure);
    if (result == 0 && report->ready_ns)
        report->ready_ns += opening_ns;
    snapshot_chain_close(&chain);
    return result;
}
