/* Claiming a range, giving it back, and taking the table above. Implements the "claiming" part of the protocol of
 * ept/lock.h. */

/* The lowest level a table can have that holds all of [start, end). */
static unsigned lowest_covering(uint64_t start, uint64_t end)
{
    unsigned bits = 64u - (unsigned)__builtin_clzll(start ^ (end - 1)); /* at least 12: ranges are whole pages */

    return bits <= PT_PAGE_SHIFT + 9 ? 1 : (bits - PT_PAGE_SHIFT + 8) / 9;
}

/* One table on the way down from the root, and the entry that was followed from there. */
struct followed {
    const struct pt_table *table;
    pt_entry *slot;
    uint64_t entry;
};

/* Is nobody in the tables above, and are they still linked as they were followed? Top-down, and in this order: see
 * ept/lock.h. */
static bool is_way_free(const struct followed *first, const struct followed *end, uintptr_t holder)
{
    for (; first < end; first++)
        if (!pt_is_free(first->table, holder) || ((pt_follow(first->slot) ^ first->entry) & ~FMT_A) != 0)
            return false;
    return true;
}

/* One try, in a read-side section: down to the covering table without locks, lock it, look at the way again. It looks
 * before it locks, too: claimers that kept locking a table for an instant could keep out who waits for it rightly. */
static bool try_claim(struct pt_cursor *cursor, unsigned lowest)
{
    const struct pt *pt = cursor->pt;
    struct followed way[PT_MAX_LEVEL], *end = way;
    uint64_t pa = pt->root;
    unsigned level = pt->config.levels;
    struct pt_table *table = pt_meta(pt, pa);

    cursor->path[level] = pa;
    while (level > lowest && pt_is_free(table, cursor->holder)) {
        pt_entry *slot = &pt_entries(pt, pa)[pt_index(cursor->start, level)];
        uint64_t entry = pt_follow(slot);

        if (!fmt_is_own_table(entry))
            break;
        *end++ = (struct followed){.table = table, .slot = slot, .entry = entry};
        pa = fmt_child(entry);
        table = pt_meta(pt, pa);
        cursor->path[--level] = pa;
    }
    if (!pt_try_lock(table, cursor->holder))
        return false;
    cursor->top = cursor->level = (uint8_t)level;
    /* A table that this holder had before has been looked at before. */
    if (table->depth > 1 || is_way_free(way, end, cursor->holder))
        return true;
    pt_unlock(table);
    return false;
}

/* From the top, which is locked, hand over hand down to the covering table. */
static void descend_to_covering(struct pt_cursor *cursor, unsigned lowest)
{
    while (cursor->level > lowest && descend(cursor, cursor->start)) {
        pt_unlock(pt_meta(cursor->pt, cursor->path[cursor->top]));
        cursor->top = cursor->level;
    }
}

enum pt_status PT_FN(cursor_init)(struct pt_cursor *cursor, struct pt *pt, uint64_t start, uint64_t length,
                                  enum pt_mode mode, struct pt_gather *gather)
{
    unsigned lowest;
    bool claimed;

    cursor->top = 0;
    if (length == PT_TO_END)
        length = start < pt->size ? pt->size - start : PT_PAGE_SIZE;
    if (!gather || gather->pt != pt || length == 0 || !pt_aligned(start | length, 1) || mode > PT_WRITE)
        return PT_EINVAL;
    if (length > pt->size || start > pt->size - length)
        return PT_ERANGE;
    cursor->pt = pt;
    cursor->gather = gather;
    cursor->holder = (uintptr_t)gather;
    cursor->start = cursor->at = cursor->where = start;
    cursor->end = start + length;
    cursor->writes = mode == PT_WRITE;
    cursor->has_husk = false;
    cursor->shared = 0;
    lowest = lowest_covering(start, start + length);
    for (;;) {
        pt_read_begin(pt);
        claimed = try_claim(cursor, lowest);
        pt_read_end(pt);
        if (claimed)
            break;
        pt_relax(pt);
    }
    descend_to_covering(cursor, lowest);
    return PT_OK;
}

enum pt_status PT_FN(cursor_init_inside)(struct pt_cursor *cursor, struct pt_cursor *outer, uint64_t start,
                                         uint64_t length)
{
    cursor->top = 0;
    if (outer->top == 0)
        return PT_EMODE;
    if (length == PT_TO_END)
        length = start < outer->end ? outer->end - start : PT_PAGE_SIZE;
    if (length == 0 || !pt_aligned(start | length, 1))
        return PT_EINVAL;
    if (start < outer->start || start > outer->end || length > outer->end - start)
        return PT_ERANGE;
    while (outer->level < outer->top)
        ascend(outer);
    *cursor = *outer;
    cursor->start = cursor->at = cursor->where = start;
    cursor->end = start + length;
    /* A borrowed table is not this holder's to lock; the husk is, and stands for the claim. */
    if (cursor->has_husk) {
        pt_try_lock(pt_meta(cursor->pt, cursor->husk), cursor->holder);
        return PT_OK;
    }
    pt_try_lock(pt_meta(cursor->pt, cursor->path[cursor->top]), cursor->holder);
    descend_to_covering(cursor, lowest_covering(start, start + length));
    return PT_OK;
}

/* Makes the parent of the covering table the new top, to remove the covering table, which is empty. Waits until the
 * parent is free or lent. See rule 3 of ept/lock.h. */
static void climb(struct pt_cursor *cursor)
{
    struct pt_table *table = pt_meta(cursor->pt, cursor->path[cursor->top]);
    struct pt_table *parent = pt_meta(cursor->pt, cursor->path[cursor->top + 1]);

    while (!pt_try_lock(parent, cursor->holder)) {
        if (pt_is_lent(table)) {
            cursor->husk = cursor->path[cursor->top];
            cursor->has_husk = true;
            break;
        }
        pt_relax(cursor->pt);
    }
    cursor->top++;
}

/* Before an operation on so much: makes the parent the new top when that is all of the covering table and the parent
 * happens to be free, so that the operation can work on the entry for the whole. */
static void widen(struct pt_cursor *cursor, uint64_t length)
{
    unsigned top = cursor->top;

    if (cursor->at + length == cursor->end && cursor->at == cursor->start && !cursor->has_husk &&
        top < cursor->pt->config.levels && is_whole_table(cursor->start, cursor->end, top) &&
        pt_meta(cursor->pt, cursor->path[top])->depth == 1 &&
        pt_try_lock(pt_meta(cursor->pt, cursor->path[top + 1]), cursor->holder))
        cursor->top++;
}

/* Unlocks the husk; the outermost cursor that stands on it ends its life. */
static void end_husk(struct pt_cursor *cursor)
{
    struct pt_table *husk = pt_meta(cursor->pt, cursor->husk);

    if (husk->depth > 1) {
        pt_unlock(husk);
        return;
    }
    pt_retire(cursor->pt, husk);
    gather_table(cursor->gather, cursor->husk);
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
        if (cursor->has_husk || table->live > 0 || cursor->top == pt->config.levels || table->depth > 1)
            break;
        climb(cursor);
    }
    if (cursor->has_husk)
        end_husk(cursor);
    else
        pt_unlock(table);
    cursor->top = 0;
}
