/* Tests of share_from, for one format and number of levels: what is shared, what is copied, what is refused, and who
 * frees it. Follows ept_picture_body.h. */

#define SHARED_PAGES (GIB1 / KIB4)

/* Shares and lets go of both trees, and checks them. */
static void share(uint64_t from, uint64_t to, uint64_t length)
{
    open_both(from, to);
    OK(F(cursor_share_from)(&c2, &c, length));
    ck_assert_uint_eq(F(cursor_at)(&c), from + length);
    ck_assert_uint_eq(F(cursor_at)(&c2), to + length);
    done_two();
}

/* Maps a range with pages of 4 KiB only. */
static void map_small(uint64_t start, uint64_t length, pt_prop prop)
{
    claim(0, w.pt.size);
    at(start);
    OK(F(cursor_map_range)(&c, HPA + KIB4, length, prop));
    done();
}

/* Every kind of leaf, with holes, from 1 GiB to 4 GiB. */
static void map_mixture(void)
{
    pt_prop more = PT_A | PT_D | PT_SOFT0 | (is_ept() ? PT_IPAT : PT_U | PT_G);

    claim(0, w.pt.size);
    at(GIB1);
    OK(F(cursor_map_range)(&c, HPA + KIB4, 3 * MIB2 + 5 * KIB4, COUNTED));
    at(GIB1 + 4 * MIB2 + KIB4);
    OK(F(cursor_map)(&c, HPA, 1, PT_RX | PT_WT | PT_TRACKED | more));
    OK(F(cursor_map)(&c, HPA, 1, PT_UC)); /* no rights */
    OK(F(cursor_map)(&c, HPA, 1, RAM | more));
    at(GIB1 + 6 * MIB2);
    OK(F(cursor_map_range)(&c, HPA + 2 * MIB2, 4 * MIB2, COUNTED | more));
    at(2 * GIB1 - KIB4);
    OK(F(cursor_map)(&c, HPA + 9 * KIB4, 1, RAM));
    at(3 * GIB1);
    OK(F(cursor_map)(&c, HPA + 3 * GIB1, 3, COUNTED | PT_SOFT2));
    done();
}

START_TEST(a_gigabyte_is_shared_with_a_handful_of_tables)
{
    uint64_t before, leaf, entry_table;

    map_small(GIB1, GIB1, COUNTED);
    before = tables();
    leaf = raw_leaf(&w, GIB1 + 777 * KIB4);
    entry_table = raw_table(&w, GIB1 + 777 * KIB4);
    w.gets_left = 0;
    share(GIB1, 5 * GIB1, GIB1);
    ck_assert(world_flushed(&w, GIB1, GIB1));
    ck_assert_uint_eq(tables() - before, w.config.levels - 3); /* the path down to the table shared */
    ck_assert_uint_eq(raw_leaf(&w, GIB1 + 777 * KIB4), leaf);
    ck_assert_uint_eq(raw_leaf(&w2, 5 * GIB1 + 777 * KIB4), leaf);
    ck_assert_uint_eq(raw_table(&w2, 5 * GIB1 + 777 * KIB4), entry_table);
    ck_assert_int_eq(w.held[1], SHARED_PAGES);
    for (unsigned tree = 0; tree < 2; tree++) {
        struct world *side = tree ? &w2 : &w;
        uint64_t base = tree ? 5 * GIB1 : GIB1;

        ck_assert_int_eq(walk(side, base + 5, WALK_READ).result, WALK_OK);
        ck_assert_uint_eq(walk(side, base + MIB2 + 5, WALK_FETCH).pa, HPA + KIB4 + MIB2 + 5);
        ck_assert_int_ne(walk(side, base + MIB2, WALK_WRITE).result, WALK_OK);
    }
    w.gets_left = -1;
    both_add_up();
}
END_TEST

START_TEST(tables_are_shared_as_far_as_both_addresses_are_aligned_alike)
{
    static const uint64_t to[3] = {8 * GIB1, 8 * GIB1 + MIB2, 8 * GIB1 + KIB4};
    uint64_t before;

    map_small(GIB1, 4 * MIB2, COUNTED);
    before = tables();
    share(GIB1, to[_i], 4 * MIB2);
    ck_assert_int_eq(raw_table(&w, GIB1) == raw_table(&w2, to[_i]), _i < 2);
    ck_assert_int_eq(w.held[1], _i < 2 ? 4 * 512 : 8 * 512);
    /* Only a whole table is shared, and the one of 2 MiB slots is not whole here. */
    ck_assert_uint_eq(tables() - before, w.config.levels - 2 + (_i < 2 ? 0 : 5));
    both_add_up();
}
END_TEST

START_TEST(tables_partly_inside_are_copied)
{
    uint64_t leaf;

    map_small(GIB1, 4 * MIB2, COUNTED);
    share(GIB1 + KIB4, GIB1 + KIB4, 4 * MIB2 - 2 * KIB4);
    leaf = raw_leaf(&w, GIB1 + MIB2);
    ck_assert_uint_ne(raw_table(&w, GIB1 + KIB4), raw_table(&w2, GIB1 + KIB4));
    ck_assert_uint_eq(raw_table(&w, GIB1 + MIB2), raw_table(&w2, GIB1 + MIB2));
    ck_assert_uint_eq(raw_table(&w, GIB1 + 2 * MIB2), raw_table(&w2, GIB1 + 2 * MIB2));
    ck_assert_uint_ne(raw_table(&w, GIB1 + 3 * MIB2), raw_table(&w2, GIB1 + 3 * MIB2));
    ck_assert((leaf & RAW_W) != 0); /* shared: not touched */
    ck_assert((raw_leaf(&w, GIB1 + KIB4) & RAW_W) == 0);
    ck_assert((raw_leaf(&w2, GIB1 + 4 * MIB2 - 2 * KIB4) & RAW_W) == 0);
    ck_assert_int_eq(walk(&w, GIB1, WALK_WRITE).result, WALK_OK); /* outside */
    ck_assert_int_eq(walk(&w, GIB1 + 4 * MIB2 - KIB4, WALK_WRITE).result, WALK_OK);
    ck_assert_int_ne(walk(&w2, GIB1, WALK_READ).result, WALK_OK);
    ck_assert_int_eq(w.held[1], 4 * 512 + 2 * 511);
    both_add_up();
}
END_TEST

START_TEST(huge_leaves_are_copied_or_lie_in_shared_tables)
{
    map_mixture();
    share(0, 0, 8 * GIB1);
    ck_assert_uint_eq(raw_table(&w, GIB1 + 7 * MIB2), raw_table(&w2, GIB1 + 7 * MIB2));
    ck_assert_uint_ne(raw_table(&w, 3 * GIB1), raw_table(&w2, 3 * GIB1)); /* 8 GiB are not all of it */
    ck_assert_int_eq(w.held[3], 2);
    ck_assert_int_eq(w.held[2], 4);
    ck_assert_int_ne(walk(&w, 3 * GIB1, WALK_WRITE).result, WALK_OK);
    ck_assert_int_ne(walk(&w2, 3 * GIB1, WALK_WRITE).result, WALK_OK);
    both_add_up();
}
END_TEST

/* What copy_from does with {.clear = PT_W} on both sides, in trees of their own. */
static void copy_instead(uint64_t from, uint64_t to, uint64_t length, struct spans *src, struct spans *dst)
{
    open_both(from, to);
    OK(F(cursor_copy_from)(&c2, &c, length, read_only, read_only));
    done_two();
    *src = picture(&w, true);
    *dst = picture(&w2, true);
    F(destroy)(&w2.pt);
    F(destroy)(&w.pt);
    OK(F(init)(&w.pt, &w.config));
    OK(F(init)(&w2.pt, &w2.config));
}

START_TEST(sharing_has_the_meaning_of_copying_without_w)
{
    static const uint64_t deltas[5] = {0, GIB1, 512 * GIB1, MIB2, KIB4};
    static const struct pt_range ranges[6] = {{0, 8 * GIB1},
                                              {GIB1, GIB1},
                                              {GIB1 + MIB2, 8 * MIB2},
                                              {GIB1 + KIB4, 7 * MIB2},
                                              {GIB1 + 6 * MIB2 + KIB4, 2 * GIB1},
                                              {3 * GIB1 - MIB2, GIB1 + MIB2 - KIB4}};
    uint64_t delta = deltas[_i / 6], from = ranges[_i % 6].start, length = ranges[_i % 6].length;
    struct spans src, dst;

    map_mixture();
    copy_instead(from, from + delta, length, &src, &dst);
    map_mixture();
    share(from, from + delta, length);
    same_picture(picture(&w, true), &src, "source");
    same_picture(picture(&w2, true), &dst, "destination");
    both_add_up();
    spans_free(&src);
    spans_free(&dst);
}
END_TEST

START_TEST(both_cursors_move_over_holes)
{
    share(0, GIB1, w.pt.size - GIB1);
    share(w.pt.size - KIB4, 0, KIB4);
    ck_assert_uint_eq(tables(), 2);
    map_small(w.pt.size - MIB2, MIB2, COUNTED);
    share(w.pt.size - MIB2, 0, MIB2); /* the last table becomes the first */
    ck_assert_uint_eq(raw_table(&w2, 0), raw_table(&w, w.pt.size - KIB4));
    claim(0, w.pt.size);
    at(0);
    OK(F(cursor_map_range)(&c, HPA + KIB4, MIB2, COUNTED));
    done();
    share(0, w.pt.size - MIB2, MIB2); /* and the other way round */
    both_add_up();
}
END_TEST

START_TEST(claims_of_just_the_range_can_share_it)
{
    map_small(GIB1, GIB1, COUNTED);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t length = i ? MIB2 : GIB1, to = (4 + i) * GIB1;

        if (i == 2) { /* where there is a table already, which then is empty */
            claim_two(to, length);
            OK(F(cursor_map)(&c2, HPA, 1, RAM));
            F(cursor_end)(&c2);
        }
        claim(GIB1, length);
        claim_two(to, length);
        if (i == 2) {
            OK(F(cursor_unmap_range)(&c2, length));
            at_two(to);
        }
        OK(F(cursor_share_from)(&c2, &c, length));
        ck_assert_uint_eq(look_two(to).prop, COUNTED & ~PT_W);
        ck_assert_uint_eq(look(GIB1).prop, COUNTED & ~PT_W);
        done_two();
        ck_assert_uint_eq(raw_table(&w2, to), raw_table(&w, GIB1));
    }
    both_add_up();
}
END_TEST

START_TEST(an_occupied_destination_is_refused_before_anything_changes)
{
    struct spans src, dst;

    map_small(GIB1, 4 * MIB2, COUNTED);
    claim_two(0, 8 * GIB1);
    at_two(5 * GIB1 + 32 * MIB2 - KIB4); /* opposite a hole */
    OK(F(cursor_map)(&c2, HPA, 1, RAM));
    done_two();
    src = picture(&w, true);
    dst = picture(&w2, true);
    open_both(GIB1, 5 * GIB1);
    IS(F(cursor_share_from)(&c2, &c, GIB1), PT_EOCCUPIED);
    IS(F(cursor_share_from)(&c2, &c, 32 * MIB2), PT_EOCCUPIED);
    ck_assert_uint_eq(F(cursor_at)(&c), GIB1);
    ck_assert_uint_eq(F(cursor_at)(&c2), 5 * GIB1);
    ck_assert_uint_eq(w.gather.nranges, 0);
    done_two();
    same_picture(picture(&w, true), &src, "source");
    same_picture(picture(&w2, true), &dst, "destination");
    spans_free(&src);
    spans_free(&dst);
    share(GIB1, 5 * GIB1, 32 * MIB2 - KIB4);
    open_both(GIB1, 5 * GIB1);
    IS(F(cursor_share_from)(&c2, &c, MIB2), PT_EOCCUPIED); /* by what was just shared */
    done_two();
    both_add_up();
}
END_TEST

START_TEST(shares_outside_the_claims_are_refused)
{
    map_small(0, MIB2, RAM);
    claim(0, MIB2);
    claim_two(GIB1, 2 * MIB2);
    IS(F(cursor_share_from)(&c2, &c, 0), PT_EINVAL);
    IS(F(cursor_share_from)(&c2, &c, KIB4 - 1), PT_EINVAL);
    IS(F(cursor_share_from)(&c2, &c, MIB2 + KIB4), PT_ERANGE);
    IS(F(cursor_share_from)(&c2, &c, -KIB4), PT_ERANGE);
    at(KIB4);
    IS(F(cursor_share_from)(&c2, &c, MIB2), PT_ERANGE);
    at(0);
    at_two(GIB1 + MIB2 + KIB4);
    IS(F(cursor_share_from)(&c2, &c, MIB2), PT_ERANGE);
    at_two(GIB1 + 2 * MIB2); /* depleted */
    IS(F(cursor_share_from)(&c2, &c, KIB4), PT_ERANGE);
    at_two(GIB1);
    at(MIB2);
    IS(F(cursor_share_from)(&c2, &c, KIB4), PT_ERANGE);
    at(0);
    ck_assert_uint_eq(look(0).prop, RAM);
    ck_assert_int_eq(look_two(GIB1).kind, PT_HOLE);
}
END_TEST

START_TEST(both_cursors_must_be_for_writing)
{
    struct pt_cursor reader;

    map_small(0, MIB2, RAM);
    OK(F(cursor_init)(&reader, &w.pt, 0, MIB2, PT_READ, &w.gather));
    claim_two(0, MIB2);
    IS(F(cursor_share_from)(&c2, &reader, MIB2), PT_EMODE);
    F(cursor_end)(&reader);
    IS(F(cursor_share_from)(&c2, &reader, MIB2), PT_EMODE);
    F(cursor_end)(&c2);
    claim(0, MIB2);
    OK(F(cursor_init)(&reader, &w2.pt, 0, MIB2, PT_READ, &w2.gather));
    IS(F(cursor_share_from)(&reader, &c, MIB2), PT_EMODE);
    F(cursor_end)(&reader);
    IS(F(cursor_share_from)(&reader, &c, MIB2), PT_EMODE);
    ck_assert_uint_eq(look(0).prop, RAM);
}
END_TEST

static bool other_alloc(void *ctx, uint64_t *pa)
{
    return w.config.alloc_table(ctx, pa);
}

static void other_free(void *ctx, uint64_t pa)
{
    w.config.free_table(ctx, pa);
}

static bool other_get(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    return w.config.frame_get(ctx, hpa, level, count);
}

static void other_put(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    w.config.frame_put(ctx, hpa, level, count);
}

START_TEST(trees_that_cannot_hold_the_same_table_are_refused)
{
    struct pt_config other = w.config;
    struct world third;

    map_small(0, MIB2, RAM);
    switch (_i) {
    case 0:
        other.alloc_table = other_alloc;
        break;
    case 1:
        other.free_table = other_free;
        break;
    case 2:
        other.frame_get = other_get;
        break;
    case 3:
        other.frame_put = other_put;
        break;
    case 4:
        other.maxphyaddr--;
        break;
    case 5:
        other.caps &= ~PT_CAP_1G;
        break;
    case 6:
        other.caps &= ~PT_CAP_AD;
        break;
    case 7: /* the same tables, with bookkeeping of another stride in the middle of the array */
        other.meta_stride = 2 * w.config.meta_stride;
        break;
    default:
        other.pa_base -= KIB4;
        other.meta_base = w.meta - 1; /* in effect the same place, but it does not look so */
    }
    memset(&third, 0, sizeof(third));
    OK(F(init)(&third.pt, &other));
    F(gather_init)(&third.gather, &third.pt);
    OK(F(cursor_init)(&c2, &third.pt, 0, MIB2, PT_WRITE, &third.gather));
    claim(0, MIB2);
    IS(F(cursor_share_from)(&c2, &c, MIB2), PT_EINVAL);
    ck_assert_uint_eq(look(0).prop, RAM);
    F(cursor_end)(&c2);
    F(gather_sync)(&third.gather);
    F(destroy)(&third.pt);
}
END_TEST

START_TEST(a_tree_can_share_with_itself)
{
    struct pt_cursor hull, src, dst;
    uint64_t before;

    map_small(GIB1, 4 * MIB2, COUNTED);
    before = tables();
    OK(F(cursor_init)(&hull, &w.pt, 0, 8 * GIB1, PT_WRITE, &w.gather));
    OK(F(cursor_init_inside)(&src, &hull, GIB1, 4 * MIB2));
    OK(F(cursor_init_inside)(&dst, &hull, GIB1 + 2 * MIB2, 4 * MIB2));
    IS(F(cursor_share_from)(&dst, &src, MIB2), PT_EINVAL); /* the claims overlap */
    F(cursor_end)(&dst);
    OK(F(cursor_init_inside)(&dst, &hull, GIB1 + 4 * MIB2, 8 * MIB2));
    OK(F(cursor_share_from)(&dst, &src, 4 * MIB2));
    F(cursor_end)(&src);
    OK(F(cursor_init_inside)(&src, &hull, GIB1, MIB2));
    OK(F(cursor_share_from)(&dst, &src, MIB2)); /* a third place for the same table */
    F(cursor_end)(&dst);
    F(cursor_end)(&src);
    F(cursor_end)(&hull);
    done();
    ck_assert_uint_eq(tables(), before);
    ck_assert_int_eq(w.held[1], 4 * 512);
    both_add_up();
    claim(0, 8 * GIB1);
    at(GIB1 + 4 * MIB2);
    OK(F(cursor_unmap_range)(&c, KIB4));
    ck_assert_int_eq(look(GIB1 + 4 * MIB2).kind, PT_HOLE);
    ck_assert_int_eq(look(GIB1).kind, PT_LEAF);
    ck_assert_int_eq(look(GIB1 + 8 * MIB2).kind, PT_LEAF);
    done();
    ck_assert_uint_eq(tables(), before + 1);
    both_add_up();
}
END_TEST

START_TEST(a_tree_shares_with_itself_only_through_one_gather)
{
    struct pt_gather gather;

    map_small(0, MIB2, RAM);
    F(gather_init)(&gather, &w.pt);
    claim(0, MIB2);
    OK(F(cursor_init)(&c2, &w.pt, 512 * GIB1, MIB2, PT_WRITE, &gather));
    IS(F(cursor_share_from)(&c2, &c, MIB2), PT_EINVAL);
    IS(F(cursor_share_from)(&c, &c, MIB2), PT_EINVAL);
    F(cursor_end)(&c2);
    F(gather_sync)(&gather);
}
END_TEST

/* The leaf lies below a shared table, so the destination's table is not found empty at its own level. */
START_TEST(a_huge_leaf_below_a_shared_table_replaces_an_emptied_table)
{
    open_both(0, 0);
    OK(F(cursor_map_range)(&c, HPA, 4 * MIB2, COUNTED));
    at(0);
    OK(F(cursor_share_from)(&c2, &c, GIB1));
    at_two(GIB1);
    OK(F(cursor_map)(&c2, HPA, 1, RAM));
    done_two();
    claim(2 * MIB2, MIB2);
    claim_two(GIB1, MIB2);
    OK(F(cursor_unmap_range)(&c2, MIB2));
    at_two(GIB1);
    if (_i == 0)
        OK(F(cursor_copy_from)(&c2, &c, MIB2, nothing, nothing));
    else
        OK(F(cursor_share_from)(&c2, &c, MIB2));
    ck_assert_uint_eq(look_two(GIB1).level, 2);
    ck_assert_uint_eq(look_two(GIB1).hpa, HPA + 2 * MIB2);
    done_two();
}
END_TEST

static void add_share_tests(TCase *tcase)
{
    tcase_add_test(tcase, a_gigabyte_is_shared_with_a_handful_of_tables);
    tcase_add_loop_test(tcase, tables_are_shared_as_far_as_both_addresses_are_aligned_alike, 0, 3);
    tcase_add_test(tcase, tables_partly_inside_are_copied);
    tcase_add_test(tcase, huge_leaves_are_copied_or_lie_in_shared_tables);
    tcase_add_loop_test(tcase, sharing_has_the_meaning_of_copying_without_w, 0, 30);
    tcase_add_loop_test(tcase, a_huge_leaf_below_a_shared_table_replaces_an_emptied_table, 0, 2);
    tcase_add_test(tcase, both_cursors_move_over_holes);
    tcase_add_test(tcase, claims_of_just_the_range_can_share_it);
    tcase_add_test(tcase, an_occupied_destination_is_refused_before_anything_changes);
    tcase_add_test(tcase, shares_outside_the_claims_are_refused);
    tcase_add_test(tcase, both_cursors_must_be_for_writing);
    tcase_add_loop_test(tcase, trees_that_cannot_hold_the_same_table_are_refused, 0, 9);
    tcase_add_test(tcase, a_tree_can_share_with_itself);
    tcase_add_test(tcase, a_tree_shares_with_itself_only_through_one_gather);
}
