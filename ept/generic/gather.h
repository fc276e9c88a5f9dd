/* Gathers: what left the tree waits here until the flush hook has been called. Ranges are merged, and when there are
 * too many, widened; frames of removed leaves are kept as runs; removed tables keep their entries and are read at
 * release. */

void PT_FN(gather_init)(struct pt_gather *gather, struct pt *pt)
{
    gather->pt = pt;
    gather->tables = 0;
    gather->ntables = gather->nranges = gather->nruns = 0;
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

/* Puts the frames of the tracked leaves that a removed table still holds. */
static void release_leaves(const struct pt *pt, uint64_t pa)
{
    pt_entry *entries = pt_entries(pt, pa);
    unsigned level = pt_meta(pt, pa)->level;
    struct pt_run run = {0};

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t entry = pt_load(&entries[i]);

        if (!fmt_is_tracked(entry) || !fmt_is_leaf(entry, level))
            continue;
        if (!run_extend(&run, fmt_address(entry), level, 1)) {
            pt->config.frame_put(pt->config.ctx, run.hpa, run.level, run.count);
            run = (struct pt_run){.hpa = fmt_address(entry), .count = 1, .level = level};
        }
    }
    if (run.count > 0)
        pt->config.frame_put(pt->config.ctx, run.hpa, run.level, run.count);
}

void PT_FN(gather_sync)(struct pt_gather *gather)
{
    const struct pt *pt = gather->pt;
    const struct pt_config *config = &pt->config;

    if (gather->nranges > 0 && config->flush)
        config->flush(config->ctx, gather->ranges, gather->nranges);
    gather->nranges = 0;
    for (size_t i = 0; i < gather->nruns; i++)
        config->frame_put(config->ctx, gather->runs[i].hpa, gather->runs[i].level, gather->runs[i].count);
    gather->nruns = 0;
    for (; gather->ntables > 0; gather->ntables--) {
        uint64_t pa = gather->tables;

        gather->tables = pt_meta(pt, pa)->next;
        if (pt_meta(pt, pa)->live > 0 && config->frame_put)
            release_leaves(pt, pa);
        config->free_table(config->ctx, pa);
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

/* A table that is no longer part of the tree, with the leaves it holds. Its range must have been gathered. */
static void gather_table(struct pt_gather *gather, uint64_t pa)
{
    pt_meta(gather->pt, pa)->next = gather->tables;
    gather->tables = pa;
    gather->ntables++;
}
