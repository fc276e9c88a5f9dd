/* What can be asked of guests without changing them: see host.h. */
#include "vmm/base/clock.h"
#include "vmm/family/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

int host_guests(struct host *host, struct guest_info **guests, size_t *count, struct failure *failure)
{
    host_take_reports(host);
    struct guest_info *list = calloc(host->count ? host->count : 1, sizeof *list);
    if (!list)
        return fail(failure, FAIL_NO_MEMORY, "out of memory for the list of guests");
    for (size_t i = 0; i < host->count; i++) {
        const struct machine *machine = host->machines[i];
        list[i] = (struct guest_info){
            .id = machine->id,
            .parent = machine->parent,
            .has_parent = machine->has_parent,
            .state = machine->state,
            .end = machine->end,
            .generation = machine->generation,
            .vcpus = host->options->cpus,
            .memory = host->options->memory,
            .children = machine->children,
            .exit_code = machine->exit_code,
            .reset_to = machine->instant.kind,
        };
    }
    *guests = list;
    *count = host->count;
    return 0;
}

static void add(struct guest_stats *stats, const char *name, uint64_t value)
{
    stats->counters[stats->count++] = (struct guest_counter){name, value};
}

static int count_mapping(void *context, const struct view_run *run)
{
    (void)run;
    ++*(uint64_t *)context;
    return 0;
}

/* What only a live guest has. The dirty log is taken first, so that the overlay is as it is now. */
static int add_memory(struct machine *machine, struct guest_stats *stats, struct failure *failure)
{
    if (machine_harvest(machine, failure) < 0)
        return -1;
    uint64_t pages = machine->view.memory / PAGE_BYTES;
    uint64_t overlay = machine_overlay_bytes(machine), mappings = 0;
    struct pt_statistics view;
    view_count(&machine->view, &view);
    view_each_run(&machine->view, count_mapping, &mappings);
    uint64_t tables = 0, faults = 0;
    for (unsigned i = 0; i < machine->vm->cpus; i++)
        faults += kvm_page_faults(machine->vm->vcpus[i].stats);
    for (unsigned level = 1; level <= PT_MAX_LEVEL; level++)
        tables += view.tables[level];
    add(stats, "overlay_bytes", overlay);
    add(stats, "kept_bytes", machine->pages.kept_count * PAGE_BYTES);
    add(stats, "shared_pages", machine->window_shared ? 0 : pages - overlay / PAGE_BYTES);
    add(stats, "tables", tables);
    add(stats, "leaves_4k", view.leaves[1]);
    add(stats, "leaves_2m", view.leaves[2]);
    add(stats, "leaves_1g", view.leaves[3]);
    add(stats, "mappings", mappings);
    add(stats, "page_faults", faults);
    return 0;
}

int host_stats(struct host *host, uint64_t guest, struct guest_stats *stats, struct failure *failure)
{
    host_take_reports(host);
    struct machine *machine = host_find(host, guest, failure);
    if (!machine)
        return -1;
    const struct machine_counters *counters = &machine->counters;
    stats->count = 0;
    add(stats, "exits_io", atomic_load(&counters->exits_io));
    add(stats, "exits_mmio", atomic_load(&counters->exits_mmio));
    add(stats, "exits_hlt", atomic_load(&counters->exits_hlt));
    add(stats, "exits_other", atomic_load(&counters->exits_other));
    add(stats, "unknown_port_accesses", atomic_load(&counters->unknown_port_accesses));
    add(stats, "unknown_mmio_accesses", atomic_load(&counters->unknown_mmio_accesses));
    add(stats, "forks", machine->forks);
    add(stats, "checkpoints", machine->checkpoints);
    add(stats, "resets", machine->resets);
    add(stats, "snapshots", machine->snapshots);
    if (machine->vm && add_memory(machine, stats, failure) < 0)
        return -1;
    add(stats, "harvested_pages", machine->harvested_pages);
    add(stats, "published_pages", machine->published_pages);
    add(stats, "published_ahead_pages", machine->ahead_pages);
    add(stats, "host_layer_bytes", layers_live_bytes(host->layers));
    add(stats, "host_table_bytes", views_table_bytes(host->views));
    return 0;
}

/* A machine whose view is as it is now and may be asked about gpa; or NULL with *failure. */
static struct machine *find_view(struct host *host, uint64_t guest, uint64_t gpa, struct failure *failure)
{
    struct machine *machine = host_find_held(host, guest, failure);
    if (!machine)
        return NULL;
    if (gpa >> 48) {
        fail(failure, FAIL_INVALID_ARGUMENT, "gpa %#" PRIx64 ": a guest-physical address has at most 48 bits", gpa);
        return NULL;
    }
    return machine_harvest(machine, failure) < 0 ? NULL : machine;
}

int host_translate(struct host *host, uint64_t guest, uint64_t gpa, struct translation *translation,
                   struct failure *failure)
{
    struct machine *machine = find_view(host, guest, gpa, failure);
    if (!machine)
        return -1;
    view_translate(&machine->view, gpa, translation);
    return 0;
}

int host_mappings(struct host *host, uint64_t guest, uint64_t gpa, struct mapping *list, size_t most, size_t *count,
                  uint64_t *next, struct failure *failure)
{
    struct machine *machine = find_view(host, guest, gpa, failure);
    if (!machine)
        return -1;
    *count = view_mappings(&machine->view, gpa, list, most, next);
    return 0;
}

int host_read_memory(struct host *host, uint64_t guest, uint64_t gpa, size_t length, void *buffer,
                     struct failure *failure)
{
    struct machine *machine = host_find_held(host, guest, failure);
    if (!machine)
        return -1;
    if (length > HOST_READ_MAX)
        return fail(failure, FAIL_INVALID_ARGUMENT, "length %zu: want at most %d", length, HOST_READ_MAX);
    if (machine_read(machine, gpa, buffer, length, failure) == 0)
        return 0;
    return failure->class == FAIL_INVALID_ARGUMENT ? -1 : host_blame_lost_file(host, machine, failure);
}

int host_console(struct host *host, uint64_t guest, char *text, size_t *length, struct failure *failure)
{
    host_take_reports(host);
    struct machine *machine = host_find(host, guest, failure);
    if (!machine)
        return -1;
    *length = console_copy(&machine->console, text);
    return 0;
}

int host_marks(struct host *host, uint64_t guest, struct mark **marks, size_t *count, struct failure *failure)
{
    host_take_reports(host);
    struct machine *machine = host_find(host, guest, failure);
    if (!machine)
        return -1;
    *marks = marks_copy(&machine->marks, count);
    return 0;
}

static void read_cpu_name(char *name, size_t room)
{
    snprintf(name, room, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(name, room, "%s", colon + 2);
        break;
    }
    fclose(file);
}

void host_facts(const struct host *host, struct host_facts *facts)
{
    *facts = (struct host_facts){
        .kvm_api_version = host->kvm.api_version,
        .page_size = PAGE_BYTES,
        .memory = host->options->memory,
        .vcpus = host->options->cpus,
        .pool_ready = pool_ready(host->pool),
    };
    struct utsname system;
    if (uname(&system) == 0)
        snprintf(facts->kernel, sizeof facts->kernel, "%s", system.release);
    read_cpu_name(facts->cpu, sizeof facts->cpu);
}
