/*
 * Snapshots that are read whole, because a caller wants that or because their page data is compressed: into memory of
 * the guest's own, and checked. A thread of each one's own reads, and then the family's owner makes the guest.
 */
#include "vmm/family/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct load {
    struct cleave_family *family;
    struct layer *layer;
    uint8_t *memory; /* the layer's; MAP_FAILED: not mapped */
    bool failed;
    struct snapshot_error error;
    atomic_bool cancel;
    struct background *thread;
    atomic_bool ended; /* the last that the thread says, but for ringing the bell */
    struct snapshot_chain chain;
    struct cleave_restore_request request;
    char *path; /* the request's */
    uint64_t command_ns;
    cleave_restore_fn *done;
    void *context;
    struct load *next;
};

/* The mapping has to go before a guest may have the memory. */
static void unmap(struct load *load)
{
    if (load->memory != MAP_FAILED)
        munmap(load->memory, load->family->config.memory);
    load->memory = MAP_FAILED;
}

static int prepare(struct load *load, struct cleave_failure *failure)
{
    const uint64_t bytes = load->family->config.memory;
    load->memory = MAP_FAILED;
    if (layer_new(load->family->store.layers, bytes, &load->layer, failure) < 0)
        return -1;
    load->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, layer_fd(load->layer), 0);
    if (load->memory != MAP_FAILED)
        return 0;
    fail_errno(failure, errno, "cannot map %" PRIu64 " bytes to restore into", bytes);
    layer_close(load->family->store.layers, load->layer);
    load->layer = NULL;
    return -1;
}

static void read_by_thread(void *argument)
{
    struct load *load = argument;
    struct mailbox *mailbox = &load->family->mailbox;
    load->failed = snapshot_chain_load(&load->chain, load->memory, &load->cancel, &load->error) < 0;
    atomic_store(&load->ended, true);
    mailbox_ring(mailbox);
}

static void load_free(struct load *load)
{
    if (load->thread)
        background_free(load->thread);
    unmap(load);
    if (load->layer)
        layer_close(load->family->store.layers, load->layer);
    store_reclaim(&load->family->store);
    free(load->path);
    free(load);
}

static int make_guest(struct load *load, struct cleave_restore_report *report, struct cleave_failure *failure)
{
    const struct restoring restoring = {load->family, &load->chain, &load->request, load->command_ns, load->layer};
    if (load->failed)
        return family_fail_snapshot(&load->error, failure);
    return family_restore_chain(&restoring, report, failure);
}

/* The thread has read, or failed to. */
static void end(struct load *load)
{
    struct cleave_family *family = load->family;
    struct cleave_restore_report report;
    struct cleave_failure failure;
    unmap(load);
    bool made = make_guest(load, &report, &failure) == 0;
    load->done(load->context, made ? &report : NULL, made ? NULL : &failure);
    snapshot_chain_close(&load->chain);
    load_free(load);
    family_check_idle(family);
}

static void remove_load(struct cleave_family *family, struct load **link)
{
    *link = (*link)->next;
    family->loading--;
}

/* One that has ended, taken off the list; NULL: there is none. */
static struct load *take_ended(struct cleave_family *family)
{
    for (struct load **link = &family->loads; *link; link = &(*link)->next) {
        struct load *load = *link;
        if (!atomic_load(&load->ended))
            continue;
        remove_load(family, link);
        return load;
    }
    return NULL;
}

void family_take_loads(struct cleave_family *family)
{
    struct load *load;
    while ((load = take_ended(family)))
        end(load);
}

void family_wait_loads(struct cleave_family *family)
{
    while (family->loads) {
        struct load *load = family->loads;
        background_drain(load->thread);
        remove_load(family, &family->loads);
        end(load);
    }
}

static int start(struct load *load, struct cleave_failure *failure)
{
    if (prepare(load, failure) < 0)
        return -1;
    load->thread = background_new("loader");
    if (!load->thread)
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory or threads to restore a guest");
    background_add(load->thread, read_by_thread, load);
    return 0;
}

int family_load_and_restore(const struct restoring *restoring, cleave_restore_fn *done, void *context,
                            struct cleave_failure *failure)
{
    struct cleave_family *family = restoring->family;
    struct load *load = calloc(1, sizeof *load);
    char *path = strdup(restoring->request->path);
    if (!load || !path) {
        free(load);
        free(path);
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory to restore a guest");
    }
    *load = (struct load){
        .family = family,
        .memory = MAP_FAILED,
        .chain = *restoring->chain,
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
    load->next = family->loads;
    family->loads = load;
    family->loading++;
    return 0;
}

void family_cancel_loads(struct cleave_family *family)
{
    for (struct load *load = family->loads; load; load = load->next)
        atomic_store(&load->cancel, true);
}
