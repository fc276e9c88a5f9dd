/* Where a cursor is: claiming a range, moving down and up the tree, and giving the range back. Implements the protocol
 * of ept/lock.h; the rest of the generic code moves only through these functions.
 *
 * cursor->path[] holds the tables from `top` (the covering table) down to `level`, all locked; the tables above top are
 * recorded but not locked: they cannot go away, because each has the next one in it. The path is a cache: it need not
 * contain the position, and operations move it to where they work. */

/* Would the range be all of this table? */
static bool is_whole_table(uint64_t start, uint64_t end, unsigned level)
{
    return end - start == pt_slot_size(level + 1) && pt_aligned(start, level + 1);
}

/* Is [start, end) inside the table of this level that contains `address`? */
static bool is_inside(uint64_t start, uint64_t end, uint64_t address, unsigned level)
{
    return start >= pt_slot_start(address, level + 1) && end <= pt_slot_end(address, level + 1);
}

static pt_entry *path_entry(const struct pt_cursor *cursor, uint64_t address)
{
    return &pt_entries(cursor->pt, cursor->path[cursor->level])[pt_index(address, cursor->level)];
}

/* Locks the table in this slot of a table that the cursor holds, at `level`. Answers its pa, or 0 and false when the
 * slot holds none (any more). */
static bool lock_slot(struct pt_cursor *cursor, pt_entry *slot, unsigned level, uint64_t *pa)
{
    for (;;) {
        uint64_t entry = pt_load(slot);

        if (!fmt_is_live(entry) || fmt_is_leaf(entry, level))
            return false;
        *pa = fmt_address(entry);
        if (pt_lock_child(cursor->pt, pt_meta(cursor->pt, *pa), cursor->owner))
            return true;
    }
}

/* Takes an empty table out of its parent's slot. Both are held, or the parent is borrowed. */
static void unlink_table(struct pt_cursor *cursor, uint64_t parent, pt_entry *slot, uint64_t address, unsigned level)
{
    pt_store(slot, 0);
    pt_meta(cursor->pt, parent)->live--;
    gather_range(cursor->gather, pt_slot_start(address, level), pt_slot_end(address, level));
}

/* One step down, towards `address`. False: there is no table in its slot. */
static bool descend(struct pt_cursor *cursor, uint64_t address)
{
    uint64_t pa;

    if (cursor->level == 1 || !lock_slot(cursor, path_entry(cursor, address), cursor->level, &pa))
        return false;
    cursor->level--;
    cursor->path[cursor->level] = pa;
    cursor->where = address;
    return true;
}

/* One step up, below the top. An empty table is removed on leaving it, unless another cursor of this owner is in it. */
static void ascend(struct pt_cursor *cursor)
{
    uint64_t pa = cursor->path[cursor->level];
    struct pt_table *table = pt_meta(cursor->pt, pa);

    cursor->level++;
    if (table->live > 0 || table->depth > 1) {
        pt_unlock(table);
        return;
    }
    unlink_table(cursor, cursor->path[cursor->level], path_entry(cursor, cursor->where), cursor->where, cursor->level);
    if (!cursor->has_husk || cursor->husk != pa)
        gather_table(cursor->gather, pa);
}

/* Makes the parent of the covering table the new top, to remove the covering table, which is empty. Waits until the
 * parent is free or lent. See rule 3 of ept/lock.h. */
static void climb(struct pt_cursor *cursor)
{
    struct pt_table *table = pt_meta(cursor->pt, cursor->path[cursor->top]);
    struct pt_table *parent = pt_meta(cursor->pt, cursor->path[cursor->top + 1]);

    while (!pt_try_lock(parent, cursor->owner)) {
        if (pt_is_lent(table)) {
            cursor->husk = cursor->path[cursor->top];
            cursor->has_husk = true;
            break;
        }
        pt_relax(cursor->pt);
    }
    cursor->top++;
}

/* Moves up until the path's lowest table contains [start, end) as a proper part, if the claim lets it. */
static void ascend_to(struct pt_cursor *cursor, uint64_t start, uint64_t end)
{
    while (cursor->level < cursor->top &&
           (!is_inside(start, end, cursor->where, cursor->level) || is_whole_table(start, end, cursor->level)))
        ascend(cursor);
}

/* Moves to the lowest table that contains [start, end) as a proper part. */
static void locate(struct pt_cursor *cursor, uint64_t start, uint64_t end)
{
    ascend_to(cursor, start, end);
    while (cursor->level > 1 && is_inside(start, end, start, cursor->level - 1) &&
           !is_whole_table(start, end, cursor->level - 1) && descend(cursor, start))
        ;
}

/* Moves to the lowest table that covers `address`, and answers the entry there: a leaf, or 0 for a hole. */
static uint64_t locate_entry(struct pt_cursor *cursor, uint64_t address)
{
    while (cursor->level < cursor->top && !is_inside(address, address + 1, cursor->where, cursor->level))
        ascend(cursor);
    while (descend(cursor, address))
        ;
    return pt_load(path_entry(cursor, address));
}

/* From the top, which is locked, hand over hand down to the covering table. */
static void descend_to_covering(struct pt_cursor *cursor)
{
    while (cursor->level > 1 && is_inside(cursor->start, cursor->end, cursor->start, cursor->level - 1u) &&
           descend(cursor, cursor->start)) {
        pt_unlock(pt_meta(cursor->pt, cursor->path[cursor->top]));
        cursor->top = cursor->level;
    }
}

enum pt_status PT_FN(cursor_init)(struct pt_cursor *cursor, struct pt *pt, uint64_t start, uint64_t length,
                                  enum pt_mode mode, struct pt_gather *gather)
{
    *cursor = (struct pt_cursor){0};
    if (!gather || gather->pt != pt || length == 0 || !pt_aligned(start | length, 1) || mode > PT_WRITE)
        return PT_EINVAL;
    if (length > pt->size || start > pt->size - length)
        return PT_ERANGE;
    cursor->pt = pt;
    cursor->gather = gather;
    cursor->owner = (uintptr_t)gather;
    cursor->start = cursor->at = cursor->where = start;
    cursor->end = start + length;
    cursor->writes = mode == PT_WRITE;
    cursor->top = cursor->level = (uint8_t)pt->config.levels;
    cursor->path[cursor->top] = pt->root;
    pt_lock_root(pt, pt_meta(pt, pt->root), cursor->owner);
    descend_to_covering(cursor);
    return PT_OK;
}

enum pt_status PT_FN(cursor_init_inside)(struct pt_cursor *cursor, struct pt_cursor *outer, uint64_t start,
                                         uint64_t length)
{
    *cursor = (struct pt_cursor){0};
    if (outer->top == 0)
        return PT_EMODE;
    if (length == 0 || !pt_aligned(start | length, 1))
        return PT_EINVAL;
    if (start < outer->start || start > outer->end || length > outer->end - start)
        return PT_ERANGE;
    while (outer->level < outer->top)
        ascend(outer);
    *cursor = *outer;
    cursor->start = cursor->at = cursor->where = start;
    cursor->end = start + length;
    cursor->has_husk = false;
    cursor->level = cursor->top;
    pt_try_lock(pt_meta(cursor->pt, cursor->path[cursor->top]), cursor->owner);
    descend_to_covering(cursor);
    return PT_OK;
}

void PT_FN(cursor_end)(struct pt_cursor *cursor)
{
    const struct pt *pt = cursor->pt;
    struct pt_table *table;

    if (cursor->top == 0)
        return;
    for (;;) {
        while (cursor->level < cursor->top)
            ascend(cursor);
        table = pt_meta(pt, cursor->path[cursor->top]);
        /* A borrowed table is its holder's to remove. */
        if (cursor->has_husk || cursor->top == pt->config.levels || table->live > 0 || table->depth > 1)
            break;
        climb(cursor);
    }
    if (cursor->has_husk) {
        pt_retire(pt, pt_meta(pt, cursor->husk));
        gather_table(cursor->gather, cursor->husk);
    } else {
        pt_unlock(table);
    }
    cursor->top = 0;
}

/* What the slot of `level` around the position holds. */
static void fill_item(const struct pt_cursor *cursor, uint64_t entry, unsigned level, uint64_t at, struct pt_item *item)
{
    *item = (struct pt_item){.kind = PT_HOLE, .level = level, .start = pt_slot_start(at, level), .at = cursor->at};
    item->length = pt_slot_size(level);
    if (!fmt_is_live(entry))
        return;
    item->kind = PT_LEAF;
    item->hpa = fmt_address(entry);
    item->prop = fmt_prop(entry);
    item->frames = item->length >> PT_PAGE_SHIFT;
}

/* Is [at, at + length) a range this cursor may work on? Every operation begins with this. */
static enum pt_status begin(const struct pt_cursor *cursor, uint64_t length, bool writing)
{
    if (cursor->top == 0 || (writing && !cursor->writes))
        return PT_EMODE;
    if (length == 0 || !pt_aligned(length, 1))
        return PT_EINVAL;
    return length <= cursor->end - cursor->at ? PT_OK : PT_ERANGE;
}

enum pt_status PT_FN(cursor_query)(struct pt_cursor *cursor, struct pt_item *item)
{
    uint64_t entry;

    if (cursor->top == 0)
        return PT_EMODE;
    if (cursor->at == cursor->end)
        return PT_END;
    entry = locate_entry(cursor, cursor->at);
    fill_item(cursor, entry, cursor->level, cursor->at, item);
    return PT_OK;
}

enum pt_status PT_FN(cursor_next)(struct pt_cursor *cursor)
{
    if (cursor->top == 0)
        return PT_EMODE;
    if (cursor->at == cursor->end)
        return PT_END;
    locate_entry(cursor, cursor->at);
    cursor->at = pt_min(pt_slot_end(cursor->at, cursor->level), cursor->end);
    return PT_OK;
}

enum pt_status PT_FN(cursor_jump)(struct pt_cursor *cursor, uint64_t address)
{
    if (cursor->top == 0)
        return PT_EMODE;
    if (!pt_aligned(address, 1))
        return PT_EINVAL;
    if (address < cursor->start || address > cursor->end)
        return PT_ERANGE;
    cursor->at = address;
    return PT_OK;
}

/* Moves the path to the first leaf at or after `from` and before `end`; *found is in the leaf, not before `from`. */
static bool find_leaf(struct pt_cursor *cursor, uint64_t from, uint64_t end, uint64_t *found, uint64_t *entry)
{
    uint64_t address = from;

    while (address < end) {
        *entry = locate_entry(cursor, address);
        if (fmt_is_live(*entry)) {
            *found = address;
            return true;
        }
        /* Skip holes in this table quickly; it may be that a table or a leaf follows. */
        do
            address = pt_slot_end(address, cursor->level);
        while (address < end && pt_index(address, cursor->level) != 0 &&
               !fmt_is_live(pt_load(path_entry(cursor, address))));
    }
    return false;
}

enum pt_status PT_FN(cursor_find_next)(struct pt_cursor *cursor, uint64_t length, struct pt_item *item)
{
    enum pt_status status = begin(cursor, length, false);
    uint64_t end, found, entry;

    if (status != PT_OK)
        return status;
    end = cursor->at + length;
    if (!find_leaf(cursor, cursor->at, end, &found, &entry)) {
        cursor->at = end;
        return PT_END;
    }
    cursor->at = found;
    fill_item(cursor, entry, cursor->level, found, item);
    return PT_OK;
}
