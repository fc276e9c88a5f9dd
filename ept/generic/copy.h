/* copy_from: the mappings of one range appear in another, of the same tree or not, and both sides may change on the way
 * (as when a fork takes W from both). */

struct copy_job {
    struct operation dst, src;
    struct fmt_change to_dst, to_src;
    uint64_t delta;                /* dst address - src address, modulo 2^64 */
    bool share;                    /* whole tables are shared where they can be, rather than copied */
    bool same_src;                 /* the source does not change */
    bool any_changed, any_tracked; /* found while planning */
    bool any_checked;              /* the last page found allowed, but for its address, had these bits: */
    uint64_t checked;
    uint64_t counted[PT_MAX_LEVEL + 1]; /* [level]: number + 1 of the last dst table that is there or was counted */
    uint64_t last_number, last_table;   /* number + 1 and pa of the last level-1 dst table written to */
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
        table = fmt_child(entry);
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

/* Will this entry of the source be shared, with the table it points at and all below? */
static bool is_shared_whole(const struct copy_job *job, uint64_t entry, unsigned level, uint64_t at, uint64_t stop)
{
    return job->share && is_table(entry, level) && is_whole_slot(at, stop, level) && pt_aligned(job->delta, level) &&
           level <= job->dst.level;
}

/* May a leaf with these bits be changed and copied as wished, addresses apart? */
static bool is_copyable(const struct copy_job *job, uint64_t entry)
{
    const struct pt_config *dst = &job->dst.cursor->pt->config, *src = &job->src.cursor->pt->config;

    return fmt_rights_allowed(fmt_changed(entry, job->to_src), src->caps) &&
           fmt_rights_allowed(fmt_changed(entry, job->to_dst), dst->caps) && (!fmt_is_tracked(entry) || dst->frame_get);
}

/* What happens to a leaf of the source. */
static void plan_source(struct copy_job *job, uint64_t entry)
{
    uint64_t after = fmt_changed(entry, job->to_src);

    job->any_changed |= after != entry;
    job->src.why |= leaf_flush(job->src.cursor->pt, entry, after);
}

/* Pages of the source, in one table; [start, end) is copied. Neighbours mostly differ in their address alone, and are
 * then checked once. */
static enum pt_status plan_copy_pages(struct copy_job *job, pt_entry *entries, uint64_t start, uint64_t end,
                                      bool shared)
{
    const struct pt *dst = job->dst.cursor->pt;
    uint64_t checked = 0, limit = ((uint64_t)1 << dst->config.maxphyaddr) - PT_PAGE_SIZE;
    uint64_t counted = job->counted[1];

    for (uint64_t at = start; at < end; at += PT_PAGE_SIZE, entries++) {
        uint64_t entry = pt_load(entries), bits = entry & ~FMT_ADDRESS;

        if (!fmt_is_live(entry))
            continue;
        if (bits != checked) {
            checked = bits;
            bits = effective(bits, shared);
            if (!is_copyable(job, bits))
                return PT_EINVAL;
            job->any_tracked |= fmt_is_tracked(bits);
            plan_source(job, bits);
        }
        if (fmt_address(entry) > limit)
            return PT_EINVAL;
        if (counted != table_number(at + job->delta, 1)) {
            count_tables(job, at + job->delta, 1);
            counted = job->counted[1];
        }
    }
    return PT_OK;
}

/* One huge leaf of the source, of which [at, stop) is copied. */
static enum pt_status plan_copy_leaf(struct copy_job *job, uint64_t entry, unsigned level, uint64_t at, uint64_t stop)
{
    const struct pt *dst = job->dst.cursor->pt;
    unsigned leaf_max = dst_leaf_max(job, entry, at, level), run_level;
    uint64_t after = fmt_changed(entry, job->to_src), from = at + job->delta, run_end;

    if (!is_copyable(job, entry) || !hpa_allowed(dst, hpa_at(entry, at, level), stop - at))
        return PT_EINVAL;
    job->any_tracked |= fmt_is_tracked(entry);
    plan_source(job, entry);
    if (after != entry && !is_whole_slot(at, stop, level))
        plan_split(&job->src, entry, level, at, stop);
    for (; from < stop + job->delta; from = run_end) {
        run_end = next_run(from, stop + job->delta, leaf_max, &run_level);
        run_end = pt_min(run_end, pt_slot_end(from, run_level + 1));
        count_tables(job, from, run_level);
    }
    return PT_OK;
}

static enum pt_status plan_copy(struct copy_job *job, uint64_t table, unsigned level, uint64_t start, uint64_t end,
                                bool shared)
{
    pt_entry *entries = pt_entries(job->src.cursor->pt, table);
    enum pt_status status = PT_OK;

    if (level == 1)
        return plan_copy_pages(job, &entries[pt_index(start, 1)], start, end, shared);
    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        uint64_t entry = effective(pt_load(&entries[pt_index(at, level)]), shared);

        if (!fmt_is_live(entry))
            continue;
        if (is_shared_whole(job, entry, level, at, stop)) {
            job->any_changed |= !fmt_is_shared(entry);
            job->src.why |= fmt_is_shared(entry) ? 0 : PT_FLUSH_RIGHTS;
            count_tables(job, at + job->delta, level);
        } else if (fmt_is_leaf(entry, level)) {
            status = plan_copy_leaf(job, entry, level, at, stop);
        } else {
            status = plan_copy(job, fmt_child(entry), level - 1, at, stop, fmt_is_shared(entry));
        }
        if (status != PT_OK)
            return status;
    }
    return PT_OK;
}

/* Gets (or puts) the references of the copies of one huge leaf. */
static bool count_leaf(struct copy_job *job, struct run_walk *walk, uint64_t entry, unsigned level, uint64_t at,
                       uint64_t stop)
{
    uint64_t hpa = hpa_at(entry, at, level), from = at + job->delta, run_end;
    unsigned leaf_max = dst_leaf_max(job, entry, at, level), run_level;

    for (; from < stop + job->delta; hpa += run_end - from, from = run_end) {
        run_end = next_run(from, stop + job->delta, leaf_max, &run_level);
        if (!count_run(job->dst.cursor->pt, walk, hpa, run_level, (run_end - from) >> pt_slot_shift(run_level)))
            return false;
    }
    return true;
}

/* The same for pages next to each other in one table. */
static bool count_pages(const struct copy_job *job, struct run_walk *walk, pt_entry *entries, unsigned pages)
{
    for (unsigned i = 0, count; i < pages; i += count) {
        uint64_t entry = pt_load(&entries[i]);

        count = fmt_is_tracked(entry) ? tracked_run(&entries[i], pages - i, 1) : 1;
        if (fmt_is_tracked(entry) && !count_run(job->dst.cursor->pt, walk, fmt_address(entry), 1, count))
            return false;
    }
    return true;
}

static bool count_copy(struct copy_job *job, struct run_walk *walk, uint64_t table, unsigned level, uint64_t start,
                       uint64_t end)
{
    pt_entry *entries = pt_entries(job->src.cursor->pt, table);

    if (level == 1)
        return count_pages(job, walk, &entries[pt_index(start, 1)], (unsigned)((end - start) >> PT_PAGE_SHIFT));
    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        uint64_t entry = pt_load(&entries[pt_index(at, level)]);

        if (!fmt_is_live(entry) || (fmt_is_leaf(entry, level) && !fmt_is_tracked(entry)) ||
            is_shared_whole(job, entry, level, at, stop))
            continue;
        if (!(fmt_is_leaf(entry, level) ? count_leaf(job, walk, entry, level, at, stop)
                                        : count_copy(job, walk, fmt_child(entry), level - 1, at, stop)))
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
        table = fmt_child(entry);
    }
    if (level == 1) {
        job->last_number = table_number(address, 1);
        job->last_table = table;
    }
    return table;
}

/* Writes the copies of pages that stay as they are into a table, and answers how many there are. A page stays although
 * A or D, which to_src would clear, may have been set since it was planned. */
static unsigned copy_pages(const struct copy_job *job, pt_entry *from, pt_entry *to, unsigned pages, bool shared)
{
    struct fmt_change to_src = job->to_src, to_dst = job->to_dst;
    unsigned live = 0;

    for (unsigned i = 0; i < pages; i++) {
        uint64_t entry = pt_load(&from[i]);

        if (!fmt_is_live(entry))
            continue;
        pt_store(&to[i], fmt_changed(fmt_changed(effective(entry, shared), to_src), to_dst));
        live++;
    }
    return live;
}

/* The same for pages that change. */
static unsigned change_and_copy_pages(const struct copy_job *job, pt_entry *from, pt_entry *to, unsigned pages)
{
    struct fmt_change to_src = job->to_src, to_dst = job->to_dst;
    bool hardware = hardware_writes(job->src.cursor->pt);
    unsigned live = 0;

    for (unsigned i = 0; i < pages; i++) {
        uint64_t entry = pt_load(&from[i]);

        if (!fmt_is_live(entry))
            continue;
        if (hardware)
            entry = change_leaf(&from[i], to_src, true);
        else
            pt_store(&from[i], fmt_changed(entry, to_src));
        pt_store(&to[i], fmt_changed(entry, to_dst));
        live++;
    }
    return live;
}

/* The pages of [start, end) of a table of the source, which go into one table of the destination. */
static void commit_copy_pages(struct copy_job *job, pt_entry *entries, uint64_t start, uint64_t end, bool shared)
{
    const struct pt *pt = job->dst.cursor->pt;
    unsigned pages = (unsigned)((end - start) >> PT_PAGE_SHIFT);
    uint64_t table;
    pt_entry *to;

    if (is_empty_run(entries, pages))
        return;
    table = dst_table(job, start + job->delta, 1);
    to = &pt_entries(pt, table)[pt_index(start + job->delta, 1)];
    pages = job->same_src || shared ? copy_pages(job, entries, to, pages, shared)
                                    : change_and_copy_pages(job, entries, to, pages);
    pt_meta(pt, table)->live = (uint16_t)(pt_meta(pt, table)->live + pages);
}

/* Writes the copies of [at, stop) of a huge leaf of the source, which was `entry` before it changed. */
static void write_copies(struct copy_job *job, uint64_t entry, unsigned level, uint64_t at, uint64_t stop)
{
    const struct pt *pt = job->dst.cursor->pt;
    unsigned leaf_max = dst_leaf_max(job, entry, at, level), run_level;
    uint64_t from = at + job->delta, end = stop + job->delta, offset = at & (pt_slot_size(level) - 1), run_end;

    while (from < end) {
        for (run_end = next_run(from, end, leaf_max, &run_level); from < run_end;) {
            uint64_t table = dst_table(job, from, run_level);

            pt_store(&pt_entries(pt, table)[pt_index(from, run_level)],
                     fmt_changed(fmt_piece(entry, offset, run_level), job->to_dst));
            pt_meta(pt, table)->live++;
            from += pt_slot_size(run_level);
            offset += pt_slot_size(run_level);
        }
    }
}

/* The table in this slot of the source gets an owner more, in the destination. */
static void share_table(struct copy_job *job, pt_entry *slot, uint64_t entry, unsigned level, uint64_t at)
{
    const struct pt *pt = job->dst.cursor->pt;
    uint64_t table = dst_table(job, at + job->delta, level), shared = fmt_child(entry);

    share_entry(job->src.cursor->pt, slot, entry);
    add_owner(pt, shared);
    pt_store(&pt_entries(pt, table)[pt_index(at + job->delta, level)], fmt_table(shared) & ~FMT_W);
    pt_meta(pt, table)->live++;
}

/* Cannot fail. */
static void commit_copy(struct copy_job *job, uint64_t table, unsigned level, uint64_t start, uint64_t end, bool shared)
{
    const struct pt *pt = job->src.cursor->pt;
    pt_entry *entries = pt_entries(pt, table);
    bool hardware = hardware_writes(pt);

    if (level == 1) {
        for (uint64_t at = start, stop; at < end; at = stop) {
            stop = pt_min(end, pt_slot_end(at + job->delta, 2) - job->delta);
            commit_copy_pages(job, &entries[pt_index(at, 1)], at, stop, shared);
        }
        return;
    }
    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        pt_entry *slot = &entries[pt_index(at, level)];
        uint64_t entry = pt_load(slot);

        if (!fmt_is_live(entry))
            continue;
        if (is_shared_whole(job, entry, level, at, stop)) {
            share_table(job, slot, entry, level, at);
        } else if (!fmt_is_leaf(entry, level)) {
            commit_copy(job, fmt_child(entry), level - 1, at, stop, shared || fmt_is_shared(entry));
        } else if (!job->same_src && !shared && is_whole_slot(at, stop, level)) {
            write_copies(job, change_leaf(slot, job->to_src, hardware), level, at, stop);
        } else if (!job->same_src && is_planned(&job->src, at, level)) {
            commit_copy(job, split_leaf(&job->src, slot, level), level - 1, at, stop, false);
        } else {
            write_copies(job, fmt_changed(effective(entry, shared), job->to_src), level, at, stop);
        }
    }
}

/* When one huge leaf, be it below shared tables, will fill all of the destination's covering table. */
static enum pt_status make_copy_room(struct copy_job *job)
{
    const struct operation *src = &job->src;
    uint64_t table = src->root, entry;
    unsigned level = src->level;

    for (;; level--) {
        entry = pt_load(&pt_entries(src->cursor->pt, table)[pt_index(src->start, level)]);
        if (!is_table(entry, level) || src->end > pt_slot_end(src->start, level))
            break;
        table = fmt_child(entry);
    }
    if (!fmt_is_live(entry) || !fmt_is_leaf(entry, level))
        return PT_OK;
    return make_room(&job->dst, dst_leaf_max(job, entry, src->start, level));
}

/* When both sides are one tree, they may need the same shared tables: then the source has made them its own before the
 * destination counts, and they stay so if that fails. */
static enum pt_status acquire_both(struct copy_job *job)
{
    enum pt_status status = acquire(&job->src);

    if (status != PT_OK)
        return status;
    if (job->src.cursor->pt == job->dst.cursor->pt)
        own_tables(&job->src);
    status = acquire(&job->dst);
    if (status != PT_OK)
        release(&job->src);
    return status;
}

static enum pt_status prepare_copy(struct copy_job *job)
{
    struct operation *dst = &job->dst, *src = &job->src;
    enum pt_status status = make_copy_room(job);

    if (status != PT_OK)
        return status;
    if (!is_unmapped(dst->cursor->pt, dst->root, dst->level, dst->start, dst->end))
        return PT_EOCCUPIED;
    status = plan_copy(job, src->root, src->level, src->start, src->end, false);
    if (status != PT_OK)
        return status;
    job->same_src = !job->any_changed;
    dst->need = NEED_EDGES;
    src->need = job->any_changed ? NEED_CHANGED : NEED_NONE;
    src->change = job->to_src;
    status = acquire_both(job);
    if (status != PT_OK)
        return status;
    status = get_copies(job);
    if (status != PT_OK) {
        release(dst);
        release(src);
    }
    return status;
}

/* May these two cursors take part in one copy of this length? */
static enum pt_status begin_copy(const struct pt_cursor *dst, const struct pt_cursor *src, uint64_t *length,
                                 struct pt_change to_dst, struct pt_change to_src)
{
    enum pt_status status = begin(src, length, (to_src.set | to_src.clear) != 0);

    if (status == PT_OK || (status == PT_END && !(dst->top > 0 && dst->writes)))
        status = begin(dst, length, true);
    if (status != PT_OK)
        return status;
    if (!change_allowed(to_dst) || !change_allowed(to_src))
        return PT_EINVAL;
    if (dst->pt == src->pt && (dst->holder != src->holder || (dst->start < src->end && src->start < dst->end)))
        return PT_EINVAL;
    return PT_OK;
}

static enum pt_status run_copy(struct copy_job *job, struct pt_cursor *dst, struct pt_cursor *src, uint64_t length)
{
    struct operation *from = &job->src;
    enum pt_status status = settle(from, src, src->at, src->at + length);

    if (status != PT_OK)
        return status;
    status = settle(&job->dst, dst, dst->at, dst->at + length);
    if (status != PT_OK) {
        finish(from);
        return status;
    }
    status = prepare_copy(job);
    if (status == PT_OK) {
        if (hardware_writes(src->pt) && (job->to_src.clear & (FMT_A | FMT_DIRTY)) != 0 && job->any_changed)
            from->why |= PT_FLUSH_MARKS;
        own_tables(from);
        own_tables(&job->dst);
        gather_range(src->gather, from->why, from->start, from->end);
        commit_copy(job, from->root, from->level, from->start, from->end, false);
        src->at += length;
        dst->at += length;
    }
    finish(&job->dst);
    finish(from);
    return status;
}

enum pt_status PT_FN(cursor_copy_from)(struct pt_cursor *dst, struct pt_cursor *src, uint64_t length,
                                       struct pt_change to_dst, struct pt_change to_src)
{
    struct copy_job job = {.to_dst = fmt_change(to_dst), .to_src = fmt_change(to_src), .delta = dst->at - src->at};
    enum pt_status status = begin_copy(dst, src, &length, to_dst, to_src);

    return status == PT_OK ? run_copy(&job, dst, src, length) : status;
}

/* Do two trees draw on the same tables and frames, with the same hooks, so that either may free what they share? */
static bool can_share(const struct pt_config *a, const struct pt_config *b)
{
    return a->alloc_table == b->alloc_table && a->free_table == b->free_table && a->frame_get == b->frame_get &&
           a->frame_put == b->frame_put && a->frame_shared == b->frame_shared &&
           a->entries_offset == b->entries_offset && a->meta_base == b->meta_base && a->pa_base == b->pa_base &&
           a->meta_stride == b->meta_stride && a->maxphyaddr == b->maxphyaddr && a->caps == b->caps;
}

enum pt_status PT_FN(cursor_share_from)(struct pt_cursor *dst, struct pt_cursor *src, uint64_t length)
{
    const struct pt_change no_write = {.clear = PT_W};
    struct copy_job job = {
        .to_dst = fmt_lose_write, .to_src = fmt_lose_write, .delta = dst->at - src->at, .share = true};
    enum pt_status status = begin_copy(dst, src, &length, no_write, no_write);

    if (status != PT_OK)
        return status;
    if (!can_share(&dst->pt->config, &src->pt->config))
        return PT_EINVAL;
    widen(src, length);
    widen(dst, length);
    return run_copy(&job, dst, src, length);
}
