/* copy_from: the mappings of one range appear in another, of the same tree or not, and both sides may change on the way
 * (as when a fork takes W from both). */

struct copy_job {
    struct operation dst, src;
    struct fmt_change to_dst, to_src;
    uint64_t delta;                     /* dst address - src address, modulo 2^64 */
    bool same_src;                      /* the source does not change */
    bool any_changed, any_tracked;      /* found while planning */
    uint64_t counted[PT_MAX_LEVEL + 1]; /* [level]: number + 1 of the last dst table that is there or was counted */
    uint64_t last_number, last_table;   /* number + 1 and pa of the last level-1 dst table written to */
};

/* References in the order in which the source is walked, as runs. */
struct run_walk {
    struct pt_run run;
    uint64_t done, limit; /* runs got or put so far; where to stop putting */
    bool putting, failed;
};

static uint64_t table_number(uint64_t address, unsigned level)
{
    return (address >> pt_slot_shift(level + 1)) + 1;
}

/* Is there a table of this level around this address of the destination? */
static bool dst_has_table(const struct operation *dst, uint64_t address, unsigned level)
{
    uint64_t table = dst->root;

    for (unsigned at = dst->level; at > level; at--) {
        uint64_t entry = pt_load(&pt_entries(dst->cursor->pt, table)[pt_index(address, at)]);

        if (!fmt_is_live(entry))
            return false;
        table = fmt_address(entry);
    }
    return true;
}

/* Adds the tables that leaves at this address and level need and that nobody has asked for yet. */
static void count_tables(struct copy_job *job, uint64_t address, unsigned level)
{
    for (; level < job->dst.level; level++) {
        if (job->counted[level] == table_number(address, level))
            return;
        job->counted[level] = table_number(address, level);
        if (dst_has_table(&job->dst, address, level))
            return;
        job->dst.tables_needed++;
    }
}

/* Where the leaf in the slot around `at` maps `at` to. */
static uint64_t hpa_at(uint64_t entry, uint64_t at, unsigned level)
{
    return fmt_address(entry) + (at & (pt_slot_size(level) - 1));
}

static unsigned dst_leaf_max(const struct copy_job *job, uint64_t entry, uint64_t at, unsigned level)
{
    unsigned limit = highest_leaf(job->dst.cursor->pt);

    return fitting_leaf(hpa_at(entry, at, level) - (at + job->delta), level < limit ? level : limit);
}

/* One leaf of the source, of which [at, stop) is copied. */
static enum pt_status plan_leaf(struct copy_job *job, uint64_t entry, unsigned level, uint64_t at, uint64_t stop)
{
    const struct pt *dst = job->dst.cursor->pt, *src = job->src.cursor->pt;
    unsigned leaf_max = level == 1 ? 1 : dst_leaf_max(job, entry, at, level), run_level;
    uint64_t after = changed(entry, job->to_src), from = at + job->delta, run_end;

    if (!fmt_rights_allowed(after, src->config.caps) ||
        !fmt_rights_allowed(changed(entry, job->to_dst), dst->config.caps) ||
        !hpa_allowed(dst, hpa_at(entry, at, level), stop - at) || (fmt_is_tracked(entry) && !dst->config.frame_get))
        return PT_EINVAL;
    job->any_tracked |= fmt_is_tracked(entry);
    job->any_changed |= after != entry;
    if (after != entry && !is_whole_slot(at, stop, level))
        plan_split(&job->src, entry, level, at, stop);
    if (level == 1) {
        count_tables(job, from, 1);
        return PT_OK;
    }
    for (; from < stop + job->delta; from = run_end) {
        run_end = next_run(from, stop + job->delta, leaf_max, &run_level);
        run_end = pt_min(run_end, pt_slot_end(from, run_level + 1));
        count_tables(job, from, run_level);
    }
    return PT_OK;
}

static enum pt_status plan_copy(struct copy_job *job, uint64_t table, unsigned level, uint64_t start, uint64_t end)
{
    pt_entry *entries = pt_entries(job->src.cursor->pt, table);

    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        uint64_t entry = pt_load(&entries[pt_index(at, level)]);
        enum pt_status status;

        if (!fmt_is_live(entry))
            continue;
        status = fmt_is_leaf(entry, level) ? plan_leaf(job, entry, level, at, stop)
                                           : plan_copy(job, fmt_address(entry), level - 1, at, stop);
        if (status != PT_OK)
            return status;
    }
    return PT_OK;
}

/* Hands the run collected so far to a hook. False: stop walking. */
static bool close_run(const struct pt *pt, struct run_walk *walk)
{
    if (walk->run.count == 0)
        return true;
    if (walk->putting && walk->done == walk->limit)
        return false;
    if (walk->putting)
        frame_put(pt, walk->run.hpa, walk->run.level, walk->run.count);
    else if (!frame_get(pt, walk->run.hpa, walk->run.level, walk->run.count))
        walk->failed = true;
    if (!walk->failed)
        walk->done++;
    walk->run.count = 0;
    return !walk->failed;
}

/* Gets (or puts) the references of the copies of one leaf. */
static bool count_leaf(struct copy_job *job, struct run_walk *walk, uint64_t entry, unsigned level, uint64_t at,
                       uint64_t stop)
{
    const struct pt *pt = job->dst.cursor->pt;
    uint64_t hpa = hpa_at(entry, at, level), from = at + job->delta, run_end;
    unsigned leaf_max = level == 1 ? 1 : dst_leaf_max(job, entry, at, level), run_level;

    if (level == 1 && run_extend(&walk->run, hpa, 1, 1))
        return true;
    for (; from < stop + job->delta; hpa += run_end - from, from = run_end) {
        uint64_t count;

        run_end = next_run(from, stop + job->delta, leaf_max, &run_level);
        count = (run_end - from) >> pt_slot_shift(run_level);
        if (run_extend(&walk->run, hpa, run_level, count))
            continue;
        if (!close_run(pt, walk))
            return false;
        run_extend(&walk->run, hpa, run_level, count);
    }
    return true;
}

static bool count_copy(struct copy_job *job, struct run_walk *walk, uint64_t table, unsigned level, uint64_t start,
                       uint64_t end)
{
    pt_entry *entries = pt_entries(job->src.cursor->pt, table);

    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        uint64_t entry = pt_load(&entries[pt_index(at, level)]);

        if (!fmt_is_live(entry) || (fmt_is_leaf(entry, level) && !fmt_is_tracked(entry)))
            continue;
        if (!(fmt_is_leaf(entry, level) ? count_leaf(job, walk, entry, level, at, stop)
                                        : count_copy(job, walk, fmt_address(entry), level - 1, at, stop)))
            return false;
    }
    return true;
}

/* A reference for every tracked leaf of the copy, or PT_EFRAME and none. */
static enum pt_status get_copies(struct copy_job *job)
{
    const struct pt *pt = job->dst.cursor->pt;
    const struct operation *src = &job->src;
    struct run_walk get = {0}, put = {.putting = true};

    if (!job->any_tracked)
        return PT_OK;
    if (count_copy(job, &get, src->root, src->level, src->start, src->end) && close_run(pt, &get))
        return PT_OK;
    put.limit = get.done;
    if (count_copy(job, &put, src->root, src->level, src->start, src->end))
        close_run(pt, &put);
    return PT_EFRAME;
}

/* The destination's table of this level around the address, made of spares where it is missing. */
static uint64_t dst_table(struct copy_job *job, uint64_t address, unsigned level)
{
    const struct pt *pt = job->dst.cursor->pt;
    uint64_t table = job->dst.root;

    if (level == 1 && job->last_number == table_number(address, 1))
        return job->last_table;
    for (unsigned at = job->dst.level; at > level; at--) {
        pt_entry *slot = &pt_entries(pt, table)[pt_index(address, at)];
        uint64_t entry = pt_load(slot);

        if (!fmt_is_live(entry)) {
            entry = fmt_table(pt_spares_take(pt, &job->dst.spares, at - 1));
            pt_store(slot, entry);
            pt_meta(pt, table)->live++;
        }
        table = fmt_address(entry);
    }
    if (level == 1) {
        job->last_number = table_number(address, 1);
        job->last_table = table;
    }
    return table;
}

/* Writes the copy of a 4 KiB leaf: the common case. */
static void write_copy(struct copy_job *job, uint64_t entry, uint64_t address)
{
    const struct pt *pt = job->dst.cursor->pt;
    uint64_t table = dst_table(job, address, 1);

    pt_store(&pt_entries(pt, table)[pt_index(address, 1)], changed(entry, job->to_dst));
    pt_meta(pt, table)->live++;
}

/* Writes the copies of [at, stop) of a source leaf, which was `entry` before it changed. */
static void write_copies(struct copy_job *job, uint64_t entry, unsigned level, uint64_t at, uint64_t stop)
{
    const struct pt *pt = job->dst.cursor->pt;
    unsigned leaf_max = level == 1 ? 1 : dst_leaf_max(job, entry, at, level), run_level;
    uint64_t from = at + job->delta, end = stop + job->delta, offset = at & (pt_slot_size(level) - 1), run_end;

    if (level == 1) {
        write_copy(job, entry, from);
        return;
    }
    while (from < end) {
        for (run_end = next_run(from, end, leaf_max, &run_level); from < run_end;) {
            uint64_t table = dst_table(job, from, run_level);

            pt_store(&pt_entries(pt, table)[pt_index(from, run_level)],
                     changed(fmt_piece(entry, offset, run_level), job->to_dst));
            pt_meta(pt, table)->live++;
            from += pt_slot_size(run_level);
            offset += pt_slot_size(run_level);
        }
    }
}

/* Cannot fail. */
static void commit_copy(struct copy_job *job, uint64_t table, unsigned level, uint64_t start, uint64_t end)
{
    const struct pt *pt = job->src.cursor->pt;
    pt_entry *entries = pt_entries(pt, table);
    bool hardware = hardware_writes(pt);

    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        pt_entry *slot = &entries[pt_index(at, level)];
        uint64_t entry = pt_load(slot);

        if (!fmt_is_live(entry))
            continue;
        if (!fmt_is_leaf(entry, level)) {
            commit_copy(job, fmt_address(entry), level - 1, at, stop);
            continue;
        }
        if (!job->same_src && is_whole_slot(at, stop, level)) {
            entry = change_leaf(slot, job->to_src, hardware);
        } else if (!job->same_src && is_planned(&job->src, at, level)) {
            commit_copy(job, split_leaf(&job->src, slot, at, level), level - 1, at, stop);
            continue;
        } else {
            /* Planned to stay as it is. A or D that to_src clears and that was set since then stays in the source. */
            entry = changed(entry, job->to_src);
        }
        write_copies(job, entry, level, at, stop);
    }
}

/* When one huge leaf will fill all of the destination's covering table. */
static enum pt_status make_copy_room(struct copy_job *job)
{
    const struct operation *src = &job->src;
    uint64_t entry = pt_load(&pt_entries(src->cursor->pt, src->root)[pt_index(src->start, src->level)]);

    if (!fmt_is_live(entry) || !fmt_is_leaf(entry, src->level))
        return PT_OK;
    return make_room(&job->dst, dst_leaf_max(job, entry, src->start, src->level));
}

static enum pt_status prepare_copy(struct copy_job *job)
{
    const struct operation *dst = &job->dst, *src = &job->src;
    enum pt_status status = make_copy_room(job);

    if (status != PT_OK)
        return status;
    if (!is_unmapped(dst->cursor->pt, dst->root, dst->level, dst->start, dst->end))
        return PT_EOCCUPIED;
    status = plan_copy(job, src->root, src->level, src->start, src->end);
    if (status == PT_OK)
        status = acquire(&job->dst);
    if (status == PT_OK)
        status = acquire(&job->src);
    if (status != PT_OK)
        return status;
    status = get_copies(job);
    if (status != PT_OK)
        unget_splits(&job->src, job->src.nsplits);
    return status;
}

/* May these two cursors take part in one copy of this length? */
static enum pt_status begin_copy(const struct pt_cursor *dst, const struct pt_cursor *src, uint64_t length,
                                 struct pt_change to_dst, struct pt_change to_src)
{
    enum pt_status status = begin(dst, length, true);

    if (status == PT_OK)
        status = begin(src, length, (to_src.set | to_src.clear) != 0);
    if (status != PT_OK)
        return status;
    if (!change_allowed(to_dst) || !change_allowed(to_src))
        return PT_EINVAL;
    if (dst->pt == src->pt && (dst->owner != src->owner || (dst->start < src->end && src->start < dst->end)))
        return PT_EINVAL;
    return PT_OK;
}

enum pt_status PT_FN(cursor_copy_from)(struct pt_cursor *dst, struct pt_cursor *src, uint64_t length,
                                       struct pt_change to_dst, struct pt_change to_src)
{
    struct copy_job job = {.to_dst = fmt_change(to_dst), .to_src = fmt_change(to_src), .delta = dst->at - src->at};
    const struct operation *from = &job.src;
    enum pt_status status = begin_copy(dst, src, length, to_dst, to_src);

    if (status != PT_OK)
        return status;
    status = settle(&job.src, src, src->at, src->at + length);
    if (status != PT_OK)
        return status;
    status = settle(&job.dst, dst, dst->at, dst->at + length);
    if (status != PT_OK) {
        finish(&job.src);
        return status;
    }
    status = prepare_copy(&job);
    job.same_src = !job.any_changed;
    if (status == PT_OK) {
        commit_copy(&job, from->root, from->level, from->start, from->end);
        if (job.any_changed)
            gather_range(src->gather, from->start, from->end);
        src->at += length;
        dst->at += length;
    }
    finish(&job.dst);
    finish(&job.src);
    return status;
}
