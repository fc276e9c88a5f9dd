/* Removing mappings: one leaf, a whole subtree, or a range. */

/* 4 KiB units mapped below a table. */
static uint64_t count_frames(const struct pt *pt, uint64_t table, unsigned level)
{
    pt_entry *entries = pt_entries(pt, table);
    uint64_t frames = 0;

    if (level == 1)
        return pt_meta(pt, table)->live;
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t entry = pt_load(&entries[i]);

        if (!fmt_is_live(entry))
            continue;
        frames += fmt_is_leaf(entry, level) ? pt_slot_size(level) >> PT_PAGE_SHIFT
                                            : count_frames(pt, fmt_child(entry), level - 1);
    }
    return frames;
}

/* What an entry that was removed held goes to the gather; the operation works on [start, end). */
static void gather_entry(struct pt_gather *gather, uint64_t entry, unsigned level, uint64_t start, uint64_t end)
{
    if (is_own_table(entry, level))
        gather_table(gather, fmt_child(entry));
    else if (is_table(entry, level))
        gather_shared(gather, PT_FLUSH_REMOVED, fmt_child(entry), start, end);
    else if (fmt_is_tracked(entry))
        gather_frames(gather, fmt_address(entry), level, 1, start, end);
}

/* Clears leaves of 4 KiB in one table, for an operation on [start, end); answers how many there were. */
static unsigned clear_pages(struct pt_gather *gather, pt_entry *entries, unsigned count, uint64_t start, uint64_t end)
{
    unsigned removed = 0, run;

    for (unsigned i = 0; i < count; i += run) {
        uint64_t entry = pt_load(&entries[i]);

        run = 1;
        if (!fmt_is_live(entry))
            continue;
        if (fmt_is_tracked(entry)) {
            run = tracked_run(&entries[i], count - i, 1);
            gather_frames(gather, fmt_address(entry), 1, run, start, end);
        }
        for (unsigned j = 0; j < run; j++)
            pt_store(&entries[i + j], 0);
        removed += run;
    }
    return removed;
}

/* Plans the splits. PT_END: nothing is mapped. */
static enum pt_status plan_unmap(struct operation *op, uint64_t table, unsigned level, uint64_t start, uint64_t end)
{
    pt_entry *entries = pt_entries(op->cursor->pt, table);
    enum pt_status all = PT_END;

    if (level == 1)
        return is_empty_run(&entries[pt_index(start, 1)], (end - start) >> PT_PAGE_SHIFT) ? PT_END : PT_OK;
    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        uint64_t entry = pt_load(&entries[pt_index(at, level)]);

        if (!fmt_is_live(entry))
            continue;
        if (is_whole_slot(at, stop, level))
            all = PT_OK;
        else if (!fmt_is_leaf(entry, level))
            all = plan_unmap(op, fmt_child(entry), level - 1, at, stop) == PT_OK ? PT_OK : all;
        else {
            plan_split(op, entry, level, at, stop);
            all = PT_OK;
        }
    }
    return all;
}

/* Cannot fail. Tables partly inside that become empty are removed by finish(). */
static void commit_unmap(struct operation *op, uint64_t table, unsigned level, uint64_t start, uint64_t end)
{
    const struct pt *pt = op->cursor->pt;
    struct pt_gather *gather = op->cursor->gather;
    pt_entry *entries = pt_entries(pt, table);
    unsigned removed = 0;

    if (level == 1) {
        removed = clear_pages(gather, &entries[pt_index(start, 1)], (unsigned)((end - start) >> PT_PAGE_SHIFT),
                              op->start, op->end);
        start = end;
    }
    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        pt_entry *slot = &entries[pt_index(at, level)];
        uint64_t entry = pt_load(slot);

        if (!fmt_is_live(entry))
            continue;
        if (is_whole_slot(at, stop, level)) {
            pt_store(slot, 0);
            removed++;
            gather_entry(gather, entry, level, op->start, op->end);
        } else if (!fmt_is_leaf(entry, level)) {
            commit_unmap(op, fmt_child(entry), level - 1, at, stop);
        } else {
            commit_unmap(op, split_leaf(op, slot, level), level - 1, at, stop);
        }
    }
    pt_meta(pt, table)->live = (uint16_t)(pt_meta(pt, table)->live - removed);
}

/* The common case: the path already ends in the table that holds all of the range. */
static void unmap_pages(struct pt_cursor *cursor, uint64_t length)
{
    pt_entry *entries = path_entry(cursor, cursor->at);
    struct pt_table *table = pt_meta(cursor->pt, cursor->path[1]);
    uint64_t end = cursor->at + length;
    unsigned count = (unsigned)(length >> PT_PAGE_SHIFT);

    if (!is_empty_run(entries, count)) {
        gather_range(cursor->gather, PT_FLUSH_REMOVED, cursor->at, end);
        table->live = (uint16_t)(table->live - clear_pages(cursor->gather, entries, count, cursor->at, end));
    }
    cursor->at = end;
}

enum pt_status PT_FN(cursor_unmap_range)(struct pt_cursor *cursor, uint64_t length)
{
    struct operation op;
    enum pt_status status = begin(cursor, &length, true);

    if (status != PT_OK)
        return status;
    if (cursor->level == 1 && !cursor->shared && is_inside(cursor->at, cursor->at + length, cursor->where, 1)) {
        unmap_pages(cursor, length);
        return PT_OK;
    }
    status = settle(&op, cursor, cursor->at, cursor->at + length);
    if (status != PT_OK)
        return status;
    status = plan_unmap(&op, op.root, op.level, op.start, op.end);
    op.need = NEED_EDGES;
    if (status == PT_OK)
        status = acquire(&op);
    if (status == PT_OK) {
        op.why = PT_FLUSH_REMOVED | (op.level > 1 ? PT_FLUSH_TABLES : 0);
        gather_range(cursor->gather, op.why, op.start, op.end);
        own_tables(&op);
        commit_unmap(&op, op.root, op.level, op.start, op.end);
    }
    if (status == PT_OK || status == PT_END) {
        cursor->at = op.end;
        status = PT_OK;
    }
    finish(&op);
    return status;
}

/* Takes the leaf at `at`, in which the path ends, or the piece of it that lies before `end`. */
static enum pt_status take_leaf(struct pt_cursor *cursor, uint64_t at, uint64_t end, struct pt_item *item)
{
    struct pt_gather *gather = cursor->gather;
    unsigned level = piece_level(at, end, cursor->level);
    enum pt_status status = isolate(cursor, at, level);
    uint64_t entry;

    if (status != PT_OK)
        return status;
    gather_range(gather, PT_FLUSH_REMOVED, at, at + pt_slot_size(level));
    entry = atomic_exchange_explicit(path_entry(cursor, at), 0, memory_order_acq_rel);
    pt_meta(cursor->pt, cursor->path[level])->live--;
    if (fmt_is_tracked(entry))
        gather_frames(gather, fmt_address(entry), level, 1, at, at + pt_slot_size(level));
    fill_item(at, entry, level, at, item);
    cursor->at = at + item->length;
    return PT_OK;
}

enum pt_status PT_FN(cursor_take_next)(struct pt_cursor *cursor, uint64_t length, struct pt_item *item)
{
    enum pt_status status = begin_step(cursor, &length, true);
    uint64_t end, at, entry;

    if (status != PT_OK)
        return status;
    end = cursor->at + length;
    if (find_leaf(cursor, cursor->at, end, &at, &entry))
        return take_leaf(cursor, at, end, item);
    cursor->at = end;
    return PT_END;
}

/* Takes the table in the slot that is the operation's range. */
static void take_table(struct operation *op, struct pt_item *item)
{
    struct pt_cursor *cursor = op->cursor;
    uint64_t entry;

    op->why = PT_FLUSH_REMOVED | PT_FLUSH_TABLES;
    gather_range(cursor->gather, op->why, op->start, op->end);
    own_tables(op);
    locate(cursor, op->start, op->end);
    entry = pt_load(path_entry(cursor, op->start));
    *item = (struct pt_item){.kind = PT_TABLE,
                             .level = cursor->level,
                             .start = op->start,
                             .length = op->end - op->start,
                             .at = op->start,
                             .frames = count_frames(cursor->pt, fmt_child(entry), cursor->level - 1u)};
    pt_store(path_entry(cursor, op->start), 0);
    pt_meta(cursor->pt, cursor->path[cursor->level])->live--;
    gather_entry(cursor->gather, entry, cursor->level, op->start, op->end);
    cursor->at = op->end;
}

enum pt_status PT_FN(cursor_take_subtree)(struct pt_cursor *cursor, uint64_t length, struct pt_item *item)
{
    enum pt_status status = begin_step(cursor, &length, true);
    struct operation op;
    uint64_t end, at, start, entry;
    unsigned level;

    if (status != PT_OK)
        return status;
    end = cursor->at + length;
    if (!find_leaf(cursor, cursor->at, end, &at, &entry)) {
        cursor->at = end;
        return PT_END;
    }
    /* The highest level whose whole slot, with a table in it, is inside: the entry for it must be on our path. */
    for (level = cursor->top; level > cursor->level; level--)
        if (pt_slot_start(at, level) >= cursor->at && pt_slot_end(at, level) <= end)
            break;
    if (level == cursor->level)
        return take_leaf(cursor, at, end, item);
    start = pt_slot_start(at, level);
    status = settle(&op, cursor, start, pt_slot_end(at, level));
    if (status != PT_OK)
        return status;
    op.need = NEED_EDGES;
    status = acquire(&op);
    if (status == PT_OK)
        take_table(&op, item);
    finish(&op);
    return status;
}
