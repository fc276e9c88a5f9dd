/* What can be asked of guests without changing them: see <cleave/cleave.h>. */
#include "vmm/base/clock.h"
#include "vmm/family/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

int cleave_family_guests(struct cleave_family *family, struct cleave_guest_info **guests, size_t *count,
                         struct cleave_failure *failure)
{
    family_take_reports(family);
    struct cleave_guest_info *list = calloc(family->count ? family->count : 1, sizeof *list);
    if (!list)
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for the list of guests");
    for (size_t i = 0; i < family->count; i++) {
        const struct machine *machine = family->machines[i];
        list[i] = (struct cleave_guest_info){
            .id = machine->id,
            .parent = machine->parent,
            .has_parent = machine->has_parent,
            .state = machine->state,
            .end = machine->end,
            .generation = machine->generation,
            .vcpus = family->config.cpus,
            .memory = family->config.memory,
            .children = machine->children,
            .exit_code = machine->exit_code,
            .reset_to = machine->instant.kind,
        };
    }
    *guests = list;
    *count = family->count;
    return 0;
}

static void add(struct cleave_stats *stats, const char *name, uint64_t value)
{
    stats->counters[stats->count++] = (struct cleave_counter){name, value};
}

static int count_mapping(void *context, const struct view_run *run)
{
    (void)run;
    ++*(uint64_t *)context;
    return 0;
}

/* What only a live guest has. The dirty log is taken first, so that the overlay is as it is now. */
static int add_memory(struct machine *machine, struct cleave_stats *stats, struct cleave_failure *failure)
{
    if (machine_look(machine, failure) < 0)
        return -1;
    uint64_t pages = machine->memory.bytes / PAGE_BYTES;
    uint64_t overlay = memory_overlay_bytes(&machine->memory), mappings = 0;
    struct pt_statistics view;
    view_count(&machine->memory.view, &view);
    view_each_run(&machine->memory.view, count_mapping, &mappings);
    uint64_t tables = 0, faults = 0;
    for (unsigned i = 0; i < machine->vm->cpus; i++)
        faults += kvm_page_faults(machine->vm->vcpus[i].stats);
    for (unsigned level = 1; level <= PT_MAX_LEVEL; level++)
        tables += view.tables[level];
    add(stats, "overlay_bytes", overlay);
    add(stats, "kept_bytes", machine->memory.pages.kept_count * PAGE_BYTES);
    add(stats, "hot_bytes", memory_hot_bytes(&machine->memory));
    add(stats, "shared_pages", machine->memory.window_shared ? 0 : pages - overlay / PAGE_BYTES);
    add(stats, "tables", tables);
    add(stats, "leaves_4k", view.leaves[1]);
    add(stats, "leaves_2m", view.leaves[2]);
    add(stats, "leaves_1g", view.leaves[3]);
    add(stats, "mappings", mappings);
    add(stats, "page_faults", faults);
    return 0;
}

int cleave_guest_stats(struct cleave_family *family, uint64_t guest, struct cleave_stats *stats,
                       struct cleave_failure *failure)
{
    family_take_reports(family);
    struct machine *machine = family_find(family, guest, failure);
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
    add(stats, "harvested_pages", machine->memory.harvested_pages);
    add(stats, "published_pages", machine->memory.published_pages);
    add(stats, "published_ahead_pages", machine->ahead_pages);
    add(stats, "host_layer_bytes", layers_live_bytes(family->store.layers));
    add(stats, "host_table_bytes", views_table_bytes(family->store.views));
    return 0;
}

/* A machine whose view is as it is now and may be asked about gpa; or NULL with *failure. */
static struct machine *find_view(struct cleave_family *family, uint64_t guest, uint64_t gpa,
                                 struct cleave_failure *failure)
{
    struct machine *machine = family_find_held(family, guest, failure);
    if (!machine)
        return NULL;
    if (gpa >> 48) {
        fail(failure, CLEAVE_INVALID_ARGUMENT, "gpa %#" PRIx64 ": a guest-physical address has at most 48 bits", gpa);
        return NULL;
    }
    return machine_look(machine, failure) < 0 ? NULL : machine;
}

int cleave_guest_translate(struct cleave_family *family, uint64_t guest, uint64_t gpa,
                           struct cleave_translation *translation, struct cleave_failure *failure)
{
    struct machine *machine = find_view(family, guest, gpa, failure);
    if (!machine)
        return -1;
    view_translate(&machine->memory.view, gpa, translation);
    return 0;
}

int cleave_guest_mappings(struct cleave_family *family, uint64_t guest, uint64_t gpa, struct cleave_mapping *list,
                          size_t most, size_t *count, uint64_t *next, struct cleave_failure *failure)
{
    struct machine *machine = find_view(family, guest, gpa, failure);
    if (!machine)
        return -1;
    *count = view_mappings(&machine->memory.view, gpa, list, most, next);
    return 0;
}

int cleave_guest_read(struct cleave_family *family, uint64_t guest, uint64_t gpa, size_t length, void *buffer,
                      struct cleave_failure *failure)
{
    struct machine *machine = family_find_held(family, guest, failure);
    if (!machine)
        return -1;
    if (length > CLEAVE_READ_MAX)
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "length %zu: want at most %d", length, CLEAVE_READ_MAX);
    if (memory_read(&machine->memory, gpa, buffer, length, failure) == 0)
        return 0;
    return failure->kind == CLEAVE_INVALID_ARGUMENT ? -1 : family_blame_lost_file(machine, failure);
}

int cleave_guest_console(struct cleave_family *family, uint64_t guest, char *text, size_t *length,
                         struct cleave_failure *failure)
{
    family_take_reports(family);
    struct machine *machine = family_find(family, guest, failure);
    if (!machine)
        return -1;
    *length = console_copy(&machine->console, text);
    return 0;
}

int cleave_guest_marks(struct cleave_family *family, uint64_t guest, struct cleave_mark **marks, size_t *count,
                       struct cleave_failure *failure)
{
    family_take_reports(family);
    struct machine *machine = family_find(family, guest, failure);
    if (!machine)
        return -1;
    if (marks_copy(&machine->marks, marks, count) < 0)
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for the marks of guest %" PRIu64, guest);
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

void cleave_family_facts(const struct cleave_family *family, struct cleave_facts *facts)
{
    *facts = (struct cleave_facts){
        .kvm_api_version = family->kvm.api_version,
        .page_size = PAGE_BYTES,
        .memory = family->config.memory,
        .vcpus = family->config.cpus,
        .pool_ready = pool_ready(family->pool),
    };
    struct utsname system;
    if (uname(&system) == 0)
        snprintf(facts->kernel, sizeof facts->kernel, "%s", system.release);
    read_cpu_name(facts->cpu, sizeof facts->cpu);
}
