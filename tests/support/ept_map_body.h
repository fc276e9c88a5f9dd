/* Tests of claims, queries and mapping, for one format and number of levels. Follows ept_cursor_fixture.h. */
START_TEST(a_mapped_page_is_found_by_query_and_by_hardware)
{
    struct pt_item item;

    claim(0, GIB1);
    at(5 * KIB4);
    OK(F(cursor_map)(&c, HPA, 1, PT_R | PT_WT | PT_TRACKED | PT_SOFT2 | PT_D));
    ck_assert_uint_eq(F(cursor_at)(&c), 6 * KIB4);
    item = look(5 * KIB4);
    ck_assert_int_eq(item.kind, PT_LEAF);
    ck_assert_uint_eq(item.start, 5 * KIB4);
    ck_assert_uint_eq(item.length, KIB4);
    ck_assert_uint_eq(item.hpa, HPA);
    ck_assert_uint_eq(item.prop, PT_R | PT_WT | PT_TRACKED | PT_SOFT2 | PT_D);
    ck_assert_int_eq(w.held[1], 1);
    done();
    ck_assert_int_eq(walk(&w, 5 * KIB4 + 7, WALK_READ).result, WALK_OK);
    ck_assert_uint_eq(walk(&w, 5 * KIB4 + 7, WALK_READ).pa, HPA + 7);
    ck_assert_int_ne(walk(&w, 5 * KIB4, WALK_WRITE).result, WALK_OK);
    ck_assert_int_ne(walk(&w, 5 * KIB4, WALK_FETCH).result, WALK_OK);
    ck_assert_int_ne(walk(&w, 6 * KIB4, WALK_READ).result, WALK_OK);
}
END_TEST

START_TEST(properties_come_back_as_they_went_in)
{
    static const pt_prop types[6] = {PT_UC, PT_WC, PT_WT, PT_WP, PT_WB, PT_UCMINUS};
    unsigned accepted = 0;

    claim(0, GIB1);
    for (pt_prop flags = 0; flags < (pt_prop)1 << 12; flags++) {
        pt_prop prop = flags | types[flags % 6];
        bool ept = is_ept(), r = prop & PT_R, bad;
        pt_prop type = prop & PT_MT_MASK;

        bad = ept ? (prop & (PT_U | PT_G)) || type == PT_UCMINUS || ((prop & PT_W) && !r)
                  : (prop & PT_IPAT) || type == PT_WC || type == PT_WP || (!r && (prop & (PT_W | PT_X)));
        at(0);
        IS(F(cursor_map)(&c, HPA, 1, prop), bad ? PT_EINVAL : PT_OK);
        if (bad)
            continue;
        accepted++;
        ck_assert_uint_eq(look(0).prop, prop);
        ck_assert_int_eq(walk(&w, 0, WALK_READ).result == WALK_OK, r);
        ck_assert_int_ne(walk(&w, 0, WALK_READ).result, WALK_MISCONFIG);
        ck_assert_int_eq(walk(&w, 0, WALK_WRITE).result == WALK_OK, (prop & PT_W) != 0);
        ck_assert_int_eq(walk(&w, 0, WALK_FETCH).result == WALK_OK, (prop & PT_X) != 0);
        at(0);
        OK(F(cursor_unmap_range)(&c, KIB4));
        F(gather_sync)(&w.gather);
    }
    ck_assert_uint_gt(accepted, 400);
    at(0);
    IS(F(cursor_map)(&c, HPA, 1, RAM | 1u << 20), PT_EINVAL);
    IS(F(cursor_map)(&c, HPA, 1, PT_RWX | (pt_prop)2 << 12), PT_EINVAL);
    IS(F(cursor_map)(&c, HPA, 1, PT_RWX | (pt_prop)3 << 12), PT_EINVAL);
}
END_TEST

START_TEST(execute_only_needs_the_capability)
{
    F(destroy)(&w.pt);
    w.config.caps &= ~PT_CAP_EXEC_ONLY;
    OK(F(init)(&w.pt, &w.config));
    claim(0, GIB1);
    IS(F(cursor_map)(&c, HPA, 1, PT_X | PT_WB), PT_EINVAL);
    OK(F(cursor_map)(&c, HPA, 1, PT_RX | PT_WB));
    at(0);
    IS(F(cursor_protect_range)(&c, KIB4, (struct pt_change){0, PT_R}), PT_EINVAL);
    ck_assert_uint_eq(look(0).prop, PT_RX | PT_WB);
}
END_TEST

START_TEST(a_mapping_without_rights_is_a_mapping)
{
    claim(0, GIB1);
    OK(F(cursor_map)(&c, HPA, 1, PT_WB | PT_TRACKED));
    OK(F(cursor_map_range)(&c, HPA + KIB4, MIB2, PT_WB));
    at(0);
    IS(F(cursor_map)(&c, HPA, 1, RAM), PT_EOCCUPIED);
    ck_assert_int_eq(look(0).kind, PT_LEAF);
    done();
    ck_assert_int_eq(walk(&w, 0, WALK_READ).result, is_ept() ? WALK_VIOLATION : WALK_PAGE_FAULT);
}
END_TEST

START_TEST(bad_leaves_are_refused)
{
    uint64_t top = (uint64_t)1 << 46;

    claim(0, 4 * GIB1);
    IS(F(cursor_map)(&c, HPA, 0, RAM), PT_EINVAL);
    IS(F(cursor_map)(&c, HPA, 4, RAM), PT_EINVAL);
    IS(F(cursor_map)(&c, HPA, 77, RAM), PT_EINVAL);
    IS(F(cursor_map)(&c, HPA + 1, 1, RAM), PT_EINVAL);
    IS(F(cursor_map)(&c, HPA + KIB4, 2, RAM), PT_EINVAL);
    IS(F(cursor_map)(&c, HPA + MIB2, 3, RAM), PT_EINVAL);
    IS(F(cursor_map)(&c, top, 1, RAM), PT_EINVAL);
    IS(F(cursor_map)(&c, UINT64_MAX - KIB4 + 1, 1, RAM), PT_EINVAL);
    IS(F(cursor_map_range)(&c, top - KIB4, 2 * KIB4, RAM), PT_EINVAL);
    at(KIB4);
    IS(F(cursor_map)(&c, HPA, 2, RAM), PT_EINVAL);
    ck_assert_uint_eq(F(cursor_at)(&c), KIB4);
    at(0);
    OK(F(cursor_map)(&c, top - GIB1, 3, RAM));
    w.undoing = true; /* the table that was allocated goes back unused */
    IS(F(cursor_map)(&c, HPA + (WORLD_FRAMES << 12), 1, COUNTED), PT_EFRAME);
    w.undoing = false;
    done();
    ck_assert_uint_eq(counted().frames, 1 << 18);
}
END_TEST

START_TEST(page_sizes_the_cpu_has_not_are_refused)
{
    F(destroy)(&w.pt);
    w.config.caps = PT_CAP_2M;
    OK(F(init)(&w.pt, &w.config));
    claim(0, 4 * GIB1);
    IS(F(cursor_map)(&c, HPA, 3, RAM), PT_EINVAL);
    OK(F(cursor_map_range)(&c, HPA, GIB1, RAM));
    done();
    ck_assert_uint_eq(counted().leaves[2], 512);
    F(destroy)(&w.pt);
    w.config.caps = 0;
    OK(F(init)(&w.pt, &w.config));
    claim(0, 4 * GIB1);
    IS(F(cursor_map)(&c, HPA, 2, RAM), PT_EINVAL);
    OK(F(cursor_map_range)(&c, HPA, MIB2, RAM));
    done();
    ck_assert_uint_eq(counted().leaves[1], 512);
}
END_TEST

START_TEST(claims_are_checked)
{
    struct pt_gather other;
    struct pt another = w.pt;
    uint64_t size = w.pt.size;

    F(gather_init)(&other, &another);
    IS(F(cursor_init)(&c, &w.pt, 0, 0, PT_WRITE, &w.gather), PT_EINVAL);
    IS(F(cursor_init)(&c, &w.pt, 1, KIB4, PT_WRITE, &w.gather), PT_EINVAL);
    IS(F(cursor_init)(&c, &w.pt, 0, KIB4 + 1, PT_WRITE, &w.gather), PT_EINVAL);
    IS(F(cursor_init)(&c, &w.pt, 0, KIB4, PT_WRITE, NULL), PT_EINVAL);
    IS(F(cursor_init)(&c, &w.pt, 0, KIB4, PT_WRITE, &other), PT_EINVAL);
    IS(F(cursor_init)(&c, &w.pt, size, KIB4, PT_WRITE, &w.gather), PT_ERANGE);
    IS(F(cursor_init)(&c, &w.pt, size - KIB4, 2 * KIB4, PT_WRITE, &w.gather), PT_ERANGE);
    IS(F(cursor_init)(&c, &w.pt, -KIB4, 2 * KIB4, PT_WRITE, &w.gather), PT_ERANGE);
    IS(F(cursor_init)(&c, &w.pt, KIB4, -KIB4, PT_WRITE, &w.gather), PT_ERANGE);
    IS(F(cursor_map)(&c, HPA, 1, RAM), PT_EMODE);
    F(cursor_end)(&c);
    claim(0, size);
}
END_TEST

START_TEST(ranges_outside_the_claim_are_refused)
{
    struct pt_item item;

    claim(MIB2, MIB2);
    IS(F(cursor_jump)(&c, MIB2 - KIB4), PT_ERANGE);
    IS(F(cursor_jump)(&c, 2 * MIB2 + KIB4), PT_ERANGE);
    IS(F(cursor_jump)(&c, MIB2 + 1), PT_EINVAL);
    IS(F(cursor_map)(&c, HPA, 3, RAM), PT_ERANGE);
    IS(F(cursor_map_range)(&c, HPA, MIB2 + KIB4, RAM), PT_ERANGE);
    IS(F(cursor_map_range)(&c, HPA, -KIB4, RAM), PT_ERANGE);
    IS(F(cursor_map_range)(&c, HPA, 0, RAM), PT_EINVAL);
    IS(F(cursor_unmap_range)(&c, 2 * MIB2), PT_ERANGE);
    IS(F(cursor_unmap_range)(&c, 17), PT_EINVAL);
    IS(F(cursor_protect_range)(&c, 2 * MIB2, read_only), PT_ERANGE);
    IS(F(cursor_take_next)(&c, 2 * MIB2, &item), PT_ERANGE);
    IS(F(cursor_find_next)(&c, 2 * MIB2, &item), PT_ERANGE);
    ck_assert_uint_eq(F(cursor_at)(&c), MIB2);
    at(2 * MIB2); /* depleted */
    IS(F(cursor_map)(&c, HPA, 1, RAM), PT_ERANGE);
    IS(F(cursor_unmap_range)(&c, KIB4), PT_ERANGE);
    IS(F(cursor_find_next)(&c, KIB4, &item), PT_ERANGE);
    IS(F(cursor_query)(&c, &item), PT_END);
    IS(F(cursor_next)(&c), PT_END);
    ck_assert_uint_eq(F(cursor_at)(&c), 2 * MIB2);
}
END_TEST

START_TEST(readers_and_ended_cursors_change_nothing)
{
    struct pt_item item;

    OK(F(cursor_init)(&c, &w.pt, 0, GIB1, PT_READ, &w.gather));
    IS(F(cursor_map)(&c, HPA, 1, RAM), PT_EMODE);
    IS(F(cursor_map_range)(&c, HPA, KIB4, RAM), PT_EMODE);
    IS(F(cursor_unmap_range)(&c, KIB4), PT_EMODE);
    IS(F(cursor_protect_range)(&c, KIB4, read_only), PT_EMODE);
    IS(F(cursor_protect_next)(&c, KIB4, read_only, &item), PT_EMODE);
    IS(F(cursor_take_next)(&c, KIB4, &item), PT_EMODE);
    IS(F(cursor_take_subtree)(&c, KIB4, &item), PT_EMODE);
    OK(F(cursor_query)(&c, &item));
    F(cursor_end)(&c);
    F(cursor_end)(&c);
    IS(F(cursor_query)(&c, &item), PT_EMODE);
    IS(F(cursor_next)(&c), PT_EMODE);
    IS(F(cursor_jump)(&c, 0), PT_EMODE);
    IS(F(cursor_find_next)(&c, KIB4, &item), PT_EMODE);
}
END_TEST

START_TEST(query_reports_the_whole_slot)
{
    struct pt_item item;

    claim(0, 8 * GIB1);
    OK(F(cursor_map)(&c, HPA, 3, RAM));
    done();
    claim(MIB2, 2 * GIB1);
    item = look(MIB2 + 3 * KIB4);
    ck_assert_uint_eq(item.start, 0);
    ck_assert_uint_eq(item.length, GIB1);
    ck_assert_uint_eq(item.at, MIB2 + 3 * KIB4);
    ck_assert_uint_eq(item.hpa, HPA);
    ck_assert_uint_eq(item.frames, 1 << 18);
    OK(F(cursor_next)(&c));
    ck_assert_uint_eq(F(cursor_at)(&c), GIB1);
    OK(F(cursor_query)(&c, &item));
    ck_assert_int_eq(item.kind, PT_HOLE);
    OK(F(cursor_next)(&c));
    ck_assert_uint_eq(F(cursor_at)(&c), 2 * GIB1);
    OK(F(cursor_next)(&c));
    ck_assert_uint_eq(F(cursor_at)(&c), MIB2 + 2 * GIB1); /* clipped to the claim */
    IS(F(cursor_next)(&c), PT_END);
}
END_TEST

START_TEST(find_next_skips_holes_and_emptied_tables)
{
    struct pt_item item;

    claim(0, w.pt.size);
    at(3 * GIB1 + MIB2);
    OK(F(cursor_map)(&c, HPA, 1, RAM));
    at(w.pt.size - KIB4);
    OK(F(cursor_map)(&c, HPA + KIB4, 1, RAM));
    at(MIB2);
    OK(F(cursor_map)(&c, HPA, 1, RAM));
    at(MIB2);
    OK(F(cursor_take_next)(&c, KIB4, &item)); /* its table is empty now, and still held */
    at(0);
    OK(F(cursor_find_next)(&c, w.pt.size, &item));
    ck_assert_uint_eq(item.start, 3 * GIB1 + MIB2);
    ck_assert_uint_eq(F(cursor_at)(&c), 3 * GIB1 + MIB2);
    OK(F(cursor_next)(&c));
    OK(F(cursor_find_next)(&c, w.pt.size - F(cursor_at)(&c), &item));
    ck_assert_uint_eq(item.start, w.pt.size - KIB4);
    ck_assert_uint_eq(item.hpa, HPA + KIB4);
    at(0);
    IS(F(cursor_find_next)(&c, GIB1, &item), PT_END);
    ck_assert_uint_eq(F(cursor_at)(&c), GIB1);
}
END_TEST

START_TEST(find_next_inside_a_huge_leaf_stays_where_it_is)
{
    struct pt_item item;

    claim(0, GIB1);
    OK(F(cursor_map)(&c, HPA, 2, RAM));
    at(5 * KIB4);
    OK(F(cursor_find_next)(&c, KIB4, &item));
    ck_assert_uint_eq(F(cursor_at)(&c), 5 * KIB4);
    ck_assert_uint_eq(item.start, 0);
    ck_assert_uint_eq(item.at, 5 * KIB4);
}
END_TEST

START_TEST(map_range_uses_the_largest_pages_that_fit)
{
    struct pt_statistics n;
    uint64_t start = GIB1 - MIB2 - KIB4, length = KIB4 + MIB2 + GIB1 + MIB2 + KIB4;

    claim(0, 8 * GIB1);
    at(start);
    OK(F(cursor_map_range)(&c, HPA + start, length, COUNTED));
    ck_assert_uint_eq(F(cursor_at)(&c), start + length);
    n = counted();
    ck_assert_uint_eq(n.leaves[1], 2);
    ck_assert_uint_eq(n.leaves[2], 2);
    ck_assert_uint_eq(n.leaves[3], 1);
    ck_assert_int_eq(w.held[1], 2);
    ck_assert_int_eq(w.held[2], 2);
    ck_assert_int_eq(w.held[3], 1);
    done();
    for (uint64_t offset = 0; offset < length; offset += 7 * KIB4)
        ck_assert_uint_eq(walk(&w, start + offset, WALK_WRITE).pa, HPA + start + offset);
    claim(0, 8 * GIB1);
    at(4 * GIB1);
    OK(F(cursor_map_range)(&c, HPA + MIB2, GIB1, RAM)); /* HPA aligned to 2 MiB only */
    ck_assert_uint_eq(counted().leaves[2], 2 + 512);
}
END_TEST

START_TEST(occupied_ranges_are_refused_whole)
{
    uint64_t before;

    claim(0, 8 * GIB1);
    at(GIB1 + 77 * KIB4);
    OK(F(cursor_map)(&c, HPA, 1, COUNTED));
    before = tables();
    at(0);
    IS(F(cursor_map_range)(&c, HPA, 2 * GIB1, COUNTED), PT_EOCCUPIED);
    IS(F(cursor_map_range)(&c, HPA, GIB1 + 78 * KIB4, COUNTED), PT_EOCCUPIED);
    at(GIB1);
    IS(F(cursor_map)(&c, HPA, 3, COUNTED), PT_EOCCUPIED);
    IS(F(cursor_map)(&c, HPA, 2, COUNTED), PT_EOCCUPIED);
    at(GIB1 + 77 * KIB4);
    IS(F(cursor_map)(&c, HPA, 1, COUNTED), PT_EOCCUPIED);
    ck_assert_uint_eq(F(cursor_at)(&c), GIB1 + 77 * KIB4);
    ck_assert_uint_eq(tables(), before);
    ck_assert_int_eq(w.held[1], 1);
    ck_assert_uint_eq(counted().frames, 1);
}
END_TEST

/* A claim of exactly one slot holds the slot's own table, and must get at its parent. */
START_TEST(a_huge_leaf_replaces_an_emptied_table)
{
    for (unsigned level = 2; level <= 3; level++)
        for (unsigned wide = 0; wide < 2; wide++) {
            uint64_t size = pt_slot_size(level);

            claim(size, size);
            at(size + 3 * KIB4);
            OK(F(cursor_map)(&c, HPA, 1, RAM));
            done();
            claim(size, wide ? 2 * size : size);
            at(size);
            IS(F(cursor_map)(&c, HPA, level, COUNTED), PT_EOCCUPIED);
            OK(F(cursor_unmap_range)(&c, size));
            at(size);
            OK(F(cursor_map)(&c, HPA, level, COUNTED));
            ck_assert_uint_eq(look(size).level, level);
            done();
            ck_assert_uint_eq(walk(&w, size + 5, WALK_WRITE).level, level);
            claim(size, size);
            OK(F(cursor_unmap_range)(&c, size));
            done();
            ck_assert_uint_eq(tables(), 1);
        }
}
END_TEST

START_TEST(empty_tables_are_freed_at_once)
{
    struct pt_item item;

    claim(0, 4 * GIB1);
    at(GIB1 + MIB2);
    OK(F(cursor_map)(&c, HPA, 1, COUNTED));
    ck_assert_uint_eq(tables(), w.config.levels);
    done();
    claim(GIB1 + MIB2, KIB4); /* covered by the lowest table */
    OK(F(cursor_take_next)(&c, KIB4, &item));
    F(cursor_end)(&c);
    world_arm(&w);
    F(gather_sync)(&w.gather);
    ck_assert_uint_eq(tables(), 1);
    ck_assert(world_flushed(&w, GIB1 + MIB2, KIB4));
    ck_assert_int_eq(w.held[1], 0);
}
END_TEST
