/* Gathers: what left the tree waits here until the flush and quiesce hooks have been called. Ranges are merged, and
 * when there are too many, widened; frames of removed leaves are kept as runs; a removed table keeps its entries and,
 * with all that is below it, is taken apart at release. */

void PT_FN(gather_init)(struct pt_gather *gather, struct pt *pt)
{
    gather->pt = pt;
    gather->tables = 0;
    gather->ntables = gather->nranges = gather->nruns = gather->nshared = 0;
    gather->why = 0;
}

/* Hardware must be flushed there, because of PT_FLUSH_*; 0: it need not be. */
static void gather_range(struct pt_gather *gather, unsigned why, uint64_t start, uint64_t end)
{
    struct pt_range *last;
    uint64_t last_end;

    if (why == 0)
        return;
    gather->why |= why;
    if (gather->nranges > 0) {
        last = &gather->ranges[gather->nranges - 1];
        last_end = last->start + last->length;
        if (gather->nranges == PT_GATHER_RANGES || (start <= last_end && end >= last->start)) {
            last->start = pt_min(last->start, start);
            last->length = pt_max(last_end, end) - last->start;
            return;
        }
    }
    gather->ranges[gather->nranges++] = (struct pt_range){.start = start, .length = end - start};
}

/* A run of leaves being put together, before it goes to a hook. */
static bool run_extend(struct pt_run *run, uint64_t hpa, unsigned level, uint64_t count)
{
    if (run->count == 0) {
        *run = (struct pt_run){.hpa = hpa, .count = count, .level = level};
        return true;
    }
    if (run->level != level || run->hpa + (run->count << pt_slot_shift(level)) != hpa)
        return false;
    run->count += count;
    return true;
}

/* How many of the entries, from the first, are tracked leaves of `level` in one run. */
static unsigned tracked_run(pt_entry *entries, unsigned count, unsigned level)
{
    const uint64_t mask = FMT_ADDRESS | FMT_TRACKED | FMT_BLANK;
    uint64_t next = pt_load(entries) & mask, step = fmt_step(next, pt_slot_size(level));
    unsigned i = 1;

    for (; i < count; i++) {
        next += step;
        if ((pt_load(&entries[i]) & mask) != next)
            break;
    }
    return i;
}

/* Ends one ownership of a table. The last one frees it and puts and drops all that it holds. */
static void drop_table(const struct pt *pt, uint64_t pa)
{
    const struct pt_config *config = &pt->config;
    struct pt_table *table = pt_meta(pt, pa);
    pt_entry *entries = pt_entries(pt, pa);
    unsigned level = table->level, left = table->live, count;

    /* A sole owner stays that: only owners make owners. */
    if (atomic_load_explicit(&table->owners, memory_order_acquire) > 1 &&
        atomic_fetch_sub_explicit(&table->owners, 1, memory_order_acq_rel) > 1)
        return;
    for (unsigned i = 0; left > 0; i += count) {
        uint64_t entry = pt_load(&entries[i]);

        count = 1;
        if (!fmt_is_live(entry))
            continue;
        if (fmt_is_tracked(entry)) {
            count = tracked_run(&entries[i], PT_ENTRIES - i, level);
            config->frame_put(config->frame_ctx, fmt_address(entry), level, count);
        } else if (!fmt_is_leaf(entry, level)) {
            drop_table(pt, fmt_child(entry));
        }
        left -= count;
    }
    config->free_table(config->table_ctx, pa);
}

void PT_FN(gather_sync)(struct pt_gather *gather)
{
    const struct pt *pt = gather->pt;
    const struct pt_config *config = &pt->config;

    if (gather->nranges > 0 && config->flush)
        config->flush(config->ctx, pt, gather->why, gather->ranges, gather->nranges);
    gather->nranges = 0;
    gather->why = 0;
    if (gather->nruns + gather->ntables + gather->nshared == 0)
        return;
    if (config->quiesce)
        config->quiesce(config->ctx);
    for (size_t i = 0; i < gather->nruns; i++)
        config->frame_put(config->frame_ctx, gather->runs[i].hpa, gather->runs[i].level, gather->runs[i].count);
    gather->nruns = 0;
    for (size_t i = 0; i < gather->nshared; i++)
        drop_table(pt, gather->shared[i]);
    gather->nshared = 0;
    for (; gather->ntables > 0; gather->ntables--) {
        uint64_t pa = gather->tables;

        gather->tables = pt_meta(pt, pa)->next;
        drop_table(pt, pa);
    }
}

/* References of tracked leaves that no longer exist, to be put after a flush. The operation works on [start, end), and
 * has gathered that range before: when this has to sync at once, the rest of the operation still needs its flush. */
static void gather_frames(struct pt_gather *gather, uint64_t hpa, unsigned level, uint64_t count, uint64_t start,
                          uint64_t end)
{
    if (gather->nruns > 0 && run_extend(&gather->runs[gather->nruns - 1], hpa, level, count))
        return;
    if (gather->nruns == PT_GATHER_RUNS) {
        PT_FN(gather_sync)(gather);
        gather_range(gather, PT_FLUSH_REMOVED, start, end);
    }
    gather->runs[gather->nruns++] = (struct pt_run){.hpa = hpa, .count = count, .level = level};
}

/* The ownership of a shared table that this tree gave up; likewise, for an operation that flushes because of `why`. */
static void gather_shared(struct pt_gather *gather, unsigned why, uint64_t pa, uint64_t start, uint64_t end)
{
    if (gather->nshared == PT_GATHER_SHARED) {
        PT_FN(gather_sync)(gather);
        gather_range(gather, why, start, end);
    }
    gather->shared[gather->nshared++] = pa;
}

/* A table of this tree alone that is no longer part of it, with all that is below. Its range must have been gathered.
 */
static void gather_table(struct pt_gather *gather, uint64_t pa)
{
    pt_meta(gather->pt, pa)->next = gather->tables;
    gather->tables = pa;
    gather->ntables++;
}
