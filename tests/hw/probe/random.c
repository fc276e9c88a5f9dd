/* See random.h. */
#include "tests/hw/probe/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define KIB4        ((uint64_t)1 << 12)
#define MIB2        ((uint64_t)1 << 21)
#define GIB1        ((uint64_t)1 << 30)
#define CLUSTERS    3u
#define REGION      (2 * GIB1) /* of a cluster: all operations work in some cluster */
#define MOST_TABLES 72u        /* of the tree under test, so that several images fit a ROM */
#define MOST_RUNS   4096u
#define STEPS       40u
#define DAMAGES     48u
#define LARGE       0x80u

struct run {
    uint64_t start, length, count;
};

struct maker {
    struct image *image;
    struct draw random;
    uint64_t clusters[CLUSTERS], size; /* where they start; bytes of address space to use */
    struct run *runs;                  /* of leaves, when the tree is made */
    struct run damaged[DAMAGES];       /* leaves on whose path an entry was changed by hand */
    size_t nruns, ndamaged;
};

static void place_clusters(struct maker *m)
{
    for (unsigned i = 0; i < CLUSTERS; i++) {
        switch (draw(&m->random, 5)) {
        case 0:
            m->clusters[i] = 0;
            break;
        case 1:
            m->clusters[i] = m->size - REGION; /* the very end */
            break;
        case 2:
            m->clusters[i] = m->size / 2 - GIB1; /* across the middle: the canonical hole, for a guest's addresses */
            break;
        default:
            m->clusters[i] = draw(&m->random, (m->size - REGION) / GIB1) * GIB1;
        }
    }
}

/* Near the edges of pages of all sizes, where mistakes live. */
static uint64_t draw_offset(struct maker *m)
{
    static const uint64_t sizes[3] = {KIB4, MIB2, GIB1};
    uint64_t size = sizes[draw(&m->random, 3)], offset;

    offset = draw(&m->random, REGION / size) * size + draw(&m->random, 3) * KIB4;
    if (draw(&m->random, 3) == 0)
        offset = draw(&m->random, 64) * KIB4 + draw(&m->random, 3) * MIB2;
    return offset > 0 && draw(&m->random, 3) == 0 ? offset - KIB4 : offset;
}

static uint64_t draw_length(struct maker *m, uint64_t offset)
{
    static const uint64_t sizes[3] = {KIB4, MIB2, GIB1};
    uint64_t size = sizes[draw(&m->random, 3)], length = size * (1 + draw(&m->random, size == GIB1 ? 2 : 6));

    if (draw(&m->random, 3) == 0)
        length += KIB4 * draw(&m->random, 4);
    return length <= REGION - offset ? length : REGION - offset;
}

/* RAM where the judge has it, or anywhere that 40 bits reach; aligned as well as the address is, more often than not.
 */
static uint64_t draw_hpa(struct maker *m, uint64_t at, uint64_t length)
{
    const struct judge *judge = m->image->judge;
    const uint64_t *ram = judge->ram[judge->ram[1][1] && draw(&m->random, 2) ? 1 : 0];
    uint64_t window = ram[1] - ram[0] < GIB1 ? MIB2 * 64 : GIB1, start = ram[0], end = ram[1], hpa;

    if (draw(&m->random, judge->has_devices ? 4 : 16) == 0)
        start = 0, end = 1ull << JUDGE_MAXPHYADDR, window = GIB1;
    start = (start + window - 1) / window;
    hpa = (start + draw(&m->random, end / window - start)) * window;
    hpa += draw(&m->random, 3) ? at % window : draw(&m->random, window / KIB4) * KIB4;
    if (draw(&m->random, 4) == 0)
        hpa = hpa & ~(MIB2 - 1);
    return hpa + length <= 1ull << JUDGE_MAXPHYADDR ? hpa : at % GIB1;
}

static pt_prop draw_prop(struct maker *m)
{
    static const pt_prop rights[10] = {PT_RWX, PT_RWX, PT_RWX, PT_RWX, PT_RW, PT_RX, PT_R, 0, PT_X, PT_X};
    static const pt_prop types[6] = {PT_WB, PT_WB, PT_UC, PT_WT, PT_WC, PT_WP};
    bool is_ept = m->image->header.format == PROBE_EPT;
    pt_prop prop = rights[draw(&m->random, is_ept ? 10 : 8)] | types[draw(&m->random, is_ept ? 6 : 4)];

    prop |= (draw(&m->random, 4) ? 0 : PT_A) | (draw(&m->random, 4) ? 0 : PT_D) | (draw(&m->random, 4) ? 0 : PT_SOFT1);
    if (is_ept)
        return prop | (draw(&m->random, 2) ? PT_IPAT : 0);
    prop |= draw(&m->random, m->image->header.subject == PROBE_NESTED ? 8 : 3) ? PT_U : 0;
    return prop | (draw(&m->random, 4) ? 0 : PT_G);
}

static struct pt_change draw_change(struct maker *m)
{
    static const struct pt_change changes[] = {
        {0, PT_W},   {PT_R | PT_W, 0}, {PT_A | PT_D, 0},    {0, PT_A | PT_D}, {PT_SOFT0, PT_D},
        {0, PT_RWX}, {PT_RX, 0},       {PT_UC, PT_MT_MASK}, {0, PT_X},        {0, PT_R | PT_W},
        {0, 0}};

    return changes[draw(&m->random, sizeof(changes) / sizeof(changes[0]))];
}

/* Changes that need an address to read from too. */
static enum pt_status step_between(struct maker *m, struct tree *tree, uint64_t at, uint64_t length)
{
    uint64_t from = m->clusters[draw(&m->random, CLUSTERS)] + draw_offset(m);

    if (draw(&m->random, 2))
        from = (from & ~(GIB1 - 1)) | at % GIB1; /* aligned alike, so that tables can be shared */
    if (from + length > m->size || image_is_reserved(from, length))
        return PT_EINVAL;
    if (draw(&m->random, 2))
        return tree->operations->share(tree, at, from, length);
    return tree->operations->copy(tree, at, from, length, draw_change(m), draw_change(m));
}

/* Changes of one slot. */
static enum pt_status step_slot(struct maker *m, struct tree *tree, uint64_t at)
{
    unsigned level = 1 + (unsigned)draw(&m->random, 3);
    uint64_t length = pt_slot_size(level), start = at & ~(length - 1);

    if (image_is_reserved(start, length))
        return PT_EINVAL;
    switch (draw(&m->random, 3)) {
    case 0:
        return tree->operations->split(tree, at, level);
    case 1:
        return tree->operations->collapse(tree, start, level);
    default:
        return tree->operations->map_leaf(tree, start, draw_hpa(m, start, length) & ~(length - 1), level, draw_prop(m));
    }
}

/* Refusals are as good as successes here: whatever came of it, the tree must be right. */
static enum pt_status random_step(struct maker *m, struct tree *tree)
{
    uint64_t offset = draw_offset(m), length = draw_length(m, offset);
    uint64_t at = m->clusters[draw(&m->random, CLUSTERS)] + offset;

    if (length == 0 || image_is_reserved(at, length))
        return PT_EINVAL;
    switch (draw(&m->random, 12)) {
    case 0:
        return tree->operations->unmap(tree, at, length);
    case 1:
        return tree->operations->take(tree, at, length);
    case 2:
        return tree->operations->harvest(tree, at, length);
    case 3:
    case 4:
        return tree->operations->protect(tree, at, length, draw_change(m));
    case 5:
    case 6:
        return step_between(m, tree, at, length);
    case 7:
    case 8:
        return step_slot(m, tree, at);
    default:
        return tree->operations->map(tree, at, draw_hpa(m, at, length), length, draw_prop(m));
    }
}

/* Bits that a hand could have got wrong without the walk leaving the tables: rights, types, what is reserved or ignored
 * at this level, and the alignment of large pages; but neither which memory it is nor whether it is a leaf. */
static uint64_t draw_damage(struct maker *m, uint64_t entry, unsigned level)
{
    bool is_large = (level == 2 || level == 3) && (entry & LARGE);

    switch (draw(&m->random, 6)) {
    case 0: /* beyond the machine's memory */
        return 1ull << (JUDGE_MAXPHYADDR + draw(&m->random, 52 - JUDGE_MAXPHYADDR));
    case 1: /* alignment */
        if (is_large)
            return 1ull << (12 + draw(&m->random, 9 * (level - 1)));
        return level > 3 ? LARGE : 1;
    case 2: /* memory type and what else is in the middle */
        return draw(&m->random, 1u << 4) << 3;
    case 3:
        return 1ull << (52 + draw(&m->random, 12));
    case 4:
        return draw(&m->random, 1u << 12) & (level > 1 ? ~(uint64_t)LARGE : ~0ull);
    default: /* rights */
        return 1 + draw(&m->random, 7);
    }
}

/* Entries on the way to some mapping, seldom so far up that much else is behind them too. */
static void damage(struct maker *m)
{
    m->image->damaged = true;
    for (unsigned i = 0; i < DAMAGES; i++) {
        const struct run *run = &m->runs[draw(&m->random, m->nruns)];
        unsigned level = 1 + (unsigned)draw(&m->random, draw(&m->random, 16) ? 3 : m->image->header.levels);
        uint64_t address = run->start + draw(&m->random, run->count) * run->length;
        uint64_t *entry = image_entry(m->image, address, level);

        if (!entry || image_is_vital(m->image, entry) || image_is_reserved(address, KIB4))
            continue;
        *entry ^= draw_damage(m, *entry, level);
        m->damaged[m->ndamaged++] = (struct run){address, run->length, 1};
    }
}

static enum pt_status collect(void *ctx, const struct pt_item *first, uint64_t count)
{
    struct maker *m = ctx;

    if (m->nruns < MOST_RUNS)
        m->runs[m->nruns++] = (struct run){first->start, first->length, count};
    return PT_OK;
}

static uint64_t draw_address(struct maker *m)
{
    bool is_damaged = m->ndamaged && draw(&m->random, 3) == 0;
    const struct run *run =
        is_damaged ? &m->damaged[draw(&m->random, m->ndamaged)] : &m->runs[draw(&m->random, m->nruns)];
    uint64_t leaf = run->start + draw(&m->random, run->count) * run->length, pages = run->length / KIB4;

    switch (draw(&m->random, 28)) {
    case 0:
    case 1:
        return run->start;
    case 2:
    case 3:
        return run->start + run->length * run->count - KIB4;
    case 4:
        return run->start - KIB4 < m->size ? run->start - KIB4 : 0;
    case 5:
        return (run->start + run->length * run->count) % m->size;
    case 6:
        return m->clusters[draw(&m->random, CLUSTERS)] + draw_offset(m);
    case 7:
        return draw(&m->random, m->size / KIB4) * KIB4;
    default:
        return leaf + draw(&m->random, pages) * KIB4;
    }
}

/* Every mode that changes what a walk answers. The guest's own tables allow a nested walk everything at CPL 0. */
static unsigned draw_flags(struct maker *m)
{
    unsigned flags = draw(&m->random, 2) ? PROBE_CLEAR : 0;

    if (m->image->header.subject == PROBE_NESTED)
        return flags | PROBE_WP | PROBE_NXE;
    return flags | (draw(&m->random, 2) ? PROBE_USER : 0) | (draw(&m->random, 2) ? PROBE_WP : 0) |
           (draw(&m->random, 4) ? 0 : PROBE_SMEP) | (draw(&m->random, 4) ? 0 : PROBE_SMAP) |
           (draw(&m->random, 8) ? PROBE_NXE : 0);
}

static void draw_probe(struct maker *m)
{
    static const enum probe_access accesses[] = {PROBE_READ,  PROBE_READ,  PROBE_READ,  PROBE_WRITE, PROBE_WRITE,
                                                 PROBE_WRITE, PROBE_FETCH, PROBE_FETCH, PROBE_FETCH, PROBE_WALK};
    bool is_nested = m->image->header.subject == PROBE_NESTED;
    uint64_t address = draw_address(m);

    if (!is_nested && draw(&m->random, 64) == 0)
        address = draw(&m->random, 1ull << 52) * KIB4; /* mostly not canonical */
    image_probe(m->image, address, accesses[draw(&m->random, is_nested ? 10 : 9)], draw_flags(m));
}

static void check(struct maker *m, struct tree *tree, pt_leaf_fn leaf)
{
    if (tree->operations->check(tree, leaf, m) == PT_OK)
        return;
    fprintf(stderr, "check refuses the tree of image %" PRIu64 "\n", m->image->seed);
    abort();
}

/* A child that shares what the tree has; then both change, and either is the tree under test from then on. */
static void fork_image(struct maker *m)
{
    if (!image_fork(m->image))
        return;
    for (unsigned i = 0; i < STEPS / 2; i++)
        (void)!random_step(m, draw(&m->random, 2) ? &m->image->child : m->image->subject);
    check(m, &m->image->child, NULL);
    check(m, m->image->subject, NULL);
    if (draw(&m->random, 2))
        image_adopt(m->image);
}

struct image *random_image(const struct judge *judge, const struct image_setting *setting, uint64_t seed, size_t probes)
{
    struct maker m = {.random = draw_from(seed)};
    struct tree *tree;

    m.image = image_open(judge, setting);
    m.image->seed = seed;
    tree = m.image->subject;
    tree->space->arena.limit = MOST_TABLES;
    m.runs = calloc(MOST_RUNS, sizeof(*m.runs));
    if (!m.runs)
        abort();
    m.size = setting->subject == PROBE_NESTED ? 1ull << JUDGE_MAXPHYADDR : tree->pt.size;
    place_clusters(&m);
    for (unsigned i = 0; i < STEPS; i++)
        (void)!random_step(&m, tree);
    if (draw(&m.random, 3) == 0)
        fork_image(&m);
    check(&m, m.image->subject, collect);
    if (seed % RANDOM_DAMAGED == 0)
        damage(&m);
    for (size_t i = 0; i < probes; i++)
        draw_probe(&m);
    free(m.runs);
    return m.image;
}
