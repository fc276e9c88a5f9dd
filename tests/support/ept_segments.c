/* See ept_segments.h. */
#include "tests/support/ept_segments.h"

#include <stdlib.h>
#include <string.h>

void segments_free(struct segments *segments)
{
    free(segments->list);
    *segments = (struct segments){0};
}

size_t segments_find(const struct segments *segments, uint64_t address)
{
    size_t low = 0, high = segments->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (segments->list[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct segment segment_clip(struct segment segment, uint64_t start, uint64_t end)
{
    if (segment.start < start) {
        segment.hpa += start - segment.start;
        segment.start = start;
    }
    if (segment.end > end)
        segment.end = end;
    return segment;
}

bool segments_leaf(const struct segments *segments, uint64_t address, struct segment *leaf)
{
    size_t i = segments_find(segments, address);
    uint64_t start;

    if (i == segments->count || segments->list[i].start > address)
        return false;
    start = address & ~(pt_slot_size(segments->list[i].level) - 1);
    *leaf = segment_clip(segments->list[i], start, start + pt_slot_size(segments->list[i].level));
    return true;
}

bool segments_mapped(const struct segments *segments, uint64_t start, uint64_t end)
{
    size_t i = segments_find(segments, start);

    return i < segments->count && segments->list[i].start < end;
}

/* Puts `count` segments in the place of those from `first` up to `last`. */
static void replace(struct segments *segments, size_t first, size_t last, const struct segment *with, size_t count)
{
    size_t total = segments->count - (last - first) + count;

    if (total > segments->room) {
        segments->room = 2 * total;
        segments->list = realloc(segments->list, segments->room * sizeof(*with));
        if (!segments->list)
            abort();
    }
    if (segments->count > last)
        memmove(&segments->list[first + count], &segments->list[last], (segments->count - last) * sizeof(*with));
    if (count > 0)
        memcpy(&segments->list[first], with, count * sizeof(*with));
    segments->count = total;
}

/* Joins segments from `first` to `last` with those before them that they continue. */
static void join(struct segments *segments, size_t first, size_t last)
{
    for (size_t i = last < segments->count ? last : segments->count - 1; i >= first && i > 0 && i < segments->count;
         i--) {
        struct segment *b = &segments->list[i], *a = b - 1;

        if (a->end != b->start || a->prop != b->prop || a->level != b->level || a->hpa + (a->end - a->start) != b->hpa)
            continue;
        a->end = b->end;
        replace(segments, i, i + 1, NULL, 0);
    }
}

size_t segments_divide(struct segments *segments, uint64_t address)
{
    struct segment pieces[2 * PT_HUGE_LEVEL + 2], whole, *before = pieces, *after = &pieces[2 * PT_HUGE_LEVEL + 2];
    size_t i = segments_find(segments, address);
    uint64_t start, end;

    if (i == segments->count || segments->list[i].start >= address)
        return i;
    whole = segments->list[i];
    start = whole.start;
    end = whole.end;
    /* What lies before and after the smaller leaf around the address, at each level. */
    for (unsigned level = whole.level; start < address; level--) {
        uint64_t slot = address & ~(pt_slot_size(level) - 1), next = slot < address ? slot + pt_slot_size(level) : slot;
        struct segment low = segment_clip(whole, start, slot), high = segment_clip(whole, next, end);

        low.level = high.level = level;
        if (low.start < low.end)
            *before++ = low;
        if (high.start < high.end)
            *--after = high;
        start = slot;
        end = next;
    }
    memmove(before, after, (size_t)(&pieces[2 * PT_HUGE_LEVEL + 2] - after) * sizeof(*after));
    replace(segments, i, i + 1, pieces, (size_t)(before - pieces) + (size_t)(&pieces[2 * PT_HUGE_LEVEL + 2] - after));
    return i + (size_t)(before - pieces);
}

void segments_insert(struct segments *segments, struct segment segment)
{
    size_t i = segments_find(segments, segment.start);

    replace(segments, i, i, &segment, 1);
    join(segments, i, i + 1);
}

void segments_remove(struct segments *segments, uint64_t start, uint64_t end)
{
    size_t first, last;

    segments_divide(segments, start);
    last = segments_divide(segments, end);
    first = segments_find(segments, start);
    replace(segments, first, last, NULL, 0);
}

static pt_prop changed(pt_prop prop, struct pt_change change)
{
    return (prop & ~change.clear) | change.set;
}

/* Divides at the edge of a change, if it changes the leaf there. */
static void divide_changed(struct segments *segments, uint64_t edge, struct pt_change change)
{
    struct segment leaf;

    if (segments_leaf(segments, edge, &leaf) && changed(leaf.prop, change) != leaf.prop)
        segments_divide(segments, edge);
}

void segments_change(struct segments *segments, uint64_t start, uint64_t end, struct pt_change change)
{
    size_t first, last;

    divide_changed(segments, start, change);
    divide_changed(segments, end, change);
    /* A segment that is only partly inside now does not change. */
    first = segments_find(segments, start);
    for (last = first; last < segments->count && segments->list[last].start < end; last++)
        segments->list[last].prop = changed(segments->list[last].prop, change);
    join(segments, first, last);
}
