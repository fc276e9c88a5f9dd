/* Tests of copy_from, of failure at every possible call, of gathers, and of check and dump; continues
 * ept_cursor_fixture.h, and has main. */

START_TEST(copies_go_to_another_address_with_holes)
{
    claim(0, 8 * GIB1);
    at(GIB1);
    OK(F(cursor_map_range)(&c, HPA + GIB1, 3 * KIB4, COUNTED | PT_D));
    at(GIB1 + 5 * KIB4);
    OK(F(cursor_map)(&c, HPA + MIB2, 1, RAM | PT_SOFT1)); /* untracked */
    at(GIB1 + 3 * MIB2);
    OK(F(cursor_map)(&c, HPA + 4 * MIB2, 2, COUNTED));
    claim_two(0, 8 * GIB1);
    OK(F(cursor_jump)(&c2, 5 * GIB1 + 4 * MIB2));
    at(GIB1);
    OK(F(cursor_copy_from)(&c2, &c, 16 * MIB2, (struct pt_change){PT_SOFT0, PT_W | PT_D}, read_only));
    ck_assert_uint_eq(F(cursor_at)(&c), GIB1 + 16 * MIB2);
    ck_assert_uint_eq(F(cursor_at)(&c2), 5 * GIB1 + 20 * MIB2);
    ck_assert_uint_eq(look(GIB1 + KIB4).prop, (COUNTED | PT_D) & ~PT_W);
    ck_assert_uint_eq(look_two(5 * GIB1 + 4 * MIB2 + KIB4).prop, (COUNTED | PT_SOFT0) & ~PT_W);
    ck_assert_uint_eq(look_two(5 * GIB1 + 4 * MIB2 + KIB4).hpa, HPA + GIB1 + KIB4);
    ck_assert_int_eq(look_two(5 * GIB1 + 4 * MIB2 + 3 * KIB4).kind, PT_HOLE);
    ck_assert_uint_eq(look_two(5 * GIB1 + 4 * MIB2 + 5 * KIB4).prop, (RAM | PT_SOFT1 | PT_SOFT0) & ~PT_W);
    ck_assert_uint_eq(look_two(5 * GIB1 + 7 * MIB2).level, 2);
    ck_assert_int_eq(w.held[1], 6);
    ck_assert_int_eq(w.held[2], 2);
}
END_TEST

START_TEST(a_copy_that_is_not_aligned_uses_small_pages)
{
    claim(0, 8 * GIB1);
    OK(F(cursor_map_range)(&c, HPA, 2 * MIB2, COUNTED));
    claim_two(0, 8 * GIB1);
    OK(F(cursor_jump)(&c2, KIB4));
    at(0);
    OK(F(cursor_copy_from)(&c2, &c, 2 * MIB2, nothing, nothing));
    ck_assert_uint_eq(look_two(KIB4 + 700 * KIB4).hpa, HPA + 700 * KIB4);
    ck_assert_uint_eq(look_two(KIB4 + 700 * KIB4).level, 1);
    ck_assert_uint_eq(look(0).level, 2); /* nothing changed here */
    ck_assert_int_eq(w.held[1], 1024);
    ck_assert_int_eq(w.held[2], 2);
}
END_TEST

START_TEST(a_copy_splits_the_source_only_to_change_a_part)
{
    claim(0, 8 * GIB1);
    OK(F(cursor_map)(&c, HPA, 3, COUNTED));
    claim_two(0, 8 * GIB1);
    at(MIB2 + KIB4);
    OK(F(cursor_jump)(&c2, MIB2 + KIB4));
    OK(F(cursor_copy_from)(&c2, &c, 2 * MIB2, read_only, nothing));
    ck_assert_uint_eq(look(0).level, 3);
    ck_assert_uint_eq(look_two(2 * MIB2).level, 2);
    ck_assert_uint_eq(look_two(MIB2 + KIB4).level, 1);
    ck_assert_uint_eq(look_two(2 * MIB2).prop, COUNTED & ~PT_W);
    ck_assert_int_eq(w.held[1], 512);
    ck_assert_int_eq(w.held[2], 1);
    at(8 * MIB2 + KIB4);
    OK(F(cursor_jump)(&c2, 8 * MIB2 + KIB4));
    OK(F(cursor_copy_from)(&c2, &c, 2 * MIB2, nothing, read_only));
    ck_assert_uint_eq(look_two(9 * MIB2).level, 2);
    ck_assert_uint_eq(look_two(9 * MIB2).prop, COUNTED);
    ck_assert_uint_eq(look(9 * MIB2).prop, COUNTED & ~PT_W);
    ck_assert_uint_eq(look(8 * MIB2).prop, COUNTED);
    ck_assert_uint_eq(look(8 * MIB2).level, 1);
    ck_assert_uint_eq(look(10 * MIB2 + KIB4).prop, COUNTED);
}
END_TEST

START_TEST(a_copy_to_an_occupied_range_touches_nothing)
{
    claim(0, 8 * GIB1);
    OK(F(cursor_map_range)(&c, HPA, 4 * MIB2, COUNTED));
    claim_two(0, 8 * GIB1);
    OK(F(cursor_jump)(&c2, GIB1 + 8 * MIB2 - KIB4)); /* opposite a hole of the source */
    OK(F(cursor_map)(&c2, HPA, 1, RAM));
    OK(F(cursor_jump)(&c2, GIB1));
    at(0);
    IS(F(cursor_copy_from)(&c2, &c, 8 * MIB2, nothing, read_only), PT_EOCCUPIED);
    ck_assert_uint_eq(F(cursor_at)(&c), 0);
    ck_assert_uint_eq(F(cursor_at)(&c2), GIB1);
    ck_assert_uint_eq(look(0).prop, COUNTED);
    ck_assert_int_eq(w.held[2], 4);
    at(0);
    OK(F(cursor_jump)(&c2, GIB1));
    OK(F(cursor_copy_from)(&c2, &c, 8 * MIB2 - KIB4, nothing, read_only));
}
END_TEST

START_TEST(bad_copies_are_refused)
{
    struct pt_cursor reader;

    claim(0, 8 * GIB1);
    OK(F(cursor_map)(&c, HPA, 1, PT_RX | PT_WB));
    claim_two(0, GIB1);
    at(0);
    IS(F(cursor_copy_from)(&c2, &c, 2 * GIB1, nothing, nothing), PT_ERANGE);
    IS(F(cursor_copy_from)(&c2, &c, 0, nothing, nothing), PT_EINVAL);
    IS(F(cursor_copy_from)(&c2, &c, KIB4, (struct pt_change){PT_W, PT_R}, nothing), PT_EINVAL);
    IS(F(cursor_copy_from)(&c2, &c, KIB4, nothing, (struct pt_change){PT_W, PT_R}), PT_EINVAL);
    IS(F(cursor_copy_from)(&c, &c, KIB4, nothing, nothing), PT_EINVAL);
    done();
    OK(F(cursor_init)(&reader, &w.pt, 0, GIB1, PT_READ, &w.gather));
    IS(F(cursor_copy_from)(&c2, &reader, KIB4, nothing, read_only), PT_EMODE);
    IS(F(cursor_copy_from)(&reader, &c2, KIB4, nothing, nothing), PT_EMODE);
    OK(F(cursor_copy_from)(&c2, &reader, KIB4, nothing, nothing));
    F(cursor_end)(&reader);
}
END_TEST

START_TEST(a_huge_copy_fills_an_exact_claim)
{
    claim(0, GIB1);
    OK(F(cursor_map)(&c, HPA, 2, COUNTED));
    claim_two(MIB2, MIB2);
    OK(F(cursor_map)(&c2, HPA, 1, RAM));
    F(cursor_end)(&c2);
    claim_two(MIB2, MIB2);
    OK(F(cursor_unmap_range)(&c2, MIB2));
    OK(F(cursor_jump)(&c2, MIB2));
    at(0);
    OK(F(cursor_copy_from)(&c2, &c, MIB2, nothing, nothing));
    ck_assert_uint_eq(look_two(MIB2).level, 2);
}
END_TEST

START_TEST(copies_inside_one_tree_need_disjoint_claims)
{
    struct pt_cursor hull, src, dst;

    OK(F(cursor_init)(&hull, &w.pt, 0, 4 * GIB1, PT_WRITE, &w.gather));
    OK(F(cursor_map_range)(&hull, HPA, 2 * MIB2, COUNTED));
    IS(F(cursor_init_inside)(&src, &hull, 4 * GIB1, KIB4), PT_ERANGE);
    IS(F(cursor_init_inside)(&src, &hull, 1, KIB4), PT_EINVAL);
    OK(F(cursor_init_inside)(&src, &hull, 0, 2 * MIB2));
    OK(F(cursor_init_inside)(&dst, &hull, MIB2, 2 * MIB2));
    IS(F(cursor_copy_from)(&dst, &src, KIB4, nothing, nothing), PT_EINVAL);
    F(cursor_end)(&dst);
    OK(F(cursor_init_inside)(&dst, &hull, 2 * MIB2, 2 * MIB2));
    OK(F(cursor_copy_from)(&dst, &src, 2 * MIB2, nothing, read_only));
    F(cursor_end)(&dst);
    F(cursor_end)(&src);
    F(cursor_end)(&hull);
    ck_assert_int_eq(w.held[2], 4);
    ck_assert_int_eq(walk(&w, 3 * MIB2, WALK_WRITE).result, WALK_OK);
    ck_assert_int_ne(walk(&w, MIB2, WALK_WRITE).result, WALK_OK);
}
END_TEST

/* --- Failures ---------------------------------------------------------------------------------------------------- */

static enum pt_status do_map(void)
{
    at(GIB1 - MIB2 - KIB4);
    return F(cursor_map_range)(&c, HPA + GIB1 - MIB2 - KIB4, 2 * GIB1, COUNTED);
}

static enum pt_status do_protect(void)
{
    at(4 * GIB1 - MIB2 - KIB4);
    return F(cursor_protect_range)(&c, GIB1 + 2 * MIB2 + 2 * KIB4, read_only);
}

static enum pt_status do_unmap(void)
{
    at(4 * GIB1 - MIB2 - KIB4);
    return F(cursor_unmap_range)(&c, GIB1 + 2 * MIB2 + 2 * KIB4);
}

static enum pt_status do_take(void)
{
    struct pt_item item;

    at(4 * GIB1 + KIB4);
    return F(cursor_take_next)(&c, KIB4, &item);
}

static enum pt_status do_protect_next(void)
{
    struct pt_item item;

    at(4 * GIB1 + KIB4);
    return F(cursor_protect_next)(&c, KIB4, read_only, &item);
}

static enum pt_status do_copy(void)
{
    at(4 * GIB1 - MIB2 - KIB4);
    OK(F(cursor_jump)(&c2, 4 * GIB1 - MIB2 - KIB4)); /* aligned alike: several runs of frames */
    return F(cursor_copy_from)(&c2, &c, 8 * MIB2, nothing, read_only);
}

/* Fails the k-th call of an allocator, for every k until the operation succeeds: before that nothing may change. */
static void fail_each(enum pt_status (*operation)(void), bool frames)
{
    enum pt_status status = PT_ENOMEM;
    unsigned failures = 0;

    claim(0, 8 * GIB1);
    at(3 * GIB1);
    OK(F(cursor_map_range)(&c, HPA, 3 * GIB1, COUNTED));
    claim_two(0, 8 * GIB1);
    w.undoing = true;
    for (long k = 0; status != PT_OK; k++) {
        uint64_t before = tables(), position;
        struct pt_statistics now;

        *(frames ? &w.gets_left : &w.allocations_left) = k;
        status = operation();
        w.gets_left = w.allocations_left = -1;
        position = F(cursor_at)(&c);
        if (status == PT_OK)
            break;
        failures++;
        IS(status, frames ? PT_EFRAME : PT_ENOMEM);
        ck_assert_uint_eq(tables(), before);
        ck_assert_int_eq(w.held[1], 0);
        ck_assert_int_eq(w.held[2], 0);
        ck_assert_int_eq(w.held[3], 3);
        now = counted();
        ck_assert_uint_eq(now.leaves[3], 3);
        ck_assert_uint_eq(now.frames, 3 << 18);
        ck_assert_uint_eq(w.gather.nranges + w.gather.nruns + w.gather.ntables, 0);
        ck_assert_uint_eq(F(cursor_at)(&c), position);
        ck_assert_int_lt(k, 5000);
    }
    ck_assert_uint_gt(failures, 0);
}

START_TEST(whatever_allocation_fails_nothing_changes)
{
    static enum pt_status (*const operations[])(void) = {do_map,  do_protect,      do_unmap,
                                                         do_take, do_protect_next, do_copy};

    fail_each(operations[_i / 2], _i % 2);
}
END_TEST

/* --- Gathers, check, dump ---------------------------------------------------------------------------------------- */

START_TEST(a_full_gather_syncs_itself_after_a_flush)
{
    struct pt_item item;

    claim(0, GIB1);
    for (unsigned i = 0; i < 400; i++) {
        at(i * 2 * KIB4); /* every second page, and HPAs far apart: nothing merges */
        OK(F(cursor_map)(&c, HPA + i * 3 * KIB4, 1, COUNTED));
    }
    world_arm(&w);
    at(0);
    for (unsigned i = 0; i < 200; i++)
        OK(F(cursor_take_next)(&c, MIB2, &item));
    OK(F(cursor_unmap_range)(&c, 8 * MIB2));
    ck_assert_uint_gt(w.flushes, 2);
    ck_assert_uint_eq(w.early, 0);
    F(gather_sync)(&w.gather);
    ck_assert(world_flushed(&w, 0, 800 * KIB4));
    ck_assert_int_eq(w.held[1], 0);
}
END_TEST

START_TEST(mapping_over_holes_needs_no_flush)
{
    claim(0, GIB1);
    OK(F(cursor_map_range)(&c, HPA, MIB2 + KIB4, RAM));
    ck_assert_uint_eq(w.gather.nranges, 0);
    F(gather_sync)(&w.gather);
    ck_assert_uint_eq(w.flushes, 0);
}
END_TEST

START_TEST(check_finds_what_is_broken)
{
    uint64_t table, saved;
    _Atomic uint64_t *entry;
    struct pt_table *meta;
    struct pt_fault fault;
    struct walk_answer answer;

    claim(0, GIB1);
    OK(F(cursor_map)(&c, HPA, 1, RAM));
    OK(F(cursor_map)(&c, HPA, 1, RAM));
    done();
    answer = walk(&w, KIB4, WALK_READ);
    entry = (_Atomic uint64_t *)(uintptr_t)(answer.steps[answer.nsteps - 1].pa + w.config.entries_offset);
    table = answer.steps[answer.nsteps - 1].pa & ~(KIB4 - 1);
    meta = &w.meta[(table - WORLD_PA) / KIB4];
    saved = *entry;
    *entry = 0;
    IS(F(check)(&w.pt, NULL, NULL, &fault), PT_ECORRUPT); /* count is wrong */
    *entry = (uint64_t)1 << 11;
    IS(F(check)(&w.pt, NULL, NULL, &fault), PT_ECORRUPT); /* hole with bits */
    ck_assert_uint_eq(fault.address, KIB4);
    ck_assert_uint_eq(fault.level, 1);
    *entry = saved | (uint64_t)1 << 50;
    IS(F(check)(&w.pt, NULL, NULL, &fault), PT_ECORRUPT); /* beyond maxphyaddr */
    *entry = saved | (uint64_t)1 << 58;
    IS(F(check)(&w.pt, NULL, NULL, &fault), PT_ECORRUPT); /* stray bit */
    *entry = saved | (uint64_t)1 << 7;
    IS(F(check)(&w.pt, NULL, NULL, &fault), PT_ECORRUPT);
    *entry = saved;
    meta->level = 2;
    IS(F(check)(&w.pt, NULL, NULL, &fault), PT_ECORRUPT);
    meta->level = 1;
    meta->holder = 5;
    IS(F(check)(&w.pt, NULL, NULL, &fault), PT_ECORRUPT);
    meta->holder = 0;
    entry[-1] = entry[0] = 0;
    meta->live = 0;
    IS(F(check)(&w.pt, NULL, NULL, &fault), PT_ECORRUPT); /* empty table */
    entry[-1] = entry[0] = saved;
    meta->live = 2;
    OK(F(check)(&w.pt, NULL, NULL, &fault));
}
END_TEST

START_TEST(check_survives_entries_that_point_anywhere)
{
    _Atomic uint64_t *root = (_Atomic uint64_t *)(uintptr_t)(w.pt.root + w.config.entries_offset);
    struct pt_fault fault;
    uint64_t saved;

    claim(0, GIB1);
    OK(F(cursor_map)(&c, HPA, 1, RAM));
    done();
    saved = root[0];
    root[0] = saved | (uint64_t)0x3f << 46; /* a table beyond maxphyaddr */
    IS(F(check)(&w.pt, NULL, NULL, &fault), PT_ECORRUPT);
    root[0] = saved | (uint64_t)1 << 61; /* a bit that means nothing */
    IS(F(check)(&w.pt, NULL, NULL, &fault), PT_ECORRUPT);
    root[0] = saved;
    OK(F(check)(&w.pt, NULL, NULL, &fault));
}
END_TEST

static enum pt_status count_run(void *ctx, const struct pt_item *first, uint64_t count)
{
    uint64_t *runs = ctx;

    runs[0]++;
    runs[first->level] += count;
    return runs[0] == 3 ? PT_EFRAME : PT_OK;
}

START_TEST(check_reports_runs_of_leaves)
{
    uint64_t runs[4] = {0};
    struct pt_fault fault;

    claim(0, GIB1);
    OK(F(cursor_map_range)(&c, HPA, 100 * KIB4, RAM));
    OK(F(cursor_map_range)(&c, HPA + 100 * KIB4, 50 * KIB4, RAM | PT_D)); /* A and D do not end a run */
    at(MIB2);
    OK(F(cursor_map_range)(&c, HPA, 3 * MIB2, RAM));
    done();
    OK(F(check)(&w.pt, count_run, runs, &fault));
    ck_assert_uint_eq(runs[0], 2);
    ck_assert_uint_eq(runs[1], 150);
    ck_assert_uint_eq(runs[2], 3);
    IS(F(check)(&w.pt, count_run, runs, &fault), PT_EFRAME);
}
END_TEST

static void append(void *ctx, const char *text, size_t length)
{
    strncat(ctx, text, length);
}

START_TEST(dump_merges_runs)
{
    char text[4096] = "";

    F(dump)(&w.pt, PT_DUMP_JSON, append, text);
    ck_assert_str_eq(text, "[]\n");
    text[0] = 0;
    F(dump)(&w.pt, PT_DUMP_TEXT, append, text);
    ck_assert_str_eq(text, "");
    claim(0, GIB1);
    OK(F(cursor_map_range)(&c, HPA, 16 * KIB4, COUNTED | PT_D));
    at(MIB2);
    OK(F(cursor_map_range)(&c, HPA, 4 * MIB2, PT_RX | PT_UC | PT_SOFT1));
    done();
    F(dump)(&w.pt, PT_DUMP_TEXT, append, text);
    ck_assert_str_eq(text, "0x000000000000-0x00000000ffff -> 0x000100000000  4K  rwx-  wb  -d--  ---  tracked\n"
                           "0x000000200000-0x0000009fffff -> 0x000100000000  2M  r-x-  uc  ----  -1-\n");
    text[0] = 0;
    F(dump)(&w.pt, PT_DUMP_JSON, append, text);
    ck_assert_str_eq(
        text,
        "[\n {\"start\": \"0x0\", \"last\": \"0xffff\", \"hpa\": \"0x100000000\", \"page\": \"4K\", \"count\": 16, "
        "\"rights\": \"rwx-\", \"memory\": \"wb\", \"accessed\": false, \"dirty\": true, \"global\": false, "
        "\"ipat\": false, \"tracked\": true, \"soft\": 0, \"writable\": false},\n"
        " {\"start\": \"0x200000\", \"last\": \"0x9fffff\", \"hpa\": \"0x100000000\", \"page\": \"2M\", \"count\": 4, "
        "\"rights\": \"r-x-\", \"memory\": \"uc\", \"accessed\": false, \"dirty\": false, \"global\": false, "
        "\"ipat\": false, \"tracked\": false, \"soft\": 2, \"writable\": false}\n]\n");
}
END_TEST

static void add_cursor_tests(TCase *tcase)
{
    tcase_add_test(tcase, a_mapped_page_is_found_by_query_and_by_hardware);
    tcase_add_test(tcase, properties_come_back_as_they_went_in);
    if (is_ept())
        tcase_add_test(tcase, execute_only_needs_the_capability);
    tcase_add_test(tcase, a_mapping_without_rights_is_a_mapping);
    tcase_add_test(tcase, bad_leaves_are_refused);
    tcase_add_test(tcase, page_sizes_the_cpu_has_not_are_refused);
    tcase_add_test(tcase, claims_are_checked);
    tcase_add_test(tcase, ranges_outside_the_claim_are_refused);
    tcase_add_test(tcase, readers_and_ended_cursors_change_nothing);
    tcase_add_test(tcase, query_reports_the_whole_slot);
    tcase_add_test(tcase, find_next_skips_holes_and_emptied_tables);
    tcase_add_test(tcase, find_next_inside_a_huge_leaf_stays_where_it_is);
    tcase_add_test(tcase, map_range_uses_the_largest_pages_that_fit);
    tcase_add_test(tcase, occupied_ranges_are_refused_whole);
    tcase_add_test(tcase, a_huge_leaf_replaces_an_emptied_table);
    tcase_add_test(tcase, empty_tables_are_freed_at_once);
    tcase_add_test(tcase, protecting_a_part_splits_and_keeps_everything_else);
    tcase_add_test(tcase, both_edges_of_a_range_are_split);
    tcase_add_test(tcase, a_change_of_nothing_splits_nothing);
    tcase_add_test(tcase, a_change_that_one_leaf_cannot_take_changes_none);
    tcase_add_test(tcase, a_and_d_stay_unless_named);
    tcase_add_test(tcase, protect_next_reports_and_steps);
    tcase_add_test(tcase, take_next_takes_leaves_one_by_one);
    tcase_add_test(tcase, take_next_splits_what_is_partly_inside);
    tcase_add_test(tcase, take_subtree_takes_whole_tables);
    tcase_add_test(tcase, unmap_range_clears_parts_and_wholes);
    tcase_add_test(tcase, the_top_of_the_address_space_works);
    tcase_add_test(tcase, a_full_gather_syncs_itself_after_a_flush);
    tcase_add_test(tcase, mapping_over_holes_needs_no_flush);
    tcase_add_test(tcase, check_finds_what_is_broken);
    tcase_add_test(tcase, check_survives_entries_that_point_anywhere);
    tcase_add_test(tcase, check_reports_runs_of_leaves);
    tcase_add_test(tcase, dump_merges_runs);
}

static void add_copy_tests(TCase *tcase)
{
    tcase_add_test(tcase, copies_go_to_another_address_with_holes);
    tcase_add_test(tcase, a_copy_that_is_not_aligned_uses_small_pages);
    tcase_add_test(tcase, a_copy_splits_the_source_only_to_change_a_part);
    tcase_add_test(tcase, a_copy_to_an_occupied_range_touches_nothing);
    tcase_add_test(tcase, bad_copies_are_refused);
    tcase_add_test(tcase, a_huge_copy_fills_an_exact_claim);
    tcase_add_test(tcase, copies_inside_one_tree_need_disjoint_claims);
    tcase_add_loop_test(tcase, whatever_allocation_fails_nothing_changes, 0, 12);
}

int main(void)
{
    Suite *suite = suite_create("cursor: " F_TEXT(PT_TEST_FORMAT) ", " F_TEXT(PT_TEST_LEVELS) " levels");

    add_cursor_tests(add_group(suite, "one tree", setup, teardown));
    add_config_tests(add_group(suite, "configurations", setup, teardown));
    add_copy_tests(add_group(suite, "two trees", setup_two, teardown_two));
    add_refuse_tests(add_group(suite, "refusals", setup_two, teardown_two));
    add_flush_tests(add_group(suite, "flushes", setup_two, teardown_two));
    return run_suite(suite);
}
