/* Lookup: what an address is mapped to, without a cursor and without locks. See ept/lock.h for why that is safe. */

enum pt_status PT_FN(lookup)(const struct pt *pt, uint64_t address, struct pt_item *item)
{
    unsigned level = pt->config.levels;
    uint64_t table = pt->root, entry;
    bool shared = false;

    if (address >= pt->size)
        return PT_ERANGE;
    pt_read_begin(pt);
    for (;;) {
        entry = pt_follow(&pt_entries(pt, table)[pt_index(address, level)]);
        if (!is_table(entry, level))
            break;
        shared |= fmt_is_shared(entry);
        table = fmt_address(entry);
        level--;
    }
    pt_read_end(pt);
    fill_item(address, effective(entry, shared), level, address, item);
    return PT_OK;
}
