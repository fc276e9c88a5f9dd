/* Changing snapshot files: see snapshot_forge.h. */
#include "tests/support/snapshot_forge.h"

#include <xxhash.h>

struct layout_header *forge_header(const struct forge *forge)
{
    return forge->bytes < LAYOUT_HEADER ? NULL : (struct layout_header *)(void *)forge->data;
}

static unsigned section_count(const struct layout_header *header)
{
    return header->section_count < LAYOUT_SECTIONS_MAX ? header->section_count : LAYOUT_SECTIONS_MAX;
}

struct layout_section *forge_section(const struct forge *forge, enum layout_type type)
{
    struct layout_header *header = forge_header(forge);
    for (unsigned i = 0; header && i < section_count(header); i++)
        if (header->sections[i].type == type)
            return &header->sections[i];
    return NULL;
}

void *forge_content(const struct forge *forge, const struct layout_section *section)
{
    if (!section || section->offset % 8 || !layout_within(section->offset, section->bytes, forge->bytes))
        return NULL;
    return forge->data + section->offset;
}

struct snapshot_run *forge_runs(const struct forge *forge, size_t *count)
{
    const struct layout_section *section = forge_section(forge, LAYOUT_RUNS);
    struct snapshot_run *runs = forge_content(forge, section);
    *count = runs ? section->bytes / sizeof *runs : 0;
    return runs;
}

void forge_repair(const struct forge *forge)
{
    struct layout_header *header = forge_header(forge);
    size_t count;
    struct snapshot_run *runs = forge_runs(forge, &count);

    if (!header)
        return;
    for (size_t i = 0; i < count; i++)
        if (runs[i].offset && layout_within(runs[i].offset, runs[i].stored, forge->bytes))
            runs[i].checksum = XXH3_64bits(forge->data + runs[i].offset, runs[i].stored);
    for (unsigned i = 0; i < section_count(header); i++) {
        const void *content = forge_content(forge, &header->sections[i]);
        if (content)
            header->sections[i].checksum = XXH3_64bits(content, header->sections[i].bytes);
    }
    header->checksum = XXH3_64bits(header, offsetof(struct layout_header, checksum));
}
