/* Lookup: what an address is mapped to, without a cursor and without locks. See ept/lock.h for why that is safe. */

/* The walk itself: entries are followed down to the leaf or hole, and W is what all of them have. */
static inline void look_up(const struct pt *pt, uint64_t address, struct pt_item *item)
{
    unsigned level = pt->config.levels, shift = pt_slot_shift(level);
    uint64_t offset = pt->config.entries_offset, table = pt->root, rights = FMT_W, entry;

    for (;; level--, shift -= 9) {
        entry = pt_follow((pt_entry *)(uintptr_t)(table + offset) + ((address >> shift) & (PT_ENTRIES - 1u)));
        if (!is_table(entry, level))
            break;
        rights &= entry;
        table = fmt_child(entry);
    }
    fill_item(address, effective(entry, rights == 0), level, address, item);
}

enum pt_status PT_FN(lookup)(const struct pt *pt, uint64_t address, struct pt_item *item)
{
    if (address >= pt->size)
        return PT_ERANGE;
    if (!pt->config.read_begin) {
        look_up(pt, address, item);
        return PT_OK;
    }
    pt_read_begin(pt);
    look_up(pt, address, item);
    pt_read_end(pt);
    return PT_OK;
}
