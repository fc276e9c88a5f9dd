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
 * pieces are made again, each with the bit, because which piece it was meant for cannot be known. */
static uint64_t split_leaf(struct operation *op, pt_entry *slot, uint64_t address, unsigned level)
{
    const struct pt *pt = op->cursor->pt;
    struct pt_gather *gather = op->cursor->gather;
    uint64_t start = pt_slot_start(address, level), child = pt_spares_take(pt, &op->spares, level - 1);
    uint64_t piece_size = pt_slot_size(level - 1), entry = pt_load(slot);
    pt_entry *pieces = pt_entries(pt, child);

    do
        for (unsigned i = 0; i < PT_ENTRIES; i++)
            atomic_store_explicit(&pieces[i], fmt_piece(entry, i * piece_size, level - 1), memory_order_relaxed);
    while (!atomic_compare_exchange_strong_explicit(slot, &entry, fmt_table(child), memory_order_acq_rel,
                                                    memory_order_relaxed));
    pt_meta(pt, child)->live = PT_ENTRIES;
    gather_range(gather, start, pt_slot_end(start, level));
    if (fmt_is_tracked(entry))
        gather_frames(gather, fmt_address(entry), level, pt_min(start, op->start),
                      pt_max(pt_slot_end(start, level), op->end));
    return child;
}
