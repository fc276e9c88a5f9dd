/* Whole trees at a glance, for tests that say "nothing else changed": what a tree maps, and what all trees together
 * use. Follows ept_cursor_fixture.h; no cursor may be open on the trees. */
#include "tests/support/ept_spans.h"

/* Page sizes are told apart in a picture by making them part of the properties, in bits no property has. */
#define PICTURE_LEVEL_BIT 28u
_Static_assert(PT_ALL < (pt_prop)1 << PICTURE_LEVEL_BIT, "page sizes would clash with properties");

/* Everything that is mapped, as every walk of the tree sees it. */
static inline struct spans picture(struct world *tree, bool page_sizes)
{
    uint64_t size = tree->pt.size;
    struct spans all = {0};
    struct pt_cursor cursor;
    struct pt_item item;

    OK(F(cursor_init)(&cursor, &tree->pt, 0, size, PT_READ, &tree->gather));
    while (F(cursor_at)(&cursor) < size && F(cursor_find_next)(&cursor, size - F(cursor_at)(&cursor), &item) == PT_OK) {
        pt_prop level = page_sizes ? (pt_prop)item.level << PICTURE_LEVEL_BIT : 0;

        spans_append(&all, (struct span){item.start, item.start + item.length, item.hpa, item.prop | level});
        OK(F(cursor_next)(&cursor));
    }
    F(cursor_end)(&cursor);
    return all;
}

/* Compares two pictures; frees the first. */
static inline void same_picture(struct spans now, const struct spans *expected, const char *what)
{
    static const struct span none;
    long i = spans_differ(&now, expected);
    const struct span *a = i >= 0 && i < (long)now.count ? &now.list[i] : &none;
    const struct span *b = i >= 0 && i < (long)expected->count ? &expected->list[i] : &none;

    if (i >= 0)
        ck_abort_msg("%s: span %ld is %lx-%lx to %lx, %x; expected %lx-%lx to %lx, %x", what, i,
                     (unsigned long)a->start, (unsigned long)a->end, (unsigned long)a->hpa, a->prop,
                     (unsigned long)b->start, (unsigned long)b->end, (unsigned long)b->hpa, b->prop);
    spans_free(&now);
}

/* The entry that maps (or would map) the address, and the tables above it, as hardware reads them. */
static inline struct walk_answer raw(const struct world *tree, uint64_t address)
{
    return walk(tree, address, WALK_READ);
}

static inline uint64_t raw_leaf(const struct world *tree, uint64_t address)
{
    struct walk_answer answer = raw(tree, address);

    return answer.steps[answer.nsteps - 1].entry;
}

/* The pa of the table that holds the leaf around the address. */
static inline uint64_t raw_table(const struct world *tree, uint64_t address)
{
    struct walk_answer answer = raw(tree, address);

    return answer.steps[answer.nsteps - 1].pa & ~(KIB4 - 1);
}

#define RAW_W ((uint64_t)1 << 1) /* in both formats */

/* What the trees use: each table once, and a reference for each tracked leaf of each table, by level. */
struct census {
    uint64_t tables;
    int64_t held[4];
    uint64_t sums[4]; /* which frames they are, as in struct world */
};

struct census_stamp {
    uint32_t number; /* of the census that saw the table last */
    unsigned tree;   /* in which it saw it first, */
    uint64_t start;  /* and where */
};

static inline struct census census_of(struct world *const *trees, unsigned count)
{
    static struct census_stamp stamps[WORLD_TABLES];
    static uint32_t number;
    struct census census = {0};

    number++;
    for (unsigned t = 0; t < count; t++) {
        struct spans all = picture(trees[t], true);

        census.tables += all.count == 0; /* the root alone */
        for (size_t i = 0; i < all.count; i++) {
            unsigned level = all.list[i].prop >> PICTURE_LEVEL_BIT;

            for (uint64_t a = all.list[i].start; a < all.list[i].end; a += pt_slot_size(level)) {
                struct walk_answer answer = raw(trees[t], a);
                struct census_stamp *stamp = NULL;
                uint64_t start = 0;

                for (unsigned s = 0; s < answer.nsteps; s++) {
                    start = a & ~(pt_slot_size(answer.steps[s].level + 1) - 1);
                    stamp = &stamps[(answer.steps[s].pa - WORLD_PA) / KIB4];
                    if (stamp->number == number)
                        continue;
                    census.tables++;
                    *stamp = (struct census_stamp){number, t, start};
                }
                if ((all.list[i].prop & PT_TRACKED) && stamp->tree == t && stamp->start == start) {
                    census.held[level]++;
                    census.sums[level] += world_mark(all.list[i].hpa + (a - all.list[i].start));
                }
            }
        }
        spans_free(&all);
    }
    return census;
}

/* Are all tables and references there are those that the trees use? Gathers must be synced. */
static inline void adds_up(struct world *const *trees, unsigned count)
{
    struct census census = census_of(trees, count);

    EQ(tables(), census.tables);
    for (unsigned level = 1; level <= 3; level++) {
        EQ(w.held[level], census.held[level]);
        EQ(w.sums[level], census.sums[level]);
    }
}

static inline void both_add_up(void)
{
    struct world *const trees[2] = {&w, &w2};

    adds_up(trees, 2);
}
