/* Sharing tables copy-on-write, and making them one's own again. For share_from and every operation that changes
 * something.
 *
 * A table can have several owners: entries, of one tree or of several, that point at it. Every such entry lacks W, and
 * rights are ANDed along the walk, so nothing below is written through it. While a table has several owners nobody
 * changes it or what is below, but for taking W from entries that cannot be written through anyway, and for A bits
 * that hardware sets. A tree sees its shared tables without locks.
 *
 * An operation that changes something below a shared entry first makes the tables on the way its own, from the top. If
 * others own the table too, it is copied: every entry, in the original too, loses W, and what it points at gets one
 * owner more (tables) or one reference more (tracked frames). If no one else does, it is taken back: every entry loses
 * W, and the entry that points at the table regains it. Either way the rights that the walk leaves for each page stay
 * what they were. The ownership of a table that was copied goes to the gather: hardware, or a lookup, may still be in
 * it, and must not see what the other owner does when it takes the table back. */

/* How an operation came to the table: it is its own, or will be taken back, or copied. */
enum way { WAY_OWN, WAY_TAKEN, WAY_COPIED };

enum own_step {
    OWN_COUNT,  /* counts the tables to copy, and pins them: nobody can become a table's only owner meanwhile */
    OWN_UNPIN,  /* undoes OWN_COUNT */
    OWN_GET,    /* takes the references that the copies need */
    OWN_PUT,    /* drops the first of them again */
    OWN_COMMIT, /* copies and takes back */
};

struct owning {
    struct operation *op;
    enum own_step step;
    struct run_walk refs;
};

/* Takes W from an entry that points at a table. Hardware may set A in it meanwhile. */
static void share_entry(const struct pt *pt, pt_entry *slot, uint64_t entry)
{
    if (fmt_is_shared(entry))
        return;
    if (hardware_writes(pt))
        atomic_fetch_and_explicit(slot, ~FMT_W, memory_order_acq_rel);
    else
        pt_store(slot, entry & ~FMT_W);
}

static uint32_t owners_of(const struct pt *pt, uint64_t table)
{
    return atomic_load_explicit(&pt_meta(pt, table)->owners, memory_order_acquire);
}

/* After the entries that point at it have lost W: who sees two owners sees that too. */
static void add_owner(const struct pt *pt, uint64_t table)
{
    atomic_fetch_add_explicit(&pt_meta(pt, table)->owners, 1, memory_order_release);
}

/* Only where another owner is known to stay. */
static void remove_owner(const struct pt *pt, uint64_t table)
{
    atomic_fetch_sub_explicit(&pt_meta(pt, table)->owners, 1, memory_order_release);
}

/* Would the change do anything to a leaf of [start, end) below a shared entry? A and D count as what may change any
 * time. */
static bool changes_below(const struct pt *pt, struct fmt_change change, uint64_t table, unsigned level, uint64_t start,
                          uint64_t end)
{
    pt_entry *entries = pt_entries(pt, table);
    bool any = ((change.set | change.clear) & (FMT_A | FMT_DIRTY)) != 0;

    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        uint64_t entry = effective(pt_load(&entries[pt_index(at, level)]), true);

        if (!fmt_is_live(entry))
            continue;
        if (fmt_is_leaf(entry, level) ? any || fmt_changed(entry, change) != entry
                                      : changes_below(pt, change, fmt_child(entry), level - 1, at, stop))
            return true;
    }
    return false;
}

/* Gets (or puts) a reference for every tracked leaf in a table. */
static bool count_table_leaves(const struct pt *pt, struct run_walk *walk, uint64_t table, unsigned level)
{
    pt_entry *entries = pt_entries(pt, table);

    for (unsigned i = 0, count; i < PT_ENTRIES; i += count) {
        uint64_t entry = pt_load(&entries[i]);

        count = fmt_is_tracked(entry) ? tracked_run(&entries[i], PT_ENTRIES - i, level) : 1;
        if (fmt_is_tracked(entry) && !count_run(pt, walk, fmt_address(entry), level, count))
            return false;
    }
    return true;
}

/* A copy of a table of this level, of which the operation has the references. */
static uint64_t copy_table(struct operation *op, uint64_t table, unsigned level)
{
    const struct pt *pt = op->cursor->pt;
    uint64_t copy = pt_spares_take(pt, &op->spares, level);
    pt_entry *from = pt_entries(pt, table), *to = pt_entries(pt, copy);
    bool hardware = hardware_writes(pt);

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t entry = pt_load(&from[i]);

        if (!fmt_is_live(entry))
            continue;
        if (is_table(entry, level)) {
            share_entry(pt, &from[i], entry);
            add_owner(pt, fmt_child(entry));
        } else {
            entry = change_leaf(&from[i], fmt_lose_write, hardware);
        }
        atomic_store_explicit(&to[i], fmt_without_write(entry), memory_order_relaxed);
    }
    pt_meta(pt, copy)->live = pt_meta(pt, table)->live;
    return copy;
}

/* Makes a table, of which this tree is the only owner, its own again. */
static void take_back(const struct pt *pt, pt_entry *slot, uint64_t table, unsigned level)
{
    pt_entry *entries = pt_entries(pt, table);
    bool hardware = hardware_writes(pt);

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t entry = pt_load(&entries[i]);

        if (is_table(entry, level))
            share_entry(pt, &entries[i], entry);
        else if (fmt_is_live(entry))
            change_leaf(&entries[i], fmt_lose_write, hardware);
    }
    atomic_fetch_or_explicit(slot, FMT_W, memory_order_acq_rel);
}

/* One shared table, of the level below, becomes this tree's own. Answers the table that is there then. When it was
 * copied, one ownership goes at once: the pin, or, below another copied table, the one that came with that copy. Who
 * has come through the copy since is safe: the original still owns the table, and waits in the gather. */
static uint64_t own_table(struct operation *op, pt_entry *slot, uint64_t at, unsigned level, enum way above,
                          bool copied)
{
    const struct pt *pt = op->cursor->pt;
    struct pt_gather *gather = op->cursor->gather;
    uint64_t table = fmt_child(pt_load(slot)), copy;

    if (!copied) {
        take_back(pt, slot, table, level - 1);
        return table;
    }
    copy = copy_table(op, table, level - 1);
    pt_store(slot, fmt_table(copy));
    remove_owner(pt, table);
    if (above != WAY_COPIED) {
        gather_range(gather, PT_FLUSH_TABLES, pt_slot_start(at, level), pt_slot_end(at, level));
        gather_shared(gather, op->why, table, op->start, op->end);
    }
    return copy;
}

/* Must this shared table be the operation's own? */
static bool is_needed(const struct operation *op, uint64_t table, unsigned level, uint64_t start, uint64_t end)
{
    if (op->need == NEED_CHANGED)
        return changes_below(op->cursor->pt, op->change, table, level, start, end);
    return !is_whole_table(start, end, level);
}

/* One step of owning one shared table, in `slot` of `parent`; *table is that table, and after the commit its copy.
 * False: a reference was refused, or the last one was put. */
static bool own_step(struct owning *owning, uint64_t parent, pt_entry *slot, uint64_t at, uint64_t stop, unsigned level,
                     enum way above, bool copied, uint64_t *table)
{
    struct operation *op = owning->op;
    const struct pt *pt = op->cursor->pt;
    bool pinned = copied && above != WAY_COPIED;

    switch (owning->step) {
    case OWN_COUNT:
        op->meets_shared = true;
        op->tables_copied += copied;
        if (pinned)
            add_owner(pt, *table);
        return true;
    case OWN_UNPIN:
        if (pinned)
            remove_owner(pt, *table);
        return true;
    case OWN_GET:
    case OWN_PUT:
        return !copied || count_table_leaves(pt, &owning->refs, *table, level - 1);
    case OWN_COMMIT:
        *table = own_table(op, slot, at, level, above, copied);
        if (!is_whole_slot(at, stop, level)) {
            pt_lock_child(pt, pt_meta(pt, *table), op->cursor->holder);
            op->held[op->nheld++] = (struct held_table){.pa = *table, .parent = parent, .address = at, .level = level};
        }
        return true;
    }
    return true;
}

/* One step of owning, for the shared tables below this table, in [start, end). */
static bool own_below(struct owning *owning, uint64_t table, unsigned level, uint64_t start, uint64_t end,
                      enum way above)
{
    struct operation *op = owning->op;
    const struct pt *pt = op->cursor->pt;
    pt_entry *entries = pt_entries(pt, table);

    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        pt_entry *slot = &entries[pt_index(at, level)];
        uint64_t entry = pt_load(slot), child = fmt_child(entry);
        enum way way = WAY_OWN;

        if (!is_table(entry, level))
            continue;
        if (above != WAY_OWN || fmt_is_shared(entry)) {
            if (!is_needed(op, child, level - 1, at, stop))
                continue;
            way = above == WAY_COPIED || owners_of(pt, child) > 1 ? WAY_COPIED : WAY_TAKEN;
            if (!own_step(owning, table, slot, at, stop, level, above, way == WAY_COPIED, &child))
                return false;
        } else if (op->need == NEED_EDGES && is_whole_slot(at, stop, level)) {
            continue;
        }
        if (level > 2 && !own_below(owning, child, level - 1, at, stop, way))
            return false;
    }
    return true;
}

static bool own(struct operation *op, enum own_step step, uint64_t put_limit, uint64_t *done)
{
    struct owning owning = {.op = op, .step = step, .refs = {.putting = step == OWN_PUT, .limit = put_limit}};
    bool all = own_below(&owning, op->root, op->level, op->start, op->end, WAY_OWN);

    if (all && (step == OWN_GET || step == OWN_PUT))
        all = close_run(op->cursor->pt, &owning.refs);
    if (done)
        *done = owning.refs.done;
    return all;
}

/* Takes everything that was planned: tables, and references for the pieces of tracked leaves and for the leaves of
 * shared tables that will be copied. All or nothing. */
static enum pt_status acquire(struct operation *op)
{
    const struct pt *pt = op->cursor->pt;
    uint64_t done;
    enum pt_status status;

    if (op->need != NEED_NONE && op->level > 1)
        own(op, OWN_COUNT, 0, NULL);
    status = pt_spares_fill(pt, &op->spares, op->tables_needed + op->nsplits + op->tables_copied);
    if (status == PT_OK && !get_splits(op)) {
        status = PT_EFRAME;
    } else if (status == PT_OK && op->tables_copied > 0 && !own(op, OWN_GET, 0, &done)) {
        own(op, OWN_PUT, done, NULL);
        unget_splits(op, op->nsplits);
        status = PT_EFRAME;
    }
    if (status != PT_OK && op->meets_shared)
        own(op, OWN_UNPIN, 0, NULL);
    return status;
}

/* Gives back what was acquired, because another part of the operation failed; finish() frees the spares. */
static void release(struct operation *op)
{
    if (op->tables_copied > 0)
        own(op, OWN_PUT, UINT64_MAX, NULL);
    if (op->meets_shared)
        own(op, OWN_UNPIN, 0, NULL);
    unget_splits(op, op->nsplits);
}

/* Makes the shared tables that the operation changes its own. Cannot fail; the commit of the operation follows. */
static void own_tables(struct operation *op)
{
    if (op->meets_shared)
        own(op, OWN_COMMIT, 0, NULL);
    op->meets_shared = false;
    op->tables_copied = 0;
}
