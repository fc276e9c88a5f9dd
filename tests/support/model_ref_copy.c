/* See model_ref.h: copying and sharing, and what only divides or joins leaves. */
#include "tests/support/model_ref.h"

#include <stdlib.h>
#include <string.h>

static enum pt_status begin_copy(const struct ref_cursor *dst, const struct ref_cursor *src, uint64_t *length,
                                 struct pt_change to_dst, struct pt_change to_src)
{
    enum pt_status status = ref_begin(src, length, (to_src.set | to_src.clear) != 0);

    if (status == PT_OK || (status == PT_END && !(dst->open && dst->writes)))
        status = ref_begin(dst, length, true);
    if (status != PT_OK)
        return status;
    if (!ref_change_allowed(dst->tree, to_dst) || !ref_change_allowed(src->tree, to_src))
        return PT_EINVAL;
    if (dst->tree == src->tree && (dst->gather != src->gather || (dst->start < src->end && src->start < dst->end)))
        return PT_EINVAL;
    return PT_OK;
}

/* The copy of one segment of the source. */
static void insert_copy(struct ref_cursor *dst, struct segment part, uint64_t delta, struct pt_change to_dst)
{
    unsigned limit = ref_highest_leaf(dst->tree);

    part.start += delta;
    part.end += delta;
    part.prop = ref_changed(part.prop, to_dst);
    ref_insert(dst->tree, part, ref_fitting_leaf(part.hpa - part.start, part.level < limit ? part.level : limit));
}

enum pt_status ref_copy_from(struct ref_cursor *dst, struct ref_cursor *src, uint64_t length, struct pt_change to_dst,
                             struct pt_change to_src)
{
    enum pt_status status = begin_copy(dst, src, &length, to_dst, to_src);
    uint64_t start = src->at, end = src->at + length, delta = dst->at - src->at;
    struct segment *parts;
    size_t first, count = 0;

    if (status != PT_OK)
        return status;
    if (segments_mapped(&dst->tree->map, dst->at, dst->at + length))
        return PT_EOCCUPIED;
    if (!ref_all_allowed(src->tree, &src->tree->map, start, end, to_src) ||
        !ref_all_allowed(dst->tree, &src->tree->map, start, end, to_dst))
        return PT_EINVAL;
    first = segments_find(&src->tree->map, start);
    while (first + count < src->tree->map.count && src->tree->map.list[first + count].start < end)
        count++;
    parts = malloc((count + 1) * sizeof(*parts));
    if (!parts)
        abort();
    for (size_t i = 0; i < count; i++)
        parts[i] = segment_clip(src->tree->map.list[first + i], start, end);
    ref_change(src->tree, src->stale, start, end, to_src);
    for (size_t i = 0; i < count; i++)
        insert_copy(dst, parts[i], delta, to_dst);
    free(parts);
    src->at += length;
    dst->at += length;
    return PT_OK;
}

enum pt_status ref_share_from(struct ref_cursor *dst, struct ref_cursor *src, uint64_t length, bool alike)
{
    struct pt_change read_only = {.clear = PT_W};
    enum pt_status status = begin_copy(dst, src, &length, read_only, read_only);

    if (status == PT_OK && !alike)
        status = PT_EINVAL;
    return status == PT_OK ? ref_copy_from(dst, src, length, read_only, read_only) : status;
}

enum pt_status ref_split(struct ref_cursor *cursor, unsigned level)
{
    struct segment leaf;
    uint64_t start;

    if (!cursor->open || !cursor->writes)
        return PT_EMODE;
    if (level == 0 || level > ref_highest_leaf(cursor->tree))
        return PT_EINVAL;
    if (cursor->at == cursor->end || !segments_leaf(&cursor->tree->map, cursor->at, &leaf))
        return PT_END;
    if (leaf.level <= level)
        return PT_OK;
    if (leaf.start < cursor->start || leaf.end > cursor->end)
        return PT_ERANGE;
    /* One of these alone does nothing where it is an edge of a larger piece too. */
    start = cursor->at & ~(pt_slot_size(level) - 1);
    segments_divide(&cursor->tree->map, start);
    segments_divide(&cursor->tree->map, start + pt_slot_size(level));
    return PT_OK;
}

enum pt_status ref_collapse(struct ref_cursor *cursor, unsigned level)
{
    struct segments *map = &cursor->tree->map;
    pt_prop marks = 0, other = 0;
    struct segment whole;
    uint64_t size;
    size_t i, first;
    enum pt_status status;

    if (!cursor->open || !cursor->writes)
        return PT_EMODE;
    if (level < 2 || level > ref_highest_leaf(cursor->tree))
        return PT_EINVAL;
    size = pt_slot_size(level);
    status = ref_begin(cursor, &size, true);
    if (status != PT_OK)
        return status;
    if (cursor->at % pt_slot_size(level) != 0)
        return PT_EINVAL;
    first = segments_find(map, cursor->at);
    if (first == map->count)
        return PT_EUNEQUAL;
    whole = segment_clip(map->list[first], cursor->at, UINT64_MAX);
    other = whole.prop & ~(PT_A | PT_D);
    whole.end = cursor->at;
    for (i = first; i < map->count && map->list[i].start < cursor->at + pt_slot_size(level); i++) {
        struct segment part = segment_clip(map->list[i], cursor->at, cursor->at + pt_slot_size(level));

        if (part.start != whole.end || part.hpa - part.start != whole.hpa - whole.start ||
            (part.prop & ~(PT_A | PT_D)) != other)
            return PT_EUNEQUAL;
        marks |= part.prop & (PT_A | PT_D);
        whole.end = part.end;
    }
    if (whole.start != cursor->at || whole.end - whole.start != pt_slot_size(level) ||
        whole.hpa % pt_slot_size(level) != 0)
        return PT_EUNEQUAL;
    cursor->at = whole.end;
    if (map->list[first].level >= level)
        return PT_OK;
    ref_stale_note(cursor->stale, whole.start, whole.end);
    whole.level = level;
    whole.prop = other | marks;
    segments_remove(map, whole.start, whole.end);
    segments_insert(map, whole);
    return PT_OK;
}

enum pt_status ref_harvest(struct ref_cursor *cursor, uint64_t length, pt_prop bits, bool clear, struct pt_range *run)
{
    const struct segments *map = &cursor->tree->map;
    enum pt_status status = ref_begin_step(cursor, &length, clear);
    uint64_t start, end;
    size_t i;

    if (status != PT_OK)
        return status;
    if (bits == 0 || (bits & ~(PT_A | PT_D)))
        return PT_EINVAL;
    start = cursor->at;
    end = start + length;
    for (i = segments_find(map, start); i < map->count && !(map->list[i].prop & bits);)
        i++;
    if (i == map->count || map->list[i].start >= end) {
        cursor->at = end;
        return PT_END;
    }
    run->start = map->list[i].start > start ? map->list[i].start : start;
    run->length = 0;
    for (; i < map->count && map->list[i].start <= run->start + run->length && (map->list[i].prop & bits); i++)
        run->length = map->list[i].end - run->start;
    if (run->length > end - run->start)
        run->length = end - run->start;
    cursor->at = run->start + run->length;
    if (clear)
        ref_change(cursor->tree, cursor->stale, run->start, cursor->at, (struct pt_change){.clear = bits});
    return PT_OK;
}
