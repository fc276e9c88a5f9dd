/* See model_cases.h. A list that a random test printed goes here under a name that says what it shows. */
#include "tests/support/model_cases.h"

#define MIB2 0x200000ull
#define RAM  (PT_RWX | PT_U | PT_TRACKED | PT_WB)

/* A share of a share; the middle one writes, its gather waits, the others write; the owners leave from the middle. */
static struct op share_of_a_share[] = {
    {.code = OP_MAP_RANGE, .length = MIB2, .hpa = 0x1000, .prop = RAM},
    {.code = OP_SHARE, .tree = 1, .from = 0, .length = MIB2},
    {.code = OP_SHARE, .tree = 2, .from = 1, .length = MIB2},
    {.code = OP_PROTECT, .tree = 1, .start = 0x3000, .length = 0x1000, .set = PT_W, .gather = 1},
    {.code = OP_PROTECT, .tree = 0, .start = 0x3000, .length = 0x1000, .set = PT_W},
    {.code = OP_PROTECT, .tree = 2, .start = 0x3000, .length = 0x1000, .set = PT_W},
    {.code = OP_SYNC, .tree = 1, .gather = 1},
    {.code = OP_REMAKE, .tree = 0},
    {.code = OP_PROTECT, .tree = 2, .length = MIB2, .set = PT_W},
    {.code = OP_SYNC, .all = 1},
};

/* 40 page tables are shared, more than a gather takes, and written in one operation: it must flush in its middle, and
 * what it changes afterwards must be flushed again. */
static struct op more_shared_tables_than_a_gather_takes[] = {
    {.code = OP_MAP_RANGE, .length = 40 * MIB2, .hpa = 0x1000, .prop = RAM | PT_D},
    {.code = OP_SHARE, .tree = 1, .from = 0, .length = 40 * MIB2},
    {.code = OP_SYNC, .all = 1},
    {.code = OP_PROTECT, .tree = 1, .length = 40 * MIB2, .set = PT_W, .clear = PT_D},
    {.code = OP_PROTECT, .tree = 0, .start = 0x1000, .length = 40 * MIB2 - 0x2000, .set = PT_W, .clear = PT_D},
    {.code = OP_SYNC, .all = 1},
};

/* Tables of two levels, shared three times; each tree makes another part its own, and takes back what is left. */
static struct op two_levels_of_shared_tables[] = {
    {.code = OP_MAP_RANGE, .length = 4 * MIB2, .hpa = 0x1000, .prop = RAM},
    {.code = OP_SHARE, .tree = 1, .from = 0, .length = 512 * MIB2},
    {.code = OP_SHARE, .tree = 2, .from = 1, .length = 512 * MIB2, .gather = 1},
    {.code = OP_SHARE, .tree = 2, .from = 2, .start = 512 * MIB2, .length = 512 * MIB2},
    {.code = OP_PROTECT, .tree = 2, .start = 513 * MIB2, .length = 0x1000, .set = PT_W, .fail = FAIL_GET},
    {.code = OP_UNMAP, .tree = 1, .start = MIB2, .length = 0x1000, .fail = FAIL_ALLOC},
    {.code = OP_PROTECT, .tree = 0, .length = 4 * MIB2, .set = PT_W, .fail = FAIL_ALLOC},
    {.code = OP_SYNC, .tree = 1},
    {.code = OP_UNMAP, .tree = 2, .length = 512 * MIB2},
    {.code = OP_SYNC, .tree = 2, .gather = 1},
    {.code = OP_REMAKE, .tree = 1},
    {.code = OP_PROTECT, .tree = 2, .start = 512 * MIB2, .length = 4 * MIB2, .set = PT_W},
    {.code = OP_SYNC, .all = 1},
};

/* Dirty pieces of a huge leaf in a shared table; one of its owners puts the leaf together again, without W. */
static struct op a_shared_table_of_dirty_pieces_collapses[] = {
    {.code = OP_MAP, .tree = 2, .level = 2, .prop = PT_R | PT_W | PT_D},
    {.code = OP_SPLIT, .tree = 2, .level = 1},
    {.code = OP_SHARE, .length = 2 * MIB2, .from = 2},
    {.code = OP_COLLAPSE, .level = 2},
    {.code = OP_PROTECT, .length = MIB2, .set = PT_W},
    {.code = OP_PROTECT, .length = MIB2, .clear = PT_W | PT_R},
    {.code = OP_SYNC, .all = 1},
};

struct model_case {
    const char *name;
    struct op *ops;
    size_t count;
};

#define CASE(list)                                                                                                     \
    {                                                                                                                  \
        .name = #list, .ops = list, .count = sizeof(list) / sizeof((list)[0])                                          \
    }

static const struct model_case cases[] = {CASE(share_of_a_share), CASE(more_shared_tables_than_a_gather_takes),
                                          CASE(two_levels_of_shared_tables),
                                          CASE(a_shared_table_of_dirty_pieces_collapses)};

size_t model_cases(void)
{
    return sizeof(cases) / sizeof(cases[0]);
}

const char *model_case_name(size_t number)
{
    return cases[number].name;
}

struct script model_case(size_t number)
{
    return (struct script){.variant = VARIANT_HOOKS, .ops = cases[number].ops, .count = cases[number].count};
}
