/* An open snapshot file: what users can ask of it, and its end. See snapshot.h. */
#include "vmm/snapshot/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool section_known(uint32_t type)
{
    return type >= LAYOUT_MACHINE && type <= LAYOUT_RUNS;
}

const char *section_text(const struct layout_header *header, unsigned section, char text[SECTION_TEXT])
{
    static const char *const names[] = {
        [LAYOUT_MACHINE] = "machine", [LAYOUT_CPUID] = "cpuid",   [LAYOUT_VCPU] = "vcpu",
        [LAYOUT_DEVICES] = "devices", [LAYOUT_PARENT] = "parent", [LAYOUT_RUNS] = "runs",
    };
    uint32_t type = header->sections[section].type;

    if (section_known(type))
        snprintf(text, SECTION_TEXT, "section %u (%s)", section, names[type]);
    else
        snprintf(text, SECTION_TEXT, "section %u", section);
    return text;
}

void snapshot_close(struct snapshot *snapshot)
{
    if (!snapshot)
        return;
    for (unsigned i = 0; i < LAYOUT_SECTIONS_MAX; i++)
        free(snapshot->sections[i]);
    if (snapshot->fd >= 0)
        close(snapshot->fd);
    free(snapshot->path);
    free(snapshot);
}

const char *snapshot_path(const struct snapshot *snapshot)
{
    return snapshot->path;
}

int snapshot_fd(const struct snapshot *snapshot)
{
    return snapshot->fd;
}

uint64_t snapshot_bytes(const struct snapshot *snapshot)
{
    return snapshot->bytes;
}

enum snapshot_kind snapshot_kind(const struct snapshot *snapshot)
{
    return (enum snapshot_kind)snapshot->header.kind;
}

bool snapshot_compressed(const struct snapshot *snapshot)
{
    return snapshot->header.flags & LAYOUT_COMPRESSED;
}

const struct snapshot_name *snapshot_name(const struct snapshot *snapshot)
{
    return &snapshot->name;
}

const struct snapshot_name *snapshot_parent(const struct snapshot *snapshot)
{
    return snapshot->parent_path ? &snapshot->parent : NULL;
}

const char *snapshot_parent_path(const struct snapshot *snapshot)
{
    return snapshot->parent_path;
}

const struct snapshot_state *snapshot_state(const struct snapshot *snapshot)
{
    return &snapshot->state;
}

const struct snapshot_run *snapshot_runs(const struct snapshot *snapshot, size_t *count)
{
    *count = snapshot->run_count;
    return snapshot->runs;
}
