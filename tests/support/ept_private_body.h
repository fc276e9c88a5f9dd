/* Tests of changes below shared tables, made from either side: what is copied for them, and that the other side never
 * sees them. Follows ept_owner_body.h.
 *
 * The scene: 1 GiB to 3 GiB of `w` and of `w2` share their tables. Two tables of 4 KiB leaves (the second with a hole
 * of 8 pages), a table that could be one 2 MiB leaf, a 2 MiB leaf, and at 2 GiB one of 1 GiB. */
#define SMALL   GIB1
#define HOLE    (GIB1 + MIB2 + 64 * KIB4)
#define PIECES  (GIB1 + 4 * MIB2)
#define HUGE2   (GIB1 + 8 * MIB2)
#define GAP     (GIB1 + 64 * MIB2)
#define HUGE3   (2 * GIB1)
#define RESTING (COUNTED | PT_A | PT_D | PT_SOFT1)

static void setup_shared(void)
{
    setup_two();
    claim(0, w.pt.size);
    at(SMALL);
    OK(F(cursor_map_range)(&c, HPA + KIB4, 2 * MIB2, RESTING));
    at(HOLE);
    OK(F(cursor_unmap_range)(&c, 8 * KIB4));
    at(PIECES);
    OK(F(cursor_map)(&c, HPA + GIB1, 2, RESTING));
    at(PIECES);
    OK(F(cursor_split)(&c, 1));
    at(HUGE2);
    OK(F(cursor_map)(&c, HPA + 4 * MIB2, 2, RESTING));
    at(HUGE3);
    OK(F(cursor_map)(&c, HPA + 2 * GIB1, 3, RESTING));
    done();
    share(0, 0, 512 * GIB1); /* all below one entry of the fourth level, so the table of level 3 too */
}

/* The tree that changes and the one that must not notice. */
static struct world *acting, *watching;
static struct spans watched;

static void act_on(int side, uint64_t address)
{
    acting = side ? &w2 : &w;
    watching = side ? &w : &w2;
    watched = picture(watching, true);
    world_arm(&w);
    OK(F(cursor_init)(&c, &acting->pt, 0, acting->pt.size, PT_WRITE, &acting->gather));
    at(address);
}

/* Ends the change: the other side is as before, and tables and references are those in use. */
static void acted(void)
{
    F(cursor_end)(&c);
    F(gather_sync)(&acting->gather);
    done_two();
    same_picture(picture(watching, true), &watched, "the other side");
    spans_free(&watched);
    both_add_up();
}

START_TEST(one_table_a_level_is_copied)
{
    uint64_t before = tables(), page = SMALL + 5 * KIB4;
    int64_t held = w.held[1];

    act_on(_i, page);
    OK(F(cursor_protect_range)(&c, KIB4, writable));
    ck_assert_uint_eq(F(cursor_at)(&c), page + KIB4);
    ck_assert_uint_eq(tables() - before, 3);
    ck_assert_int_eq(w.held[1] - held, 512); /* a reference for each leaf of the one table of leaves */
    ck_assert_int_eq(w.held[2], 1 + 1);      /* and for the leaves beside the path */
    ck_assert_int_eq(w.held[3], 1 + 1);
    acted();
    for (uint64_t other = SMALL; other < SMALL + 512 * KIB4; other += KIB4) {
        ck_assert_int_eq(walk(acting, other, WALK_WRITE).result == WALK_OK, other == page);
        ck_assert_int_ne(walk(watching, other, WALK_WRITE).result, WALK_OK);
    }
    ck_assert(world_flushed(&w, 0, 512 * GIB1)); /* translations may come from all of the table that was given up */
    /* What was not on the path is still shared, and closed against writing on both sides. */
    ck_assert_uint_eq(raw_table(&w, HOLE - KIB4), raw_table(&w2, HOLE - KIB4));
    ck_assert((*raw_slot(&w, HOLE, 2) & RAW_W) == 0);
    ck_assert((*raw_slot(&w2, HOLE, 2) & RAW_W) == 0);
    /* The second change finds the path private. */
    before = tables();
    act_on(_i, page + KIB4);
    OK(F(cursor_protect_range)(&c, KIB4, writable));
    acted();
    ck_assert_uint_eq(tables(), before);
}
END_TEST

START_TEST(the_last_owner_takes_the_path_back)
{
    uint64_t before = tables(), gone;

    act_on(_i, 0);
    OK(F(cursor_unmap_range)(&c, 512 * GIB1)); /* the whole shared table, which stays */
    acted();
    gone = before - tables();
    ck_assert_uint_eq(gone, w.config.levels == 5); /* the fourth level's own table */
    w.allocations_left = w.gets_left = 0;
    act_on(!_i, SMALL + KIB4);
    before = tables();
    OK(F(cursor_protect_range)(&c, 2 * MIB2, writable));
    ck_assert_uint_eq(tables(), before);
    at(HOLE);
    OK(F(cursor_protect_range)(&c, MIB2, writable)); /* leaves, and holes that stay holes */
    acted();
    w.allocations_left = w.gets_left = -1;
    ck_assert_int_eq(walk(watching, SMALL, WALK_READ).result == WALK_OK, false);
    ck_assert_int_eq(walk(acting, SMALL, WALK_WRITE).result == WALK_OK, false);
    ck_assert_int_eq(walk(acting, SMALL + KIB4, WALK_WRITE).result, WALK_OK);
}
END_TEST

START_TEST(a_piece_of_a_shared_huge_leaf_becomes_private)
{
    int64_t held1 = w.held[1];

    act_on(_i, HUGE2 + 3 * KIB4);
    OK(F(cursor_protect_range)(&c, KIB4, writable));
    ck_assert_uint_eq(look(HUGE2 + 3 * KIB4).prop, RESTING);
    ck_assert_uint_eq(look(HUGE2 + 4 * KIB4).prop, RESTING & ~PT_W);
    ck_assert_uint_eq(look(HUGE2 + 4 * KIB4).level, 1);
    acted();
    ck_assert_int_eq(w.held[2], 1); /* the other side's */
    ck_assert_int_eq(w.held[1] - held1, 512);
    act_on(_i, HUGE3 + MIB2 + KIB4);
    OK(F(cursor_unmap_range)(&c, KIB4));
    ck_assert_int_eq(look(HUGE3 + MIB2 + KIB4).kind, PT_HOLE);
    ck_assert_uint_eq(look(HUGE3).prop, RESTING & ~PT_W);
    acted();
    ck_assert_int_eq(w.held[3], 1);
    ck_assert_int_eq(w.held[2], 1 + 511);
    ck_assert_int_eq(w.held[1] - held1, 512 + 511);
}
END_TEST

START_TEST(whole_shared_tables_go_without_copying)
{
    uint64_t frames = 3 * 512 - 8 + 512, before = tables();
    struct pt_item item;

    act_on(_i % 2, 0);
    if (_i < 2) {
        w.allocations_left = w.gets_left = 0;
        OK(F(cursor_take_subtree)(&c, 512 * GIB1, &item));
        ck_assert_int_eq(item.kind, PT_TABLE);
        ck_assert_uint_eq(item.length, 512 * GIB1);
        ck_assert_uint_eq(item.frames, frames + (1 << 18));
    } else {
        /* The table of the first GiB alone: the one that holds it becomes private. */
        OK(F(cursor_take_subtree)(&c, 2 * GIB1, &item));
        ck_assert_int_eq(item.kind, PT_TABLE);
        ck_assert_uint_eq(item.start, GIB1);
        ck_assert_uint_eq(item.frames, frames);
        ck_assert_uint_eq(F(cursor_at)(&c), 2 * GIB1);
        ck_assert_uint_eq(tables(), before + 1);
    }
    acted();
    ck_assert_int_ne(walk(acting, SMALL, WALK_READ).result, WALK_OK);
    ck_assert_int_eq(walk(acting, HUGE3, WALK_READ).result == WALK_OK, _i >= 2);
    w.allocations_left = w.gets_left = -1;
}
END_TEST

START_TEST(looking_and_changing_nothing_copies_nothing)
{
    struct pt_change none[4] = {{0, PT_W}, {0, 0}, {PT_R | PT_SOFT1, PT_SOFT0}, {PT_A | PT_D, 0}};
    struct pt_range run;
    struct pt_item item;
    uint64_t before = tables();

    w.allocations_left = w.gets_left = 0;
    act_on(_i, 0);
    for (unsigned i = 0; i < 4; i++) {
        at(SMALL + KIB4);
        OK(F(cursor_protect_range)(&c, 2 * GIB1 - MIB2, none[i]));
        at(HUGE2 + KIB4);
        OK(F(cursor_protect_next)(&c, KIB4, none[i], &item));
    }
    at(HOLE);
    OK(F(cursor_unmap_range)(&c, 8 * KIB4));
    at(GAP);
    OK(F(cursor_unmap_range)(&c, MIB2));
    at(SMALL);
    IS(F(cursor_map)(&c, HPA, 1, RAM), PT_EOCCUPIED);
    IS(F(cursor_map)(&c, HPA, 2, RAM), PT_EOCCUPIED);
    OK(F(cursor_harvest)(&c, MIB2, PT_D, false, &run));
    at(HOLE);
    IS(F(cursor_harvest)(&c, 8 * KIB4, PT_D, true, &run), PT_END);
    IS(F(cursor_protect_range)(&c, GIB1, (struct pt_change){PT_W, PT_R}), PT_EINVAL);
    at(HUGE2);
    OK(F(cursor_split)(&c, 2));
    OK(F(cursor_collapse)(&c, 2));
    while (F(cursor_next)(&c) == PT_OK)
        ;
    ck_assert_uint_eq(acting->gather.nranges, 0);
    acted();
    ck_assert_uint_eq(tables(), before);
    w.allocations_left = w.gets_left = -1;
}
END_TEST

/* --- One operation of each kind: what it did here, and that it did nothing there ---------------------------------- */

static void do_map_hole(void)
{
    at(HOLE + KIB4);
    OK(F(cursor_map)(&c, HPA, 1, COUNTED));
    ck_assert_uint_eq(look(HOLE + KIB4).prop, COUNTED);
    at(GAP);
    OK(F(cursor_map_range)(&c, HPA, MIB2 + KIB4, COUNTED));
    at(3 * GIB1);
    OK(F(cursor_map)(&c, HPA, 3, COUNTED));
    ck_assert_uint_eq(look(GAP).level, 2);
    ck_assert_uint_eq(look(3 * GIB1).prop, COUNTED);
}

static void do_protect_much(void)
{
    at(SMALL + KIB4);
    OK(F(cursor_protect_range)(&c, 2 * GIB1 - MIB2, (struct pt_change){PT_W | PT_SOFT2, PT_D}));
    ck_assert_uint_eq(look(SMALL).prop, RESTING & ~PT_W);
    ck_assert_uint_eq(look(SMALL + KIB4).prop, (RESTING | PT_SOFT2) & ~PT_D);
    ck_assert_uint_eq(look(HUGE3).prop, (RESTING | PT_SOFT2) & ~PT_D);
    ck_assert_uint_eq(look(HUGE3 + GIB1 - KIB4).prop, RESTING & ~PT_W);
}

static void do_take(void)
{
    struct pt_item item;

    at(HOLE);
    OK(F(cursor_take_next)(&c, MIB2, &item));
    ck_assert_uint_eq(item.start, HOLE + 8 * KIB4);
    ck_assert_uint_eq(item.prop, RESTING & ~PT_W);
    OK(F(cursor_take_subtree)(&c, MIB2, &item));
    ck_assert_int_eq(item.kind, PT_LEAF);
    at(PIECES);
    OK(F(cursor_take_subtree)(&c, MIB2, &item));
    ck_assert_int_eq(item.kind, PT_TABLE);
    ck_assert_uint_eq(item.frames, 512);
    at(HUGE2 + KIB4);
    OK(F(cursor_take_next)(&c, KIB4, &item));
    ck_assert_uint_eq(item.level, 1);
    ck_assert_uint_eq(item.prop, RESTING & ~PT_W);
}

static void do_unmap(void)
{
    at(SMALL + 100 * KIB4);
    OK(F(cursor_unmap_range)(&c, MIB2));
    ck_assert_int_eq(look(SMALL + 99 * KIB4).kind, PT_LEAF);
    ck_assert_int_eq(look(SMALL + 100 * KIB4).kind, PT_HOLE);
    at(PIECES);
    OK(F(cursor_unmap_range)(&c, MIB2));
    at(HUGE2);
    OK(F(cursor_unmap_range)(&c, MIB2));
}

static void do_copy_inside(void)
{
    struct pt_cursor src, dst;

    OK(F(cursor_init_inside)(&src, &c, SMALL, 32 * MIB2));
    OK(F(cursor_init_inside)(&dst, &c, GAP, 32 * MIB2));
    OK(F(cursor_copy_from)(&dst, &src, 16 * MIB2, writable, (struct pt_change){PT_SOFT0, PT_D}));
    F(cursor_end)(&dst);
    F(cursor_end)(&src);
    ck_assert_uint_eq(look(SMALL).prop, (RESTING | PT_SOFT0) & ~(PT_W | PT_D));
    ck_assert_uint_eq(look(GAP).prop, RESTING);
    ck_assert_uint_eq(look(GAP + (HUGE2 - SMALL)).level, 2);
}

static void do_share_inside(void)
{
    struct pt_cursor src, dst;

    OK(F(cursor_init_inside)(&src, &c, SMALL, 32 * MIB2));
    OK(F(cursor_init_inside)(&dst, &c, GAP, 32 * MIB2));
    OK(F(cursor_share_from)(&dst, &src, 16 * MIB2));
    F(cursor_end)(&dst);
    F(cursor_end)(&src);
    ck_assert_uint_eq(look(SMALL).prop, RESTING & ~PT_W);
    ck_assert_uint_eq(look(GAP).prop, RESTING & ~PT_W);
}

static void do_split(void)
{
    at(HUGE2 + KIB4);
    OK(F(cursor_split)(&c, 1));
    ck_assert_uint_eq(look(HUGE2 + KIB4).level, 1);
    ck_assert_uint_eq(look(HUGE2 + KIB4).prop, RESTING & ~PT_W);
    at(HUGE3 + 9 * MIB2);
    OK(F(cursor_split)(&c, 2));
    ck_assert_uint_eq(look(HUGE3).level, 2);
    ck_assert_uint_eq(look(HUGE3).prop, RESTING & ~PT_W);
}

static void do_harvest(void)
{
    struct pt_range run;

    at(SMALL + KIB4);
    OK(F(cursor_harvest)(&c, HUGE2 - SMALL, PT_D, true, &run));
    ck_assert_uint_eq(run.start, SMALL + KIB4);
    ck_assert_uint_eq(run.length, HOLE - SMALL - KIB4);
    ck_assert_uint_eq(look(SMALL).prop, RESTING & ~PT_W);
    ck_assert_uint_eq(look(SMALL + KIB4).prop, RESTING & ~(PT_W | PT_D));
    at(HUGE2 + KIB4);
    OK(F(cursor_harvest)(&c, KIB4, PT_A | PT_D, true, &run));
    ck_assert_uint_eq(run.length, KIB4);
    ck_assert_uint_eq(look(HUGE2 + KIB4).prop, RESTING & ~(PT_W | PT_A | PT_D));
    ck_assert_uint_eq(look(HUGE2 + 2 * KIB4).prop, RESTING & ~PT_W);
}

static void do_collapse(void)
{
    at(PIECES);
    OK(F(cursor_collapse)(&c, 2));
    ck_assert_uint_eq(look(PIECES).level, 2);
    ck_assert_uint_eq(look(PIECES).prop, RESTING & ~PT_W); /* as its pieces were */
    at(SMALL);
    IS(F(cursor_collapse)(&c, 2), PT_EUNEQUAL);
}

static void (*const changes[9])(void) = {do_map_hole,     do_protect_much, do_take,    do_unmap,   do_copy_inside,
                                         do_share_inside, do_split,        do_harvest, do_collapse};

START_TEST(changes_below_shared_tables_stay_on_their_side)
{
    act_on(_i % 2, 0);
    changes[_i / 2]();
    acted();
    if (_i / 2 == 6) /* splitting changes no right, only page sizes */
        ck_assert_int_ne(walk(acting, HUGE2, WALK_WRITE).result, WALK_OK);
    /* And the other side can still do all of it. */
    act_on(!(_i % 2), 0);
    changes[_i / 2]();
    acted();
}
END_TEST

/* A leaf can't have W in one part and not in another, also when only the way to the part lacks it. */
START_TEST(a_table_partly_shared_does_not_collapse)
{
    uint64_t start = 600 * GIB1;

    claim(0, w.pt.size);
    at(start);
    OK(F(cursor_map)(&c, HPA, 3, COUNTED));
    at(start);
    OK(F(cursor_split)(&c, 1));
    claim_two(start, GIB1);
    at(start);
    OK(F(cursor_share_from)(&c2, &c, MIB2));
    at(start);
    IS(F(cursor_collapse)(&c, 3), PT_EUNEQUAL);
    OK(F(cursor_protect_range)(&c, GIB1, read_only));
    at(start);
    OK(F(cursor_collapse)(&c, 3));
    ck_assert_uint_eq(look(start).level, 3);
    ck_assert_uint_eq(look_two(start).level, 1);
    ck_assert_uint_eq(look_two(start).prop, COUNTED & ~PT_W);
    done_two();
    both_add_up();
}
END_TEST

/* A tree that shares from both, before and after one side changed. */
START_TEST(shares_taken_at_different_times_differ)
{
    struct world third, fourth;
    struct world *const all[4] = {&w, &w2, &third, &fourth};

    open_tree(&third);
    open_tree(&fourth);
    for (unsigned i = 0; i < 2; i++) {
        struct world *late = i ? &fourth : &third;

        act_on(_i, 0);
        OK(F(cursor_init)(&c2, &late->pt, 0, 512 * GIB1, PT_WRITE, &late->gather));
        OK(F(cursor_share_from)(&c2, &c, 512 * GIB1));
        F(cursor_end)(&c2);
        F(gather_sync)(&late->gather);
        F(cursor_end)(&c);
        F(gather_sync)(&acting->gather);
        spans_free(&watched);
        act_on(_i, SMALL + i * KIB4);
        OK(F(cursor_protect_range)(&c, KIB4, (struct pt_change){PT_W | PT_SOFT0, 0}));
        F(cursor_end)(&c);
        F(gather_sync)(&acting->gather);
        spans_free(&watched);
    }
    adds_up(all, 4);
    OK(F(cursor_init)(&c, &third.pt, 0, GIB1 * 4, PT_READ, &third.gather));
    ck_assert_uint_eq(look(SMALL).prop, RESTING & ~PT_W);
    F(cursor_end)(&c);
    OK(F(cursor_init)(&c, &fourth.pt, 0, GIB1 * 4, PT_READ, &fourth.gather));
    ck_assert_uint_eq(look(SMALL).prop, (RESTING | PT_SOFT0) & ~PT_W);
    ck_assert_uint_eq(look(SMALL + KIB4).prop, RESTING & ~PT_W);
    F(cursor_end)(&c);
    close_tree(&third);
    close_tree(&fourth);
    both_add_up();
}
END_TEST

static void add_private_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, one_table_a_level_is_copied, 0, 2);
    tcase_add_loop_test(tcase, the_last_owner_takes_the_path_back, 0, 2);
    tcase_add_loop_test(tcase, a_piece_of_a_shared_huge_leaf_becomes_private, 0, 2);
    tcase_add_loop_test(tcase, whole_shared_tables_go_without_copying, 0, 4);
    tcase_add_loop_test(tcase, looking_and_changing_nothing_copies_nothing, 0, 2);
    tcase_add_loop_test(tcase, changes_below_shared_tables_stay_on_their_side, 0, 18);
    tcase_add_test(tcase, a_table_partly_shared_does_not_collapse);
    tcase_add_loop_test(tcase, shares_taken_at_different_times_differ, 0, 2);
}

int main(void)
{
    Suite *suite = suite_create("share: " F_TEXT(PT_TEST_FORMAT) ", " F_TEXT(PT_TEST_LEVELS) " levels");

    add_share_tests(add_group(suite, "sharing", setup_two, teardown_two));
    add_resolve_tests(add_group(suite, "copy-on-write", setup_resolve, teardown_two));
    add_owner_tests(add_group(suite, "owners", setup_two, teardown_two));
    add_private_tests(add_group(suite, "private changes", setup_shared, teardown_two));
    return run_suite(suite);
}
