/* Draws the operations of the random tests. Addresses come from a few spots in every table level and lengths from the
 * edges of pages of all sizes, so that operations meet, trees share tables, and mistakes at edges show. */
#include <stdlib.h>

#include "tests/support/model_op.h"

#define KIB4 pt_slot_size(1)
#define MIB2 pt_slot_size(2)
#define GIB1 pt_slot_size(3)

#define PICK(choices, list) (list)[choose(choices, sizeof(list) / sizeof((list)[0]))]

uint64_t choose(struct choices *choices, uint64_t below)
{
    uint64_t number = 0;

    if (choices->bytes) {
        for (uint64_t rest = below - 1; rest > 0 && choices->left > 0; rest >>= 8, choices->left--)
            number = number << 8 | *choices->bytes++;
        return number % below;
    }
    choices->state ^= choices->state << 13;
    choices->state ^= choices->state >> 7;
    choices->state ^= choices->state << 17;
    return (choices->state >> 11) % below;
}

static bool one_in(struct choices *choices, uint64_t many)
{
    return choose(choices, many) == many - 1;
}

/* All addresses that are drawn lie below this. */
static uint64_t region(const struct op_taste *taste)
{
    return 2 * pt_slot_size(taste->levels);
}

static uint64_t slot_start(uint64_t address, unsigned level)
{
    return address & ~(pt_slot_size(level) - 1);
}

/* The tables above level 1 that an address goes through. */
static uint64_t draw_tables(struct choices *choices, const struct op_taste *taste)
{
    static const uint64_t spots[8] = {0, 0, 0, 0, 0, 1, 1, 511};
    uint64_t address = choose(choices, 4) / 3 << pt_slot_shift(4);

    if (taste->levels == 5)
        address += choose(choices, 8) / 7 << pt_slot_shift(5);
    return address + (PICK(choices, spots) << pt_slot_shift(3)) + (PICK(choices, spots) << pt_slot_shift(2));
}

static uint64_t draw_address(struct choices *choices, const struct op_taste *taste)
{
    uint64_t address = draw_tables(choices, taste);

    switch (choose(choices, 4)) {
    case 0:
        return address;
    case 1:
        return address + choose(choices, 8) * KIB4;
    case 2:
        return address + (511 - choose(choices, 8)) * KIB4;
    default:
        return address + choose(choices, 512) * KIB4;
    }
}

static void draw_range(struct choices *choices, const struct op_taste *taste, struct op *op)
{
    unsigned level = 2 + (unsigned)choose(choices, 2);
    uint64_t start = draw_address(choices, taste), length;

    switch (choose(choices, 8)) {
    case 0:
    case 1:
        start = slot_start(start, level);
        length = pt_slot_size(level);
        break;
    case 2:
        length = (choose(choices, 8) + 1) * KIB4;
        break;
    case 3:
        length = (choose(choices, 600) + 1) * KIB4;
        break;
    case 4:
        length = slot_start(start, level) + pt_slot_size(level) - start;
        break;
    case 5:
        length = (choose(choices, 4) + 1) * MIB2;
        break;
    case 6:
        level = one_in(choices, 4) ? taste->levels : 4;
        start = slot_start(start, level);
        length = pt_slot_size(level);
        break;
    default:
        start = slot_start(start, level);
        length = 2 * pt_slot_size(level);
    }
    if (one_in(choices, 8))
        length += length > KIB4 && one_in(choices, 2) ? -KIB4 : KIB4;
    op->start = start;
    op->length = length < region(taste) - start ? length : region(taste) - start;
}

static pt_prop draw_prop(struct choices *choices)
{
    static const pt_prop rights[8] = {PT_RWX, PT_RWX, PT_RW, PT_RW, PT_R, PT_RX, PT_X, 0};
    static const pt_prop types[6] = {PT_WB, PT_WB, PT_UC, PT_WT, PT_WC, PT_UCMINUS};
    static const pt_prop extras[8] = {
        0, 0, PT_A, PT_D, PT_A | PT_D, PT_SOFT0 | PT_SOFT2, PT_G | PT_IPAT, PT_SOFT1 | PT_WRITABLE};
    pt_prop prop = PT_U | (choose(choices, 3) ? PT_TRACKED : 0);

    /* Mostly the same, so that there is something to collapse. */
    if (!one_in(choices, 3))
        return prop | PT_RWX | PT_WB;
    return (prop & ~(choose(choices, 2) ? PT_U : 0)) | PICK(choices, rights) | PICK(choices, types) |
           PICK(choices, extras);
}

static struct pt_change draw_change(struct choices *choices)
{
    static const struct pt_change changes[16] = {
        {PT_W, 0},           {PT_W, 0},           {PT_RWX, 0},          {0, PT_W},
        {0, PT_W},           {PT_R | PT_W, 0},    {PT_A | PT_D, 0},     {0, PT_A | PT_D},
        {PT_D, 0},           {0, PT_D},           {PT_SOFT0, PT_SOFT1}, {0, PT_RWX},
        {PT_WT, PT_MT_MASK}, {PT_WB, PT_MT_MASK}, {PT_R, PT_W | PT_X},  {0, 0}};
    return PICK(choices, changes);
}

/* A place for a leaf or range in the 3 GiB of counted frames. The less it is aligned like the address, the smaller are
 * the pages, so the shorter is the range. */
static void draw_frames(struct choices *choices, const struct op_taste *taste, struct op *op)
{
    uint64_t kind = choose(choices, 8), limit;

    if (kind == 7) {
        op->hpa = choose(choices, 1 << 16) * KIB4;
        limit = MIB2 + 16 * KIB4;
    } else if (kind > 4) {
        op->hpa = op->start % MIB2 + choose(choices, 512) * MIB2;
        limit = GIB1;
    } else {
        op->hpa = op->start % GIB1 + choose(choices, 2) * GIB1;
        limit = op->hpa < GIB1 ? 2 * GIB1 : GIB1;
    }
    if (taste->variant & VARIANT_NO_2M)
        limit = MIB2 + 16 * KIB4;
    if (op->length > limit)
        op->length = limit;
}

/* A source that is mostly aligned like the destination, and does not overlap it. */
static void draw_source(struct choices *choices, const struct op_taste *taste, struct op *op)
{
    uint64_t gap;

    op->source = op->start;
    switch (choose(choices, 8)) {
    case 0:
    case 1:
    case 2:
    case 3:
        break;
    case 4:
    case 5:
        op->source = draw_tables(choices, taste) + op->start % MIB2;
        break;
    case 6:
        op->source = slot_start(draw_address(choices, taste), 3) + op->start % GIB1;
        break;
    default:
        op->source = draw_address(choices, taste);
    }
    if (op->from == op->tree && op->source == op->start)
        op->source ^= pt_slot_size(2 + (unsigned)choose(choices, 3));
    gap = op->source > op->start ? op->source - op->start : op->start - op->source;
    if (gap % MIB2 != 0 && op->length > MIB2 + 16 * KIB4)
        op->length = MIB2 + 16 * KIB4;
    if (gap % GIB1 != 0 && op->length > 4 * GIB1)
        op->length = 4 * GIB1;
    if (op->from == op->tree && op->length > gap)
        op->length = gap;
    if (op->length > region(taste) - op->source)
        op->length = region(taste) - op->source;
}

/* How far the claim reaches beyond the range. */
static void draw_claim(struct choices *choices, const struct op_taste *taste, struct op *op)
{
    uint64_t end = op->start + op->length;
    unsigned level;

    switch (choose(choices, 8)) {
    case 0:
    case 1:
    case 2:
        return;
    case 3:
        op->before = op->start < 2 * KIB4 ? 0 : choose(choices, 3) * KIB4;
        op->after = region(taste) - end < 2 * KIB4 ? 0 : choose(choices, 3) * KIB4;
        return;
    case 4:
    case 5:
        level = 2 + (unsigned)choose(choices, 3);
        op->before = op->start - slot_start(op->start, level);
        op->after = slot_start(end + pt_slot_size(level) - 1, level) - end;
        return;
    default:
        op->before = op->start;
        op->after = region(taste) - end;
    }
}

/* Moves the range into the claim of the operation before, whose cursor is still open. */
static void draw_again(struct op *op, const struct op *last)
{
    uint64_t start = last->start - last->before, end = last->start + last->length + last->after;

    op->tree = last->tree;
    op->gather = last->gather;
    op->inside = last->inside;
    if (op->start < start || op->start >= end)
        op->start = start + op->start % (end - start);
    if (op->length > end - op->start)
        op->length = end - op->start;
    op->before = op->start - start;
    op->after = end - op->start - op->length;
}

/* Works at the same place as the operation before, on either of its trees. */
static void draw_echo(struct choices *choices, const struct op_taste *taste, struct op *op, const struct op *last)
{
    bool pair = last->code == OP_COPY || last->code == OP_SHARE, source = pair && one_in(choices, 3);

    op->tree = source ? last->from : last->tree;
    op->start = source ? last->source : last->start;
    op->length = one_in(choices, 3) ? last->length : op->length;
    if (op->length > region(taste) - op->start)
        op->length = region(taste) - op->start;
}

/* Makes the range one slot of the operation's level, mostly. */
static void align_to_level(struct choices *choices, struct op *op)
{
    op->start = one_in(choices, 16) ? op->start : slot_start(op->start, (unsigned)op->level);
    op->length = pt_slot_size((unsigned)op->level);
}

/* Leaves one after the other. */
static void draw_leaves(struct choices *choices, const struct op_taste *taste, struct op *op)
{
    op->level = choose(choices, 3) + 1;
    align_to_level(choices, op);
    if (op->level == 1)
        op->times = one_in(choices, 4) ? 66 : choose(choices, 4);
    op->prop = draw_prop(choices);
    draw_frames(choices, taste, op);
    op->length *= op->times + 1;
    if (op->length > region(taste) - op->start)
        op->length = region(taste) - op->start;
}

/* What an operation of this code needs besides a range. */
static void draw_arguments(struct choices *choices, const struct op_taste *taste, struct op *op)
{
    struct pt_change change;

    switch (op->code) {
    case OP_MAP:
        draw_leaves(choices, taste, op);
        return;
    case OP_MAP_RANGE:
        op->prop = draw_prop(choices);
        draw_frames(choices, taste, op);
        return;
    case OP_COPY:
        change = draw_change(choices);
        op->source_set = change.set;
        op->source_clear = change.clear;
        draw_source(choices, taste, op);
        break;
    case OP_SHARE:
        draw_source(choices, taste, op);
        return;
    case OP_SPLIT:
        op->level = choose(choices, 3) + 1;
        return;
    case OP_COLLAPSE:
        op->level = choose(choices, 2) + 2;
        align_to_level(choices, op);
        return;
    case OP_HARVEST:
        op->bits = one_in(choices, 3) ? PT_A : one_in(choices, 2) ? PT_D : PT_A | PT_D;
        op->clear = choose(choices, 2) ? op->bits : 0;
        return;
    case OP_ACCESS:
        op->access = choose(choices, 3);
        return;
    case OP_SYNC:
        op->all = one_in(choices, 3);
        return;
    case OP_PROTECT:
    case OP_PROTECT_NEXT:
        break;
    default:
        return;
    }
    change = draw_change(choices);
    op->set = change.set;
    op->clear = change.clear;
}

struct op op_draw(struct choices *choices, const struct op_taste *taste, const struct op *last)
{
    static const uint8_t weights[OP_CODES] = {
        [OP_QUERY] = 1,        [OP_FIND] = 1,  [OP_LOOKUP] = 2,    [OP_MAP] = 4,          [OP_MAP_RANGE] = 12,
        [OP_PROTECT] = 7,      [OP_UNMAP] = 7, [OP_TAKE_NEXT] = 2, [OP_TAKE_SUBTREE] = 2, [OP_COPY] = 4,
        [OP_PROTECT_NEXT] = 2, [OP_SHARE] = 9, [OP_SPLIT] = 2,     [OP_COLLAPSE] = 3,     [OP_HARVEST] = 3,
        [OP_ACCESS] = 3,       [OP_SYNC] = 5,  [OP_REMAKE] = 1};
    struct op op = {.tree = choose(choices, MODEL_TREES), .gather = choose(choices, MODEL_GATHERS)};
    uint64_t total = 0, ticket;

    for (unsigned code = 0; code < OP_CODES; code++)
        total += weights[code];
    ticket = choose(choices, total);
    while (ticket >= weights[op.code])
        ticket -= weights[op.code++];
    op.from = choose(choices, MODEL_TREES);
    if (op.code == OP_SYNC && taste->lazy && !one_in(choices, 16))
        op.code = OP_UNMAP;
    draw_range(choices, taste, &op);
    if (last && one_in(choices, 4))
        draw_echo(choices, taste, &op, last);
    op.times = choose(choices, 4);
    draw_arguments(choices, taste, &op);
    if (op.length == 0)
        op.length = KIB4;
    op.inside = one_in(choices, 4);
    op.reader = one_in(choices, 4);
    op.keep = one_in(choices, 4);
    op.flaw = one_in(choices, 12) ? choose(choices, FLAWS) : FLAW_NONE;
    if (one_in(choices, taste->failing ? 2 : 24))
        op.fail = 1 + choose(choices, 2);
    draw_claim(choices, taste, &op);
    if (last && last->keep && last->code != OP_SHARE && last->code != OP_COPY && choose(choices, 4))
        draw_again(&op, last);
    return op;
}

static struct script script_of(struct choices *choices, struct op_taste taste, size_t count)
{
    struct script script = {.variant = taste.variant, .count = count, .ops = calloc(count + 1, sizeof(*script.ops))};

    if (!script.ops)
        abort();
    for (size_t i = 0; i < count; i++) {
        if (choices->bytes)
            choices->left = OP_BYTES;
        script.ops[i] = op_draw(choices, &taste, i > 0 ? &script.ops[i - 1] : NULL);
        if (choices->bytes)
            choices->bytes += choices->left;
    }
    return script;
}

struct script script_of_seed(uint64_t seed, size_t steps, unsigned levels, bool failing)
{
    struct choices choices = {.state = seed * 0x9e3779b97f4a7c15ull | 1};
    struct op_taste taste = {.levels = levels, .failing = failing};
    struct script script;

    /* Numbers next to each other begin alike. */
    for (unsigned i = 0; i < 8; i++)
        choose(&choices, 2);
    taste.variant = choose(&choices, 2) ? 0 : (unsigned)choose(&choices, VARIANTS);
    taste.variant |= choose(&choices, 2) ? VARIANT_HOOKS : 0;
    taste.lazy = one_in(&choices, 4);
    script = script_of(&choices, taste, steps);
    script.seed = seed;
    return script;
}

struct script script_of_bytes(const uint8_t *bytes, size_t length, unsigned levels)
{
    struct choices choices = {.bytes = bytes + 1};
    struct op_taste taste = {
        .levels = levels, .variant = length ? bytes[0] % VARIANTS : 0, .lazy = length && bytes[0] / VARIANTS};

    return script_of(&choices, taste, length ? (length - 1) / OP_BYTES : 0);
}
