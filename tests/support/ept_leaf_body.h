/* Tests of split and collapse, for one format and number of levels: each undoes the other, and neither changes what is
 * mapped. Follows ept_picture_body.h. */

/* All that a leaf can have. */
#define LADEN (PT_RWX | PT_WT | PT_TRACKED | PT_SOFT0 | PT_SOFT2 | (is_ept() ? PT_IPAT : PT_U | PT_G))

static struct world *const only_w[1] = {&w};

static void map_leaf(uint64_t address, uint64_t hpa, unsigned level, pt_prop prop)
{
    claim(0, w.pt.size);
    at(address);
    OK(F(cursor_map)(&c, hpa, level, prop));
    done();
}

/* --- Split ------------------------------------------------------------------------------------------------------- */

START_TEST(split_makes_pieces_that_have_everything)
{
    pt_prop prop = LADEN | PT_A | PT_D;
    struct spans before;
    struct pt_item item;

    map_leaf(GIB1, HPA + GIB1, 3, prop);
    before = picture(&w, false);
    claim(0, 4 * GIB1);
    at(GIB1 + 5 * MIB2 + KIB4);
    OK(F(cursor_split)(&c, 2));
    ck_assert_uint_eq(F(cursor_at)(&c), GIB1 + 5 * MIB2 + KIB4);
    ck_assert_uint_eq(counted().leaves[2], 512);
    OK(F(cursor_split)(&c, 1));
    ck_assert_uint_eq(F(cursor_at)(&c), GIB1 + 5 * MIB2 + KIB4);
    OK(F(cursor_query)(&c, &item));
    ck_assert_uint_eq(item.level, 1);
    ck_assert_uint_eq(item.start, GIB1 + 5 * MIB2 + KIB4);
    ck_assert_uint_eq(item.hpa, HPA + GIB1 + 5 * MIB2 + KIB4);
    ck_assert_uint_eq(item.prop, prop);
    ck_assert_uint_eq(look(GIB1).prop, prop);
    ck_assert_uint_eq(look(2 * GIB1 - KIB4).level, 2);
    done();
    EQ(w.nranges, 0); /* the pieces say what the leaf said */
    same_picture(picture(&w, false), &before, "mappings");
    ck_assert_int_eq(w.held[3], 0);
    ck_assert_int_eq(w.held[2], 511);
    ck_assert_int_eq(w.held[1], 512);
    adds_up(only_w, 1);
    spans_free(&before);
}
END_TEST

START_TEST(split_goes_down_two_levels_at_once)
{
    map_leaf(0, HPA, 3, COUNTED);
    claim(0, GIB1); /* just the leaf's slot */
    at(GIB1 - KIB4);
    OK(F(cursor_split)(&c, 1));
    ck_assert_uint_eq(look(GIB1 - KIB4).level, 1);
    ck_assert_uint_eq(look(GIB1 - MIB2 - KIB4).level, 2);
    ck_assert_uint_eq(look(0).level, 2);
    done();
    adds_up(only_w, 1);
}
END_TEST

START_TEST(splitting_what_is_small_enough_changes_nothing)
{
    claim(0, 8 * GIB1);
    for (unsigned level = 1; level <= 3; level++) {
        at(level * GIB1);
        OK(F(cursor_map)(&c, HPA, level, COUNTED));
    }
    w.allocations_left = w.gets_left = 0;
    for (unsigned level = 1; level <= 3; level++)
        for (unsigned wish = level; wish <= 3; wish++) {
            at(level * GIB1);
            OK(F(cursor_split)(&c, wish));
            ck_assert_uint_eq(F(cursor_at)(&c), level * GIB1);
            ck_assert_uint_eq(look(level * GIB1).level, level);
        }
    ck_assert_uint_eq(w.gather.nranges, 0);
    w.allocations_left = w.gets_left = -1;
}
END_TEST

START_TEST(a_split_needs_a_leaf_and_a_level)
{
    map_leaf(GIB1, HPA, 2, RAM);
    claim(0, 2 * GIB1);
    for (unsigned level = 1; level <= 3; level++)
        IS(F(cursor_split)(&c, level), PT_END); /* a hole */
    at(2 * GIB1);
    IS(F(cursor_split)(&c, 1), PT_END); /* depleted */
    at(GIB1);
    IS(F(cursor_split)(&c, 0), PT_EINVAL);
    IS(F(cursor_split)(&c, 4), PT_EINVAL);
    IS(F(cursor_split)(&c, 1u << 31), PT_EINVAL);
    ck_assert_uint_eq(look(GIB1).level, 2);
    F(cursor_end)(&c);
    IS(F(cursor_split)(&c, 1), PT_EMODE);
    OK(F(cursor_init)(&c, &w.pt, GIB1, MIB2, PT_READ, &w.gather));
    IS(F(cursor_split)(&c, 1), PT_EMODE);
    F(cursor_end)(&c);
    F(destroy)(&w.pt);
    w.config.caps &= ~PT_CAP_1G;
    OK(F(init)(&w.pt, &w.config));
    map_leaf(0, HPA, 2, RAM);
    claim(0, GIB1);
    IS(F(cursor_split)(&c, 3), PT_EINVAL);
    OK(F(cursor_split)(&c, 2));
}
END_TEST

START_TEST(a_leaf_partly_outside_the_claim_cannot_be_split)
{
    static const struct pt_range claims[4] = {
        {KIB4, MIB2 - KIB4}, {0, MIB2 - KIB4}, {MIB2 - KIB4, KIB4}, {GIB1 + MIB2, GIB1 - MIB2}};

    claim(0, 4 * GIB1);
    OK(F(cursor_map)(&c, HPA, 2, COUNTED));
    at(GIB1);
    OK(F(cursor_map)(&c, HPA + GIB1, 3, COUNTED));
    done();
    for (unsigned i = 0; i < 4; i++) {
        claim(claims[i].start, claims[i].length);
        IS(F(cursor_split)(&c, 1), PT_ERANGE);
        ck_assert_uint_eq(F(cursor_at)(&c), claims[i].start);
        if (i == 3)
            IS(F(cursor_split)(&c, 2), PT_ERANGE);
        done();
    }
    claim(0, GIB1);
    ck_assert_uint_eq(look(0).level, 2);
    done();
    claim(0, MIB2); /* just the slot */
    OK(F(cursor_split)(&c, 1));
}
END_TEST

/* --- Collapse ---------------------------------------------------------------------------------------------------- */

START_TEST(collapse_undoes_split)
{
    unsigned level = _i < 4 ? 2 : 3, to = _i < 6 ? level - 1 : 1;
    uint64_t size = pt_slot_size(level), before, where = _i % 2 ? w.pt.size - size : size;
    pt_prop prop = LADEN | (_i / 2 % 2 ? PT_A | PT_D : 0);
    struct spans was;

    map_leaf(where, HPA + size, level, prop);
    was = picture(&w, true);
    before = tables();
    for (unsigned exact = 0; exact < 2; exact++) {
        claim(exact ? where : 0, exact ? size : w.pt.size);
        at(where + 77 * KIB4);
        OK(F(cursor_split)(&c, to));
        at(where);
        OK(F(cursor_collapse)(&c, level));
        ck_assert_uint_eq(F(cursor_at)(&c), where + size);
        ck_assert_uint_eq(look(where).level, level);
        done();
        ck_assert(world_flushed(&w, where, size));
        same_picture(picture(&w, true), &was, "mappings");
        ck_assert_uint_eq(tables(), before);
        adds_up(only_w, 1);
        /* And with a cursor that comes later. */
        claim(exact ? where : 0, exact ? size : w.pt.size);
        at(where);
        OK(F(cursor_split)(&c, to));
        done();
        claim(exact ? where : 0, exact ? size : w.pt.size);
        at(where);
        OK(F(cursor_collapse)(&c, level));
        done();
        same_picture(picture(&w, true), &was, "mappings");
        ck_assert_uint_eq(tables(), before);
    }
    spans_free(&was);
}
END_TEST

START_TEST(smaller_collapses_happen_on_the_way)
{
    claim(0, 4 * GIB1);
    at(GIB1);
    OK(F(cursor_map_range)(&c, HPA + GIB1, MIB2, COUNTED));
    at(GIB1);
    OK(F(cursor_split)(&c, 1));
    for (uint64_t next = GIB1 + MIB2; next < 2 * GIB1; next += MIB2) {
        at(next);
        OK(F(cursor_map)(&c, HPA + next, 2, COUNTED));
        if (next % (64 * MIB2) == 0) {
            at(next);
            OK(F(cursor_split)(&c, 1));
        }
    }
    at(GIB1);
    OK(F(cursor_collapse)(&c, 3));
    ck_assert_uint_eq(F(cursor_at)(&c), 2 * GIB1);
    done();
    ck_assert_int_eq(w.held[3], 1);
    ck_assert_int_eq(w.held[1] + w.held[2], 0);
    ck_assert_uint_eq(counted().leaves[3], 1);
    adds_up(only_w, 1);
}
END_TEST

START_TEST(collapsing_a_leaf_of_that_level_moves_past_it)
{
    claim(0, 4 * GIB1);
    w.allocations_left = 1 + (long)w.config.levels;
    OK(F(cursor_map)(&c, HPA, 2, COUNTED));
    at(GIB1);
    OK(F(cursor_map)(&c, HPA, 3, COUNTED));
    w.allocations_left = w.gets_left = 0;
    at(0);
    OK(F(cursor_collapse)(&c, 2));
    ck_assert_uint_eq(F(cursor_at)(&c), MIB2);
    at(GIB1);
    OK(F(cursor_collapse)(&c, 3));
    ck_assert_uint_eq(F(cursor_at)(&c), 2 * GIB1);
    ck_assert_uint_eq(w.gather.nranges, 0);
    w.allocations_left = w.gets_left = -1;
}
END_TEST

START_TEST(the_leaf_is_accessed_and_dirty_if_any_piece_was)
{
    static const pt_prop bits[4] = {0, PT_A, PT_D, PT_A | PT_D};

    claim(0, GIB1);
    OK(F(cursor_map)(&c, HPA, 2, COUNTED));
    at(0);
    OK(F(cursor_split)(&c, 1));
    at((uint64_t)(_i % 4) * 170 * KIB4);
    OK(F(cursor_protect_range)(&c, KIB4, (struct pt_change){bits[_i % 4], 0}));
    at((uint64_t)(511 - _i) * KIB4);
    OK(F(cursor_protect_range)(&c, KIB4, (struct pt_change){bits[_i / 4], 0}));
    at(0);
    OK(F(cursor_collapse)(&c, 2));
    ck_assert_uint_eq(look(0).prop, COUNTED | bits[_i % 4] | bits[_i / 4]);
}
END_TEST

/* A table of 512 leaves of `level` - 1 at GIB1, all but perfect: what is wrong at one of them is done by `spoil`. */
static void refuse_after(unsigned level, uint64_t piece, void (*spoil)(unsigned level, uint64_t address, int kind),
                         int kind)
{
    uint64_t size = pt_slot_size(level - 1);
    struct spans before;

    map_leaf(GIB1, HPA + GIB1, level, COUNTED);
    claim(0, 4 * GIB1);
    at(GIB1);
    OK(F(cursor_split)(&c, level - 1));
    at(GIB1 + piece * size);
    spoil(level, GIB1 + piece * size, kind);
    done();
    before = picture(&w, true);
    for (unsigned exact = 0; exact < 2; exact++) {
        claim(exact ? GIB1 : 0, exact ? pt_slot_size(level) : 4 * GIB1);
        at(GIB1);
        IS(F(cursor_collapse)(&c, level), PT_EUNEQUAL);
        ck_assert_uint_eq(F(cursor_at)(&c), GIB1);
        ck_assert_uint_eq(w.gather.nranges, 0);
        done();
        same_picture(picture(&w, true), &before, "mappings");
        adds_up(only_w, 1);
    }
    spans_free(&before);
    claim(0, 4 * GIB1);
    at(0);
    OK(F(cursor_unmap_range)(&c, 4 * GIB1));
    done();
}

static const pt_prop spoilers[] = {PT_W, PT_X, PT_R | PT_W | PT_X, PT_SOFT0, PT_SOFT1, PT_SOFT2, PT_IPAT,
                                   PT_U, PT_G, PT_MT_MASK};
#define SPOILERS (int)(sizeof(spoilers) / sizeof(*spoilers))

static void spoil_prop(unsigned level, uint64_t address, int kind)
{
    pt_prop prop = spoilers[kind];
    struct pt_change change = {prop & ~COUNTED, prop & COUNTED};

    (void)address;
    if (prop == PT_MT_MASK)
        change = (struct pt_change){PT_UC, PT_MT_MASK};
    OK(F(cursor_protect_range)(&c, pt_slot_size(level - 1), change));
}

static void spoil_by_mapping(unsigned level, uint64_t address, int kind)
{
    uint64_t size = pt_slot_size(level - 1);

    OK(F(cursor_unmap_range)(&c, kind == 1 && level == 3 ? KIB4 : size));
    at(address);
    if (kind == 2)
        OK(F(cursor_map)(&c, HPA + address, level - 1, COUNTED & ~PT_TRACKED));
    if (kind == 3) /* right but for the HPA */
        OK(F(cursor_map)(&c, HPA + address + size, level - 1, COUNTED));
}

static const uint64_t pieces[3] = {0, 255, 511};

START_TEST(collapse_refuses_pieces_with_other_properties)
{
    pt_prop prop = spoilers[_i];

    if ((prop & (PT_U | PT_G)) && is_ept())
        return;
    if ((prop & PT_IPAT) && prop != PT_MT_MASK && !is_ept())
        return;
    for (unsigned level = 2; level <= 3; level++)
        for (unsigned i = 0; i < 3; i++)
            refuse_after(level, pieces[i], spoil_prop, _i);
}
END_TEST

START_TEST(collapse_refuses_holes_gaps_and_untracked_pieces)
{
    for (unsigned level = 2; level <= 3; level++)
        for (unsigned i = 0; i < 3; i++)
            refuse_after(level, pieces[i], spoil_by_mapping, _i);
}
END_TEST

static void map_misaligned(unsigned level)
{
    claim(0, 4 * GIB1);
    at(GIB1);
    OK(F(cursor_map_range)(&c, HPA + GIB1 + pt_slot_size(level - 1), pt_slot_size(level), COUNTED));
    done();
}

START_TEST(collapse_refuses_a_misaligned_hpa_and_a_hole)
{
    for (unsigned level = 2; level <= 3; level++) {
        claim(0, 4 * GIB1);
        at(GIB1);
        IS(F(cursor_collapse)(&c, level), PT_EUNEQUAL); /* nothing is mapped */
        done();
        map_misaligned(level);
        claim(0, 4 * GIB1);
        at(GIB1);
        IS(F(cursor_collapse)(&c, level), PT_EUNEQUAL);
        ck_assert_uint_eq(look(GIB1).level, level - 1);
        at(GIB1);
        OK(F(cursor_unmap_range)(&c, GIB1));
        done();
    }
}
END_TEST

/* What collapses below must not have happened when the whole does not. */
START_TEST(a_refused_collapse_leaves_smaller_tables_alone)
{
    struct spans before;

    map_leaf(GIB1, HPA + GIB1, 3, COUNTED);
    claim(0, 4 * GIB1);
    at(GIB1);
    OK(F(cursor_split)(&c, 1));
    at(2 * GIB1 - KIB4);
    OK(F(cursor_protect_range)(&c, KIB4, read_only));
    done();
    before = picture(&w, true);
    claim(0, 4 * GIB1);
    at(GIB1);
    IS(F(cursor_collapse)(&c, 3), PT_EUNEQUAL);
    done();
    same_picture(picture(&w, true), &before, "mappings");
    claim(0, 4 * GIB1);
    at(GIB1);
    OK(F(cursor_collapse)(&c, 2));
    ck_assert_uint_eq(F(cursor_at)(&c), GIB1 + MIB2);
    ck_assert_uint_eq(look(GIB1).level, 2);
    spans_free(&before);
}
END_TEST

START_TEST(a_collapse_needs_a_slot_inside_the_claim)
{
    map_leaf(0, HPA, 2, RAM);
    claim(0, GIB1);
    OK(F(cursor_split)(&c, 1));
    IS(F(cursor_collapse)(&c, 0), PT_EINVAL);
    IS(F(cursor_collapse)(&c, 1), PT_EINVAL);
    IS(F(cursor_collapse)(&c, 4), PT_EINVAL);
    at(KIB4);
    IS(F(cursor_collapse)(&c, 2), PT_EINVAL); /* not the start of the slot */
    done();
    claim(0, MIB2 - KIB4);
    IS(F(cursor_collapse)(&c, 2), PT_ERANGE);
    IS(F(cursor_collapse)(&c, 3), PT_ERANGE);
    at(MIB2 - KIB4);
    ck_assert_int_ne(F(cursor_collapse)(&c, 2), PT_OK); /* depleted, and not aligned */
    F(cursor_end)(&c);
    IS(F(cursor_collapse)(&c, 2), PT_EMODE);
    claim(0, MIB2);
    at(MIB2);
    IS(F(cursor_collapse)(&c, 2), PT_ERANGE); /* depleted */
    F(cursor_end)(&c);
    OK(F(cursor_init)(&c, &w.pt, 0, MIB2, PT_READ, &w.gather));
    IS(F(cursor_collapse)(&c, 2), PT_EMODE);
    F(cursor_end)(&c);
    F(destroy)(&w.pt);
    w.config.caps = PT_CAP_AD;
    OK(F(init)(&w.pt, &w.config));
    claim(0, GIB1);
    OK(F(cursor_map_range)(&c, HPA, MIB2, RAM));
    at(0);
    IS(F(cursor_collapse)(&c, 2), PT_EINVAL);
    IS(F(cursor_collapse)(&c, 3), PT_EINVAL);
}
END_TEST

static void add_leaf_tests(TCase *tcase)
{
    tcase_add_test(tcase, split_makes_pieces_that_have_everything);
    tcase_add_test(tcase, split_goes_down_two_levels_at_once);
    tcase_add_test(tcase, splitting_what_is_small_enough_changes_nothing);
    tcase_add_test(tcase, a_split_needs_a_leaf_and_a_level);
    tcase_add_test(tcase, a_leaf_partly_outside_the_claim_cannot_be_split);
    tcase_add_loop_test(tcase, collapse_undoes_split, 0, 10);
    tcase_add_test(tcase, smaller_collapses_happen_on_the_way);
    tcase_add_test(tcase, collapsing_a_leaf_of_that_level_moves_past_it);
    tcase_add_loop_test(tcase, the_leaf_is_accessed_and_dirty_if_any_piece_was, 0, 16);
    tcase_add_loop_test(tcase, collapse_refuses_pieces_with_other_properties, 0, SPOILERS);
    tcase_add_loop_test(tcase, collapse_refuses_holes_gaps_and_untracked_pieces, 0, 4);
    tcase_add_test(tcase, collapse_refuses_a_misaligned_hpa_and_a_hole);
    tcase_add_test(tcase, a_refused_collapse_leaves_smaller_tables_alone);
    tcase_add_test(tcase, a_collapse_needs_a_slot_inside_the_claim);
}
