/* Splitting a huge leaf into a table of 512 leaves of the level below, so that a part of it can be changed. */

/* Notes that the leaf in this slot must be split because only [start, end) of it changes, and likewise the pieces that
 * are still only partly inside. */
static void plan_split(struct operation *op, uint64_t entry, unsigned level, uint64_t start, uint64_t end)
{
    op->splits[op->nsplits++] = (struct planned_split){.start = pt_slot_start(start, level),
                                                       .hpa = fmt_address(entry),
                                                       .level = level,
                                                       .tracked = fmt_is_tracked(entry)};
    if (level == 2)
        return;
    level--;
    if (!pt_aligned(start, level) || pt_slot_end(start, level) > end)
        plan_split(op, fmt_piece(entry, pt_slot_start(start, level) & (pt_slot_size(level + 1) - 1), level), level,
                   start, pt_min(pt_slot_end(start, level), end));
    if (!pt_aligned(end, level) && pt_slot_start(end, level) >= pt_slot_end(start, level))
        plan_split(op, fmt_piece(entry, pt_slot_start(end, level) & (pt_slot_size(level + 1) - 1), level), level,
                   pt_slot_start(end, level), end);
}

static bool is_planned(const struct operation *op, uint64_t address, unsigned level)
{
    for (unsigned i = 0; i < op->nsplits; i++)
        if (op->splits[i].level == level && op->splits[i].start == pt_slot_start(address, level))
            return true;
    return false;
}

/* Replaces the leaf by a table of its pieces. Hardware may set A or D in the leaf until the exchange succeeds: then the
 * pieces are made again, each with the bit, because which piece it was meant for cannot be known. No flush: who still
 * has the leaf finds with it what the pieces say, until one of them changes and is flushed. Its reference goes at once,
 * because the frames are held by those of the pieces. */
static uint64_t split_leaf(struct operation *op, pt_entry *slot, unsigned level)
{
    const struct pt *pt = op->cursor->pt;
    uint64_t child = pt_spares_take(pt, &op->spares, level - 1);
    uint64_t piece_size = pt_slot_size(level - 1), entry = pt_load(slot);
    pt_entry *pieces = pt_entries(pt, child);

    do
        for (unsigned i = 0; i < PT_ENTRIES; i++)
            atomic_store_explicit(&pieces[i], fmt_piece(entry, i * piece_size, level - 1), memory_order_relaxed);
    while (!atomic_compare_exchange_strong_explicit(slot, &entry, fmt_table(child), memory_order_acq_rel,
                                                    memory_order_relaxed));
    pt_meta(pt, child)->live = PT_ENTRIES;
    if (fmt_is_tracked(entry))
        frame_put(pt, fmt_address(entry), level, 1);
    return child;
}

/* The level of the piece that one step of an operation may have whole, when it stands at `at` inside a leaf of `level`
 * and must stay before `end`. */
static unsigned piece_level(uint64_t at, uint64_t end, unsigned level)
{
    while (!pt_aligned(at, level) || pt_slot_end(at, level) > end)
        level--;
    return level;
}

/* Makes the way to the leaf in which the path ends, at `at`, this tree's own, splits it until a piece of level `to`
 * stands alone, and moves the path there. All or nothing. */
static enum pt_status isolate(struct pt_cursor *cursor, uint64_t at, unsigned to)
{
    unsigned level = cursor->level;
    uint64_t entry = pt_load(path_entry(cursor, at)), start = pt_slot_start(at, to);
    struct operation op;
    enum pt_status status;

    if (!cursor->shared && level == to)
        return PT_OK;
    status = settle(&op, cursor, start, start + pt_slot_size(to));
    if (status != PT_OK)
        return status;
    op.need = NEED_EDGES;
    if (level > to)
        plan_split(&op, entry, level, op.start, op.end);
    status = acquire(&op);
    if (status == PT_OK) {
        own_tables(&op);
        locate_entry(cursor, at);
        for (; level > to; level--) {
            split_leaf(&op, path_entry(cursor, at), level);
            descend(cursor, at);
        }
    }
    finish(&op);
    return status;
}

enum pt_status PT_FN(cursor_split)(struct pt_cursor *cursor, unsigned level)
{
    uint64_t entry;

    if (cursor->top == 0 || !cursor->writes)
        return PT_EMODE;
    if (level == 0 || level > highest_leaf(cursor->pt))
        return PT_EINVAL;
    if (cursor->at == cursor->end)
        return PT_END;
    leave_shared(cursor);
    entry = locate_entry(cursor, cursor->at);
    if (!fmt_is_live(entry))
        return PT_END;
    if (cursor->level <= level)
        return PT_OK;
    if (pt_slot_start(cursor->at, cursor->level) < cursor->start ||
        pt_slot_end(cursor->at, cursor->level) > cursor->end)
        return PT_ERANGE;
    return isolate(cursor, cursor->at, level);
}
