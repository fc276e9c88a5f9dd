/* Changing properties of leaves that exist, atomically against hardware that sets A and D in them. */

/* Is this a change that the format can make at all? */
static bool change_allowed(struct pt_change change)
{
    pt_prop all = change.set | change.clear;

    if ((all & ~PT_ALL) || (all & PT_TRACKED) || (change.set & FMT_ABSENT))
        return false;
    if ((change.clear & PT_MT_MASK) == PT_MT_MASK)
        return fmt_memory_type_exists(change.set);
    return (change.clear & PT_MT_MASK) == 0 && (change.set & PT_MT_MASK) == 0;
}

static uint64_t changed(uint64_t entry, struct fmt_change change)
{
    return (entry & ~change.clear) | change.set;
}

/* Changes one leaf; answers what it was, with every A and D that hardware set before. A plain store does when hardware
 * cannot change the entry: it never does in this tree, or has nothing left to set. */
static uint64_t change_leaf(pt_entry *slot, struct fmt_change change, bool hardware)
{
    uint64_t entry = pt_load(slot);

    if (changed(entry, change) == entry)
        return entry;
    if (!hardware || fmt_is_quiet(entry)) {
        pt_store(slot, changed(entry, change));
        return entry;
    }
    while (!atomic_compare_exchange_weak_explicit(slot, &entry, changed(entry, change), memory_order_acq_rel,
                                                  memory_order_relaxed))
        ;
    return entry;
}

static bool hardware_writes(const struct pt *pt)
{
    return (pt->config.caps & PT_CAP_AD) != 0;
}

/* Checks leaves of 4 KiB in one table; answers as plan_protect. */
static enum pt_status plan_pages(const struct pt *pt, struct fmt_change change, pt_entry *entries, uint64_t count)
{
    enum pt_status all = PT_END;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t entry = pt_load(&entries[i]), after = changed(entry, change);

        if (!fmt_is_live(entry))
            continue;
        if (!fmt_rights_allowed(after, pt->config.caps))
            return PT_EINVAL;
        all = after != entry ? PT_OK : all;
    }
    return all;
}

/* Checks every leaf and plans the splits. PT_END: nothing would change. */
static enum pt_status plan_protect(struct operation *op, struct fmt_change change, uint64_t table, unsigned level,
                                   uint64_t start, uint64_t end)
{
    const struct pt *pt = op->cursor->pt;
    pt_entry *entries = pt_entries(pt, table);
    enum pt_status all = PT_END, status;

    if (level == 1)
        return plan_pages(pt, change, &entries[pt_index(start, 1)], (end - start) >> PT_PAGE_SHIFT);
    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        uint64_t entry = pt_load(&entries[pt_index(at, level)]), after = changed(entry, change);

        if (!fmt_is_live(entry))
            continue;
        if (!fmt_is_leaf(entry, level)) {
            status = plan_protect(op, change, fmt_address(entry), level - 1, at, stop);
            if (status == PT_EINVAL)
                return status;
            all = status == PT_OK ? PT_OK : all;
            continue;
        }
        if (!fmt_rights_allowed(after, pt->config.caps))
            return PT_EINVAL;
        if (after == entry)
            continue;
        all = PT_OK;
        if (!is_whole_slot(at, stop, level))
            plan_split(op, entry, level, at, stop);
    }
    return all;
}

static void change_pages(pt_entry *entries, uint64_t count, struct fmt_change change, bool hardware)
{
    for (uint64_t i = 0; i < count; i++)
        if (fmt_is_live(pt_load(&entries[i])))
            change_leaf(&entries[i], change, hardware);
}

/* Cannot fail. A huge leaf that is only partly inside and not planned to be split had nothing to change. */
static void commit_protect(struct operation *op, struct fmt_change change, uint64_t table, unsigned level,
                           uint64_t start, uint64_t end)
{
    const struct pt *pt = op->cursor->pt;
    pt_entry *entries = pt_entries(pt, table);
    bool hardware = hardware_writes(pt);

    if (level == 1) {
        change_pages(&entries[pt_index(start, 1)], (end - start) >> PT_PAGE_SHIFT, change, hardware);
        return;
    }
    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        pt_entry *slot = &entries[pt_index(at, level)];
        uint64_t entry = pt_load(slot);

        if (!fmt_is_live(entry))
            continue;
        if (!fmt_is_leaf(entry, level))
            commit_protect(op, change, fmt_address(entry), level - 1, at, stop);
        else if (is_whole_slot(at, stop, level))
            change_leaf(slot, change, hardware);
        else if (is_planned(op, at, level))
            commit_protect(op, change, split_leaf(op, slot, at, level), level - 1, at, stop);
    }
}

enum pt_status PT_FN(cursor_protect_range)(struct pt_cursor *cursor, uint64_t length, struct pt_change change)
{
    struct operation op;
    struct fmt_change raw = fmt_change(change);
    enum pt_status status = begin(cursor, length, true);

    if (status != PT_OK)
        return status;
    if (!change_allowed(change))
        return PT_EINVAL;
    status = settle(&op, cursor, cursor->at, cursor->at + length);
    if (status != PT_OK)
        return status;
    status = plan_protect(&op, raw, op.root, op.level, op.start, op.end);
    if (status == PT_OK)
        status = acquire(&op);
    if (status == PT_OK) {
        gather_range(cursor->gather, op.start, op.end);
        commit_protect(&op, raw, op.root, op.level, op.start, op.end);
    }
    if (status == PT_OK || status == PT_END) {
        cursor->at = op.end;
        status = PT_OK;
    }
    finish(&op);
    return status;
}

/* The level of the piece that one step of an operation may have whole, when it stands at `at` inside a leaf of `level`
 * and must stay before `end`. */
static unsigned piece_level(uint64_t at, uint64_t end, unsigned level)
{
    while (!pt_aligned(at, level) || pt_slot_end(at, level) > end)
        level--;
    return level;
}

/* Splits the leaf in which the path ends, at the address, until a piece of level `to` stands alone, and moves the path
 * there. All or nothing. */
static enum pt_status split_down(struct pt_cursor *cursor, uint64_t at, unsigned to)
{
    struct operation op = {.cursor = cursor, .start = at, .end = at + pt_slot_size(to)};
    uint64_t entry = pt_load(path_entry(cursor, at));
    enum pt_status status;

    plan_split(&op, entry, cursor->level, op.start, op.end);
    status = acquire(&op);
    if (status != PT_OK)
        return status;
    for (unsigned level = cursor->level; level > to; level--) {
        split_leaf(&op, path_entry(cursor, at), at, level);
        descend(cursor, at);
    }
    return PT_OK;
}

enum pt_status PT_FN(cursor_protect_next)(struct pt_cursor *cursor, uint64_t length, struct pt_change change,
                                          struct pt_item *item)
{
    struct fmt_change raw = fmt_change(change);
    enum pt_status status = begin(cursor, length, true);
    uint64_t end, at, entry;
    unsigned level;

    if (status != PT_OK)
        return status;
    if (!change_allowed(change))
        return PT_EINVAL;
    end = cursor->at + length;
    if (!find_leaf(cursor, cursor->at, end, &at, &entry)) {
        cursor->at = end;
        return PT_END;
    }
    if (!fmt_rights_allowed(changed(entry, raw), cursor->pt->config.caps))
        return PT_EINVAL;
    level = piece_level(at, end, cursor->level);
    if (changed(entry, raw) != entry) {
        if (level < cursor->level)
            status = split_down(cursor, at, level);
        if (status != PT_OK)
            return status;
        gather_range(cursor->gather, at, at + pt_slot_size(level));
        entry = change_leaf(path_entry(cursor, at), raw, hardware_writes(cursor->pt));
    }
    fill_item(cursor, entry, cursor->level, at, item);
    item->at = at;
    cursor->at = pt_min(pt_slot_end(at, cursor->level), end);
    return PT_OK;
}
