/* See ept_spans.h. Every change builds the array anew: slow, and too simple to be wrong. */
#include "tests/support/ept_spans.h"

#include <stdlib.h>

void spans_free(struct spans *spans)
{
    free(spans->list);
    *spans = (struct spans){0};
}

void spans_append(struct spans *spans, struct span span)
{
    struct span *last = spans->count ? &spans->list[spans->count - 1] : NULL;

    if (span.start >= span.end)
        return;
    if (last && last->end == span.start && last->hpa + (last->end - last->start) == span.hpa &&
        last->prop == span.prop) {
        last->end = span.end;
        return;
    }
    if (spans->count == spans->room) {
        spans->room = spans->room ? 2 * spans->room : 64;
        spans->list = realloc(spans->list, spans->room * sizeof(span));
        if (!spans->list)
            abort();
    }
    spans->list[spans->count++] = span;
}

static struct span clip(struct span span, uint64_t start, uint64_t end)
{
    if (span.start < start) {
        span.hpa += start - span.start;
        span.start = start;
    }
    if (span.end > end)
        span.end = end;
    return span;
}

struct spans spans_slice(const struct spans *spans, uint64_t start, uint64_t end)
{
    struct spans slice = {0};

    for (size_t i = 0; i < spans->count; i++)
        spans_append(&slice, clip(spans->list[i], start, end));
    return slice;
}

bool spans_mapped(const struct spans *spans, uint64_t start, uint64_t end)
{
    struct spans slice = spans_slice(spans, start, end);
    bool mapped = slice.count > 0;

    spans_free(&slice);
    return mapped;
}

/* Replaces [start, end) by what `middle` holds. */
static void splice(struct spans *spans, uint64_t start, uint64_t end, struct spans *middle)
{
    struct spans all = spans_slice(spans, 0, start), after = spans_slice(spans, end, UINT64_MAX);

    for (size_t i = 0; i < middle->count; i++)
        spans_append(&all, middle->list[i]);
    for (size_t i = 0; i < after.count; i++)
        spans_append(&all, after.list[i]);
    spans_free(spans);
    spans_free(middle);
    spans_free(&after);
    *spans = all;
}

void spans_insert(struct spans *spans, struct span span)
{
    struct spans middle = {0};

    spans_append(&middle, span);
    splice(spans, span.start, span.end, &middle);
}

void spans_remove(struct spans *spans, uint64_t start, uint64_t end)
{
    struct spans middle = {0};

    splice(spans, start, end, &middle);
}

void spans_protect(struct spans *spans, uint64_t start, uint64_t end, struct pt_change change)
{
    struct spans old = spans_slice(spans, start, end), middle = {0};

    for (size_t i = 0; i < old.count; i++) {
        old.list[i].prop = (old.list[i].prop & ~change.clear) | change.set;
        spans_append(&middle, old.list[i]);
    }
    spans_free(&old);
    splice(spans, start, end, &middle);
}

long spans_differ(const struct spans *a, const struct spans *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (a->list[i].start != b->list[i].start || a->list[i].end != b->list[i].end ||
            a->list[i].hpa != b->list[i].hpa || a->list[i].prop != b->list[i].prop)
            return (long)i;
    return a->count == b->count ? -1 : (long)(a->count < b->count ? a->count : b->count);
}
