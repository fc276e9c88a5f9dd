/*
 * Snapshots that are read whole, because a client wants that or because their page data is compressed: into memory of
 * the guest's own, and checked. A thread reads while the event loop goes on, and then the guest is made; for the root
 * guest, which nobody can be served before, the event loop's own thread reads. Each file has a thread of its own, and
 * not one of libuv's pool, where it would wait behind the snapshots that are being written.
 */
#include "vmm/family/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct load {
    struct host *host;
    const struct snapshot_chain *chain;
    struct layer *layer;
    uint8_t *memory; /* the layer's; MAP_FAILED: not mapped */
    bool failed;
    struct snapshot_error error;
    atomic_bool cancel;
    /* By a thread: */
    struct background *thread;
    atomic_bool ended; /* the last that the thread says, but for ringing load_ended */
    struct snapshot_chain own_chain;
    struct restore_request request;
    char *path; /* the request's */
    uint64_t command_ns;
    host_restore_fn *done;
    void *context;
    struct load *next;
};

/* The mapping has to go before a guest may have the memory. */
static void unmap(struct load *load)
{
    if (load->memory != MAP_FAILED)
        munmap(load->memory, load->host->options->memory);
    load->memory = MAP_FAILED;
}

static int prepare(struct load *load, struct failure *failure)
{
    const uint64_t bytes = load->host->options->memory;
    load->memory = MAP_FAILED;
    if (layer_new(load->host->layers, bytes, &load->layer, failure) < 0)
        return -1;
    load->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, layer_fd(load->layer), 0);
    if (load->memory != MAP_FAILED)
        return 0;
    fail_errno(failure, errno, "cannot map %" PRIu64 " bytes to restore into", bytes);
    layer_close(load->host->layers, load->layer);
    load->layer = NULL;
    return -1;
}

static void read_chain(struct load *load)
{
    load->failed = snapshot_chain_load(load->chain, load->memory, &load->cancel, &load->error) < 0;
}

int host_load(struct host *host, const struct snapshot_chain *chain, struct layer **layer, struct failure *failure)
{
    struct load load = {.host = host, .chain = chain};
    if (prepare(&load, failure) < 0)
        return -1;
    read_chain(&load);
    unmap(&load);
    if (load.failed) {
        layer_close(host->layers, load.layer);
        return host_fail_snapshot(&load.error, failure);
    }
    *layer = load.layer;
    return 0;
}

static void read_by_thread(void *argument)
{
    struct load *load = argument;
    read_chain(load);
    atomic_store(&load->ended, true);
    uv_async_send(&load->host->load_ended);
}

static void load_free(struct load *load)
{
    if (load->thread)
        background_free(load->thread);
    unmap(load);
    if (load->layer)
        layer_close(load->host->layers, load->layer);
    layers_settle(load->host->layers);
    free(load->path);
    free(load);
}

static int make_guest(struct load *load, struct restore_report *report, struct failure *failure)
{
    const struct restoring restoring = {load->host, load->chain, &load->request, load->command_ns, load->layer};
    if (load->failed)
        return host_fail_snapshot(&load->error, failure);
    if (load->host->done)
        return fail(failure, FAIL_IO, "%s: the VMM has ended", load->path);
    return host_restore_chain(&restoring, report, failure);
}

/* The thread has read, or failed to. */
static void end(struct load *load)
{
    struct host *host = load->host;
    struct restore_report report;
    struct failure failure;
    unmap(load);
    bool made = make_guest(load, &report, &failure) == 0;
    load->done(load->context, made ? &report : NULL, made ? NULL : &failure);
    snapshot_chain_close(&load->own_chain);
    load_free(load);
    host_finish_without_guests(host);
}

/* One that has ended, taken off the list; NULL: there is none. */
static struct load *take_ended(struct host *host)
{
    for (struct load **link = &host->loads; *link; link = &(*link)->next) {
        struct load *load = *link;
        if (!atomic_load(&load->ended))
            continue;
        *link = load->next;
        if (--host->loading == 0)
            uv_unref((uv_handle_t *)&host->load_ended);
        return load;
    }
    return NULL;
}

void host_end_loads(uv_async_t *load_ended)
{
    struct load *load;
    while ((load = take_ended(load_ended->data)))
        end(load);
}

static int start(struct load *load, struct failure *failure)
{
    if (prepare(load, failure) < 0)
        return -1;
    load->thread = background_new("loader");
    if (!load->thread)
        return fail(failure, FAIL_NO_MEMORY, "out of memory or threads to restore a guest");
    background_add(load->thread, read_by_thread, load);
    return 0;
}

int host_load_and_restore(const struct restoring *restoring, host_restore_fn *done, void *context,
                          struct failure *failure)
{
    struct host *host = restoring->host;
    struct load *load = calloc(1, sizeof *load);
    char *path = strdup(restoring->request->path);
    if (!load || !path) {
        free(load);
        free(path);
        return fail(failure, FAIL_NO_MEMORY, "out of memory to restore a guest");
    }
    *load = (struct load){
        .host = host,
        .chain = &load->own_chain,
        .memory = MAP_FAILED,
        .own_chain = *restoring->chain,
        .request = *restoring->request,
        .path = path,
        .command_ns = restoring->command_ns,
        .done = done,
        .context = context,
    };
    load->request.path = path;
    if (start(load, failure) < 0) {
        load_free(load);
        return -1;
    }
    load->next = host->loads;
    host->loads = load;
    if (host->loading++ == 0)
        uv_ref((uv_handle_t *)&host->load_ended);
    return 0;
}

void host_cancel_loads(struct host *host)
{
    for (struct load *load = host->loads; load; load = load->next)
        atomic_store(&load->cancel, true);
}
