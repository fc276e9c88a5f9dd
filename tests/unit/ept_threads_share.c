/* Trees that share tables, each changed by threads of its own at the same time, with claims that are narrow and wide:
 * nobody sees what another tree does, and at the end owners and references are right. One of the trees is destroyed
 * while the others go on. Run under ThreadSanitizer too. */
#define PT_TEST_FORMAT ept
#define PT_TEST_LEVELS 4
#include "tests/support/ept_cursor_fixture.h"

#include "tests/support/ept_picture_body.h"

#include "tests/support/ept_threads_body.h"

#define TREES   3u
#define WORKERS 2u /* to a tree */
#define BLOCKS  8u /* of 2 MiB; each worker has every second one */
#define PAGES   512u
#define TURNS   ROUNDS(24u)
#define STEPS   ROUNDS(1500u)
#define SPARE   (8 * GIB1) /* where a worker's tree shares with itself */
#define ALL     (16 * GIB1)
#define OWN     (195u * 512u) /* frames a worker takes its new ones from */

/* What a worker knows of its blocks: no other may change them. */
struct page {
    uint64_t hpa;
    pt_prop prop;
    bool mapped;
};

static struct world trees[TREES];
static struct page pages[TREES][BLOCKS][PAGES];
static atomic_int at_work[TREES]; /* workers of a tree that have not finished */
static bool destroyed;            /* the last tree */

struct worker {
    unsigned tree, number;
    uint64_t random, taken; /* frames of its own handed out */
    struct pt_gather gather;
    struct pt_cursor cursor;
};

static uint64_t place(unsigned block)
{
    return GIB1 + block / 4 * GIB1 + block % 4 * MIB2;
}

static unsigned draw(struct worker *worker, unsigned below)
{
    return (unsigned)(next_random(&worker->random) % below);
}

/* Frames that nobody else maps newly: pages anywhere, or whole units of 2 MiB. */
static uint64_t new_frames(struct worker *worker, unsigned count)
{
    uint64_t first = ((uint64_t)worker->number * OWN + 511) / 512 * 512, offset = worker->taken;

    if (count == PAGES)
        offset = (offset + 511) / 512 * 512;
    if (offset + count > OWN - 512)
        offset = 0;
    worker->taken = offset + count;
    return HPA + (first + offset) * KIB4;
}

static void jump(struct worker *worker, unsigned block, unsigned page)
{
    MUST(ept_cursor_jump(&worker->cursor, place(block) + page * KIB4) == PT_OK);
}

/* --- Steps: each to the tree, and to what is known of it --------------------------------------------------------- */

static void note_mapping(struct page *page, unsigned count, uint64_t hpa, pt_prop prop)
{
    for (unsigned i = 0; i < count; i++)
        page[i] = (struct page){hpa + i * KIB4, prop, true};
}

static void step_unmap(struct worker *worker, unsigned block, unsigned first, unsigned count)
{
    jump(worker, block, first);
    MUST(ept_cursor_unmap_range(&worker->cursor, count * KIB4) == PT_OK);
    for (unsigned i = 0; i < count; i++)
        pages[worker->tree][block][first + i].mapped = false;
}

static void step_map(struct worker *worker, unsigned block, unsigned first, unsigned count)
{
    struct page *page = &pages[worker->tree][block][first];
    uint64_t hpa = new_frames(worker, count);
    bool occupied = false;

    for (unsigned i = 0; i < count; i++)
        occupied = occupied || page[i].mapped;
    jump(worker, block, first);
    MUST(ept_cursor_map_range(&worker->cursor, hpa, count * KIB4, COUNTED) == (occupied ? PT_EOCCUPIED : PT_OK));
    if (!occupied)
        note_mapping(page, count, hpa, COUNTED);
}

static void step_replace(struct worker *worker, unsigned block)
{
    uint64_t hpa = new_frames(worker, PAGES);

    step_unmap(worker, block, 0, PAGES);
    jump(worker, block, 0);
    MUST(ept_cursor_map(&worker->cursor, hpa, 2, COUNTED) == PT_OK);
    note_mapping(pages[worker->tree][block], PAGES, hpa, COUNTED);
}

static void step_take(struct worker *worker, unsigned block, unsigned page)
{
    struct page *known = &pages[worker->tree][block][page];
    struct pt_item item;

    jump(worker, block, page);
    if (!known->mapped) {
        MUST(ept_cursor_take_next(&worker->cursor, KIB4, &item) == PT_END);
        return;
    }
    MUST(ept_cursor_take_next(&worker->cursor, KIB4, &item) == PT_OK);
    MUST(item.hpa == known->hpa && item.prop == known->prop);
    known->mapped = false;
}

static void step_protect(struct worker *worker, unsigned block, unsigned first, unsigned count)
{
    static const struct pt_change changes[5] = {{PT_W, 0}, {0, PT_W}, {PT_W | PT_SOFT0, 0}, {PT_D, 0}, {0, PT_SOFT0}};
    struct pt_change change = changes[draw(worker, 5)];
    struct page *page = &pages[worker->tree][block][first];

    jump(worker, block, first);
    MUST(ept_cursor_protect_range(&worker->cursor, count * KIB4, change) == PT_OK);
    for (unsigned i = 0; i < count; i++)
        page[i].prop = (page[i].prop & ~change.clear) | change.set;
}

static void step_split(struct worker *worker, unsigned block, unsigned page)
{
    bool mapped = pages[worker->tree][block][page].mapped;

    jump(worker, block, page);
    MUST(ept_cursor_split(&worker->cursor, 1) == (mapped ? PT_OK : PT_END));
}

static void step_collapse(struct worker *worker, unsigned block)
{
    struct page *page = pages[worker->tree][block];
    bool equal = page[0].mapped && page[0].hpa % MIB2 == 0;
    pt_prop dirty = 0;

    for (unsigned i = 0; i < PAGES; i++) {
        equal = equal && page[i].mapped && page[i].hpa == page[0].hpa + i * KIB4 &&
                ((page[i].prop ^ page[0].prop) & ~PT_D) == 0;
        dirty |= page[i].prop & PT_D;
    }
    jump(worker, block, 0);
    MUST(ept_cursor_collapse(&worker->cursor, 2) == (equal ? PT_OK : PT_EUNEQUAL));
    /* A leaf already, or one now: then all are dirty if one was. */
    for (unsigned i = 0; i < PAGES && equal; i++)
        page[i].prop |= dirty;
}

static void step_harvest(struct worker *worker, unsigned block, unsigned first, unsigned count)
{
    struct page *page = &pages[worker->tree][block][first];
    struct pt_range run;
    unsigned start = 0, end;

    jump(worker, block, first);
    while (start < count && !(page[start].mapped && (page[start].prop & PT_D)))
        start++;
    for (end = start; end < count && page[end].mapped && (page[end].prop & PT_D); end++)
        page[end].prop &= ~PT_D;
    if (start == count) {
        MUST(ept_cursor_harvest(&worker->cursor, count * KIB4, PT_D, true, &run) == PT_END);
        return;
    }
    MUST(ept_cursor_harvest(&worker->cursor, count * KIB4, PT_D, true, &run) == PT_OK);
    MUST(run.start == place(block) + (first + start) * KIB4 && run.length == (end - start) * KIB4);
}

/* The tree shares a block with itself, looks at it there, and lets it go. */
static void step_share(struct worker *worker, unsigned block)
{
    struct page *page = pages[worker->tree][block];
    uint64_t to = SPARE + worker->number * GIB1;
    struct pt_cursor src, dst;
    struct pt_item item;

    MUST(ept_cursor_init_inside(&src, &worker->cursor, place(block), MIB2) == PT_OK);
    MUST(ept_cursor_init_inside(&dst, &worker->cursor, to, MIB2) == PT_OK);
    MUST(ept_cursor_share_from(&dst, &src, MIB2) == PT_OK);
    for (unsigned i = 0; i < PAGES; i++) {
        page[i].prop &= ~PT_W;
        if (i % 37 != 0)
            continue;
        MUST(ept_cursor_jump(&dst, to + i * KIB4) == PT_OK);
        MUST(ept_cursor_query(&dst, &item) == PT_OK);
        MUST((item.kind == PT_LEAF) == page[i].mapped);
        MUST(!page[i].mapped || (item.prop == page[i].prop && item.hpa + (to + i * KIB4 - item.start) == page[i].hpa));
    }
    MUST(ept_cursor_jump(&dst, to) == PT_OK);
    MUST(ept_cursor_unmap_range(&dst, MIB2) == PT_OK);
    ept_cursor_end(&dst);
    ept_cursor_end(&src);
}

/* --- Workers ----------------------------------------------------------------------------------------------------- */

static void compare(const struct pt_item *item, const struct page *page, uint64_t address)
{
    MUST((item->kind == PT_LEAF) == page->mapped);
    MUST(!page->mapped || item->hpa + (address - item->start) == page->hpa);
    MUST(!page->mapped || item->prop == page->prop);
}

static void step(struct worker *worker, unsigned block)
{
    unsigned first = draw(worker, PAGES), count = 1 + draw(worker, PAGES - first);

    switch (draw(worker, 12)) {
    case 0:
        step_unmap(worker, block, first, count);
        break;
    case 1:
    case 2:
        step_map(worker, block, first, count);
        break;
    case 3:
        step_replace(worker, block);
        break;
    case 4:
    case 5:
        step_take(worker, block, first);
        break;
    case 6:
        step_split(worker, block, first);
        break;
    case 7:
        step_collapse(worker, block);
        break;
    case 8:
        step_harvest(worker, block, first, count);
        break;
    default:
        step_protect(worker, block, first, count);
    }
}

static void work(struct worker *worker)
{
    struct pt *pt = &trees[worker->tree].pt;

    for (unsigned n = 0; n < STEPS; n++) {
        unsigned block = draw(worker, BLOCKS / WORKERS) * WORKERS + worker->number % WORKERS,
                 page = draw(worker, PAGES);
        bool shares = draw(worker, 12) == 0, wide = shares || draw(worker, 6) == 0;
        struct pt_item item;

        MUST(ept_cursor_init(&worker->cursor, pt, wide ? 0 : place(block), wide ? ALL : MIB2, PT_WRITE,
                             &worker->gather) == PT_OK);
        if (shares)
            step_share(worker, block);
        else
            step(worker, block);
        jump(worker, block, page);
        MUST(ept_cursor_query(&worker->cursor, &item) == PT_OK);
        compare(&item, &pages[worker->tree][block][page], place(block) + page * KIB4);
        ept_cursor_end(&worker->cursor);
        if (draw(worker, 2))
            ept_gather_sync(&worker->gather);
        page = draw(worker, PAGES);
        MUST(ept_lookup(pt, place(block) + page * KIB4, &item) == PT_OK);
        compare(&item, &pages[worker->tree][block][page], place(block) + page * KIB4);
    }
    ept_gather_sync(&worker->gather);
}

static uint64_t seed;

static void worker_body(unsigned number)
{
    struct worker worker = {.tree = number / WORKERS, .number = number, .random = (seed * 64 + number) * 48271 + 1};

    ept_gather_init(&worker.gather, &trees[worker.tree].pt);
    work(&worker);
    if (atomic_fetch_sub(&at_work[worker.tree], 1) > 1 || worker.tree != TREES - 1 || seed % 2)
        return;
    ept_destroy(&trees[worker.tree].pt); /* while the others go on */
    destroyed = true;
}

/* --- Turns ------------------------------------------------------------------------------------------------------- */

/* The first tree, new or as it was left, is shared by the second, and that by the third. */
static void share_all(void)
{
    for (unsigned t = 1; t < TREES; t++) {
        struct pt_cursor src, dst;

        open_tree(&trees[t]);
        MUST(ept_cursor_init(&src, &trees[t - 1].pt, 0, ALL, PT_WRITE, &trees[t - 1].gather) == PT_OK);
        MUST(ept_cursor_init(&dst, &trees[t].pt, 0, ALL, PT_WRITE, &trees[t].gather) == PT_OK);
        MUST(ept_cursor_share_from(&dst, &src, ALL) == PT_OK);
        ept_cursor_end(&dst);
        ept_cursor_end(&src);
        ept_gather_sync(&trees[t - 1].gather);
        for (unsigned b = 0; b < BLOCKS; b++)
            for (unsigned p = 0; p < PAGES; p++) {
                pages[t - 1][b][p].prop &= ~PT_W;
                pages[t][b][p] = pages[t - 1][b][p];
            }
    }
}

static void verify_tree(unsigned tree)
{
    struct pt_cursor cursor;
    struct pt_item item;

    sound(&trees[tree]);
    MUST(ept_cursor_init(&cursor, &trees[tree].pt, 0, ALL, PT_READ, &trees[tree].gather) == PT_OK);
    for (unsigned b = 0; b < BLOCKS; b++)
        for (unsigned p = 0; p < PAGES; p++) {
            MUST(ept_cursor_jump(&cursor, place(b) + p * KIB4) == PT_OK);
            MUST(ept_cursor_query(&cursor, &item) == PT_OK);
            compare(&item, &pages[tree][b][p], place(b) + p * KIB4);
        }
    ept_cursor_end(&cursor);
}

/* Tables and references are those that the trees use. */
static void verify_all(void)
{
    struct world *all[TREES + 1] = {&w};
    unsigned count = 1;
    struct census census;
    uint64_t held[4];

    for (unsigned t = 0; t < TREES - destroyed; t++) {
        verify_tree(t);
        all[count++] = &trees[t];
    }
    census = census_of(all, count);
    EQ(tables(), census.tables);
    count_references(held);
    for (unsigned level = 1; level <= 3; level++)
        EQ(held[level], census.held[level]);
}

START_TEST(trees_that_share_do_not_notice_each_other)
{
    open_tree(&trees[0]);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        seed = turn;
        destroyed = false;
        share_all();
        for (unsigned t = 0; t < TREES; t++)
            at_work[t] = WORKERS;
        run_threads(worker_body, TREES * WORKERS);
        MUST(destroyed == (turn % 2 == 0));
        verify_all();
        for (unsigned t = 1; t < TREES - destroyed; t++)
            close_tree(&trees[t]);
    }
    close_tree(&trees[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ept threads: shared tables");

    tcase_add_test(add_group(suite, "sharing", setup_threads, teardown_threads),
                   trees_that_share_do_not_notice_each_other);
    return run_suite(suite);
}
