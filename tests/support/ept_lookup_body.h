/* Tests of lookup, for one format and number of levels. Follows ept_leaf_body.h. */

static void same_item(const struct pt_item *a, const struct pt_item *b)
{
    EQ(a->kind, b->kind);
    EQ(a->level, b->level);
    EQ(a->start, b->start);
    EQ(a->length, b->length);
    EQ(a->at, b->at);
    EQ(a->hpa, b->hpa);
    EQ(a->frames, b->frames);
    EQ(a->prop, b->prop);
}

/* Leaves of each size, and a mapping without rights, around the edges of tables; looked at from all sides. */
START_TEST(lookup_says_what_query_says)
{
    uint64_t top = w.pt.size, bases[4] = {0, GIB1, 512 * GIB1, top - 4 * GIB1}, base = bases[_i];
    struct pt_item a, b;

    claim(0, top);
    at(base);
    OK(F(cursor_map_range)(&c, HPA, KIB4, LADEN | PT_A));
    at(base + MIB2);
    OK(F(cursor_map)(&c, HPA, 2, LADEN | PT_D));
    OK(F(cursor_map)(&c, HPA, 1, PT_UC));
    at(base + GIB1);
    OK(F(cursor_map)(&c, HPA, 3, LADEN));
    at(base + 4 * GIB1 - KIB4);
    OK(F(cursor_map)(&c, HPA, 1, COUNTED));
    for (uint64_t step = 0; step < 4 * GIB1; step += step < 4 * MIB2 ? KIB4 : 33 * MIB2 + KIB4) {
        a = look(base + step);
        OK(F(lookup)(&w.pt, base + step, &b)); /* while a cursor has claimed everything */
        same_item(&a, &b);
    }
    at(top - KIB4);
    OK(F(cursor_query)(&c, &a));
    OK(F(lookup)(&w.pt, top - KIB4, &b));
    same_item(&a, &b);
}
END_TEST

START_TEST(lookup_takes_any_address)
{
    struct pt_item item;

    claim(0, GIB1);
    OK(F(cursor_map)(&c, HPA, 1, RAM));
    OK(F(lookup)(&w.pt, 0xfff, &item));
    EQ(item.kind, PT_LEAF);
    EQ(item.at, 0xfff);
    EQ(item.start, 0);
    OK(F(lookup)(&w.pt, KIB4, &item));
    EQ(item.kind, PT_HOLE);
    OK(F(lookup)(&w.pt, w.pt.size - 1, &item));
    EQ(item.kind, PT_HOLE);
    EQ(item.start + item.length, w.pt.size);
    IS(F(lookup)(&w.pt, w.pt.size, &item), PT_ERANGE);
    IS(F(lookup)(&w.pt, w.pt.size + KIB4, &item), PT_ERANGE);
    IS(F(lookup)(&w.pt, UINT64_MAX, &item), PT_ERANGE);
}
END_TEST

START_TEST(an_empty_tree_is_one_hole_a_slot)
{
    struct pt_item item;

    OK(F(lookup)(&w.pt, 0, &item));
    EQ(item.kind, PT_HOLE);
    EQ(item.level, w.config.levels);
    EQ(item.length, pt_slot_size(w.config.levels));
    EQ(item.frames, 0);
}
END_TEST

START_TEST(lookup_reads_inside_one_section)
{
    struct pt_item item;
    unsigned before;

    map_leaf(0, HPA, 1, RAM);
    before = w.reads;
    OK(F(lookup)(&w.pt, 0, &item));
    HOLDS(w.reads > before);
    EQ(w.reading, 0);
    IS(F(lookup)(&w.pt, UINT64_MAX, &item), PT_ERANGE);
    EQ(w.reading, 0);
    w.config.read_begin(&w); /* a caller with a section of its own around it */
    OK(F(lookup)(&w.pt, 0, &item));
    EQ(w.reading, 1);
    w.config.read_end(&w);
}
END_TEST

START_TEST(trees_without_the_hooks_work_for_one_thread)
{
    struct pt_config config = w.config;
    struct pt_item item;
    struct pt pt;

    for (unsigned missing = 1; missing < 8; missing++) { /* all three, or none */
        config = w.config;
        config.read_begin = missing & 1 ? NULL : config.read_begin;
        config.read_end = missing & 2 ? NULL : config.read_end;
        config.quiesce = missing & 4 ? NULL : config.quiesce;
        if (missing < 7)
            IS(F(init)(&pt, &config), PT_EINVAL);
    }
    F(destroy)(&w.pt);
    w.config = config;
    w.watched = false;
    OK(F(init)(&w.pt, &w.config));
    map_leaf(0, HPA, 2, COUNTED);
    OK(F(lookup)(&w.pt, 5, &item));
    EQ(item.kind, PT_LEAF);
    claim(0, GIB1);
    OK(F(cursor_split)(&c, 1));
    OK(F(cursor_unmap_range)(&c, GIB1));
}
END_TEST

START_TEST(a_removed_mapping_is_gone_at_once)
{
    struct pt_item item;

    map_leaf(GIB1, HPA, 2, COUNTED);
    claim(GIB1, MIB2);
    OK(F(cursor_split)(&c, 1));
    OK(F(lookup)(&w.pt, GIB1 + 3 * KIB4, &item));
    EQ(item.level, 1);
    OK(F(cursor_take_next)(&c, KIB4, &item));
    OK(F(lookup)(&w.pt, GIB1, &item));
    EQ(item.kind, PT_HOLE);
    at(GIB1);
    OK(F(cursor_unmap_range)(&c, MIB2));
    OK(F(lookup)(&w.pt, GIB1 + KIB4, &item));
    EQ(item.kind, PT_HOLE);
    at(GIB1);
    OK(F(cursor_map)(&c, HPA + MIB2, 2, COUNTED));
    OK(F(lookup)(&w.pt, GIB1 + KIB4, &item));
    EQ(item.level, 2);
    EQ(item.hpa, HPA + MIB2);
}
END_TEST

static void add_lookup_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, lookup_says_what_query_says, 0, 4);
    tcase_add_test(tcase, lookup_takes_any_address);
    tcase_add_test(tcase, an_empty_tree_is_one_hole_a_slot);
    tcase_add_test(tcase, lookup_reads_inside_one_section);
    tcase_add_test(tcase, trees_without_the_hooks_work_for_one_thread);
    tcase_add_test(tcase, a_removed_mapping_is_gone_at_once);
}
