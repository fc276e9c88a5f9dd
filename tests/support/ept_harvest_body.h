/* Tests of harvest, for one format and number of levels. Follows ept_leaf_body.h. */

#define AD (PT_A | PT_D)

static struct pt_range harvest(uint64_t length, pt_prop bits, bool clear)
{
    struct pt_range run = {0, 0};

    OK(F(cursor_harvest)(&c, length, bits, clear, &run));
    ck_assert_uint_eq(F(cursor_at)(&c), run.start + run.length);
    return run;
}

static void map_at(uint64_t address, uint64_t hpa, unsigned level, pt_prop prop)
{
    at(address);
    OK(F(cursor_map)(&c, hpa, level, prop));
}

/* Each of the three sizes, side by side over table edges: 2 GiB - 2 MiB - 4 KiB to 3 GiB + 2 MiB + 4 KiB. */
static void map_sizes(pt_prop prop)
{
    map_at(2 * GIB1 - MIB2 - KIB4, HPA + 5 * KIB4, 1, prop); /* adjacent in address, not in HPA */
    map_at(2 * GIB1 - MIB2, HPA + 2 * MIB2, 2, prop);
    map_at(2 * GIB1, HPA + GIB1, 3, prop);
    map_at(3 * GIB1, HPA + 4 * MIB2, 2, prop);
    map_at(3 * GIB1 + MIB2, HPA + 7 * KIB4, 1, prop);
}

START_TEST(a_run_reaches_over_all_page_sizes_and_tables)
{
    struct pt_range run;

    claim(0, 8 * GIB1);
    map_sizes(COUNTED | PT_D);
    for (unsigned clear = 0; clear < 2; clear++) {
        w.allocations_left = w.gets_left = 0; /* no leaf is partly inside */
        at(0);
        run = harvest(8 * GIB1, PT_D, clear);
        ck_assert_uint_eq(run.start, 2 * GIB1 - MIB2 - KIB4);
        ck_assert_uint_eq(run.length, GIB1 + 2 * MIB2 + 2 * KIB4);
        w.allocations_left = w.gets_left = -1;
    }
    F(gather_sync)(&w.gather);
    ck_assert(world_flushed(&w, 2 * GIB1 - MIB2 - KIB4, GIB1 + 2 * MIB2 + 2 * KIB4));
    at(0);
    IS(F(cursor_harvest)(&c, 8 * GIB1, AD, true, &run), PT_END);
    ck_assert_uint_eq(F(cursor_at)(&c), 8 * GIB1);
    ck_assert_uint_eq(look(2 * GIB1).level, 3);
    ck_assert_uint_eq(look(2 * GIB1).prop, COUNTED);
}
END_TEST

START_TEST(runs_end_at_holes_and_at_clean_leaves)
{
    struct pt_range run;

    claim(0, GIB1);
    for (unsigned i = 0; i < 64; i++)
        if (i % 16 != 5)
            map_at(i * KIB4, HPA + i * KIB4, 1, i % 16 == 9 ? COUNTED : COUNTED | PT_D);
    at(0);
    for (uint64_t start = 0; start < 64; start += 16) {
        run = harvest(64 * KIB4 - F(cursor_at)(&c), PT_D, start & 16);
        ck_assert_uint_eq(run.start, start ? (start - 6) * KIB4 : 0);
        ck_assert_uint_eq(run.length, (start ? 11 : 5) * KIB4);
        run = harvest(64 * KIB4 - F(cursor_at)(&c), PT_D, start & 16);
        ck_assert_uint_eq(run.start, (start + 6) * KIB4);
        ck_assert_uint_eq(run.length, 3 * KIB4);
    }
    run = harvest(64 * KIB4 - F(cursor_at)(&c), PT_D, false);
    ck_assert_uint_eq(run.start, 58 * KIB4);
    ck_assert_uint_eq(run.length, 6 * KIB4);
    at(60 * KIB4);
    run = harvest(2 * KIB4, PT_D, false); /* as far as the length goes */
    ck_assert_uint_eq(run.start, 60 * KIB4);
    ck_assert_uint_eq(run.length, 2 * KIB4);
}
END_TEST

START_TEST(bits_are_harvested_by_name)
{
    static const pt_prop bits[4] = {0, PT_A, PT_D, AD};
    struct pt_range run;

    claim(0, GIB1);
    for (unsigned asked = 1; asked < 4; asked++)
        for (unsigned has = 0; has < 4; has++)
            for (unsigned level = 1; level <= 2; level++) {
                enum pt_status status = asked & has ? PT_OK : PT_END;

                map_at(MIB2, HPA, level, LADEN | bits[has]);
                at(0);
                IS(F(cursor_harvest)(&c, GIB1, bits[asked], false, &run), status);
                ck_assert_uint_eq(look(MIB2).prop, LADEN | bits[has]);
                at(0);
                IS(F(cursor_harvest)(&c, GIB1, bits[asked], true, &run), status);
                ck_assert_uint_eq(F(cursor_at)(&c), asked & has ? MIB2 + pt_slot_size(level) : GIB1);
                ck_assert_uint_eq(look(MIB2).prop, LADEN | bits[has & ~asked]);
                at(0);
                OK(F(cursor_unmap_range)(&c, GIB1));
                F(gather_sync)(&w.gather);
            }
}
END_TEST

START_TEST(a_run_of_either_bit_may_mix_them)
{
    struct pt_range run;

    claim(0, GIB1);
    for (unsigned i = 0; i < 9; i++)
        map_at(i * KIB4, HPA, 1, RAM | (i % 3 == 0 ? PT_A : i % 3 == 1 ? PT_D : AD));
    at(0);
    run = harvest(GIB1, AD, true);
    ck_assert_uint_eq(run.length, 9 * KIB4);
    for (unsigned i = 0; i < 9; i++)
        ck_assert_uint_eq(look(i * KIB4).prop, RAM);
}
END_TEST

START_TEST(a_huge_leaf_partly_inside_is_split_only_to_clear)
{
    struct pt_range run;
    unsigned level = 2 + (unsigned)_i / 3;
    uint64_t size = pt_slot_size(level), from[3] = {0, KIB4, size - KIB4}, length[3] = {KIB4, size - 2 * KIB4, KIB4};
    uint64_t start = GIB1 + from[_i % 3];
    struct pt_item item;

    map_leaf(GIB1, HPA + GIB1, level, LADEN | AD);
    claim(GIB1, 2 * GIB1);
    at(start);
    w.allocations_left = w.gets_left = 0;
    run = harvest(length[_i % 3], PT_D, false);
    ck_assert_uint_eq(run.start, start);
    ck_assert_uint_eq(run.length, length[_i % 3]);
    ck_assert_uint_eq(look(GIB1).level, level);
    ck_assert_uint_eq(w.gather.nranges, 0);
    w.allocations_left = w.gets_left = -1;
    at(start);
    run = harvest(length[_i % 3], PT_D, true);
    ck_assert_uint_eq(run.start, start);
    ck_assert_uint_eq(run.length, length[_i % 3]);
    for (at(GIB1); F(cursor_at)(&c) < GIB1 + size;) {
        OK(F(cursor_query)(&c, &item));
        ck_assert_uint_eq(item.prop,
                          item.start >= start && item.start < start + run.length ? LADEN | PT_A : LADEN | AD);
        OK(F(cursor_next)(&c));
    }
    done();
    ck_assert(world_flushed(&w, start, run.length));
    adds_up(only_w, 1);
}
END_TEST

START_TEST(both_ends_of_a_run_may_be_inside_huge_leaves)
{
    struct pt_range run;

    claim(0, 8 * GIB1);
    map_at(GIB1, HPA, 3, COUNTED | PT_D);
    map_at(2 * GIB1, HPA + 5 * GIB1, 3, COUNTED | PT_D);
    at(2 * GIB1 - MIB2 - KIB4);
    run = harvest(2 * MIB2 + 2 * KIB4, PT_D, true);
    ck_assert_uint_eq(run.start, 2 * GIB1 - MIB2 - KIB4);
    ck_assert_uint_eq(run.length, 2 * MIB2 + 2 * KIB4);
    ck_assert_uint_eq(look(2 * GIB1 - MIB2).prop, COUNTED);
    ck_assert_uint_eq(look(2 * GIB1 - MIB2).level, 2);
    ck_assert_uint_eq(look(2 * GIB1 + MIB2).prop, COUNTED);
    ck_assert_uint_eq(look(2 * GIB1 + MIB2).level, 1);
    ck_assert_uint_eq(look(2 * GIB1 - MIB2 - 2 * KIB4).prop, COUNTED | PT_D);
    ck_assert_uint_eq(look(2 * GIB1 + MIB2 + KIB4).prop, COUNTED | PT_D);
    at(0);
    run = harvest(8 * GIB1, PT_D, false);
    ck_assert_uint_eq(run.start, GIB1);
    ck_assert_uint_eq(run.length, GIB1 - MIB2 - KIB4);
    run = harvest(8 * GIB1 - F(cursor_at)(&c), PT_D, false);
    ck_assert_uint_eq(run.start, 2 * GIB1 + MIB2 + KIB4);
    ck_assert_uint_eq(run.length, GIB1 - MIB2 - KIB4);
    done();
    adds_up(only_w, 1);
}
END_TEST

START_TEST(a_harvest_begins_where_the_cursor_is)
{
    struct pt_range run;

    map_leaf(GIB1, HPA, 3, RAM | PT_D);
    claim(GIB1 + MIB2, KIB4); /* a claim inside the leaf */
    run = harvest(KIB4, PT_D, false);
    ck_assert_uint_eq(run.start, GIB1 + MIB2);
    ck_assert_uint_eq(run.length, KIB4);
    at(GIB1 + MIB2);
    run = harvest(KIB4, PT_D, true);
    ck_assert_uint_eq(look(GIB1 + MIB2).prop, RAM);
    done();
    claim(0, 4 * GIB1);
    ck_assert_uint_eq(look(GIB1 + MIB2 + KIB4).prop, RAM | PT_D);
    ck_assert_uint_eq(look(GIB1 + MIB2 - KIB4).prop, RAM | PT_D);
}
END_TEST

START_TEST(harvests_are_checked)
{
    struct pt_range run;

    map_leaf(GIB1, HPA, 2, COUNTED | AD);
    claim(GIB1, 2 * MIB2);
    IS(F(cursor_harvest)(&c, MIB2, 0, true, &run), PT_EINVAL);
    IS(F(cursor_harvest)(&c, MIB2, PT_D | PT_W, true, &run), PT_EINVAL);
    IS(F(cursor_harvest)(&c, MIB2, PT_SOFT0, false, &run), PT_EINVAL);
    IS(F(cursor_harvest)(&c, MIB2, (pt_prop)1 << 31, false, &run), PT_EINVAL);
    IS(F(cursor_harvest)(&c, 0, PT_D, true, &run), PT_EINVAL);
    IS(F(cursor_harvest)(&c, 1, PT_D, true, &run), PT_EINVAL);
    IS(F(cursor_harvest)(&c, 2 * MIB2 + KIB4, PT_D, true, &run), PT_ERANGE);
    IS(F(cursor_harvest)(&c, -KIB4, PT_D, true, &run), PT_ERANGE);
    at(GIB1 + 2 * MIB2);
    IS(F(cursor_harvest)(&c, KIB4, PT_D, true, &run), PT_ERANGE); /* depleted */
    at(GIB1 + MIB2);
    IS(F(cursor_harvest)(&c, MIB2, PT_D, true, &run), PT_END);
    ck_assert_uint_eq(F(cursor_at)(&c), GIB1 + 2 * MIB2);
    ck_assert_uint_eq(look(GIB1).prop, COUNTED | AD);
    F(cursor_end)(&c);
    IS(F(cursor_harvest)(&c, KIB4, PT_D, false, &run), PT_EMODE);
    OK(F(cursor_init)(&c, &w.pt, GIB1, MIB2, PT_READ, &w.gather));
    IS(F(cursor_harvest)(&c, MIB2, PT_D, true, &run), PT_EMODE);
    run = harvest(MIB2, PT_D, false); /* looking is allowed */
    ck_assert_uint_eq(run.length, MIB2);
    F(cursor_end)(&c);
}
END_TEST

START_TEST(the_last_page_is_harvested)
{
    struct pt_range run;
    uint64_t top = w.pt.size;

    claim(0, top);
    map_at(top - MIB2, HPA, 2, COUNTED | PT_D);
    at(0);
    run = harvest(top, PT_D, false);
    ck_assert_uint_eq(run.start, top - MIB2);
    ck_assert_uint_eq(run.length, MIB2);
    at(top - KIB4);
    run = harvest(KIB4, PT_D, true);
    at(0);
    run = harvest(top, PT_D, true);
    ck_assert_uint_eq(run.length, MIB2 - KIB4);
    at(0);
    IS(F(cursor_harvest)(&c, top, PT_D, true, &run), PT_END);
    ck_assert_uint_eq(F(cursor_at)(&c), top);
}
END_TEST

/* Leaves that hardware never marks can be marked by hand all the same. */
START_TEST(leaves_without_rights_are_harvested)
{
    struct pt_range run;

    map_leaf(0, HPA, 1, PT_WB | AD);
    claim(0, MIB2);
    run = harvest(MIB2, PT_D, true);
    ck_assert_uint_eq(run.length, KIB4);
    ck_assert_uint_eq(look(0).prop, PT_WB | PT_A);
}
END_TEST

static void add_harvest_tests(TCase *tcase)
{
    tcase_add_test(tcase, a_run_reaches_over_all_page_sizes_and_tables);
    tcase_add_test(tcase, runs_end_at_holes_and_at_clean_leaves);
    tcase_add_test(tcase, bits_are_harvested_by_name);
    tcase_add_test(tcase, a_run_of_either_bit_may_mix_them);
    tcase_add_loop_test(tcase, a_huge_leaf_partly_inside_is_split_only_to_clear, 0, 6);
    tcase_add_test(tcase, both_ends_of_a_run_may_be_inside_huge_leaves);
    tcase_add_test(tcase, a_harvest_begins_where_the_cursor_is);
    tcase_add_test(tcase, harvests_are_checked);
    tcase_add_test(tcase, the_last_page_is_harvested);
    tcase_add_test(tcase, leaves_without_rights_are_harvested);
}
