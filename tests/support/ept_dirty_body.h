/* No D bit is lost, whatever happens to the leaf: processors write through the tables while one thread harvests,
 * protects, takes, splits, collapses, copies and shares. For one format. Follows ept_hardware_body.h.
 *
 * Each round, the first processor writes once to each of some pages at a time of its own; so a D that gets lost cannot
 * be set again, and the page is missing from the reports. The second does the same in a tree that shares with the
 * first. */

#define REGION      GIB1 /* 1 GiB, mapped to HPA in all page sizes */
#define FAR         (8 * GIB1)
#define WATCHED     96u
#define DIRTY_TURNS ROUNDS(400u)

static const struct pt_change writable = {PT_W, 0}, clean = {0, PT_D};

/* One tree and the processor that writes to it. */
struct side {
    struct pt *pt;
    struct pt_gather *gather;
    _Atomic unsigned round;        /* which the processor is to do; 0: none */
    _Atomic unsigned finished;     /* which it has done */
    _Atomic bool hurry;            /* it may give up on pages that are not writable */
    _Atomic bool written[WATCHED]; /* in this round */
    bool reported[WATCHED];
};

static struct side sides[2];
static struct pt_cursor cursors[2];
static atomic_bool all_over;
static bool second_maps; /* the second tree shares the region now */
static uint64_t chance = 42;

static unsigned draw(unsigned below)
{
    return (unsigned)(next_random(&chance) % below);
}

/* Some in one block of 2 MiB, some in the next, some in blocks of their own. */
static uint64_t watched_page(unsigned i)
{
    if (i < 32)
        return REGION + i * 16 * KIB4;
    if (i < 64)
        return REGION + MIB2 + (i - 32) * KIB4;
    return REGION + (i - 60) * 2 * MIB2 + i * KIB4;
}

/* --- Processors -------------------------------------------------------------------------------------------------- */

static void write_round(struct side *side, unsigned number, uint64_t *random)
{
    unsigned left = WATCHED, first = (unsigned)(next_random(random) % WATCHED);

    while (left > 0) {
        left = 0;
        for (unsigned n = 0; n < WATCHED; n++) {
            unsigned i = (first + n * 5) % WATCHED;

            if (side->written[i])
                continue;
            for (uint64_t pause = next_random(random) % 8; pause > 0; pause--)
                dawdle(random);
            if (hardware_store(number, side->pt->root, watched_page(i), random) != STORE_FAULTS)
                side->written[i] = true;
            else
                left++;
        }
        if (atomic_load(&side->hurry))
            return;
    }
}

static void processor_body(unsigned number)
{
    struct side *side = &sides[number];
    uint64_t random = number * 31337 + 5;

    while (!atomic_load(&all_over)) {
        unsigned round = atomic_load(&side->round);

        if (round == atomic_load(&side->finished)) {
            sched_yield();
            continue;
        }
        write_round(side, number, &random);
        atomic_store(&side->finished, round);
    }
}

static void begin_round(struct side *side)
{
    for (unsigned i = 0; i < WATCHED; i++)
        side->written[i] = side->reported[i] = false;
    atomic_store(&side->hurry, false);
    atomic_fetch_add(&side->round, 1);
}

static bool is_writing(struct side *side)
{
    return atomic_load(&side->round) != atomic_load(&side->finished);
}

/* --- What is done to the leaves, by one thread -------------------------------------------------------------------- */

static void report(unsigned s, uint64_t start, uint64_t length)
{
    for (unsigned i = 0; i < WATCHED; i++)
        if (watched_page(i) >= start && watched_page(i) - start < length)
            sides[s].reported[i] = true;
}

static void harvest_all(unsigned s, uint64_t start, uint64_t end)
{
    struct pt_range run;

    MUST(F(cursor_jump)(&cursors[s], start) == PT_OK);
    while (start < end && F(cursor_harvest)(&cursors[s], end - start, PT_D, true, &run) == PT_OK) {
        MUST(run.start >= start && run.length > 0 && run.start + run.length <= end);
        report(s, run.start, run.length);
        start = run.start + run.length;
    }
}

static void change_some(unsigned s, struct pt_change change)
{
    uint64_t start = watched_page(draw(WATCHED)) - draw(5) * KIB4, length = (1 + draw(40)) * KIB4;

    start = start < REGION ? REGION : start;
    if (draw(4) == 0) {
        start = REGION;
        length = GIB1;
    }
    MUST(F(cursor_jump)(&cursors[s], start) == PT_OK);
    MUST(F(cursor_protect_range)(&cursors[s], length, change) == PT_OK);
}

static void resize_some(unsigned s)
{
    unsigned level = 1 + draw(2), slot = 2 + draw(2);
    uint64_t page = watched_page(draw(WATCHED));
    enum pt_status status;

    MUST(F(cursor_jump)(&cursors[s], page) == PT_OK);
    if (draw(2)) {
        MUST(F(cursor_split)(&cursors[s], level) == PT_OK);
        return;
    }
    MUST(F(cursor_jump)(&cursors[s], page & ~(pt_slot_size(slot) - 1)) == PT_OK);
    status = F(cursor_collapse)(&cursors[s], slot);
    MUST(status == PT_OK || status == PT_EUNEQUAL);
}

/* Takes a page and puts it back clean; what it was is reported. */
static void take_some(unsigned s)
{
    uint64_t page = watched_page(draw(WATCHED));
    struct pt_item item;

    MUST(F(cursor_jump)(&cursors[s], page) == PT_OK);
    MUST(F(cursor_take_next)(&cursors[s], KIB4, &item) == PT_OK);
    MUST(item.level == 1 && item.start == page);
    if (item.prop & PT_D)
        report(s, page, KIB4);
    MUST(F(cursor_jump)(&cursors[s], page) == PT_OK);
    MUST(F(cursor_map)(&cursors[s], item.hpa, 1, item.prop & ~PT_D) == PT_OK);
}

/* The copy gets the D bits that its source loses, and tells them. */
static void copy_some(unsigned s)
{
    uint64_t start = REGION + draw(2) * MIB2, length = draw(2) ? MIB2 : (1 + draw(99)) * KIB4, copied = FAR;
    struct pt_cursor src, dst;
    struct pt_range run;

    MUST(F(cursor_init_inside)(&src, &cursors[s], start, length) == PT_OK);
    MUST(F(cursor_init_inside)(&dst, &cursors[s], FAR, length) == PT_OK);
    MUST(F(cursor_copy_from)(&dst, &src, length, read_only, clean) == PT_OK);
    MUST(F(cursor_jump)(&dst, FAR) == PT_OK);
    while (copied < FAR + length && F(cursor_harvest)(&dst, FAR + length - copied, PT_D, false, &run) == PT_OK) {
        report(s, start + (run.start - FAR), run.length);
        copied = run.start + run.length;
    }
    MUST(F(cursor_jump)(&dst, FAR) == PT_OK);
    MUST(F(cursor_unmap_range)(&dst, length) == PT_OK);
    F(cursor_end)(&dst);
    F(cursor_end)(&src);
}

/* --- The second tree --------------------------------------------------------------------------------------------- */

static void begin_sharing(void)
{
    MUST(F(cursor_jump)(&cursors[0], 0) == PT_OK);
    MUST(F(cursor_jump)(&cursors[1], 0) == PT_OK);
    MUST(F(cursor_share_from)(&cursors[1], &cursors[0], draw(2) ? 8 * GIB1 : 2 * GIB1) == PT_OK);
    if (draw(2)) /* before a processor may run there; a shared D counts as one of the second tree's */
        F(gather_sync)(sides[0].gather);
    second_maps = true;
    begin_round(&sides[1]);
}

static void verify_side(unsigned s)
{
    for (unsigned i = 0; i < WATCHED; i++)
        if (sides[s].written[i] && !sides[s].reported[i]) {
            fprintf(stderr, "side %u lost the D of page %u\n", s, i);
            abort();
        }
}

static void end_sharing(void)
{
    atomic_store(&sides[1].hurry, true);
    while (is_writing(&sides[1]))
        sched_yield();
    harvest_all(1, REGION, REGION + GIB1);
    verify_side(1);
    MUST(F(cursor_jump)(&cursors[1], 0) == PT_OK);
    MUST(F(cursor_unmap_range)(&cursors[1], 8 * GIB1) == PT_OK);
    if (draw(2))
        F(gather_sync)(sides[1].gather);
    second_maps = false;
}

static void do_something(void)
{
    unsigned s = second_maps ? draw(2) : 0;

    switch (draw(10)) {
    case 0:
    case 1:
        harvest_all(s, REGION, REGION + GIB1);
        break;
    case 2:
        harvest_all(s, watched_page(draw(8)) + KIB4, watched_page(40) + KIB4);
        break;
    case 3:
        change_some(s, draw(2) ? (struct pt_change){PT_SOFT0, 0} : (struct pt_change){0, PT_SOFT0});
        break;
    case 4:
        change_some(s, draw(3) ? writable : read_only);
        break;
    case 5:
    case 6:
        resize_some(s);
        break;
    case 7:
        take_some(s);
        break;
    case 8:
        copy_some(s);
        break;
    default:
        if (second_maps)
            end_sharing();
        else
            begin_sharing();
    }
    if (draw(3) == 0)
        F(gather_sync)(sides[s].gather);
}

/* All writable, and clean; sometimes one leaf again. */
static void make_even(void)
{
    MUST(F(cursor_jump)(&cursors[0], REGION) == PT_OK);
    MUST(F(cursor_protect_range)(&cursors[0], GIB1, (struct pt_change){PT_W, PT_SOFT0 | PT_D}) == PT_OK);
    MUST(F(cursor_jump)(&cursors[0], REGION) == PT_OK);
    if (draw(2))
        MUST(F(cursor_collapse)(&cursors[0], 3) == PT_OK);
    F(gather_sync)(sides[0].gather);
}

START_TEST(no_d_is_lost)
{
    struct thread processors[2];

    open_tree(&w2);
    sides[0].pt = &w.pt;
    sides[0].gather = &w.gather;
    sides[1].pt = &w2.pt;
    sides[1].gather = &w2.gather;
    for (unsigned s = 0; s < 2; s++)
        MUST(F(cursor_init)(&cursors[s], sides[s].pt, 0, 16 * GIB1, PT_WRITE, sides[s].gather) == PT_OK);
    MUST(F(cursor_jump)(&cursors[0], REGION) == PT_OK);
    MUST(F(cursor_map)(&cursors[0], HPA, 3, COUNTED) == PT_OK);
    for (unsigned s = 0; s < 2; s++)
        start_thread(&processors[s], processor_body, s);
    for (unsigned turn = 0; goes_on(turn, DIRTY_TURNS); turn++) {
        make_even();
        begin_round(&sides[0]);
        for (unsigned n = 0; is_writing(&sides[0]); n++) {
            do_something();
            if (n % 8 == 7) /* so that all pages get their turn */
                change_some(0, writable);
        }
        harvest_all(0, REGION, REGION + GIB1);
        verify_side(0);
    }
    if (second_maps)
        end_sharing();
    atomic_store(&all_over, true);
    for (unsigned s = 0; s < 2; s++)
        join_thread(&processors[s]);
    for (unsigned s = 0; s < 2; s++)
        F(cursor_end)(&cursors[s]);
    F(gather_sync)(&w2.gather);
    sound(&w);
    close_tree(&w2);
}
END_TEST
