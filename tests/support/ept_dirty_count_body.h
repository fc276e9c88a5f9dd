/* Exact counts of D bits: each that a processor sets is harvested once, not twice, not never. And one store at a time,
 * at about the moment of one operation. Follows ept_stalled_body.h, and has main. */

#define COUNTED_PAGES 64u
#define HOT_PAGES     4u
static _Atomic uint64_t dirtied;
static _Atomic unsigned pages_in_use;
static const struct pt_change soft = {PT_SOFT1, 0}, hard = {0, PT_SOFT1};

static void dirtying_body(unsigned number)
{
    uint64_t random = 9;

    while (!atomic_load(&all_over)) {
        uint64_t page = next_random(&random) % pages_in_use;

        if (hardware_store(number, w.pt.root, page * KIB4, pages_in_use == HOT_PAGES ? NULL : &random) == STORE_SETS_D)
            dirtied++;
    }
}

/* Harvests the first pages, which are of 4 KiB. */
static uint64_t count_dirty(struct pt_cursor *cursor, uint64_t start, bool clear)
{
    uint64_t end = start + pages_in_use * KIB4, found = 0;
    struct pt_range run;

    MUST(F(cursor_jump)(cursor, start) == PT_OK);
    while (F(cursor_at)(cursor) < end &&
           F(cursor_harvest)(cursor, end - F(cursor_at)(cursor), PT_D, clear, &run) == PT_OK)
        found += run.length / KIB4;
    return found;
}

static void protect_counted(struct pt_cursor *cursor, struct pt_change change)
{
    MUST(F(cursor_jump)(cursor, 0) == PT_OK);
    MUST(F(cursor_protect_range)(cursor, pages_in_use * KIB4, change) == PT_OK);
}

/* The other tree shares the pages, either side may make them its own, and the other tree lets go before or after. */
static void share_and_leave(struct pt_cursor *cursor)
{
    struct pt_cursor dst;
    bool early = draw(2);

    MUST(F(cursor_init)(&dst, &w2.pt, 0, MIB2, PT_WRITE, &w2.gather) == PT_OK);
    MUST(F(cursor_jump)(cursor, 0) == PT_OK);
    MUST(F(cursor_share_from)(&dst, cursor, MIB2) == PT_OK);
    if (draw(2)) {
        MUST(F(cursor_jump)(&dst, KIB4) == PT_OK);
        MUST(F(cursor_protect_range)(&dst, KIB4, (struct pt_change){PT_W, PT_D}) == PT_OK);
    }
    if (!early)
        protect_counted(cursor, writable);
    if (draw(2))
        F(gather_sync)(&w.gather);
    MUST(F(cursor_jump)(&dst, 0) == PT_OK);
    MUST(F(cursor_unmap_range)(&dst, MIB2) == PT_OK);
    F(cursor_end)(&dst);
    F(gather_sync)(&w2.gather);
    if (early)
        protect_counted(cursor, writable);
}

/* The copy has the D bits that the source loses. */
static uint64_t count_by_copying(struct pt_cursor *cursor)
{
    struct pt_cursor src, dst;
    uint64_t found;

    MUST(F(cursor_init_inside)(&src, cursor, 0, MIB2) == PT_OK);
    MUST(F(cursor_init_inside)(&dst, cursor, GIB1, MIB2) == PT_OK);
    MUST(F(cursor_copy_from)(&dst, &src, pages_in_use * KIB4, read_only, clean) == PT_OK);
    found = count_dirty(&dst, GIB1, false);
    MUST(F(cursor_jump)(&dst, GIB1) == PT_OK);
    MUST(F(cursor_unmap_range)(&dst, MIB2) == PT_OK);
    F(cursor_end)(&dst);
    F(cursor_end)(&src);
    return found;
}

/* Each page is taken, and mapped again clean. */
static uint64_t count_by_taking(struct pt_cursor *cursor)
{
    struct pt_item item;
    uint64_t found = 0;

    for (uint64_t page = 0; page < pages_in_use; page++) {
        MUST(F(cursor_jump)(cursor, page * KIB4) == PT_OK);
        MUST(F(cursor_take_next)(cursor, KIB4, &item) == PT_OK);
        found += (item.prop & PT_D) != 0;
        MUST(F(cursor_jump)(cursor, page * KIB4) == PT_OK);
        MUST(F(cursor_map)(cursor, item.hpa, 1, item.prop & ~PT_D) == PT_OK);
    }
    return found;
}

/* Likewise by protect_next, which reports what it changed. */
static uint64_t count_by_protecting(struct pt_cursor *cursor)
{
    struct pt_item item;
    uint64_t found = 0;

    MUST(F(cursor_jump)(cursor, 0) == PT_OK);
    while (F(cursor_at)(cursor) < pages_in_use * KIB4) {
        MUST(F(cursor_protect_next)(cursor, KIB4, clean, &item) == PT_OK);
        found += (item.prop & PT_D) != 0;
    }
    return found;
}

static uint64_t start_counting(struct thread *processor, unsigned pages)
{
    open_tree(&w2);
    claim(0, 2 * GIB1);
    MUST(F(cursor_map_range)(&c, HPA + KIB4, pages * KIB4, COUNTED) == PT_OK);
    pages_in_use = pages;
    start_thread(processor, dirtying_body, 0);
    return 0;
}

/* Not before the processor had its share, however busy the machine is. */
static bool goes_on_counting(unsigned turn, unsigned most)
{
    if (goes_on(turn, most))
        return true;
    sched_yield();
    return dirtied < 100;
}

static void stop_counting(struct thread *processor, uint64_t harvested)
{
    atomic_store(&all_over, true);
    join_thread(processor);
    harvested += count_dirty(&c, 0, true);
    MUST(harvested == dirtied);
    F(cursor_end)(&c);
    F(gather_sync)(&w.gather);
    close_tree(&w2);
}

START_TEST(every_d_is_harvested_exactly_once)
{
    struct thread processor;
    uint64_t harvested = start_counting(&processor, COUNTED_PAGES);

    for (unsigned turn = 0; goes_on_counting(turn, ROUNDS(4000u)); turn++) {
        switch (draw(8)) {
        case 0:
            protect_counted(&c, soft);
            protect_counted(&c, (struct pt_change){0, PT_SOFT1 | (draw(2) ? PT_W : 0)});
            break;
        case 1:
            share_and_leave(&c);
            break;
        case 2:
            harvested += count_by_copying(&c);
            break;
        case 3:
        case 4:
            harvested += count_dirty(&c, 0, true);
            break;
        default:
            protect_counted(&c, writable);
        }
        if (draw(2))
            F(gather_sync)(&w.gather);
    }
    stop_counting(&processor, harvested);
}
END_TEST

/* Few pages, and one kind of operation all the time: where a bit could get lost between a load and a store. */
START_TEST(every_d_is_counted_under_fire)
{
    struct thread processor;
    uint64_t harvested = start_counting(&processor, HOT_PAGES);

    for (unsigned turn = 0; goes_on_counting(turn, ROUNDS(200000u)); turn++) {
        switch (_i) {
        case 0:
            protect_counted(&c, turn % 2 ? soft : hard);
            harvested += turn % 4 ? 0 : count_dirty(&c, 0, true);
            break;
        case 1:
            harvested += count_dirty(&c, 0, true);
            break;
        case 2:
            harvested += count_by_protecting(&c);
            break;
        case 3:
            harvested += count_by_taking(&c);
            break;
        default:
            harvested += count_by_copying(&c);
        }
    }
    stop_counting(&processor, harvested);
}
END_TEST

/* --- One store, one operation --------------------------------------------------------------------------------------
 */

static _Atomic unsigned round_begun, round_written;

static void one_store_body(unsigned number)
{
    uint64_t random = 17;

    for (unsigned round = 1; !atomic_load(&all_over); round++) {
        for (unsigned spins = 1; atomic_load(&round_begun) != round; spins++) {
            if (atomic_load(&all_over))
                return;
            if (spins % 4096 == 0)
                sched_yield();
        }
        while (hardware_store(number, w.pt.root, 9 * KIB4, &random) == STORE_FAULTS)
            ;
        atomic_store(&round_written, round);
    }
}

/* A 2 MiB leaf, or its pieces. */
static void prepare_leaf(bool pieces)
{
    MUST(F(cursor_jump)(&c, 0) == PT_OK);
    MUST(F(cursor_unmap_range)(&c, MIB2) == PT_OK);
    F(gather_sync)(&w.gather);
    MUST(F(cursor_jump)(&c, 0) == PT_OK);
    MUST(F(cursor_map)(&c, HPA, 2, COUNTED) == PT_OK);
    MUST(F(cursor_jump)(&c, 0) == PT_OK);
    if (pieces)
        MUST(F(cursor_split)(&c, 1) == PT_OK);
}

/* Answers whether the operation itself reported D. */
static bool operate(int kind)
{
    MUST(F(cursor_jump)(&c, 0) == PT_OK);
    switch (kind) {
    case 0:
        MUST(F(cursor_split)(&c, 1) == PT_OK);
        return false;
    case 1:
        MUST(F(cursor_collapse)(&c, 2) == PT_OK);
        return false;
    case 2: /* splits for a part */
        MUST(F(cursor_protect_range)(&c, KIB4, soft) == PT_OK);
        return false;
    case 3: /* the huge leaf itself */
        MUST(F(cursor_protect_range)(&c, MIB2, soft) == PT_OK);
        return false;
    case 4:
        return count_dirty(&c, 0, true) > 0;
    default: /* the pieces, shared and made private or taken back */
        share_and_leave(&c);
        return false;
    }
}

START_TEST(a_store_meanwhile_leaves_its_d)
{
    struct thread processor;
    struct pt_item item;

    open_tree(&w2);
    claim(0, 2 * GIB1);
    pages_in_use = COUNTED_PAGES;
    prepare_leaf(false);
    start_thread(&processor, one_store_body, 0);
    for (unsigned round = 1; goes_on(round - 1, ROUNDS(4000u)); round++) {
        bool reported;

        prepare_leaf(_i == 1 || _i == 5);
        atomic_store(&round_begun, round);
        for (volatile uint64_t pause = draw(400); pause > 0; pause--)
            ;
        reported = operate(_i);
        while (atomic_load(&round_written) != round)
            sched_yield();
        MUST(F(cursor_jump)(&c, 9 * KIB4) == PT_OK);
        MUST(F(cursor_query)(&c, &item) == PT_OK);
        MUST(reported || (item.prop & PT_D));
    }
    atomic_store(&all_over, true);
    join_thread(&processor);
    F(cursor_end)(&c);
    F(gather_sync)(&w.gather);
    close_tree(&w2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads: dirty bits, " F_TEXT(PT_TEST_FORMAT));
    TCase *tcase = add_group(suite, "dirty bits", setup_threads, teardown_threads);

    tcase_add_test(tcase, no_d_is_lost);
    tcase_add_test(tcase, every_d_is_harvested_exactly_once);
    tcase_add_loop_test(tcase, every_d_is_counted_under_fire, 0, 5);
    tcase_add_loop_test(tcase, a_store_meanwhile_leaves_its_d, 0, 6);
    tcase_add_loop_test(tcase, a_store_that_began_before_leaves_its_d, 0, STALLED_OPERATIONS * MOMENTS);
    return run_suite(suite);
}
