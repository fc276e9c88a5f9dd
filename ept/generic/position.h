/* Where a cursor is: moving down and up the tree, and what it finds there. Implements the "moving" part of the protocol
 * of ept/lock.h; the rest of the generic code moves only through these functions.
 *
 * cursor->path[] holds the tables from `top` (the covering table) down to `level`, locked but for those that are
 * shared; the tables above top are recorded but not locked: they cannot go away, because each has the next one in it.
 * The path is a cache: it need not contain the position, and operations move it to where they work.
 *
 * Shared tables (own.h) do not change while this tree owns them, so the path goes through them without locks: then
 * `shared` is the level of the table whose entry leads into them. */

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

/* Does an entry of this level point at a table of this tree alone? */
static bool is_own_table(uint64_t entry, unsigned level)
{
    return level > 1 && fmt_is_own_table(entry);
}

/* Does it point at a table? */
static bool is_table(uint64_t entry, unsigned level)
{
    return level > 1 && fmt_is_table(entry);
}

/* An entry with the rights that the walk to it leaves: a leaf (or table) below a shared entry has no W. */
static uint64_t effective(uint64_t entry, bool shared)
{
    return shared ? fmt_without_write(entry) : entry;
}

/* Locks the table in this slot of a table that the cursor holds, at `level`. Answers its pa, or false when the slot
 * holds none (any more), or a shared one. */
static bool lock_slot(struct pt_cursor *cursor, pt_entry *slot, unsigned level, uint64_t *pa)
{
    for (;;) {
        uint64_t entry = pt_load(slot);

        if (!is_own_table(entry, level))
            return false;
        *pa = fmt_child(entry);
        if (pt_lock_child(cursor->pt, pt_meta(cursor->pt, *pa), cursor->holder))
            return true;
    }
}

/* Takes an empty table out of its parent's slot. Both are held, or the parent is borrowed. */
static void unlink_table(struct pt_cursor *cursor, uint64_t parent, pt_entry *slot, uint64_t address, unsigned level)
{
    pt_store(slot, 0);
    pt_meta(cursor->pt, parent)->live--;
    gather_range(cursor->gather, PT_FLUSH_TABLES, pt_slot_start(address, level), pt_slot_end(address, level));
}

/* One step down, towards `address`. False: there is no table in its slot, or a shared one. */
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

/* The same for looking only: goes into shared tables too. */
static bool descend_to_look(struct pt_cursor *cursor, uint64_t address)
{
    uint64_t entry;

    if (!cursor->shared && descend(cursor, address))
        return true;
    entry = pt_follow(path_entry(cursor, address));
    if (!is_table(entry, cursor->level))
        return false;
    if (!cursor->shared)
        cursor->shared = cursor->level;
    cursor->level--;
    cursor->path[cursor->level] = fmt_child(entry);
    cursor->where = address;
    return true;
}

/* One step up, below the top. An empty table is removed on leaving it, unless another cursor of this holder is in it.
 */
static void ascend(struct pt_cursor *cursor)
{
    uint64_t pa = cursor->path[cursor->level];
    struct pt_table *table = pt_meta(cursor->pt, pa);

    cursor->level++;
    if (cursor->shared) {
        if (cursor->level == cursor->shared)
            cursor->shared = 0;
        return;
    }
    if (table->live > 0 || table->depth > 1) {
        pt_unlock(table);
        return;
    }
    unlink_table(cursor, cursor->path[cursor->level], path_entry(cursor, cursor->where), cursor->where, cursor->level);
    if (!cursor->has_husk || cursor->husk != pa)
        gather_table(cursor->gather, pa);
}

/* Back to the lowest table of this tree alone. Every operation begins with this when it looks from where the path ends:
 * another cursor of this holder may have replaced shared tables since. */
static void leave_shared(struct pt_cursor *cursor)
{
    while (cursor->shared)
        ascend(cursor);
}

/* Moves up until the path's lowest table contains [start, end) as a proper part, if the claim lets it. */
static void ascend_to(struct pt_cursor *cursor, uint64_t start, uint64_t end)
{
    leave_shared(cursor);
    while (cursor->level < cursor->top &&
           (!is_inside(start, end, cursor->where, cursor->level) || is_whole_table(start, end, cursor->level)))
        ascend(cursor);
}

/* Moves to the lowest table of this tree alone that contains [start, end) as a proper part. */
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
    while (cursor->level > 1 && descend_to_look(cursor, address))
        ;
    return effective(pt_load(path_entry(cursor, address)), cursor->shared != 0);
}

/* What the slot of `level` around `at` holds, for one who stands at `stands`. */
static inline void fill_item(uint64_t stands, uint64_t entry, unsigned level, uint64_t at, struct pt_item *item)
{
    uint64_t size = pt_slot_size(level);
    bool live = fmt_is_live(entry);

    item->kind = live ? PT_LEAF : PT_HOLE;
    item->level = level;
    item->start = pt_slot_start(at, level);
    item->length = size;
    item->at = stands;
    item->hpa = live ? fmt_address(entry) : 0;
    item->frames = live ? size >> PT_PAGE_SHIFT : 0;
    item->prop = live ? fmt_prop(entry) : 0;
}

/* Is [at, at + *length) a range this cursor may work on? Every operation begins with this. PT_TO_END becomes a length.
 */
static enum pt_status begin(const struct pt_cursor *cursor, uint64_t *length, bool writing)
{
    uint64_t left = cursor->end - cursor->at;

    if (cursor->top == 0 || (writing && !cursor->writes))
        return PT_EMODE;
    if (*length == PT_TO_END) {
        *length = left;
        return left > 0 ? PT_OK : PT_END;
    }
    if (*length == 0 || !pt_aligned(*length, 1))
        return PT_EINVAL;
    return *length <= left ? PT_OK : PT_ERANGE;
}

/* The same for operations that find the next leaf: loops that end where the claim does may ask once more. */
static enum pt_status begin_step(const struct pt_cursor *cursor, uint64_t *length, bool writing)
{
    if (*length == 0 && cursor->at == cursor->end)
        *length = PT_TO_END;
    return begin(cursor, length, writing);
}

enum pt_status PT_FN(cursor_query)(struct pt_cursor *cursor, struct pt_item *item)
{
    uint64_t entry;

    if (cursor->top == 0)
        return PT_EMODE;
    if (cursor->at == cursor->end)
        return PT_END;
    leave_shared(cursor);
    entry = locate_entry(cursor, cursor->at);
    fill_item(cursor->at, entry, cursor->level, cursor->at, item);
    return PT_OK;
}

enum pt_status PT_FN(cursor_next)(struct pt_cursor *cursor)
{
    if (cursor->top == 0)
        return PT_EMODE;
    if (cursor->at == cursor->end)
        return PT_END;
    leave_shared(cursor);
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

    leave_shared(cursor);
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
    enum pt_status status = begin_step(cursor, &length, false);
    uint64_t end, found, entry;

    if (status != PT_OK)
        return status;
    end = cursor->at + length;
    if (!find_leaf(cursor, cursor->at, end, &found, &entry)) {
        cursor->at = end;
        return PT_END;
    }
    cursor->at = found;
    fill_item(found, entry, cursor->level, found, item);
    return PT_OK;
}
