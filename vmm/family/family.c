/* The host: making and freeing it, the registry of guests, and their ends. See host.h and host_internal.h. */
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"
#include "vmm/kvm/features.h"
#include "vmm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_QUIT    124
#define EXIT_CRASHED 126

#define WINDOW_MAPPINGS_LEAST 64
#define WINDOW_MAPPINGS_MOST  4096

static size_t read_map_limit(void)
{
    size_t limit = 65530; /* the kernel's default */
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    if (file) {
        if (fscanf(file, "%zu", &limit) != 1)
            limit = 65530;
        fclose(file);
    }
    return limit;
}

static int open_terminal(struct host *host, struct failure *failure)
{
    int fd = STDOUT_FILENO;
    if (host->options->console == CONSOLE_NONE) {
        fd = -1;
    } else if (host->options->console == CONSOLE_FILE) {
        fd = host->console_file = open(host->options->console_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (fd < 0)
            return fail_errno(failure, errno, "--console file:%s", host->options->console_path);
    }
    host->terminal = terminal_new(fd);
    return host->terminal ? 0 : fail(failure, FAIL_NO_MEMORY, "out of memory for the console");
}

/* The snapshot of --restore says what machines this host makes, and what processor they see. */
static int open_restored(struct host *host, struct failure *failure)
{
    const char *path = host->options->restore;
    if (!path)
        return 0;
    struct snapshot_error error;
    host->restored = calloc(1, sizeof *host->restored);
    if (!host->restored)
        return fail(failure, FAIL_NO_MEMORY, "out of memory for a snapshot");
    if (snapshot_chain_open(host->restored, path, &error) < 0) {
        free(host->restored);
        host->restored = NULL;
        return host_fail_snapshot(&error, failure);
    }
    const struct snapshot_state *state = snapshot_state(host->restored->files[host->restored->count - 1]);
    host->own_options.memory = state->machine.memory;
    host->own_options.cpus = state->machine.cpus;
    if (features_check(state->cpuid, state->cpuid_count, host->kvm.cpuid, path, failure) < 0)
        return -1;
    return kvm_show_cpuid(&host->kvm, state->cpuid, state->cpuid_count, failure);
}

/* Nobody needs the chain once its guest has been made. */
void host_close_restored(struct host *host)
{
    if (!host->restored)
        return;
    snapshot_chain_close(host->restored);
    free(host->restored);
    host->restored = NULL;
}

static void on_wake(uv_async_t *handle)
{
    host_take_reports(handle->data);
}

static int make_parts(struct host *host, struct failure *failure)
{
    if (open_terminal(host, failure) < 0 || kvm_open(&host->kvm, failure) < 0 || open_restored(host, failure) < 0)
        return -1;
    host->windows = windows_new(host->options->memory);
    host->reaper = background_new("reaper");
    if (!host->windows || !host->reaper)
        return fail(failure, FAIL_NO_MEMORY, "out of memory for the VMM");
    host->layers = layers_new(host->reaper);
    if (!host->layers)
        return fail(failure, FAIL_NO_MEMORY, "out of memory for the VMM");
    host->views = views_new(host->layers, failure);
    if (!host->views)
        return -1;
    struct vm_config config = {&host->kvm, host->windows, host->options->memory, host->options->cpus};
    host->pool = pool_new(&config);
    return host->pool ? 0 : fail(failure, FAIL_NO_MEMORY, "out of memory for the VMM");
}

struct host *host_new(uv_loop_t *loop, const struct options *options, struct failure *failure)
{
    struct host *host = calloc(1, sizeof *host);
    if (!host) {
        fail(failure, FAIL_NO_MEMORY, "out of memory for the VMM");
        return NULL;
    }
    host->loop = loop;
    host->own_options = *options;
    host->options = &host->own_options;
    host->kvm.fd = host->console_file = -1;
    host->map_limit = read_map_limit();
    pthread_mutex_init(&host->lock, NULL);
    uv_async_init(loop, &host->wake, on_wake);
    host->wake.data = host;
    uv_async_init(loop, &host->load_ended, host_end_loads);
    host->load_ended.data = host;
    uv_timer_init(loop, &host->overlay_timer);
    uv_timer_init(loop, &host->save_timer);
    host->save_timer.data = host;
    uv_unref((uv_handle_t *)&host->wake); /* being told something is no reason to stay */
    uv_unref((uv_handle_t *)&host->load_ended);
    vm_init_signal();
    if (make_parts(host, failure) == 0)
        return host;
    host_free(host);
    return NULL;
}

static void close_handles(struct host *host)
{
    uv_close((uv_handle_t *)&host->wake, NULL);
    uv_close((uv_handle_t *)&host->load_ended, NULL);
    uv_close((uv_handle_t *)&host->overlay_timer, NULL);
    uv_close((uv_handle_t *)&host->save_timer, NULL);
    uv_run(host->loop, UV_RUN_NOWAIT);
}

void host_free(struct host *host)
{
    for (size_t i = 0; i < host->count; i++) {
        if (host->machines[i]->vm)
            vm_free(machine_end(host->machines[i]));
        machine_free(host->machines[i]);
    }
    free(host->machines);
    host_close_restored(host);
    pool_free(host->pool);
    if (host->zeros)
        layer_close(host->layers, host->zeros);
    layers_free(host->layers);
    background_free(host->reaper);
    views_free(host->views);
    windows_free(host->windows);
    if (host->kvm.fd >= 0)
        kvm_close(&host->kvm);
    terminal_free(host->terminal);
    if (host->console_file >= 0)
        close(host->console_file);
    close_handles(host);
    pthread_mutex_destroy(&host->lock);
    free(host);
}

struct layers *host_layers(const struct host *host)
{
    return host->layers;
}

void host_on_event(struct host *host, host_event_fn *fn, void *context)
{
    host->on_event = fn;
    host->event_context = context;
}

void host_on_done(struct host *host, void (*fn)(void *context), void *context)
{
    host->on_done = fn;
    host->done_context = context;
}

int host_exit_status(const struct host *host)
{
    return host->exit_status;
}

void host_emit(struct host *host, const struct host_event *event)
{
    if (host->on_event)
        host->on_event(host->event_context, event);
}

struct machine *host_find(struct host *host, uint64_t id, struct failure *failure)
{
    size_t low = 0, high = host->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (host->machines[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < host->count && host->machines[low]->id == id)
        return host->machines[low];
    fail(failure, FAIL_GUEST_NOT_FOUND, "there is no guest %" PRIu64 "; see query-guests", id);
    return NULL;
}

struct machine *host_find_held(struct host *host, uint64_t id, struct failure *failure)
{
    host_take_reports(host);
    struct machine *machine = host_find(host, id, failure);
    if (machine && !machine->vm) {
        fail(failure, FAIL_GUEST_NOT_FOUND, "guest %" PRIu64 " has ended", id);
        return NULL;
    }
    return machine;
}

struct machine *host_find_live(struct host *host, uint64_t id, struct failure *failure)
{
    struct machine *machine = host_find_held(host, id, failure);
    if (machine && machine_has_ended(machine)) {
        fail(failure, FAIL_GUEST_NOT_FOUND, "guest %" PRIu64 " has ended; reset returns it to its checkpoint", id);
        return NULL;
    }
    return machine;
}

size_t host_mapping_budget(const struct host *host)
{
    size_t share = host->map_limit / 2 / (host->live + 1);
    return share < WINDOW_MAPPINGS_LEAST  ? WINDOW_MAPPINGS_LEAST
           : share > WINDOW_MAPPINGS_MOST ? WINDOW_MAPPINGS_MOST
                                          : share;
}

int host_check_limit(const struct host *host, unsigned more, struct failure *failure)
{
    uint64_t limit = host->options->limit_guests;
    const size_t taken = host->live + host->loading;
    if (!limit || taken + more <= limit)
        return 0;
    return fail(failure, FAIL_LIMIT_EXCEEDED, "%zu guests and %u more would exceed --limit-guests %" PRIu64, taken,
                more, limit);
}

int host_reserve(struct host *host, size_t more, struct failure *failure)
{
    if (host->count + more <= host->room)
        return 0;
    size_t room = 2 * (host->count + more);
    struct machine **grown = realloc(host->machines, room * sizeof(struct machine *));
    if (!grown)
        return fail(failure, FAIL_NO_MEMORY, "out of memory for the list of guests");
    host->machines = grown;
    host->room = room;
    return 0;
}

void host_add(struct host *host, struct machine *machine)
{
    host->machines[host->count++] = machine;
    host->live++;
}

/* Forgets the oldest ended guest beyond those that are kept, but never the root. */
static void forget_oldest(struct host *host)
{
    for (size_t i = 1; i < host->count && host->ended > ENDED_KEPT; i++) {
        struct machine *machine = host->machines[i];
        pthread_mutex_lock(&host->lock);
        bool posted = machine->report.posted; /* its last words are still to be taken */
        pthread_mutex_unlock(&host->lock);
        if (machine->vm || posted)
            continue;
        memmove(host->machines + i, host->machines + i + 1, (host->count - i - 1) * sizeof(struct machine *));
        host->count--;
        host->ended--;
        machine_free(machine);
        return;
    }
}

static void finish(struct host *host)
{
    if (host->done)
        return;
    host->done = true;
    if (host->on_done)
        host->on_done(host->done_context);
}

/* The process's exit status follows the root; a root that was killed did not end by itself. */
static int status_of(enum guest_end end, uint32_t exit_code)
{
    switch (end) {
    case END_EXIT:
        return (int)(exit_code & 0xff);
    case END_CRASH:
        return EXIT_CRASHED;
    default:
        return EXIT_QUIT;
    }
}

/* Frees what the guest holds; its record stays. */
static void release(struct host *host, struct machine *machine)
{
    vm_free_later(host->reaper, machine_end(machine));
    layers_settle(host->layers);
    host->live--;
    host->ended++;
}

void host_finish_without_guests(struct host *host)
{
    if (!host->live && !host->saves && !host->loading && !host->options->linger)
        finish(host);
}

void host_end(struct host *host, struct machine *machine, enum guest_end end, uint32_t exit_code, const char *reason)
{
    if (end != END_KILLED && machine->instant.kind == RESET_TO_CHECKPOINT) {
        vm_stop(machine->vm);
        console_flush(&machine->console);
    } else {
        release(host, machine);
    }
    machine->state = end == END_CRASH ? GUEST_CRASHED : GUEST_EXITED;
    machine->end = end;
    machine->exit_code = exit_code;
    if (machine->id == 0)
        host->exit_status = status_of(end, exit_code);
    struct host_event event = {
        .kind = end == END_CRASH ? EVENT_CRASHED : EVENT_EXITED,
        .guest = machine->id,
        .timestamp_ns = clock_ns(),
        .end = end,
        .exit_code = exit_code,
        .reason = reason,
    };
    host_emit(host, &event);
    forget_oldest(host);
    host_finish_without_guests(host);
}

void host_report_started(struct host *host, struct machine *machine)
{
    if (machine->started)
        return;
    machine->started = true;
    struct host_event event = {
        .kind = EVENT_STARTED, .guest = machine->id, .timestamp_ns = vm_wait_entered(machine->vm, 1)};
    host_emit(host, &event);
}

void host_start(struct host *host, struct machine *machine)
{
    machine->state = GUEST_RUNNING;
    vm_start(machine->vm);
    host_report_started(host, machine);
}

static void emit_state(struct host *host, struct machine *machine, enum host_event_kind kind)
{
    struct host_event event = {.kind = kind, .guest = machine->id, .timestamp_ns = clock_ns()};
    host_emit(host, &event);
}

int host_pause(struct host *host, uint64_t guest, struct failure *failure)
{
    struct machine *machine = host_find_live(host, guest, failure);
    if (!machine)
        return -1;
    if (machine->state == GUEST_PAUSED)
        return 0;
    vm_stop(machine->vm);
    machine->state = GUEST_PAUSED;
    emit_state(host, machine, EVENT_PAUSED);
    return 0;
}

int host_resume(struct host *host, uint64_t guest, struct failure *failure)
{
    struct machine *machine = host_find_live(host, guest, failure);
    if (!machine)
        return -1;
    if (machine->state == GUEST_RUNNING)
        return 0;
    host_start(host, machine);
    emit_state(host, machine, EVENT_RESUMED);
    return 0;
}

int host_kill(struct host *host, uint64_t guest, struct failure *failure)
{
    struct machine *machine = host_find_held(host, guest, failure);
    if (!machine)
        return -1;
    if (machine_has_ended(machine)) {
        release(host, machine);
        forget_oldest(host);
        host_finish_without_guests(host);
    } else {
        host_end(host, machine, END_KILLED, 0, NULL);
    }
    return 0;
}

void host_quit(struct host *host)
{
    for (size_t i = host->count; i-- > 0;) {
        if (i >= host->count || !host->machines[i]->vm)
            continue;
        if (machine_has_ended(host->machines[i]))
            release(host, host->machines[i]);
        else
            host_end(host, host->machines[i], END_KILLED, 0, NULL);
    }
    host->exit_status = EXIT_QUIT;
    host_cancel_saves(host);
    host_cancel_loads(host);
    finish(host);
}
