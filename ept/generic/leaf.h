/* Single leaves: which may exist, how they are changed although hardware sets A and D in them, which sizes fit a range;
 * and the references that tracked ones hold, taken and dropped in runs. */

static unsigned highest_leaf(const struct pt *pt)
{
    if ((pt->config.caps & PT_CAP_2M) == 0)
        return 1;
    return (pt->config.caps & PT_CAP_1G) ? 3 : 2;
}

/* Can these properties be a leaf of this tree? */
static bool prop_allowed(const struct pt *pt, pt_prop prop)
{
    if ((prop & ~PT_ALL) || (prop & FMT_ABSENT) || !fmt_memory_type_exists(prop))
        return false;
    if ((prop & PT_TRACKED) && !pt->config.frame_get)
        return false;
    return fmt_rights_allowed(fmt_leaf(0, 1, prop), pt->config.caps);
}

static bool hpa_allowed(const struct pt *pt, uint64_t hpa, uint64_t length)
{
    uint64_t limit = (uint64_t)1 << pt->config.maxphyaddr;

    return pt_aligned(hpa, 1) && length <= limit && hpa <= limit - length;
}

/* The largest pages for which two addresses that differ by this much are aligned alike. */
static unsigned fitting_leaf(uint64_t delta, unsigned limit)
{
    while (!pt_aligned(delta, limit))
        limit--;
    return limit;
}

/* The run of equal pages with which mapping [at, end) begins, if pages of up to leaf_max fit. */
static uint64_t next_run(uint64_t at, uint64_t end, unsigned leaf_max, unsigned *level)
{
    uint64_t stop;

    for (*level = leaf_max; !pt_aligned(at, *level) || end - at < pt_slot_size(*level);)
        (*level)--;
    stop = pt_slot_start(end, *level);
    return *level < leaf_max ? pt_min(stop, pt_slot_end(at, *level + 1)) : stop;
}

/* Is this a change that the format can make at all? */
static bool change_allowed(struct pt_change change)
{
    pt_prop all = change.set | change.clear;

    if ((all & ~PT_ALL) || (all & PT_TRACKED) || (change.set & FMT_ABSENT))
        return false;
    if ((change.clear & PT_MT_MASK) == PT_MT_MASK)
        return fmt_memory_type_exists(change.set);
    return (change.clear & PT_MT_MASK) == 0 && (change.set & PT_MT_MASK) == 0;
}

/* Changes one leaf; answers what it was, with every A and D that hardware set before. A plain store does when hardware
 * cannot change the entry: it never does in this tree, or has nothing left to set. */
static uint64_t change_leaf(pt_entry *slot, struct fmt_change change, bool hardware)
{
    uint64_t entry = pt_load(slot);

    if (fmt_changed(entry, change) == entry)
        return entry;
    if (!hardware || fmt_is_quiet(entry)) {
        pt_store(slot, fmt_changed(entry, change));
        return entry;
    }
    while (!atomic_compare_exchange_weak_explicit(slot, &entry, fmt_changed(entry, change), memory_order_acq_rel,
                                                  memory_order_relaxed))
        ;
    return entry;
}

static bool hardware_writes(const struct pt *pt)
{
    return (pt->config.caps & PT_CAP_AD) != 0;
}

/* Why hardware that has used a leaf must be flushed when it is changed so: PT_FLUSH_*, or 0. */
static unsigned leaf_flush(const struct pt *pt, uint64_t entry, uint64_t after)
{
    return fmt_flush(entry, after) & (hardware_writes(pt) ? ~0u : ~PT_FLUSH_MARKS);
}

static bool frame_get(const struct pt *pt, uint64_t hpa, unsigned level, uint64_t count)
{
    return pt->config.frame_get(pt->config.frame_ctx, hpa, level, count);
}

/* For references that were taken but never seen by hardware: no flush needed. */
static void frame_put(const struct pt *pt, uint64_t hpa, unsigned level, uint64_t count)
{
    pt->config.frame_put(pt->config.frame_ctx, hpa, level, count);
}

/* References in the order of a walk, as runs. */
struct run_walk {
    struct pt_run run;
    uint64_t done, limit; /* runs got or put so far; where to stop putting */
    bool putting, failed;
};

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

/* Adds leaves to the run, or closes it and begins another. False: stop walking. */
static bool count_run(const struct pt *pt, struct run_walk *walk, uint64_t hpa, unsigned level, uint64_t count)
{
    if (run_extend(&walk->run, hpa, level, count))
        return true;
    if (!close_run(pt, walk))
        return false;
    walk->run = (struct pt_run){.hpa = hpa, .count = count, .level = level};
    return true;
}
