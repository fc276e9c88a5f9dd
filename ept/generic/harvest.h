/* Harvest: which leaves hardware has accessed or written, read from their A and D bits, and these bits cleared. */

/* Moves the path to the first leaf at or after `from` and before `end` that has one of these bits. */
static bool find_marked(struct pt_cursor *cursor, uint64_t from, uint64_t end, uint64_t bits, uint64_t *found)
{
    uint64_t entry;

    while (from < end && find_leaf(cursor, from, end, found, &entry)) {
        if ((entry & bits) != 0)
            return true;
        /* Skip the leaves and holes of this table quickly. */
        from = *found;
        do {
            from = pt_slot_end(from, cursor->level);
            entry = pt_load(path_entry(cursor, from));
        } while (from < end && pt_index(from, cursor->level) != 0 && !is_table(entry, cursor->level) &&
                 (entry & bits) == 0);
    }
    return false;
}

/* Where the run of leaves that have one of these bits, from `from` on, ends. */
static uint64_t marked_end(struct pt_cursor *cursor, uint64_t from, uint64_t end, uint64_t bits)
{
    while (from < end) {
        uint64_t entry = locate_entry(cursor, from);

        if ((entry & bits) == 0)
            return from;
        do {
            from = pt_slot_end(from, cursor->level);
            entry = pt_load(path_entry(cursor, from));
        } while (from < end && pt_index(from, cursor->level) != 0 && !is_table(entry, cursor->level) &&
                 (entry & bits) != 0);
    }
    return end;
}

enum pt_status PT_FN(cursor_harvest)(struct pt_cursor *cursor, uint64_t length, pt_prop bits, bool clear,
                                     struct pt_range *run)
{
    struct fmt_change change = fmt_change((struct pt_change){.clear = bits});
    enum pt_status status = begin_step(cursor, &length, clear);
    uint64_t end, start, stop;

    if (status != PT_OK)
        return status;
    if (bits == 0 || (bits & ~(PT_A | PT_D)) != 0)
        return PT_EINVAL;
    end = cursor->at + length;
    if (!find_marked(cursor, cursor->at, end, change.clear, &start)) {
        cursor->at = end;
        return PT_END;
    }
    stop = marked_end(cursor, start, end, change.clear);
    if (clear)
        status = run_protect(cursor, start, stop, change);
    if (status != PT_OK)
        return status;
    *run = (struct pt_range){.start = start, .length = stop - start};
    cursor->at = stop;
    return PT_OK;
}
