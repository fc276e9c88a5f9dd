/* Changing properties of leaves that exist, atomically against hardware that sets A and D in them. */

/* Checks leaves of 4 KiB in one table; answers as plan_protect. Neighbours mostly differ in their address alone, and
 * are then checked once. */
static enum pt_status plan_pages(struct operation *op, struct fmt_change change, pt_entry *entries, uint64_t count,
                                 bool shared)
{
    const struct pt *pt = op->cursor->pt;
    enum pt_status all = PT_END;
    uint64_t checked = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t bits = pt_load(&entries[i]) & ~FMT_ADDRESS, after;

        if (bits == checked || !fmt_is_live(bits))
            continue;
        checked = bits;
        bits = effective(bits, shared);
        after = fmt_changed(bits, change);
        if (!fmt_rights_allowed(after, pt->config.caps))
            return PT_EINVAL;
        if (after != bits)
            all = PT_OK;
        op->why |= leaf_flush(pt, bits, after);
    }
    return all;
}

/* Checks every leaf and plans the splits. PT_END: nothing would change. */
static enum pt_status plan_protect(struct operation *op, struct fmt_change change, uint64_t table, unsigned level,
                                   uint64_t start, uint64_t end, bool shared)
{
    const struct pt *pt = op->cursor->pt;
    pt_entry *entries = pt_entries(pt, table);
    enum pt_status all = PT_END, status;

    if (level == 1)
        return plan_pages(op, change, &entries[pt_index(start, 1)], (end - start) >> PT_PAGE_SHIFT, shared);
    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        uint64_t entry = effective(pt_load(&entries[pt_index(at, level)]), shared), after = fmt_changed(entry, change);

        if (!fmt_is_live(entry))
            continue;
        if (!fmt_is_leaf(entry, level)) {
            status = plan_protect(op, change, fmt_child(entry), level - 1, at, stop, fmt_is_shared(entry));
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
        op->why |= leaf_flush(pt, entry, after);
        if (!is_whole_slot(at, stop, level))
            plan_split(op, entry, level, at, stop);
    }
    return all;
}

static void change_pages(pt_entry *entries, uint64_t count, struct fmt_change change, bool hardware)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t entry = pt_load(&entries[i]), after = fmt_changed(entry, change);

        if (after == entry || !fmt_is_live(entry))
            continue;
        if (hardware)
            change_leaf(&entries[i], change, true);
        else
            pt_store(&entries[i], after);
    }
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
            commit_protect(op, change, fmt_child(entry), level - 1, at, stop);
        else if (is_whole_slot(at, stop, level))
            change_leaf(slot, change, hardware);
        else if (is_planned(op, at, level))
            commit_protect(op, change, split_leaf(op, slot, level), level - 1, at, stop);
    }
}

/* Changes every leaf of [start, end), a part of the claim; the cursor does not move. */
static enum pt_status run_protect(struct pt_cursor *cursor, uint64_t start, uint64_t end, struct fmt_change change)
{
    struct operation op;
    enum pt_status status = settle(&op, cursor, start, end);

    if (status != PT_OK)
        return status;
    op.need = NEED_CHANGED;
    op.change = change;
    status = plan_protect(&op, change, op.root, op.level, op.start, op.end, false);
    if (status == PT_OK)
        status = acquire(&op);
    if (status == PT_OK) {
        /* Marks that hardware sets until the commit are cleared as well. */
        if (hardware_writes(cursor->pt) && (change.clear & (FMT_A | FMT_DIRTY)) != 0)
            op.why |= PT_FLUSH_MARKS;
        gather_range(cursor->gather, op.why, op.start, op.end);
        own_tables(&op);
        commit_protect(&op, change, op.root, op.level, op.start, op.end);
    }
    finish(&op);
    return status == PT_END ? PT_OK : status;
}

enum pt_status PT_FN(cursor_protect_range)(struct pt_cursor *cursor, uint64_t length, struct pt_change change)
{
    enum pt_status status = begin(cursor, &length, true);

    if (status == PT_OK && !change_allowed(change))
        status = PT_EINVAL;
    if (status == PT_OK)
        status = run_protect(cursor, cursor->at, cursor->at + length, fmt_change(change));
    if (status == PT_OK)
        cursor->at += length;
    return status;
}

enum pt_status PT_FN(cursor_protect_next)(struct pt_cursor *cursor, uint64_t length, struct pt_change change,
                                          struct pt_item *item)
{
    struct fmt_change raw = fmt_change(change);
    enum pt_status status = begin_step(cursor, &length, true);
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
    if (!fmt_rights_allowed(fmt_changed(entry, raw), cursor->pt->config.caps))
        return PT_EINVAL;
    level = piece_level(at, end, cursor->level);
    if (fmt_changed(entry, raw) != entry) {
        status = isolate(cursor, at, level);
        if (status != PT_OK)
            return status;
        entry = change_leaf(path_entry(cursor, at), raw, hardware_writes(cursor->pt));
        gather_range(cursor->gather, leaf_flush(cursor->pt, entry, fmt_changed(entry, raw)), at,
                     at + pt_slot_size(level));
    }
    fill_item(at, entry, cursor->level, at, item);
    cursor->at = pt_min(pt_slot_end(at, cursor->level), end);
    return PT_OK;
}
