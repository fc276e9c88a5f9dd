/* The family: what it is made for, making and freeing it, and what its owner has to call. See <cleave/cleave.h>. */
#include "vmm/family/internal.h"

#include "vmm/base/bell.h"
#include "vmm/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REGIONS_END     (UINT64_C(1) << 39) /* what one top-level entry of a page table covers */
#define THREADS_MISSING "cannot start the VMM's own threads (see ulimit -u and -v)"

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

static uint64_t take_window(void *windows)
{
    return windows_take(windows);
}

static void release_window(void *windows, uint64_t window)
{
    windows_release(windows, window);
}

static bool overlap(const struct cleave_region *a, const struct cleave_region *b)
{
    return a->gpa < b->gpa + b->bytes && b->gpa < a->gpa + a->bytes;
}

/* Once the size of RAM is known. */
static int check_regions(const struct cleave_family *family, struct cleave_failure *failure)
{
    for (unsigned i = 0; i < family->config.region_count; i++) {
        const struct cleave_region *r = &family->regions[i];
        unsigned long long gpa = r->gpa;
        if (!r->bytes || (r->gpa | r->bytes | (uintptr_t)r->memory) % PAGE_BYTES || !r->memory)
            return fail(failure, CLEAVE_INVALID_ARGUMENT, "region at %#llx: it is not of whole pages of 4 KiB", gpa);
        if (r->gpa < family->config.memory || r->bytes > REGIONS_END || r->gpa > REGIONS_END - r->bytes)
            return fail(failure, CLEAVE_INVALID_ARGUMENT,
                        "region at %#llx: want it between the end of RAM, %#llx, and %#llx", gpa,
                        (unsigned long long)family->config.memory, (unsigned long long)REGIONS_END);
        for (unsigned k = 0; k < i; k++)
            if (overlap(r, &family->regions[k]))
                return fail(failure, CLEAVE_INVALID_ARGUMENT, "region at %#llx: it overlaps another", gpa);
    }
    return 0;
}

static int check_config(const struct cleave_config *config, struct cleave_failure *failure)
{
    if (config->region_count > CLEAVE_REGIONS_MAX)
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "%u regions: want at most %d", config->region_count,
                    CLEAVE_REGIONS_MAX);
    if (config->snapshot)
        return 0;
    if (config->memory < CLEAVE_MEMORY_MIN || config->memory > CLEAVE_MEMORY_MAX || config->memory % PAGE_BYTES)
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "%" PRIu64 " bytes of memory: want 4 MiB to 64 GiB, in multiples of 4 KiB", config->memory);
    if (config->cpus < 1 || config->cpus > CLEAVE_CPUS_MAX)
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "%u vCPUs: want 1 to %d", config->cpus, CLEAVE_CPUS_MAX);
    return 0;
}

static int make_parts(struct cleave_family *family, const struct cleave_config *config, struct cleave_failure *failure)
{
    family->bell = bell_new();
    if (family->bell < 0)
        return fail_errno(failure, errno, "cannot make a descriptor for the VMM");
    mailbox_init(&family->mailbox, family->bell);
    if (kvm_open(&family->kvm, failure) < 0 ||
        (config->snapshot && family_open_snapshot(family, config->snapshot, failure) < 0))
        return -1;
    if (check_regions(family, failure) < 0)
        return -1;
    family->terminal = terminal_new(config->console > 0 ? config->console : -1);
    if (!family->terminal)
        return fail_errno(failure, errno, "cannot start a thread for the console (see ulimit -u and -v)");
    family->reaper = background_new("reaper");
    if (!family->reaper)
        return fail_errno(failure, errno, THREADS_MISSING);
    if (store_init(&family->store, family->config.memory, family->reaper, failure) < 0)
        return -1;
    family->windows = (struct vm_windows){take_window, release_window, family->store.windows};
    family->vms = (struct vm_config){
        .kvm = &family->kvm,
        .windows = &family->windows,
        .memory = family->config.memory,
        .cpus = family->config.cpus,
        .regions = family->regions,
        .region_count = family->config.region_count,
    };
    family->pool = pool_new(&family->vms);
    return family->pool ? 0 : fail(failure, CLEAVE_NO_MEMORY, "out of memory for the VMM");
}

struct cleave_family *cleave_family_new(const struct cleave_config *config, struct cleave_failure *failure)
{
    if (check_config(config, failure) < 0)
        return NULL;
    struct cleave_family *family = calloc(1, sizeof *family);
    if (!family) {
        fail(failure, CLEAVE_NO_MEMORY, "out of memory for the VMM");
        return NULL;
    }
    family->config = *config;
    for (unsigned i = 0; i < config->region_count; i++)
        family->regions[i] = config->regions[i];
    family->kvm.fd = family->bell = -1;
    family->map_limit = read_map_limit();
    if (make_parts(family, config, failure) == 0)
        return family;
    cleave_family_free(family);
    return NULL;
}

void cleave_family_free(struct cleave_family *family)
{
    if (!family)
        return;
    cleave_family_end(family);
    family_wait_saves(family);
    family_wait_loads(family);
    for (size_t i = 0; i < family->count; i++)
        machine_free(family->machines[i]);
    free(family->machines);
    family_close_snapshot(family);
    pool_free(family->pool);
    if (family->store.background)
        store_free(&family->store);
    background_free(family->reaper);
    if (family->kvm.fd >= 0)
        kvm_close(&family->kvm);
    terminal_free(family->terminal);
    if (family->timer_thread)
        timer_delete(family->timer);
    if (family->bell >= 0) {
        mailbox_destroy(&family->mailbox);
        close(family->bell);
    }
    free(family);
}

int cleave_family_descriptor(const struct cleave_family *family)
{
    return family->bell;
}

void cleave_family_dispatch(struct cleave_family *family)
{
    bell_clear(family->bell);
    family_take_reports(family);
    family_take_saves(family);
    family_take_loads(family);
}

void cleave_family_on_event(struct cleave_family *family, cleave_event_fn *fn, void *context)
{
    family->on_event = fn;
    family->event_context = context;
}

void cleave_family_on_idle(struct cleave_family *family, void (*fn)(void *context), void *context)
{
    family->on_idle = fn;
    family->idle_context = context;
}

void cleave_family_end(struct cleave_family *family)
{
    family->over = true;
    for (size_t i = family->count; i-- > 0;) {
        if (i >= family->count || !family->machines[i]->vm)
            continue;
        if (machine_has_ended(family->machines[i]))
            family_release(family, family->machines[i]);
        else
            family_end(family, family->machines[i], CLEAVE_END_KILLED, 0, NULL);
    }
    family_cancel_saves(family);
    family_cancel_loads(family);
}
