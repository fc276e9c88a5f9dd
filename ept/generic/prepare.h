/* Prepare, then commit: what an operation collects before it changes anything, so that from then on it cannot fail.
 * Order: settle (other cursors are out of the range), plan (check, count tables and splits), acquire, own (own.h),
 * commit, finish. */

/* Splits one operation can need: two edges of its range, twice on source and destination, each through at most two
 * levels of huge leaves. */
#define MAX_SPLITS 4u

/* Tables partly inside the range: two edges at each level below the top. */
#define MAX_HELD (2u * PT_MAX_LEVEL)

struct held_table {
    uint64_t pa, parent;
    uint64_t address; /* inside it */
    unsigned level;   /* of the parent */
};

struct planned_split {
    uint64_t start; /* of the leaf's slot */
    uint64_t hpa;
    unsigned level; /* of the leaf */
    bool tracked;
};

/* What an operation does to tables that it shares with others, and so which of them it needs for itself. See own.h. */
enum need {
    NEED_NONE,   /* it only looks */
    NEED_EDGES,  /* it fills holes, or removes: tables partly inside the range; others are given up whole */
    NEED_CHANGED /* it changes leaves: tables with leaves that change */
};

struct operation {
    struct pt_cursor *cursor;
    uint64_t start, end;
    uint64_t root;  /* the table that contains the range */
    unsigned level; /* of that table */
    uint64_t tables_needed;
    struct pt_spares spares;
    enum need need;
    struct fmt_change change; /* for NEED_CHANGED */
    unsigned why;             /* PT_FLUSH_*: what its own changes need; planned */
    bool meets_shared;        /* some shared tables become its own before the commit, */
    uint64_t tables_copied;   /* so many of them by copying */
    unsigned nheld, nsplits;
    struct held_table held[MAX_HELD];
    struct planned_split splits[MAX_SPLITS];
};

/* Iterates over the slots of a table of `level` that [start, end) touches: `at` is where the slot's part of the range
 * begins and `stop` where it ends. */
#define FOR_EACH_SLOT(at, stop, start, end, level)                                                                     \
    for (uint64_t at = (start), stop = pt_min(pt_slot_end(at, level), end); at < (end);                                \
         at = stop, stop = pt_min(pt_slot_end(at, level), end))

static bool is_whole_slot(uint64_t at, uint64_t stop, unsigned level)
{
    return stop - at == pt_slot_size(level);
}

/* Unlinks a table that is empty and in which nobody is. */
static void remove_table(struct pt_cursor *cursor, uint64_t parent, pt_entry *slot, uint64_t address, unsigned level)
{
    uint64_t pa = fmt_child(pt_load(slot));

    unlink_table(cursor, parent, slot, address, level);
    gather_table(cursor->gather, pa);
}

/* How many of `count` slots of level 2, from the first, hold nothing to settle: leaves, holes, shared tables, and
 * tables of pages that are not empty and in which nobody is. These need no lock. */
static uint64_t settled_slots(const struct pt *pt, pt_entry *slots, uint64_t count)
{
    uint64_t i = 0;

    for (; i < count; i++) {
        uint64_t entry = pt_load(&slots[i]);
        const struct pt_table *table;

        if (!fmt_is_own_table(entry))
            continue;
        table = pt_meta(pt, fmt_child(entry));
        if (!pt_is_free(table, 0) || table->live == 0)
            break;
    }
    return i;
}

/* Waits until no other holder is in any table below this one, in [start, end). Tables wholly inside need no lock after
 * that: who comes later finds a table above held. Those partly inside stay locked until finish(), because a cursor in
 * their other part may climb into them. A table that a borrower left empty is removed. False: another cursor of this
 * holder has claimed part of the range. */
static bool settle_below(struct operation *op, uint64_t table, unsigned level, uint64_t start, uint64_t end)
{
    struct pt_cursor *cursor = op->cursor;
    pt_entry *entries = pt_entries(cursor->pt, table);

    if (level == 1)
        return true;
    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        pt_entry *slot = &entries[pt_index(at, level)];
        bool whole = is_whole_slot(at, stop, level), alone;
        uint64_t pa, settled;

        if (whole && level == 2) {
            settled = settled_slots(cursor->pt, slot, (end - at) >> pt_slot_shift(2));
            if (settled > 0) {
                stop = at + settled * pt_slot_size(2);
                continue;
            }
        }
        if (!lock_slot(cursor, slot, level, &pa))
            continue;
        if (!whole) {
            op->held[op->nheld++] = (struct held_table){.pa = pa, .parent = table, .address = at, .level = level};
            if (!settle_below(op, pa, level - 1, at, stop))
                return false;
            continue;
        }
        alone = pt_meta(cursor->pt, pa)->depth == 1;
        alone = settle_below(op, pa, level - 1, at, stop) && alone;
        if (alone && pt_meta(cursor->pt, pa)->live == 0) {
            remove_table(cursor, table, slot, at, level);
            continue;
        }
        pt_unlock(pt_meta(cursor->pt, pa));
        if (!alone)
            return false;
    }
    return true;
}

/* Unlocks what settling held, from below; what has become empty is removed, and so are the spares. */
static void finish(struct operation *op)
{
    struct pt_cursor *cursor = op->cursor;
    const struct pt *pt = cursor->pt;

    while (op->nheld > 0) {
        const struct held_table *held = &op->held[--op->nheld];
        struct pt_table *table = pt_meta(pt, held->pa);

        if (table->live == 0 && table->depth == 1)
            remove_table(cursor, held->parent, &pt_entries(pt, held->parent)[pt_index(held->address, held->level)],
                         held->address, held->level);
        else
            pt_unlock(table);
    }
    pt_spares_free(pt, &op->spares);
}

/* Begins an operation on [start, end): moves the cursor's path to the table that contains it, and settles it. */
static enum pt_status settle(struct operation *op, struct pt_cursor *cursor, uint64_t start, uint64_t end)
{
    op->cursor = cursor;
    op->start = start;
    op->end = end;
    op->tables_needed = 0;
    op->spares = (struct pt_spares){0};
    op->need = NEED_NONE;
    op->why = 0;
    op->tables_copied = 0;
    op->meets_shared = false;
    op->nheld = op->nsplits = 0;
    locate(cursor, start, end);
    op->level = cursor->level;
    op->root = cursor->path[cursor->level];
    if (settle_below(op, op->root, op->level, start, end))
        return PT_OK;
    finish(op);
    return PT_EINVAL;
}

static bool is_empty_run(pt_entry *entries, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (fmt_is_live(pt_load(&entries[i])))
            return false;
    return true;
}

/* Is there no leaf in [start, end)? Everything below is settled, so a table wholly inside is not empty. */
static bool is_unmapped(const struct pt *pt, uint64_t table, unsigned level, uint64_t start, uint64_t end)
{
    pt_entry *entries = pt_entries(pt, table);

    if (level == 1)
        return is_empty_run(&entries[pt_index(start, 1)], (end - start) >> PT_PAGE_SHIFT);
    FOR_EACH_SLOT(at, stop, start, end, level)
    {
        uint64_t entry = pt_load(&entries[pt_index(at, level)]);

        if (fmt_is_live(entry) && (fmt_is_leaf(entry, level) || is_whole_slot(at, stop, level) ||
                                   !is_unmapped(pt, fmt_child(entry), level - 1, at, stop)))
            return false;
    }
    return true;
}

/* A huge leaf is to fill the range. If that is all of the covering table, and this is empty, its parent becomes the
 * covering table. PT_EOCCUPIED: it is not empty. */
static enum pt_status make_room(struct operation *op, unsigned leaf_level)
{
    struct pt_cursor *cursor = op->cursor;
    struct pt_table *table = pt_meta(cursor->pt, op->root);

    if (leaf_level <= op->level || !is_whole_table(op->start, op->end, op->level))
        return PT_OK;
    if (table->live > 0)
        return PT_EOCCUPIED;
    if (table->depth > 1)
        return PT_EINVAL;
    climb(cursor);
    ascend(cursor);
    op->level = cursor->level;
    op->root = cursor->path[cursor->level];
    return PT_OK;
}

/* Drops the references for the first `count` planned splits. */
static void unget_splits(struct operation *op, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (op->splits[i].tracked)
            frame_put(op->cursor->pt, op->splits[i].hpa, op->splits[i].level - 1, PT_ENTRIES);
}

/* References for the pieces of every planned split, or false and none. */
static bool get_splits(struct operation *op)
{
    for (unsigned i = 0; i < op->nsplits; i++) {
        const struct planned_split *split = &op->splits[i];

        if (!split->tracked || frame_get(op->cursor->pt, split->hpa, split->level - 1, PT_ENTRIES))
            continue;
        unget_splits(op, i);
        return false;
    }
    return true;
}
