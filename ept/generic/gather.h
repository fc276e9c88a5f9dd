/* Gathers: what left the tree waits here until the flush and quiesce hooks have been called. Ranges are merged, and
 * when there are too many, widened; frames of removed leaves are kept as runs; a removed table keeps its entries and,
 * with all that is below it, is taken apart at release. */

void PT_FN(gather_init)(struct pt_gather *gather, struct pt *pt)
{
    gather->pt = pt;
    gather->tables = 0;
    gather->ntables = gather->nranges = gather->nruns = gather->nshared = 0;
}

static void gather_range(struct pt_gather *gather, uint64_t start, uint64_t end)
{
    struct pt_range *last;
    uint64_t last_end;

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

static void put_run(const struct pt *pt, const struct pt_run *run)
{
    if (run->count > 0)
        pt->config.frame_put(pt->config.ctx, run->hpa, run->level, run->count);
}

/* Ends one ownership of a table. The last one frees it and puts and drops all that it holds. */
static void drop_table(const struct pt *pt, uint64_t pa)
{
    struct pt_table *table = pt_meta(pt, pa);
    pt_entry *entries = pt_entries(pt, pa);
    unsigned left = table->live;
    struct pt_run run = {0};

    /* A sole owner stays that: only owners make owners. */
    if (atomic_load_explicit(&table->owners, memory_order_acquire) > 1 &&
        atomic_fetch_sub_explicit(&table->owners, 1, memory_order_acq_rel) > 1)
        return;
    for (unsigned i = 0; left > 0; i++) {
        uint64_t entry = pt_load(&entries[i]);

        left -= fmt_is_live(entry);
        if (fmt_is_live(entry) && !fmt_is_leaf(entry, table->level)) {
            drop_table(pt, fmt_address(entry));
        } else if (fmt_is_tracked(entry) && !run_extend(&run, fmt_address(entry), table->level, 1)) {
            put_run(pt, &run);
            run = (struct pt_run){.hpa = fmt_address(entry), .count = 1, .level = table->level};
        }
    }
    put_run(pt, &run);
    pt->config.free_table(pt->config.ctx, pa);
}

void PT_FN(gather_sync)(struct pt_gather *gather)
{
    const struct pt *pt = gather->pt;
    const struct pt_config *config = &pt->config;

    if (gather->nranges > 0 && config->flush)
        config->flush(config->ctx, gather->ranges, gather->nranges);
    gather->nranges = 0;
    if (gather->nruns + gather->ntables + gather->nshared == 0)
        return;
    if (config->quiesce)
        config->quiesce(config->ctx);
    for (size_t i = 0; i < gather->nruns; i++)
        put_run(pt, &gather->runs[i]);
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
static void gather_frames(struct pt_gather *gather, uint64_t hpa, unsigned level, uint64_t start, uint64_t end)
{
    if (gather->nruns > 0 && run_extend(&gather->runs[gather->nruns - 1], hpa, level, 1))
        return;
    if (gather->nruns == PT_GATHER_RUNS) {
        PT_FN(gather_sync)(gather);
        gather_range(gather, start, end);
    }
    gather->runs[gather->nruns++] = (struct pt_run){.hpa = hpa, .count = 1, .level = level};
}

/* The ownership of a shared table that this tree gave up; likewise. */
static void gather_shared(struct pt_gather *gather, uint64_t pa, uint64_t start, uint64_t end)
{
    if (gather->nshared == PT_GATHER_SHARED) {
        PT_FN(gather_sync)(gather);
        gather_range(gather, start, end);
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
