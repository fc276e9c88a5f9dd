/* See ept_segments.h. Every change builds the array anew: slow, and too simple to be wrong. */
#include "tests/support/ept_segments.h"

#include <stdlib.h>

void segments_free(struct segments *segments)
{
    free(segments->list);
    *segments = (struct segments){0};
}

void segments_append(struct segments *segments, struct segment segment)
{
    struct segment *last = segments->count ? &segments->list[segments->count - 1] : NULL;

    if (segment.start >= segment.end)
        return;
    if (last && last->end == segment.start && last->hpa + (last->end - last->start) == segment.hpa &&
        last->prop == segment.prop) {
        last->end = segment.end;
        return;
    }
    if (segments->count == segments->room) {
        segments->room = segments->room ? 2 * segments->room : 64;
        segments->list = realloc(segments->list, segments->room * sizeof(segment));
        if (!segments->list)
            abort();
    }
    segments->list[segments->count++] = segment;
}

static struct segment clip(struct segment segment, uint64_t start, uint64_t end)
{
    if (segment.start < start) {
        segment.hpa += start - segment.start;
        segment.start = start;
    }
    if (segment.end > end)
        segment.end = end;
    return segment;
}

struct segments segments_slice(const struct segments *segments, uint64_t start, uint64_t end)
{
    struct segments slice = {0};

    for (size_t i = 0; i < segments->count; i++)
        segments_append(&slice, clip(segments->list[i], start, end));
    return slice;
}

bool segments_mapped(const struct segments *segments, uint64_t start, uint64_t end)
{
    struct segments slice = segments_slice(segments, start, end);
    bool mapped = slice.count > 0;

    segments_free(&slice);
    return mapped;
}

/* Replaces [start, end) by what `middle` holds. */
static void splice(struct segments *segments, uint64_t start, uint64_t end, struct segments *middle)
{
    struct segments all = segments_slice(segments, 0, start), after = segments_slice(segments, end, UINT64_MAX);

    for (size_t i = 0; i < middle->count; i++)
        segments_append(&all, middle->list[i]);
    for (size_t i = 0; i < after.count; i++)
        segments_append(&all, after.list[i]);
    segments_free(segments);
    segments_free(middle);
    segments_free(&after);
    *segments = all;
}

void segments_insert(struct segments *segments, struct segment segment)
{
    struct segments middle = {0};

    segments_append(&middle, segment);
    splice(segments, segment.start, segment.end, &middle);
}

void segments_remove(struct segments *segments, uint64_t start, uint64_t end)
{
    struct segments middle = {0};

    splice(segments, start, end, &middle);
}

void segments_protect(struct segments *segments, uint64_t start, uint64_t end, struct pt_change change)
{
    struct segments old = segments_slice(segments, start, end), middle = {0};

    for (size_t i = 0; i < old.count; i++) {
        old.list[i].prop = (old.list[i].prop & ~change.clear) | change.set;
        segments_append(&middle, old.list[i]);
    }
    segments_free(&old);
    splice(segments, start, end, &middle);
}

long segments_differ(const struct segments *a, const struct segments *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (a->list[i].start != b->list[i].start || a->list[i].end != b->list[i].end ||
            a->list[i].hpa != b->list[i].hpa || a->list[i].prop != b->list[i].prop)
            return (long)i;
    return a->count == b->count ? -1 : (long)(a->count < b->count ? a->count : b->count);
}
