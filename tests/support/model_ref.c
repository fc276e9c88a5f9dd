/* See model_ref.h: looking, and what all operations share. */
#include "tests/support/model_ref.h"

unsigned ref_highest_leaf(const struct ref_tree *tree)
{
    if (!(tree->caps & PT_CAP_2M))
        return 1;
    return tree->caps & PT_CAP_1G ? 3 : 2;
}

bool ref_rights_allowed(const struct ref_tree *tree, pt_prop prop)
{
    if (prop & PT_R)
        return true;
    if (tree->is_ept && (tree->caps & PT_CAP_EXEC_ONLY))
        return !(prop & PT_W);
    return !(prop & (PT_W | PT_X));
}

void ref_stale_note(struct ref_stale *stale, uint64_t start, uint64_t end)
{
    struct pt_range *last = stale->count ? &stale->ranges[stale->count - 1] : NULL;

    if (last && last->start + last->length == start)
        last->length += end - start;
    else if (stale->count < REF_STALE)
        stale->ranges[stale->count++] = (struct pt_range){.start = start, .length = end - start};
}

void ref_stale_flush(struct ref_stale *stale, uint64_t start, uint64_t end)
{
    struct ref_stale old = *stale;

    stale->count = 0;
    for (unsigned i = 0; i < old.count; i++) {
        uint64_t from = old.ranges[i].start, to = from + old.ranges[i].length;

        if (end <= from || start >= to) {
            ref_stale_note(stale, from, to);
            continue;
        }
        if (from < start)
            ref_stale_note(stale, from, start);
        if (end < to)
            ref_stale_note(stale, end, to);
    }
}

enum pt_status ref_begin(const struct ref_cursor *cursor, uint64_t *length, bool writing)
{
    if (!cursor->open || (writing && !cursor->writes))
        return PT_EMODE;
    if (*length == PT_TO_END && cursor->at == cursor->end)
        return PT_END;
    if (*length == PT_TO_END)
        *length = cursor->end - cursor->at;
    if (*length == 0 || *length % PT_PAGE_SIZE != 0)
        return PT_EINVAL;
    return *length <= cursor->end - cursor->at ? PT_OK : PT_ERANGE;
}

enum pt_status ref_begin_step(const struct ref_cursor *cursor, uint64_t *length, bool writing)
{
    enum pt_status status = ref_begin(cursor, length, writing);

    return status == PT_EINVAL && *length == 0 && cursor->at == cursor->end ? PT_END : status;
}

/* The largest slot around a hole in which nothing is mapped. */
static unsigned hole_level(const struct ref_tree *tree, uint64_t address)
{
    size_t i = segments_find(&tree->map, address);
    uint64_t from = i > 0 ? tree->map.list[i - 1].end : 0;
    uint64_t to = i < tree->map.count ? tree->map.list[i].start : UINT64_MAX;
    unsigned level = 1;

    while (level < tree->levels) {
        uint64_t size = pt_slot_size(level + 1), start = address & ~(size - 1);

        if (start < from || start + size > to)
            break;
        level++;
    }
    return level;
}

enum pt_status ref_lookup(const struct ref_tree *tree, uint64_t address, struct pt_item *item)
{
    struct segment leaf;

    if (address >= pt_slot_size(tree->levels + 1))
        return PT_ERANGE;
    *item = (struct pt_item){.kind = PT_HOLE, .at = address};
    if (segments_leaf(&tree->map, address, &leaf)) {
        item->kind = PT_LEAF;
        item->level = leaf.level;
        item->hpa = leaf.hpa;
        item->prop = leaf.prop;
        item->frames = pt_slot_size(leaf.level) / PT_PAGE_SIZE;
    } else {
        item->level = hole_level(tree, address);
    }
    item->length = pt_slot_size(item->level);
    item->start = address & ~(item->length - 1);
    return PT_OK;
}

enum pt_status ref_query(const struct ref_cursor *cursor, struct pt_item *item)
{
    if (!cursor->open)
        return PT_EMODE;
    if (cursor->at == cursor->end)
        return PT_END;
    return ref_lookup(cursor->tree, cursor->at, item);
}

enum pt_status ref_next(struct ref_cursor *cursor, const struct pt_item *item)
{
    if (!cursor->open)
        return PT_EMODE;
    if (cursor->at == cursor->end)
        return PT_END;
    cursor->at = item->start + item->length < cursor->end ? item->start + item->length : cursor->end;
    return PT_OK;
}

enum pt_status ref_find_next(struct ref_cursor *cursor, uint64_t length, struct pt_item *item)
{
    enum pt_status status = ref_begin_step(cursor, &length, false);
    uint64_t end = cursor->at + length;
    size_t i;

    if (status != PT_OK)
        return status;
    i = segments_find(&cursor->tree->map, cursor->at);
    if (i == cursor->tree->map.count || cursor->tree->map.list[i].start >= end) {
        cursor->at = end;
        return PT_END;
    }
    if (cursor->tree->map.list[i].start > cursor->at)
        cursor->at = cursor->tree->map.list[i].start;
    return ref_lookup(cursor->tree, cursor->at, item);
}
