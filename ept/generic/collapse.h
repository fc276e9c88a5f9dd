/* Collapse: a table of contiguous equal leaves becomes one huge leaf, the inverse of a split. */

/* What joining the leaves below a slot takes and gives. */
struct joining {
    uint64_t leaf;   /* the huge leaf, with the A and D of all */
    uint64_t pieces; /* how far the leaves seen so far reach, from the slot's start */
};

/* Are the leaves of this table the next pieces of the leaf? A and D are collected. */
static bool join_below(const struct pt *pt, struct joining *joining, uint64_t table, unsigned level, bool shared)
{
    pt_entry *entries = pt_entries(pt, table);

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t entry = effective(pt_load(&entries[i]), shared);

        if (is_table(entry, level)) {
            if (!join_below(pt, joining, fmt_child(entry), level - 1, fmt_is_shared(entry)))
                return false;
            continue;
        }
        if (((entry ^ fmt_piece(joining->leaf, joining->pieces, level)) & ~(FMT_A | FMT_DIRTY)) != 0)
            return false;
        joining->leaf |= entry & (FMT_A | FMT_DIRTY);
        joining->pieces += pt_slot_size(level);
    }
    return true;
}

/* The leaf of `level` that the table in its slot may be the pieces of, going by the first of them; 0: there is none. */
static uint64_t first_piece(const struct pt *pt, uint64_t table, unsigned level, bool shared)
{
    unsigned at = level - 1;
    uint64_t entry = effective(pt_load(pt_entries(pt, table)), shared);

    for (; is_table(entry, at); at--)
        entry = effective(pt_load(pt_entries(pt, fmt_child(entry))), fmt_is_shared(entry));
    if (!fmt_is_live(entry) || !pt_aligned(fmt_address(entry), level))
        return 0;
    return (entry | FMT_LARGE) & ~(FMT_A | FMT_DIRTY);
}

/* What the slot that is the operation's range holds, seen from the operation's table; that table, when it is all of the
 * range, as the entry for it. *level: that of the entry, above the slot's when a larger leaf or hole is around it. */
static uint64_t slot_entry(const struct operation *op, unsigned *level)
{
    const struct pt *pt = op->cursor->pt;
    uint64_t table = op->root, entry = fmt_table(table);
    unsigned at = op->level, wanted = *level;
    bool shared = false;

    while (at >= wanted) {
        *level = at;
        entry = effective(pt_load(&pt_entries(pt, table)[pt_index(op->start, at)]), shared);
        shared |= is_table(entry, at) && fmt_is_shared(entry);
        table = fmt_child(entry);
        if (!is_table(entry, at--))
            break;
    }
    return entry;
}

/* All A and D set below a table. */
static uint64_t marks_below(const struct pt *pt, uint64_t table, unsigned level)
{
    pt_entry *entries = pt_entries(pt, table);
    uint64_t marks = 0;

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t entry = pt_load(&entries[i]);

        marks |= is_table(entry, level) ? marks_below(pt, fmt_child(entry), level - 1) : entry & (FMT_A | FMT_DIRTY);
    }
    return marks;
}

/* The covering table is what is to be replaced: its parent becomes the covering table. */
static void climb_from_full(struct pt_cursor *cursor)
{
    struct pt_table *table = pt_meta(cursor->pt, cursor->path[cursor->top]);

    climb(cursor);
    cursor->level = cursor->top;
    if (!cursor->has_husk)
        pt_unlock(table);
}

/* Puts the leaf where the table is. Hardware that has come to a piece before the flush may set A or D there until then:
 * that is added to the leaf. */
static void commit_collapse(struct operation *op, unsigned level, uint64_t leaf)
{
    struct pt_cursor *cursor = op->cursor;
    const struct pt *pt = cursor->pt;
    pt_entry *slot;
    uint64_t entry, marks;

    op->why = PT_FLUSH_TABLES;
    own_tables(op);
    if (op->level < level)
        climb_from_full(cursor);
    else
        locate(cursor, op->start, op->end);
    slot = path_entry(cursor, op->start);
    entry = pt_load(slot);
    pt_store(slot, leaf);
    gather_range(cursor->gather, op->why, op->start, op->end);
    if (hardware_writes(pt)) {
        PT_FN(gather_sync)(cursor->gather);
        marks = effective(marks_below(pt, fmt_child(entry), level - 1), (leaf & FMT_W) == 0);
        atomic_fetch_or_explicit(slot, marks, memory_order_acq_rel);
        gather_range(cursor->gather, op->why, op->start, op->end);
    }
    if (!cursor->has_husk || cursor->husk != fmt_child(entry))
        gather_entry(cursor->gather, entry, level, op->start, op->end);
}

/* Checks and acquires; *leaf is what the slot becomes, 0 when it is large enough already. */
static enum pt_status prepare_collapse(struct operation *op, unsigned level, uint64_t *leaf)
{
    const struct pt *pt = op->cursor->pt;
    struct joining joining = {0};
    unsigned found = level;
    uint64_t entry = slot_entry(op, &found);
    enum pt_status status;

    *leaf = 0;
    if (!fmt_is_live(entry))
        return PT_EUNEQUAL;
    if (fmt_is_leaf(entry, found))
        return PT_OK;
    joining.leaf = first_piece(pt, fmt_child(entry), level, fmt_is_shared(entry));
    if (joining.leaf == 0 || !join_below(pt, &joining, fmt_child(entry), level - 1, fmt_is_shared(entry)))
        return PT_EUNEQUAL;
    if (op->level < level && pt_meta(pt, op->root)->depth > 1)
        return PT_EINVAL;
    op->need = NEED_EDGES;
    status = acquire(op);
    if (status == PT_OK && fmt_is_tracked(joining.leaf) && !frame_get(pt, fmt_address(joining.leaf), level, 1)) {
        release(op);
        status = PT_EFRAME;
    }
    *leaf = joining.leaf;
    return status;
}

enum pt_status PT_FN(cursor_collapse)(struct pt_cursor *cursor, unsigned level)
{
    uint64_t leaf, start, size;
    struct operation op;
    enum pt_status status;

    if (cursor->top == 0 || !cursor->writes)
        return PT_EMODE;
    if (level < 2 || level > highest_leaf(cursor->pt))
        return PT_EINVAL;
    size = pt_slot_size(level);
    status = begin(cursor, &size, true);
    if (status != PT_OK)
        return status;
    if (!pt_aligned(cursor->at, level))
        return PT_EINVAL;
    start = cursor->at;
    status = settle(&op, cursor, start, start + size);
    if (status != PT_OK)
        return status;
    status = prepare_collapse(&op, level, &leaf);
    if (status == PT_OK && leaf != 0)
        commit_collapse(&op, level, leaf);
    if (status == PT_OK)
        cursor->at = start + size;
    finish(&op);
    return status;
}
