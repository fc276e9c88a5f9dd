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

static void add_config_tests(TCase *tcase)
{
    tcase_add_test(tcase, a_tree_without_a_root_page_is_refused);
    tcase_add_test(tcase, a_root_that_hardware_cannot_reach_is_refused);
    tcase_add_test(tcase, capabilities_that_make_no_sense_are_refused);
}
