/* Sections: see contents.h. */
#include "vmm/snapshot/contents.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/snapshot/state.h"

/* The section of this type, of which there must be one: its index, or -1 with the error. */
static int find_section(const struct report *report, const struct snapshot *snapshot, enum layout_type type,
                        const char *name)
{
    int found = -1;
    for (unsigned i = 0; i < snapshot->header.section_count; i++) {
        if (snapshot->header.sections[i].type != type)
            continue;
        if (found >= 0)
            return report_fail(report, "section %u (%s): there is one already, section %d", i, name, found);
        found = (int)i;
    }
    return found < 0 ? report_fail(report, "the section of type %u (%s) is missing", type, name) : found;
}

static int parse_machine(const struct report *report, struct snapshot *snapshot)
{
    int index = find_section(report, snapshot, LAYOUT_MACHINE, "machine");
    struct snapshot_machine *machine = &snapshot->state.machine;

    if (index < 0)
        return -1;
    if (snapshot->header.sections[index].bytes != sizeof *machine)
        return report_fail(report, "section %d (machine): %" PRIu64 " bytes: must be %zu", index,
                           snapshot->header.sections[index].bytes, sizeof *machine);
    memcpy(machine, snapshot->sections[index], sizeof *machine);
    return state_check_machine(report, machine);
}

static int parse_cpuid(const struct report *report, struct snapshot *snapshot)
{
    int index = find_section(report, snapshot, LAYOUT_CPUID, "cpuid");
    if (index < 0)
        return -1;

    uint64_t bytes = snapshot->header.sections[index].bytes;
    if (bytes % sizeof(struct snapshot_cpuid) || bytes / sizeof(struct snapshot_cpuid) > SNAPSHOT_CPUID_MAX)
        return report_fail(report, "section %d (cpuid): %" PRIu64 " bytes: must be %zu for each of at most %u entries",
                           index, bytes, sizeof(struct snapshot_cpuid), SNAPSHOT_CPUID_MAX);
    snapshot->state.cpuid = snapshot->sections[index];
    snapshot->state.cpuid_count = (unsigned)(bytes / sizeof(struct snapshot_cpuid));
    return 0;
}

static int parse_vcpus(const struct report *report, struct snapshot *snapshot)
{
    struct snapshot_state *state = &snapshot->state;
    unsigned found = 0;

    for (unsigned i = 0; i < snapshot->header.section_count; i++) {
        const struct layout_section *section = &snapshot->header.sections[i];
        if (section->type != LAYOUT_VCPU)
            continue;
        if (found == state->machine.cpus)
            return report_fail(report, "section %u (vcpu): the machine has %u vCPUs only", i, state->machine.cpus);
        if (state_decode(report, found, snapshot->sections[i], section->bytes, &state->vcpus[found]) < 0)
            return -1;
        found++;
    }
    if (found < state->machine.cpus)
        return report_fail(report, "machine: cpus is %u, but there are %u sections of type %u (vcpu)",
                           state->machine.cpus, found, LAYOUT_VCPU);
    return 0;
}

static int parse_devices(const struct report *report, struct snapshot *snapshot)
{
    int index = find_section(report, snapshot, LAYOUT_DEVICES, "devices");
    if (index < 0)
        return -1;
    return state_decode(report, STATE_DEVICES, snapshot->sections[index], snapshot->header.sections[index].bytes,
                        &snapshot->state.devices);
}

/* An absolute path, or the bare name of a file beside this one. */
static bool is_parent_path(const char *path, size_t length)
{
    if (!length || length > LAYOUT_PATH_MAX || strlen(path) != length)
        return false;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return (!slash || *path == '/') && *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int contents_parse_parent(const struct report *report, struct snapshot *snapshot)
{
    struct layout_parent name;

    if (snapshot->header.kind == SNAPSHOT_FULL) {
        for (unsigned i = 0; i < snapshot->header.section_count; i++)
            if (snapshot->header.sections[i].type == LAYOUT_PARENT)
                return report_fail(report, "section %u (parent): a full snapshot has none", i);
        return 0;
    }
    int index = find_section(report, snapshot, LAYOUT_PARENT, "parent");
    if (index < 0)
        return -1;
    uint64_t bytes = snapshot->header.sections[index].bytes;
    if (bytes < sizeof name)
        return report_fail(report, "section %d (parent): %" PRIu64 " bytes are too few", index, bytes);
    char *path = (char *)snapshot->sections[index] + sizeof name;
    if (!is_parent_path(path, bytes - sizeof name))
        return report_fail(report, "section %d (parent): the path is neither absolute nor the name of a file", index);
    memcpy(&name, snapshot->sections[index], sizeof name);
    memcpy(snapshot->parent.id, name.id, sizeof name.id);
    snapshot->parent.header_checksum = name.header_checksum;
    snapshot->parent_path = path;
    return 0;
}

/* How what a run stores lies in the file; overlaps come later. */
static int check_stored(const struct report *report, const struct snapshot *snapshot, size_t index)
{
    const struct snapshot_run *run = &snapshot->runs[index];

    if (run->offset > snapshot->bytes)
        return report_fail(report, "run %zu: offset %" PRIu64 " lies beyond the end of the file (%" PRIu64 ")", index,
                           run->offset, snapshot->bytes);
    if (run->stored > snapshot->bytes - run->offset)
        return report_fail(
            report, "run %zu: %" PRIu64 " stored bytes at %" PRIu64 " reach beyond the end of the file (%" PRIu64 ")",
            index, run->stored, run->offset, snapshot->bytes);
    if (snapshot_compressed(snapshot)) {
        if (!run->stored || run->stored > run->bytes)
            return report_fail(report, "run %zu: stored is %" PRIu64 ": must be 1 to %" PRIu64, index, run->stored,
                               run->bytes);
        return 0;
    }
    if (run->stored != run->bytes)
        return report_fail(report, "run %zu: stored is %" PRIu64 ": must be %" PRIu64, index, run->stored, run->bytes);
    uint64_t align = run->bytes == SNAPSHOT_BLOCK ? SNAPSHOT_BLOCK : SNAPSHOT_PAGE;
    if (run->offset % align)
        return report_fail(report, "run %zu: offset %" PRIu64 " is not a multiple of %" PRIu64, index, run->offset,
                           align);
    return 0;
}

static int check_run(const struct report *report, const struct snapshot *snapshot, size_t index, uint64_t after)
{
    const struct snapshot_run *run = &snapshot->runs[index];

    if (run->gpa % SNAPSHOT_PAGE || run->bytes % SNAPSHOT_PAGE)
        return report_fail(report, "run %zu: %" PRIu64 " bytes at address %#" PRIx64 " are not whole pages", index,
                           run->bytes, run->gpa);
    if (!run->bytes || run->bytes > SNAPSHOT_BLOCK - run->gpa % SNAPSHOT_BLOCK)
        return report_fail(report, "run %zu: bytes is %" PRIu64 ": must be 1 page or more inside of 2 MiB", index,
                           run->bytes);
    if (!layout_within(run->gpa, run->bytes, snapshot->state.machine.memory))
        return report_fail(report, "run %zu: address %#" PRIx64 " lies beyond the end of memory (%#" PRIx64 ")", index,
                           run->gpa, snapshot->state.machine.memory);
    if (run->gpa < after)
        return report_fail(report, "run %zu: address %#" PRIx64 " overlaps the run before it, or is out of order",
                           index, run->gpa);
    if (run->offset)
        return check_stored(report, snapshot, index);
    if (snapshot->header.kind == SNAPSHOT_FULL)
        return report_fail(report, "run %zu: offset is 0: only a diff has runs of zeros", index);
    if (run->stored || run->checksum)
        return report_fail(report, "run %zu: offset is 0, but stored or checksum is not", index);
    return 0;
}

static int parse_runs(const struct report *report, struct snapshot *snapshot)
{
    int index = find_section(report, snapshot, LAYOUT_RUNS, "runs");
    uint64_t after = 0;

    if (index < 0)
        return -1;
    uint64_t bytes = snapshot->header.sections[index].bytes;
    if (bytes % sizeof(struct snapshot_run))
        return report_fail(report, "section %d (runs): %" PRIu64 " bytes are no multiple of %zu", index, bytes,
                           sizeof(struct snapshot_run));
    snapshot->runs = snapshot->sections[index];
    snapshot->run_count = bytes / sizeof(struct snapshot_run);
    for (size_t i = 0; i < snapshot->run_count; i++) {
        if (check_run(report, snapshot, i, after) < 0)
            return -1;
        after = snapshot->runs[i].gpa + snapshot->runs[i].bytes;
    }
    return 0;
}

int contents_parse(const struct report *report, struct snapshot *snapshot)
{
    if (parse_machine(report, snapshot) < 0 || parse_cpuid(report, snapshot) < 0 || parse_vcpus(report, snapshot) < 0 ||
        parse_devices(report, snapshot) < 0 || contents_parse_parent(report, snapshot) < 0)
        return -1;
    return parse_runs(report, snapshot);
}
