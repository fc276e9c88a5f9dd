/* Tests of what a tree can be made of, for one format and number of levels: hooks, numbers, capabilities and a root.
 * Follows ept_cursor_fixture.h. */

START_TEST(a_tree_without_a_root_page_is_refused)
{
    struct pt pt;
    struct pt_config bad = w.config;

    w.allocations_left = 0;
    IS(F(init)(&pt, &w.config), PT_ENOMEM);
    w.allocations_left = -1;
    bad.levels = 3;
    IS(F(init)(&pt, &bad), PT_EINVAL);
    bad = w.config;
    bad.frame_put = NULL;
    IS(F(init)(&pt, &bad), PT_EINVAL);
    bad = w.config;
    bad.maxphyaddr = 53;
    IS(F(init)(&pt, &bad), PT_EINVAL);
    bad = w.config;
    bad.meta_stride = 8;
    IS(F(init)(&pt, &bad), PT_EINVAL);
}
END_TEST

START_TEST(a_root_that_hardware_cannot_reach_is_refused)
{
    const uint64_t wrong[] = {WORLD_PA + 8, WORLD_PA + 0x800, 1ull << 46, (1ull << 46) + KIB4, 1ull << 63,
                              -KIB4,        WORLD_PA - KIB4};
    struct pt pt;

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        w.allocations_left = 0;
        w.bad_table = wrong[i];
        IS(F(init)(&pt, &w.config), PT_ETABLE);
        EQ(w.bad_tables, 0);
    }
    w.allocations_left = -1;
    w.config.maxphyaddr = 32; /* the arena's pages are just below */
    OK(F(init)(&pt, &w.config));
    F(destroy)(&pt);
}
END_TEST

START_TEST(capabilities_that_make_no_sense_are_refused)
{
    const uint64_t used = tables();
    struct pt_config config = w.config;
    struct pt pt;

    for (unsigned bit = 0; bit < 32; bit++) {
        config.caps = w.config.caps | 1u << bit;
        IS(F(init)(&pt, &config), config.caps == w.config.caps ? PT_OK : PT_EINVAL);
        if (config.caps == w.config.caps)
            F(destroy)(&pt);
    }
    config.caps = PT_CAP_1G | PT_CAP_AD;
    IS(F(init)(&pt, &config), PT_EINVAL);
    config.caps = 0;
    OK(F(init)(&pt, &config));
    F(destroy)(&pt);
    EQ(tables(), used);
}
END_TEST

static unsigned flushes_of_its_own;

static void count_flush(void *ctx, const struct pt *pt, unsigned why, const struct pt_range *ranges, size_t count)
{
    HOLDS(ctx == &flushes_of_its_own && pt && why != 0 && ranges && count > 0);
    flushes_of_its_own++;
}

/* An arena and counts as they are, and a flush that knows of neither. */
START_TEST(hooks_of_tables_and_frames_have_a_ctx_of_their_own)
{
    struct pt_config config = {.ctx = &flushes_of_its_own,
                               .flush = count_flush,
                               .levels = PT_TEST_LEVELS,
                               .maxphyaddr = 46,
                               .caps = PT_CAP_2M};
    const uint64_t used = tables();
    struct pt_gather gather;
    struct pt_cursor cursor;
    struct pt pt;

    flushes_of_its_own = 0;
    pt_arena_supply(&w.arena, w.meta, &config);
    pt_frames_supply(&w.frames, &config);
    HOLDS(config.ctx == &flushes_of_its_own);
    OK(F(init)(&pt, &config));
    F(gather_init)(&gather, &pt);
    OK(F(cursor_init)(&cursor, &pt, 0, PT_TO_END, PT_WRITE, &gather));
    OK(F(cursor_map_range)(&cursor, HPA, 2 * MIB2, COUNTED));
    OK(F(cursor_jump)(&cursor, KIB4));
    OK(F(cursor_protect_range)(&cursor, KIB4, read_only));
    F(cursor_end)(&cursor);
    F(gather_sync)(&gather);
    EQ(flushes_of_its_own, 1);
    EQ(pt_frames_references(&w.frames, HPA), 1);
    F(destroy)(&pt);
    EQ(flushes_of_its_own, 2);
    EQ(pt_frames_references(&w.frames, HPA), 0);
    EQ(tables(), used);
}
END_TEST

static void add_config_tests(TCase *tcase)
{
    tcase_add_test(tcase, hooks_of_tables_and_frames_have_a_ctx_of_their_own);
    tcase_add_test(tcase, a_tree_without_a_root_page_is_refused);
    tcase_add_test(tcase, a_root_that_hardware_cannot_reach_is_refused);
    tcase_add_test(tcase, capabilities_that_make_no_sense_are_refused);
}
