/* Mapping: one leaf, or a range with the largest pages that fit. */

struct map_job {
    struct operation op;
    uint64_t delta;    /* HPA - address, modulo 2^64 */
    unsigned leaf_max; /* highest level whose pages fit the delta, the hardware and the caller's wish */
    pt_prop prop;
};

/* Tables that mapping [start, end), inside one slot of this level that is a hole, takes. */
static uint64_t tables_for_hole(uint64_t start, uint64_t end, unsigned level, unsigned leaf_max)
{
    uint64_t first = pt_slot_end(start, level - 1 ? level - 1 : 1), last, tables = 1;
    unsigned below = level - 1;

    if (level == 1 || (level <= leaf_max && is_whole_slot(start, end, level)))
        return 0;
    if (below == 1)
        return 1;
    if (first >= end)
        return 1 + tables_for_hole(start, end, below, leaf_max);
    last = pt_slot_start(end, below);
    if (pt_aligned(start, below))
        first = start;
    else
        tables += tables_for_hole(start, first, below, leaf_max);
    if (last < end)
        tables += tables_for_hole(last, end, below, leaf_max);
    if (last > first)
        tables += ((last - first) >> pt_slot_shift(below)) *
                  tables_for_hole(first, pt_slot_end(first, below), below, leaf_max);
    return tables;
}

/* Tables missing in [start, end), which is unmapped. */
static uint64_t missing_tables(const struct map_job *job, uint64_t table, unsigned level, uint64_t start, uint64_t end)
{
    pt_entry *entries = pt_entries(job->op.cursor->pt, table);
    uint64_t missing = 0;

    if (level == 1)
        return 0;
    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        uint64_t entry = pt_load(&entries[pt_index(at, level)]);

        missing += fmt_is_live(entry) ? missing_tables(job, fmt_address(entry), level - 1, at, stop)
                                      : tables_for_hole(at, stop, level, job->leaf_max);
    }
    return missing;
}

/* Calls get (or put, up to `end`) for each run of equal pages of [start, end). Answers how far it came. */
static uint64_t count_runs(const struct map_job *job, uint64_t end, bool get)
{
    const struct pt *pt = job->op.cursor->pt;
    uint64_t at = job->op.start;

    while (at < end) {
        unsigned level;
        uint64_t stop = next_run(at, job->op.end, job->leaf_max, &level);

        if (!get)
            frame_put(pt, at + job->delta, level, (stop - at) >> pt_slot_shift(level));
        else if (!frame_get(pt, at + job->delta, level, (stop - at) >> pt_slot_shift(level)))
            break;
        at = stop;
    }
    return at;
}

/* Writes `count` leaves next to each other in one table. */
static void write_leaves(pt_entry *entries, uint64_t count, uint64_t leaf, uint64_t size)
{
    const uint64_t step = fmt_step(leaf, size);

    for (uint64_t i = 0; i < count; i++, leaf += step)
        pt_store(&entries[i], leaf);
}

/* Cannot fail. */
static void commit_map(struct map_job *job, uint64_t table, unsigned level, uint64_t start, uint64_t end)
{
    const struct pt *pt = job->op.cursor->pt;
    pt_entry *entries = pt_entries(pt, table);
    uint64_t size = pt_slot_size(level);
    unsigned added = 0;

    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        pt_entry *slot = &entries[pt_index(at, level)];
        uint64_t entry, child, count;

        if (level <= job->leaf_max && stop - at == size) {
            count = (end - at) / size;
            write_leaves(slot, count, fmt_leaf(at + job->delta, level, job->prop), size);
            added += (unsigned)count;
            stop = at + count * size;
            continue;
        }
        entry = pt_load(slot);
        if (fmt_is_live(entry)) {
            commit_map(job, fmt_child(entry), level - 1, at, stop);
            continue;
        }
        child = pt_spares_take(pt, &job->op.spares, level - 1);
        commit_map(job, child, level - 1, at, stop);
        pt_store(slot, fmt_table(child));
        added++;
    }
    pt_meta(pt, table)->live = (uint16_t)(pt_meta(pt, table)->live + added);
}

static enum pt_status run_map(struct pt_cursor *cursor, uint64_t hpa, uint64_t length, pt_prop prop, unsigned leaf_max)
{
    struct map_job job = {.delta = hpa - cursor->at, .leaf_max = leaf_max, .prop = prop};
    struct operation *op = &job.op;
    uint64_t counted;
    enum pt_status status = settle(op, cursor, cursor->at, cursor->at + length);

    if (status != PT_OK)
        return status;
    status = make_room(op, leaf_max);
    if (status == PT_OK && !is_unmapped(cursor->pt, op->root, op->level, op->start, op->end))
        status = PT_EOCCUPIED;
    op->need = NEED_EDGES;
    if (status == PT_OK) {
        op->tables_needed = missing_tables(&job, op->root, op->level, op->start, op->end);
        status = acquire(op);
    }
    if (status == PT_OK && (prop & PT_TRACKED)) {
        counted = count_runs(&job, op->end, true);
        if (counted < op->end) {
            count_runs(&job, counted, false);
            release(op);
            status = PT_EFRAME;
        }
    }
    if (status == PT_OK) {
        own_tables(op);
        commit_map(&job, op->root, op->level, op->start, op->end);
        cursor->at = op->end;
    }
    finish(op);
    return status;
}

enum pt_status PT_FN(cursor_map)(struct pt_cursor *cursor, uint64_t hpa, unsigned level, pt_prop prop)
{
    enum pt_status status;
    uint64_t size;
    pt_entry *slot;

    if (cursor->top == 0 || !cursor->writes)
        return PT_EMODE;
    if (level == 0 || level > highest_leaf(cursor->pt))
        return PT_EINVAL;
    size = pt_slot_size(level);
    status = begin(cursor, &size, true);
    if (status != PT_OK)
        return status;
    if (!prop_allowed(cursor->pt, prop) || !pt_aligned(hpa | cursor->at, level) || !hpa_allowed(cursor->pt, hpa, size))
        return PT_EINVAL;
    if (level > 1 || cursor->level > 1 || cursor->shared || !is_inside(cursor->at, cursor->at + size, cursor->where, 1))
        return run_map(cursor, hpa, size, prop, level);
    /* The common case: the path already ends in the table where the leaf goes. */
    slot = path_entry(cursor, cursor->at);
    if (fmt_is_live(pt_load(slot)))
        return PT_EOCCUPIED;
    if ((prop & PT_TRACKED) && !frame_get(cursor->pt, hpa, 1, 1))
        return PT_EFRAME;
    pt_store(slot, fmt_leaf(hpa, 1, prop));
    pt_meta(cursor->pt, cursor->path[1])->live++;
    cursor->at += size;
    return PT_OK;
}

enum pt_status PT_FN(cursor_map_range)(struct pt_cursor *cursor, uint64_t hpa, uint64_t length, pt_prop prop)
{
    enum pt_status status = begin(cursor, &length, true);

    if (status != PT_OK)
        return status;
    if (!prop_allowed(cursor->pt, prop) || !hpa_allowed(cursor->pt, hpa, length))
        return PT_EINVAL;
    return run_map(cursor, hpa, length, prop, fitting_leaf(hpa - cursor->at, highest_leaf(cursor->pt)));
}
