/* A file's parts in their order: see parts.h. */
#include "vmm/snapshot/parts.h"

#include <inttypes.h>
#include <stdio.h>

static bool is_whole(const struct snapshot_run *run)
{
    return run->bytes == SNAPSHOT_BLOCK;
}

/* The next run that has something stored, of those that are whole blocks or of the others. */
static size_t find_run(const struct snapshot *snapshot, size_t from, bool whole)
{
    while (from < snapshot->run_count && (!snapshot->runs[from].offset || is_whole(&snapshot->runs[from]) != whole))
        from++;
    return from;
}

void parts_start(struct parts *parts, const struct snapshot *snapshot)
{
    *parts = (struct parts){snapshot, 0, find_run(snapshot, 0, true), find_run(snapshot, 0, false)};
}

static struct part run_part(const struct snapshot *snapshot, size_t index)
{
    return (struct part){snapshot->runs[index].offset, snapshot->runs[index].stored, true, index};
}

bool parts_next(struct parts *parts, struct part *part)
{
    const struct snapshot *snapshot = parts->snapshot;
    bool any = false;

    if (parts->section < snapshot->header.section_count) {
        const struct layout_section *section = &snapshot->header.sections[parts->section];
        *part = (struct part){section->offset, section->bytes, false, parts->section};
        any = true;
    }
    for (unsigned i = 0; i < 2; i++) {
        size_t run = i ? parts->whole : parts->shorter;
        if (run < snapshot->run_count && (!any || snapshot->runs[run].offset < part->offset)) {
            *part = run_part(snapshot, run);
            any = true;
        }
    }
    if (!any)
        return false;
    if (!part->is_run)
        parts->section++;
    else if (is_whole(&snapshot->runs[part->index]))
        parts->whole = find_run(snapshot, part->index + 1, true);
    else
        parts->shorter = find_run(snapshot, part->index + 1, false);
    return true;
}

static const char *part_text(const struct snapshot *snapshot, const struct part *part, char text[SECTION_TEXT])
{
    if (!part->is_run)
        return section_text(&snapshot->header, (unsigned)part->index, text);
    snprintf(text, SECTION_TEXT, "run %zu", part->index);
    return text;
}

int parts_check(const struct report *report, const struct snapshot *snapshot)
{
    struct parts parts;
    struct part part;
    char text[SECTION_TEXT];
    uint64_t end = LAYOUT_HEADER;

    parts_start(&parts, snapshot);
    while (parts_next(&parts, &part)) {
        if (part.offset < end)
            return report_fail(report, "%s: offset %" PRIu64 " overlaps what ends at %" PRIu64 ", or is out of order",
                               part_text(snapshot, &part, text), part.offset, end);
        if (part.offset - end >= SNAPSHOT_BLOCK)
            return report_fail(report, "%s: offset %" PRIu64 " leaves %" PRIu64 " bytes unused before it",
                               part_text(snapshot, &part, text), part.offset, part.offset - end);
        end = part.offset + part.bytes;
    }
    if (end != snapshot->bytes)
        return report_fail(report, "%" PRIu64 " bytes follow its last part, which ends at %" PRIu64,
                           snapshot->bytes - end, end);
    return 0;
}
