/* Every operation crossed with every page size, place, pattern of holes and range, against the model of spans, for
 * one format and number of levels. Follows ept_picture_body.h.
 *
 * A scene is four slots of one page size, some of them leaves, at the bottom or the top of the address space or across
 * an edge of tables. The operation works on a range of it, with a claim of just that range or of everything; and all of
 * it again where another tree shares the scene's tables, acting on either side. */

static struct world w3; /* where copies go */

struct scene {
    unsigned level;   /* of the leaves */
    uint64_t base;    /* of the four slots */
    unsigned pattern; /* bit i: slot i is a leaf */
    uint64_t from, length;
    bool wide;
    struct world *tree;   /* that acts */
    struct spans is, far; /* what the acting tree and w3 map, by the model */
};

static struct scene s;

static const pt_prop slot_props[4] = {COUNTED, COUNTED | PT_D, PT_RX | PT_WT | PT_TRACKED | PT_A | PT_SOFT1,
                                      COUNTED | PT_A | PT_D};

static void setup_edges(void)
{
    setup_two();
    open_tree(&w3);
}

static void teardown_edges(void)
{
    F(destroy)(&w3.pt);
    teardown_two();
}

static void open_scene(struct pt_cursor *cursor)
{
    struct pt *pt = &s.tree->pt;

    OK(F(cursor_init)(cursor, pt, s.wide ? 0 : s.from, s.wide ? pt->size : s.length, PT_WRITE, &s.tree->gather));
    OK(F(cursor_jump)(cursor, s.from));
}

static uint64_t end_of_range(void)
{
    return s.from + s.length;
}

/* What the model maps in the range. */
static struct spans in_range(void)
{
    return spans_slice(&s.is, s.from, end_of_range());
}

/* --- Operations: each does it to the tree and to the model ---------------------------------------------------------
 */

static void edge_unmap(void)
{
    OK(F(cursor_unmap_range)(&c, s.length));
    spans_remove(&s.is, s.from, end_of_range());
}

static const struct pt_change edge_change = {PT_SOFT0 | PT_W, PT_D}, edge_read_only = {PT_SOFT2, PT_W};

/* W cannot go to a leaf without R, so the model's properties allow it everywhere. */
static void edge_protect(void)
{
    OK(F(cursor_protect_range)(&c, s.length, edge_change));
    spans_protect(&s.is, s.from, end_of_range(), edge_change);
}

/* The steps of an operation that finds leaves one by one must be the leaves of the model, in order. */
static void step(const struct pt_item *item, uint64_t *next)
{
    uint64_t first = item->start > *next ? item->start : *next, last = item->start + item->length;
    struct spans between = spans_slice(&s.is, *next, first), leaf;

    EQ(between.count, 0);
    last = last < end_of_range() ? last : end_of_range();
    leaf = spans_slice(&s.is, first, last);
    if (item->kind == PT_LEAF) {
        EQ(leaf.count, 1);
        EQ(leaf.list[0].end - leaf.list[0].start, last - first);
        EQ(leaf.list[0].hpa, item->hpa + (first - item->start));
        EQ(leaf.list[0].prop, item->prop);
    } else {
        uint64_t frames = 0;

        for (size_t i = 0; i < leaf.count; i++)
            frames += (leaf.list[i].end - leaf.list[i].start) / KIB4;
        EQ(item->frames, frames);
        HOLDS(item->start >= *next && item->start + item->length <= end_of_range());
    }
    spans_free(&between);
    spans_free(&leaf);
    *next = last;
    EQ(F(cursor_at)(&c), last);
}

static void finish_steps(enum pt_status status, uint64_t next)
{
    struct spans rest = spans_slice(&s.is, next, end_of_range());

    IS(status, PT_END);
    EQ(rest.count, 0);
    EQ(F(cursor_at)(&c), end_of_range());
    spans_free(&rest);
}

static void edge_protect_next(void)
{
    uint64_t next = s.from;
    enum pt_status status = PT_OK;
    struct pt_item item;

    while (next < end_of_range()) {
        status = F(cursor_protect_next)(&c, end_of_range() - next, edge_read_only, &item);
        if (status != PT_OK)
            break;
        step(&item, &next);
    }
    if (next < end_of_range())
        finish_steps(status, next);
    spans_protect(&s.is, s.from, end_of_range(), edge_read_only);
}

static void edge_take(enum pt_status (*take)(struct pt_cursor *, uint64_t, struct pt_item *))
{
    uint64_t next = s.from;
    enum pt_status status = PT_OK;
    struct pt_item item;

    while (next < end_of_range()) {
        status = take(&c, end_of_range() - next, &item);
        if (status != PT_OK)
            break;
        step(&item, &next);
    }
    if (next < end_of_range())
        finish_steps(status, next);
    spans_remove(&s.is, s.from, end_of_range());
}

static void edge_take_next(void)
{
    edge_take(F(cursor_take_next));
}

static void edge_take_subtree(void)
{
    edge_take(F(cursor_take_subtree));
}

static void edge_find(void)
{
    uint64_t next = s.from;
    enum pt_status status = PT_OK;
    struct pt_item item;

    while (next < end_of_range()) {
        status = F(cursor_find_next)(&c, end_of_range() - next, &item);
        if (status != PT_OK)
            break;
        EQ(item.at, F(cursor_at)(&c));
        OK(F(cursor_jump)(&c, item.start + item.length < end_of_range() ? item.start + item.length : end_of_range()));
        step(&item, &next);
    }
    if (next < end_of_range())
        finish_steps(status, next);
}

/* Slot by slot, holes too: the whole range is covered without gaps. */
static void edge_query(void)
{
    struct spans seen = {0}, expected = in_range();
    struct pt_item item;

    while (F(cursor_at)(&c) < end_of_range()) {
        uint64_t position = F(cursor_at)(&c), stop;

        OK(F(cursor_query)(&c, &item));
        HOLDS(item.start <= position && position < item.start + item.length);
        EQ(item.at, position);
        stop = item.start + item.length < end_of_range() ? item.start + item.length : end_of_range();
        if (item.kind == PT_LEAF)
            spans_append(&seen, (struct span){position, stop, item.hpa + (position - item.start), item.prop});
        OK(F(cursor_next)(&c));
        HOLDS(F(cursor_at)(&c) >= stop);
        if (!s.wide)
            EQ(F(cursor_at)(&c), stop);
    }
    same_picture(seen, &expected, "queries");
    spans_free(&expected);
    if (!s.wide)
        IS(F(cursor_query)(&c, &item), PT_END);
}

/* The smallest page off: for leaves of 1 GiB the next size, because a million leaves a case prove no more. */
static uint64_t smallest_step(void)
{
    return s.level == 3 ? MIB2 : KIB4;
}

static void edge_map_range(void)
{
    bool occupied = spans_mapped(&s.is, s.from, end_of_range());
    uint64_t hpa = HPA + smallest_step() + (s.from & (GIB1 - 1));

    IS(F(cursor_map_range)(&c, hpa, s.length, COUNTED), occupied ? PT_EOCCUPIED : PT_OK);
    EQ(F(cursor_at)(&c), occupied ? s.from : end_of_range());
    if (!occupied)
        spans_insert(&s.is, (struct span){s.from, end_of_range(), hpa, COUNTED});
}

/* One leaf of each size that the range has room for. */
static void edge_map(void)
{
    for (unsigned level = 1; level <= 3; level++) {
        uint64_t size = pt_slot_size(level);
        bool aligned = s.from % size == 0, fits = size <= s.length || s.wide;
        bool beyond = s.from + size > s.tree->pt.size;

        OK(F(cursor_jump)(&c, s.from));
        if (!fits || beyond)
            IS(F(cursor_map)(&c, HPA, level, COUNTED), PT_ERANGE);
        else if (!aligned)
            IS(F(cursor_map)(&c, HPA, level, COUNTED), PT_EINVAL);
        else if (spans_mapped(&s.is, s.from, s.from + size))
            IS(F(cursor_map)(&c, HPA, level, COUNTED), PT_EOCCUPIED);
        else {
            OK(F(cursor_map)(&c, HPA, level, COUNTED));
            EQ(F(cursor_at)(&c), s.from + size);
            spans_insert(&s.is, (struct span){s.from, s.from + size, HPA, COUNTED});
        }
    }
}

static void edge_split(void)
{
    for (unsigned level = 3; level > 0; level--) {
        uint64_t slot = s.from & ~(pt_slot_size(s.level) - 1);
        bool leaf = spans_mapped(&s.is, s.from, s.from + KIB4);
        bool inside = s.wide || (slot >= s.from && slot + pt_slot_size(s.level) <= end_of_range());
        struct pt_item item;

        if (!leaf)
            IS(F(cursor_split)(&c, level), PT_END);
        else if (s.level <= level || inside)
            OK(F(cursor_split)(&c, level));
        else
            IS(F(cursor_split)(&c, level), PT_ERANGE);
        EQ(F(cursor_at)(&c), s.from);
        OK(F(cursor_query)(&c, &item));
        if (leaf && inside)
            EQ(item.level, level < s.level ? level : s.level);
    }
}

/* Runs of adjacent leaves that have a bit, by the model. */
static bool next_run(uint64_t from, pt_prop bits, struct pt_range *run)
{
    struct spans rest = spans_slice(&s.is, from, end_of_range());
    bool found = false;

    for (size_t i = 0; i < rest.count; i++) {
        const struct span *span = &rest.list[i];

        if (found && (span->start != run->start + run->length || !(span->prop & bits)))
            break;
        if (!(span->prop & bits))
            continue;
        if (!found)
            *run = (struct pt_range){span->start, 0};
        run->length += span->end - span->start;
        found = true;
    }
    spans_free(&rest);
    return found;
}

static void edge_harvest(pt_prop bits, bool clear)
{
    uint64_t next = s.from;

    while (next < end_of_range()) {
        struct pt_range run = {0, 0}, expected = {0, 0};
        enum pt_status status = F(cursor_harvest)(&c, end_of_range() - next, bits, clear, &run);

        if (!next_run(next, bits, &expected)) {
            IS(status, PT_END);
            next = end_of_range();
        } else {
            IS(status, PT_OK);
            EQ(run.start, expected.start);
            EQ(run.length, expected.length);
            next = run.start + run.length;
            if (clear)
                spans_protect(&s.is, run.start, next, (struct pt_change){0, bits});
        }
        EQ(F(cursor_at)(&c), next);
    }
}

static void edge_harvest_look(void)
{
    edge_harvest(PT_D, false);
}

static void edge_harvest_clear(void)
{
    edge_harvest(PT_D, true);
}

static void edge_harvest_both(void)
{
    edge_harvest(PT_A | PT_D, true);
}

/* Copies (or shares) to w3, moved up by a distance, or down where there is no room above. */
static void edge_copy_by(uint64_t distance, bool share)
{
    bool up = s.from + distance + s.length <= w3.pt.size;
    uint64_t to = up ? s.from + distance : s.from - distance;
    struct spans copies = in_range();
    struct pt_change to_dst = share ? read_only : edge_change, to_src = share ? read_only : edge_read_only;
    struct pt_cursor dst;

    OK(F(cursor_init)(&dst, &w3.pt, s.wide ? 0 : to, s.wide ? w3.pt.size : s.length, PT_WRITE, &w3.gather));
    OK(F(cursor_jump)(&dst, to));
    OK(share ? F(cursor_share_from)(&dst, &c, s.length) : F(cursor_copy_from)(&dst, &c, s.length, to_dst, to_src));
    EQ(F(cursor_at)(&c), end_of_range());
    EQ(F(cursor_at)(&dst), to + s.length);
    F(cursor_end)(&dst);
    for (size_t i = 0; i < copies.count; i++) {
        struct span copy = copies.list[i];

        copy.start += to - s.from;
        copy.end += to - s.from;
        spans_insert(&s.far, copy);
    }
    spans_protect(&s.far, 0, UINT64_MAX, to_dst);
    spans_protect(&s.is, s.from, end_of_range(), to_src);
    spans_free(&copies);
}

static void edge_copy_alike(void)
{
    edge_copy_by(0, false);
}

static void edge_copy_a_page_off(void)
{
    edge_copy_by(smallest_step(), false);
}

static void edge_share_alike(void)
{
    edge_copy_by(0, true);
}

static void edge_share_elsewhere(void)
{
    edge_copy_by(512 * GIB1 + GIB1 + MIB2, true);
}

static void edge_share_a_page_off(void)
{
    edge_copy_by(smallest_step(), true);
}
