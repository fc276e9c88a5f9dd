/* Tests of protecting, taking and unmapping, for one format and number of levels. Follows ept_cursor_fixture.h. */
START_TEST(protecting_a_part_splits_and_keeps_everything_else)
{
    pt_prop prop = PT_RWX | PT_A | PT_D | PT_WT | PT_TRACKED | PT_SOFT0 | PT_SOFT2 | (is_ept() ? PT_IPAT : PT_U | PT_G);
    struct pt_item item;

    claim(0, 4 * GIB1);
    at(GIB1);
    OK(F(cursor_map)(&c, HPA + GIB1, 3, prop));
    at(GIB1 + MIB2 + KIB4);
    world_arm(&w);
    OK(F(cursor_protect_range)(&c, 2 * KIB4, read_only));
    ck_assert_uint_eq(F(cursor_at)(&c), GIB1 + MIB2 + 3 * KIB4);
    F(gather_sync)(&w.gather);
    ck_assert(world_flushed(&w, GIB1 + MIB2 + KIB4, 2 * KIB4));
    ck_assert_int_eq(w.held[3], 0);
    ck_assert_int_eq(w.held[2], 511);
    ck_assert_int_eq(w.held[1], 512);
    item = look(GIB1 + MIB2 + KIB4);
    ck_assert_uint_eq(item.prop, prop & ~PT_W);
    ck_assert_uint_eq(item.hpa, HPA + GIB1 + MIB2 + KIB4);
    ck_assert_uint_eq(look(GIB1 + MIB2).prop, prop);
    ck_assert_uint_eq(look(GIB1 + MIB2 + 3 * KIB4).prop, prop);
    item = look(GIB1);
    ck_assert_uint_eq(item.level, 2);
    ck_assert_uint_eq(item.prop, prop);
    ck_assert_uint_eq(look(2 * GIB1 - KIB4).hpa, HPA + 2 * GIB1 - MIB2);
}
END_TEST

START_TEST(both_edges_of_a_range_are_split)
{
    claim(0, 4 * GIB1);
    OK(F(cursor_map_range)(&c, HPA, 3 * GIB1, COUNTED));
    at(GIB1 - MIB2 - KIB4);
    OK(F(cursor_protect_range)(&c, GIB1 + 2 * MIB2 + 2 * KIB4, read_only));
    ck_assert_uint_eq(counted().leaves[3], 1);
    ck_assert_uint_eq(counted().leaves[2], 1022);
    ck_assert_uint_eq(counted().leaves[1], 1024);
    ck_assert_uint_eq(look(GIB1 - MIB2 - 2 * KIB4).prop, COUNTED);
    ck_assert_uint_eq(look(GIB1 - MIB2 - KIB4).prop, COUNTED & ~PT_W);
    ck_assert_uint_eq(look(2 * GIB1 + MIB2).prop, COUNTED & ~PT_W);
    ck_assert_uint_eq(look(2 * GIB1 + MIB2 + KIB4).prop, COUNTED);
}
END_TEST

START_TEST(a_change_of_nothing_splits_nothing)
{
    struct pt_item item;

    claim(0, 4 * GIB1);
    OK(F(cursor_map)(&c, HPA, 3, COUNTED & ~PT_W));
    w.allocations_left = 0;
    at(KIB4);
    OK(F(cursor_protect_range)(&c, KIB4, read_only));
    OK(F(cursor_protect_range)(&c, KIB4, nothing));
    OK(F(cursor_protect_range)(&c, KIB4, (struct pt_change){PT_R, PT_A | PT_D}));
    at(KIB4);
    OK(F(cursor_protect_next)(&c, KIB4, read_only, &item));
    ck_assert_uint_eq(item.level, 3);
    ck_assert_uint_eq(F(cursor_at)(&c), 2 * KIB4);
    ck_assert_uint_eq(counted().leaves[3], 1);
    ck_assert_uint_eq(w.gather.nranges, 0);
}
END_TEST

START_TEST(a_change_that_one_leaf_cannot_take_changes_none)
{
    claim(0, 4 * GIB1);
    OK(F(cursor_map)(&c, HPA, 1, RAM));
    at(MIB2);
    OK(F(cursor_map)(&c, HPA, 2, PT_WB));
    at(0);
    IS(F(cursor_protect_range)(&c, GIB1, (struct pt_change){PT_W, PT_X}), PT_EINVAL);
    IS(F(cursor_protect_range)(&c, GIB1, (struct pt_change){0, PT_TRACKED}), PT_EINVAL);
    IS(F(cursor_protect_range)(&c, GIB1, (struct pt_change){PT_TRACKED, 0}), PT_EINVAL);
    IS(F(cursor_protect_range)(&c, GIB1, (struct pt_change){PT_WB, 0}), PT_EINVAL);
    IS(F(cursor_protect_range)(&c, GIB1, (struct pt_change){PT_WT, PT_WB}), PT_EINVAL);
    IS(F(cursor_protect_range)(&c, GIB1, (struct pt_change){is_ept() ? PT_U : PT_IPAT, 0}), PT_EINVAL);
    IS(F(cursor_protect_range)(&c, GIB1, (struct pt_change){1u << 30, 0}), PT_EINVAL);
    ck_assert_uint_eq(look(0).prop, RAM);
    OK(F(cursor_protect_range)(&c, GIB1, (struct pt_change){PT_WT, PT_MT_MASK}));
    ck_assert_uint_eq(look(0).prop, PT_RWX | PT_WT);
    ck_assert_uint_eq(look(MIB2).prop, PT_WT);
}
END_TEST

START_TEST(a_and_d_stay_unless_named)
{
    claim(0, GIB1);
    OK(F(cursor_map)(&c, HPA, 1, RAM | PT_A | PT_D));
    at(0);
    OK(F(cursor_protect_range)(&c, KIB4, read_only));
    ck_assert_uint_eq(look(0).prop, (RAM | PT_A | PT_D) & ~PT_W);
    OK(F(cursor_protect_range)(&c, KIB4, (struct pt_change){PT_W, PT_D}));
    ck_assert_uint_eq(look(0).prop, RAM | PT_A);
}
END_TEST

START_TEST(protect_next_reports_and_steps)
{
    struct pt_item item;

    claim(0, GIB1);
    at(MIB2);
    OK(F(cursor_map)(&c, HPA, 2, COUNTED));
    at(0);
    OK(F(cursor_protect_next)(&c, MIB2 + 2 * KIB4, read_only, &item));
    ck_assert_uint_eq(item.start, MIB2);
    ck_assert_uint_eq(item.level, 1);
    ck_assert_uint_eq(item.prop, COUNTED);
    ck_assert_uint_eq(F(cursor_at)(&c), MIB2 + KIB4);
    OK(F(cursor_protect_next)(&c, KIB4, read_only, &item));
    IS(F(cursor_protect_next)(&c, KIB4, (struct pt_change){0, PT_R}, &item), is_ept() ? PT_EINVAL : PT_EINVAL);
    ck_assert_uint_eq(F(cursor_at)(&c), MIB2 + 2 * KIB4);
    at(3 * MIB2);
    IS(F(cursor_protect_next)(&c, MIB2, read_only, &item), PT_END);
    ck_assert_uint_eq(F(cursor_at)(&c), 4 * MIB2);
    ck_assert_uint_eq(look(MIB2 + KIB4).prop, COUNTED & ~PT_W);
    ck_assert_uint_eq(look(MIB2 + 2 * KIB4).prop, COUNTED);
}
END_TEST

START_TEST(take_next_takes_leaves_one_by_one)
{
    struct pt_item item;

    claim(0, 4 * GIB1);
    at(MIB2 - KIB4);
    OK(F(cursor_map_range)(&c, HPA + MIB2 - KIB4, KIB4 + MIB2, COUNTED | PT_D));
    at(0);
    OK(F(cursor_take_next)(&c, 4 * GIB1, &item));
    ck_assert_int_eq(item.kind, PT_LEAF);
    ck_assert_uint_eq(item.start, MIB2 - KIB4);
    ck_assert_uint_eq(item.hpa, HPA + MIB2 - KIB4);
    ck_assert_uint_eq(item.prop, COUNTED | PT_D);
    OK(F(cursor_take_next)(&c, 3 * GIB1, &item));
    ck_assert_uint_eq(item.start, MIB2);
    ck_assert_uint_eq(item.level, 2);
    ck_assert_int_eq(w.held[2], 1); /* not before the flush */
    IS(F(cursor_take_next)(&c, GIB1, &item), PT_END);
    F(gather_sync)(&w.gather);
    ck_assert_int_eq(w.held[2], 0);
}
END_TEST

START_TEST(take_next_splits_what_is_partly_inside)
{
    struct pt_item item;

    claim(0, 4 * GIB1);
    OK(F(cursor_map)(&c, HPA, 3, COUNTED));
    at(MIB2 - KIB4);
    OK(F(cursor_take_next)(&c, KIB4 + MIB2, &item));
    ck_assert_uint_eq(item.start, MIB2 - KIB4);
    ck_assert_uint_eq(item.level, 1);
    OK(F(cursor_take_next)(&c, MIB2, &item));
    ck_assert_uint_eq(item.start, MIB2);
    ck_assert_uint_eq(item.level, 2);
    ck_assert_uint_eq(item.hpa, HPA + MIB2);
    F(gather_sync)(&w.gather);
    ck_assert_int_eq(w.held[3], 0);
    ck_assert_int_eq(w.held[2], 510);
    ck_assert_int_eq(w.held[1], 511);
    ck_assert_uint_eq(counted().frames, (1 << 18) - 513);
}
END_TEST

START_TEST(take_subtree_takes_whole_tables)
{
    struct pt_item item;

    claim(0, w.pt.size);
    at(GIB1 + MIB2);
    OK(F(cursor_map_range)(&c, HPA + KIB4, 600 * KIB4, COUNTED));
    at(GIB1 + 16 * MIB2);
    OK(F(cursor_map)(&c, HPA, 2, RAM));
    at(GIB1);
    OK(F(cursor_take_subtree)(&c, GIB1, &item));
    ck_assert_int_eq(item.kind, PT_TABLE);
    ck_assert_uint_eq(item.start, GIB1);
    ck_assert_uint_eq(item.length, GIB1);
    ck_assert_uint_eq(item.frames, 600 + 512);
    ck_assert_uint_eq(F(cursor_at)(&c), 2 * GIB1);
    ck_assert_int_eq(w.held[1], 600);
    world_arm(&w);
    F(gather_sync)(&w.gather);
    ck_assert(world_flushed(&w, GIB1, GIB1));
    ck_assert_int_eq(w.held[1], 0);
    at(0);
    IS(F(cursor_take_subtree)(&c, w.pt.size, &item), PT_END);
    done();
    ck_assert_uint_eq(tables(), 1);
    claim(0, w.pt.size);
    OK(F(cursor_map)(&c, HPA, 1, COUNTED));
    at(0);
    OK(F(cursor_take_subtree)(&c, MIB2 - KIB4, &item)); /* its table is not inside */
    ck_assert_int_eq(item.kind, PT_LEAF);
}
END_TEST

START_TEST(unmap_range_clears_parts_and_wholes)
{
    claim(0, 8 * GIB1);
    OK(F(cursor_map_range)(&c, HPA, 2 * GIB1, COUNTED));
    at(3 * GIB1);
    OK(F(cursor_map_range)(&c, HPA + KIB4, 4 * MIB2, COUNTED));
    at(KIB4);
    OK(F(cursor_unmap_range)(&c, 3 * GIB1 + MIB2));
    ck_assert_uint_eq(F(cursor_at)(&c), 3 * GIB1 + MIB2 + KIB4);
    F(gather_sync)(&w.gather);
    ck_assert_int_eq(look(0).kind, PT_LEAF);
    ck_assert_int_eq(look(KIB4).kind, PT_HOLE);
    ck_assert_int_eq(look(3 * GIB1 + MIB2).kind, PT_HOLE);
    ck_assert_int_eq(look(3 * GIB1 + MIB2 + KIB4).kind, PT_LEAF);
    ck_assert_uint_eq(counted().tracked, 1 + 3 * 512 - 1);
    ck_assert_int_eq(w.held[1], 3 * 512);
    ck_assert_int_eq(w.held[2] + w.held[3], 0);
    at(KIB4);
    OK(F(cursor_unmap_range)(&c, GIB1)); /* holes only */
}
END_TEST

START_TEST(the_top_of_the_address_space_works)
{
    struct pt_item item;
    uint64_t top = w.pt.size;

    claim(top - 2 * GIB1, 2 * GIB1);
    OK(F(cursor_map_range)(&c, HPA, 2 * GIB1, COUNTED));
    ck_assert_uint_eq(F(cursor_at)(&c), top);
    IS(F(cursor_query)(&c, &item), PT_END);
    at(top - KIB4);
    OK(F(cursor_protect_range)(&c, KIB4, read_only));
    item = look(top - KIB4);
    ck_assert_uint_eq(item.prop, COUNTED & ~PT_W);
    ck_assert_uint_eq(item.start + item.length, top);
    OK(F(cursor_next)(&c));
    IS(F(cursor_next)(&c), PT_END);
    ck_assert_uint_eq(walk(&w, top - 1, WALK_READ).pa, HPA + 2 * GIB1 - 1);
    at(top - KIB4);
    OK(F(cursor_take_next)(&c, KIB4, &item));
    at(top - GIB1);
    OK(F(cursor_unmap_range)(&c, GIB1));
    done();
    claim(0, top);
    OK(F(cursor_unmap_range)(&c, top));
    done();
    ck_assert_uint_eq(tables(), 1);
}
END_TEST
