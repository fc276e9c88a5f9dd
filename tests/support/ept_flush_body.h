/* Tests of what is flushed and why, and of what needs no flush; for one format and number of levels. Follows
 * ept_refuse_body.h. */

/* Two 2 MiB leaves, and pages after them. */
static void flush_scene(pt_prop prop)
{
    claim(0, 2 * GIB1);
    OK(F(cursor_map_range)(&c, HPA, 2 * MIB2 + 8 * KIB4, prop));
    done();
    claim(0, 2 * GIB1);
}

static void protect_all(pt_prop set, pt_prop clear)
{
    at(0);
    OK(F(cursor_protect_range)(&c, 2 * MIB2 + 8 * KIB4, (struct pt_change){set, clear}));
}

/* The same leaf by leaf. */
static void protect_each(pt_prop set, pt_prop clear)
{
    enum pt_status status;
    struct pt_item item;

    at(0);
    while ((status = F(cursor_protect_next)(&c, PT_TO_END, (struct pt_change){set, clear}, &item)) == PT_OK)
        ;
    IS(status, PT_END);
}

/* A sync flushes just this, of this tree, for just these reasons; 0: nothing at all. */
static void flushes(unsigned why, uint64_t start, uint64_t length)
{
    unsigned before = w.flushes;

    world_arm(&w);
    F(gather_sync)(&w.gather);
    EQ(w.flushes - before, why != 0);
    EQ(w.why, why);
    if (why == 0)
        return;
    HOLDS(w.flushed_tree == &w.pt);
    HOLDS(world_flushed(&w, start, length));
    for (size_t i = 0; i < w.nranges; i++)
        HOLDS(w.ranges[i].start >= start && w.ranges[i].start + w.ranges[i].length <= start + length);
}

static const struct flush_change {
    pt_prop set, clear;
    unsigned why;
} flush_changes[] = {
    {0, PT_W, PT_FLUSH_RIGHTS},
    {PT_W, 0, 0},
    {PT_SOFT0 | PT_SOFT2, PT_SOFT1, 0},
    {PT_A | PT_D, 0, 0},
    {0, PT_D, PT_FLUSH_MARKS},
    {PT_D, PT_A, PT_FLUSH_MARKS},
    {0, PT_X, PT_FLUSH_RIGHTS},
    {PT_X, 0, 0},
    {PT_UC, PT_MT_MASK, PT_FLUSH_RIGHTS},
    {0, PT_W | PT_D, PT_FLUSH_RIGHTS | PT_FLUSH_MARKS},
    {PT_W, 0, 0}, /* D, which was taken to where hardware does not look, is not set */
    {0, PT_RWX, PT_FLUSH_RIGHTS},
    {PT_SOFT1 | PT_WT, PT_MT_MASK, 0}, /* hardware has no leaf without rights */
    {PT_RX, 0, 0},
};

START_TEST(only_what_hardware_may_have_kept_is_flushed)
{
    flush_scene(COUNTED | PT_SOFT1);
    for (size_t i = 0; i < sizeof(flush_changes) / sizeof(*flush_changes); i++) {
        const struct flush_change *change = &flush_changes[i];
        unsigned why = change->why;

        if (_i == 0)
            protect_all(change->set, change->clear);
        else
            protect_each(change->set, change->clear);
        /* For a range it is not known which marks hardware has set by then. */
        if (_i == 0 && (change->clear & (PT_A | PT_D)))
            why |= PT_FLUSH_MARKS;
        flushes(why, 0, 2 * MIB2 + 8 * KIB4);
        EQ(look(MIB2).prop & change->set, change->set);
        EQ(look(MIB2).prop & change->clear & ~change->set & ~PT_MT_MASK, 0);
    }
}
END_TEST

START_TEST(marks_that_hardware_never_sets_need_no_flush)
{
    F(destroy)(&w.pt);
    w.config.caps &= ~PT_CAP_AD;
    OK(F(init)(&w.pt, &w.config));
    flush_scene(COUNTED | PT_A | PT_D);
    protect_all(0, PT_A);
    protect_each(0, PT_D);
    flushes(0, 0, 0);
    protect_all(0, PT_W);
    flushes(PT_FLUSH_RIGHTS, 0, 2 * MIB2 + 8 * KIB4);
}
END_TEST

START_TEST(a_split_needs_no_flush_and_no_more_than_its_part_changes)
{
    struct pt_item item;

    flush_scene(COUNTED);
    at(MIB2);
    OK(F(cursor_split)(&c, 1));
    EQ(w.held[2], 1);
    EQ(w.held[1], 8 + 512);
    flushes(0, 0, 0);
    at(KIB4);
    OK(F(cursor_protect_range)(&c, KIB4, read_only));
    flushes(PT_FLUSH_RIGHTS, KIB4, KIB4);
    at(MIB2);
    OK(F(cursor_collapse)(&c, 2));
    flushes(PT_FLUSH_TABLES, MIB2, MIB2);
    at(MIB2 + 5 * KIB4);
    OK(F(cursor_protect_next)(&c, KIB4, read_only, &item));
    flushes(PT_FLUSH_RIGHTS, MIB2 + 5 * KIB4, KIB4);
    at(MIB2 + 6 * KIB4);
    OK(F(cursor_take_next)(&c, KIB4, &item));
    flushes(PT_FLUSH_REMOVED, MIB2 + 6 * KIB4, KIB4);
}
END_TEST

START_TEST(what_is_removed_says_whether_tables_go)
{
    struct pt_item item;

    flush_scene(COUNTED);
    at(2 * MIB2);
    OK(F(cursor_unmap_range)(&c, KIB4));
    flushes(PT_FLUSH_REMOVED, 2 * MIB2, KIB4);
    OK(F(cursor_take_next)(&c, PT_TO_END, &item));
    flushes(PT_FLUSH_REMOVED, 2 * MIB2 + KIB4, KIB4);
    at(0);
    OK(F(cursor_unmap_range)(&c, GIB1));
    flushes(PT_FLUSH_REMOVED | PT_FLUSH_TABLES, 0, GIB1);
    OK(F(cursor_map)(&c, HPA, 1, COUNTED));
    flushes(0, 0, 0);
}
END_TEST

/* A share takes W from the source, and nothing from who had no W. The copy of a table must be flushed for the old one's
 * sake; a table that is taken back needs no flush. */
START_TEST(shared_tables_are_flushed_when_they_are_left)
{
    const struct pt_change writable = {.set = PT_W};
    struct pt_item item;

    claim(0, GIB1);
    OK(F(cursor_map_range)(&c, HPA + KIB4, MIB2, COUNTED));
    done();
    claim(0, GIB1);
    claim_two(0, GIB1);
    OK(F(cursor_share_from)(&c2, &c, MIB2));
    flushes(PT_FLUSH_RIGHTS, 0, MIB2);
    EQ(w2.gather.nranges, 0);
    at(MIB2);
    F(cursor_end)(&c2);
    claim_two(GIB1, GIB1);
    at(0);
    OK(F(cursor_share_from)(&c2, &c, MIB2)); /* once more: it has no W to lose */
    flushes(0, 0, 0);
    at(KIB4);
    OK(F(cursor_protect_next)(&c, KIB4, writable, &item)); /* a copy */
    flushes(PT_FLUSH_TABLES, 0, MIB2);
    F(cursor_end)(&c2);
    F(gather_sync)(&w2.gather);
    claim_two(0, GIB1);
    OK(F(cursor_unmap_range)(&c2, GIB1));
    F(cursor_end)(&c2);
    F(gather_sync)(&w2.gather);
    world_arm(&w2);
    claim_two(GIB1 + 4 * KIB4, KIB4);
    OK(F(cursor_protect_next)(&c2, KIB4, writable, &item)); /* the last owner takes it back */
    EQ(w2.gather.nranges, 0);
}
END_TEST

static void add_flush_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, only_what_hardware_may_have_kept_is_flushed, 0, 2);
    tcase_add_test(tcase, marks_that_hardware_never_sets_need_no_flush);
    tcase_add_test(tcase, a_split_needs_no_flush_and_no_more_than_its_part_changes);
    tcase_add_test(tcase, what_is_removed_says_whether_tables_go);
    tcase_add_test(tcase, shared_tables_are_flushed_when_they_are_left);
}
