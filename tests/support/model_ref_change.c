/* See model_ref.h: operations that change one tree. */
#include "tests/support/model_ref.h"

static bool type_exists(const struct ref_tree *tree, pt_prop prop)
{
    pt_prop type = prop & PT_MT_MASK;

    if (type == PT_UC || type == PT_WT || type == PT_WB)
        return true;
    return tree->is_ept ? type == PT_WC || type == PT_WP : type == PT_UCMINUS;
}

bool ref_change_allowed(const struct ref_tree *tree, struct pt_change change)
{
    pt_prop all = change.set | change.clear;

    if ((all & ~PT_ALL) || (all & PT_TRACKED) || (change.set & tree->absent))
        return false;
    if ((change.clear & PT_MT_MASK) == PT_MT_MASK)
        return type_exists(tree, change.set);
    return (all & PT_MT_MASK) == 0;
}

bool ref_all_allowed(const struct ref_tree *tree, const struct segments *map, uint64_t start, uint64_t end,
                     struct pt_change change)
{
    for (size_t i = segments_find(map, start); i < map->count && map->list[i].start < end; i++)
        if (!ref_rights_allowed(tree, ref_changed(map->list[i].prop, change)))
            return false;
    return true;
}

/* Would hardware that still has the old properties do what the new ones forbid, or fail to set A or D? */
static bool is_tightened(const struct ref_tree *tree, pt_prop old, pt_prop new)
{
    pt_prop kept = PT_R | PT_W | PT_X | PT_U | PT_G | (tree->caps & PT_CAP_AD ? PT_A | PT_D : 0);

    if ((old & PT_RWX) == 0)
        return false; /* it had nothing */
    return (old & ~new &kept) != 0 || ((old ^ new) & (PT_MT_MASK | PT_IPAT)) != 0;
}

void ref_change(struct ref_tree *tree, struct ref_stale *stale, uint64_t start, uint64_t end, struct pt_change change)
{
    const struct segments *map = &tree->map;

    for (size_t i = segments_find(map, start); i < map->count && map->list[i].start < end; i++) {
        struct segment part = segment_clip(map->list[i], start, end);

        if (is_tightened(tree, part.prop, ref_changed(part.prop, change)))
            ref_stale_note(stale, part.start, part.end);
    }
    segments_change(&tree->map, start, end, change);
}

void ref_insert(struct ref_tree *tree, struct segment range, unsigned leaf_max)
{
    uint64_t end = range.end;

    while (range.start < end) {
        struct segment run = range;
        uint64_t slot;

        for (run.level = leaf_max; run.start % pt_slot_size(run.level) || end - run.start < pt_slot_size(run.level);)
            run.level--;
        slot = pt_slot_size(run.level + 1);
        run.end = end & ~(pt_slot_size(run.level) - 1);
        if (run.level < leaf_max && run.end > (run.start & ~(slot - 1)) + slot)
            run.end = (run.start & ~(slot - 1)) + slot;
        segments_insert(&tree->map, run);
        range = segment_clip(range, run.end, end);
    }
}

unsigned ref_fitting_leaf(uint64_t delta, unsigned limit)
{
    while (delta % pt_slot_size(limit) != 0)
        limit--;
    return limit;
}

static bool map_allowed(const struct ref_tree *tree, uint64_t hpa, uint64_t length, pt_prop prop)
{
    uint64_t limit = (uint64_t)1 << 46; /* what the tests' trees have for maxphyaddr */

    return !(prop & ~PT_ALL) && !(prop & tree->absent) && type_exists(tree, prop) && ref_rights_allowed(tree, prop) &&
           hpa % PT_PAGE_SIZE == 0 && length <= limit && hpa <= limit - length;
}

static enum pt_status insert_at(struct ref_cursor *cursor, uint64_t hpa, uint64_t length, pt_prop prop,
                                unsigned leaf_max)
{
    struct segment range = {.start = cursor->at, .end = cursor->at + length, .hpa = hpa, .prop = prop};

    if (segments_mapped(&cursor->tree->map, range.start, range.end))
        return PT_EOCCUPIED;
    if ((prop & PT_TRACKED) && (hpa < cursor->tree->frames.start || length > cursor->tree->frames.length ||
                                hpa - cursor->tree->frames.start > cursor->tree->frames.length - length))
        return PT_EFRAME;
    ref_insert(cursor->tree, range, leaf_max);
    cursor->at = range.end;
    return PT_OK;
}

enum pt_status ref_map(struct ref_cursor *cursor, uint64_t hpa, unsigned level, pt_prop prop)
{
    enum pt_status status;
    uint64_t size;

    if (!cursor->open || !cursor->writes)
        return PT_EMODE;
    if (level == 0 || level > ref_highest_leaf(cursor->tree))
        return PT_EINVAL;
    size = pt_slot_size(level);
    status = ref_begin(cursor, &size, true);
    if (status != PT_OK)
        return status;
    if ((hpa | cursor->at) % size != 0 || !map_allowed(cursor->tree, hpa, size, prop))
        return PT_EINVAL;
    return insert_at(cursor, hpa, size, prop, level);
}

enum pt_status ref_map_range(struct ref_cursor *cursor, uint64_t hpa, uint64_t length, pt_prop prop)
{
    enum pt_status status = ref_begin(cursor, &length, true);

    if (status != PT_OK)
        return status;
    if (!map_allowed(cursor->tree, hpa, length, prop))
        return PT_EINVAL;
    return insert_at(cursor, hpa, length, prop, ref_fitting_leaf(hpa - cursor->at, ref_highest_leaf(cursor->tree)));
}

enum pt_status ref_protect_range(struct ref_cursor *cursor, uint64_t length, struct pt_change change)
{
    enum pt_status status = ref_begin(cursor, &length, true);
    uint64_t end = cursor->at + length;

    if (status != PT_OK)
        return status;
    if (!ref_change_allowed(cursor->tree, change) ||
        !ref_all_allowed(cursor->tree, &cursor->tree->map, cursor->at, end, change))
        return PT_EINVAL;
    ref_change(cursor->tree, cursor->stale, cursor->at, end, change);
    cursor->at = end;
    return PT_OK;
}

static uint64_t slot_end(const struct pt_item *item)
{
    return item->start + item->length;
}

/* The piece of the leaf around item->at that lies before `end`, as an item. */
static void narrow(struct pt_item *item, uint64_t end)
{
    while (item->at % pt_slot_size(item->level) != 0 || item->at + pt_slot_size(item->level) > end)
        item->level--;
    item->hpa += (item->at & ~(pt_slot_size(item->level) - 1)) - item->start;
    item->length = pt_slot_size(item->level);
    item->start = item->at & ~(item->length - 1);
    item->frames = item->length / PT_PAGE_SIZE;
}

enum pt_status ref_protect_next(struct ref_cursor *cursor, uint64_t length, struct pt_change change,
                                struct pt_item *item)
{
    enum pt_status status = ref_begin_step(cursor, &length, true);
    uint64_t end = cursor->at + length, at = cursor->at;

    if (status != PT_OK)
        return status;
    if (!ref_change_allowed(cursor->tree, change))
        return PT_EINVAL;
    status = ref_find_next(cursor, length, item);
    if (status != PT_OK)
        return status;
    if (!ref_rights_allowed(cursor->tree, ref_changed(item->prop, change))) {
        cursor->at = at;
        return PT_EINVAL;
    }
    if (ref_changed(item->prop, change) != item->prop) {
        narrow(item, end);
        ref_change(cursor->tree, cursor->stale, item->start, slot_end(item), change);
    }
    cursor->at = slot_end(item) < end ? slot_end(item) : end;
    return PT_OK;
}

static void remove_range(struct ref_cursor *cursor, uint64_t start, uint64_t end)
{
    const struct segments *map = &cursor->tree->map;

    for (size_t i = segments_find(map, start); i < map->count && map->list[i].start < end; i++) {
        struct segment part = segment_clip(map->list[i], start, end);

        ref_stale_note(cursor->stale, part.start, part.end);
    }
    segments_remove(&cursor->tree->map, start, end);
    cursor->at = end;
}

enum pt_status ref_unmap_range(struct ref_cursor *cursor, uint64_t length)
{
    enum pt_status status = ref_begin(cursor, &length, true);

    if (status == PT_OK)
        remove_range(cursor, cursor->at, cursor->at + length);
    return status;
}

enum pt_status ref_take_next(struct ref_cursor *cursor, uint64_t length, struct pt_item *item)
{
    enum pt_status status = ref_begin_step(cursor, &length, true);
    uint64_t end = cursor->at + length;

    if (status == PT_OK)
        status = ref_find_next(cursor, length, item);
    if (status != PT_OK)
        return status;
    narrow(item, end);
    remove_range(cursor, item->start, slot_end(item));
    return PT_OK;
}

/* 4 KiB units mapped in a range that no leaf reaches out of. */
static uint64_t frames_in(const struct segments *map, uint64_t start, uint64_t end)
{
    uint64_t frames = 0;

    for (size_t i = segments_find(map, start); i < map->count && map->list[i].start < end; i++) {
        struct segment part = segment_clip(map->list[i], start, end);

        frames += (part.end - part.start) / PT_PAGE_SIZE;
    }
    return frames;
}

enum pt_status ref_take_subtree(struct ref_cursor *cursor, uint64_t length, bool claimed, struct pt_item *item)
{
    enum pt_status status = ref_begin_step(cursor, &length, true);
    uint64_t start = cursor->at, end = cursor->at + length, size, slot;

    if (status == PT_OK)
        status = ref_find_next(cursor, length, item);
    if (status != PT_OK)
        return status;
    for (unsigned level = cursor->tree->levels; level > item->level; level--) {
        size = pt_slot_size(level);
        slot = item->at & ~(size - 1);
        if (slot < start || slot + size > end || (!claimed && size == cursor->end - cursor->start))
            continue;
        *item = (struct pt_item){.kind = PT_TABLE, .level = level, .start = slot, .length = size, .at = slot};
        item->frames = frames_in(&cursor->tree->map, slot, slot + size);
        remove_range(cursor, slot, slot + size);
        return PT_OK;
    }
    narrow(item, end);
    remove_range(cursor, item->start, slot_end(item));
    return PT_OK;
}
