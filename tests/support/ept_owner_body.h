/* Tests of who owns a shared table: chains of shares, owners that leave in any order, and what everybody sees
 * meanwhile. Follows ept_share_body.h. */

#define CHAIN 10u

static struct world chain[CHAIN];

/* Each tree shares from the one before it, the first one from `w`. */
static void open_chain(uint64_t start, uint64_t length)
{
    for (unsigned i = 0; i < CHAIN; i++) {
        struct world *src = i ? &chain[i - 1] : &w;

        open_tree(&chain[i]);
        world_arm(&w);
        OK(F(cursor_init)(&c, &src->pt, start, length, PT_WRITE, &src->gather));
        OK(F(cursor_init)(&c2, &chain[i].pt, start, length, PT_WRITE, &chain[i].gather));
        OK(F(cursor_share_from)(&c2, &c, length));
        F(cursor_end)(&c2);
        F(cursor_end)(&c);
        F(gather_sync)(&src->gather);
        F(gather_sync)(&chain[i].gather);
        sound(&chain[i]);
    }
    sound(&w);
}

static void protect_in(struct world *tree, uint64_t start, uint64_t length, struct pt_change change)
{
    struct pt_cursor cursor;

    world_arm(&w);
    OK(F(cursor_init)(&cursor, &tree->pt, start, length, PT_WRITE, &tree->gather));
    OK(F(cursor_protect_range)(&cursor, length, change));
    F(cursor_end)(&cursor);
    F(gather_sync)(&tree->gather);
    sound(tree);
}

static void unmap_in(struct world *tree, uint64_t start, uint64_t length)
{
    struct pt_cursor cursor;

    world_arm(&w);
    OK(F(cursor_init)(&cursor, &tree->pt, start, length, PT_WRITE, &tree->gather));
    OK(F(cursor_unmap_range)(&cursor, length));
    F(cursor_end)(&cursor);
    F(gather_sync)(&tree->gather);
    sound(tree);
}

static const struct pt_change writable = {PT_W, 0};

static void all_add_up(void)
{
    struct world *trees[CHAIN + 2] = {&w, &w2};

    for (unsigned i = 0; i < CHAIN; i++)
        trees[i + 2] = &chain[i];
    adds_up(trees, CHAIN + 2);
}

START_TEST(shares_of_shares_use_one_table)
{
    uint64_t before;

    map_small(0, GIB1, COUNTED);
    before = tables();
    open_chain(0, GIB1);
    ck_assert_uint_eq(tables() - before, CHAIN * (w.config.levels - 2)); /* roots, and the path */
    ck_assert_int_eq(w.held[1], SHARED_PAGES);
    all_add_up();
    for (unsigned i = 0; i < CHAIN; i++) {
        ck_assert_uint_eq(walk(&chain[i], MIB2 + 7, WALK_READ).pa, HPA + KIB4 + MIB2 + 7);
        ck_assert_int_ne(walk(&chain[i], MIB2 + 7, WALK_WRITE).result, WALK_OK);
    }
    /* Every second one writes to a page of its own. */
    for (unsigned i = 0; i < CHAIN; i += 2)
        protect_in(&chain[i], i * MIB2, KIB4, writable);
    for (unsigned i = 0; i < CHAIN; i++)
        for (unsigned page = 0; page < CHAIN; page++)
            ck_assert_int_eq(walk(&chain[i], page * MIB2, WALK_WRITE).result == WALK_OK, page == i && i % 2 == 0);
    all_add_up();
    for (unsigned i = 0; i < CHAIN; i++)
        close_tree(&chain[i]);
    both_add_up();
}
END_TEST

/* Ends the trees of a chain in an order; the last owner left takes its tables back without copying. */
START_TEST(owners_leave_in_any_order)
{
    static const unsigned steps[4] = {1, 3, 7, CHAIN - 1};
    uint64_t before, after;

    map_small(0, 4 * MIB2, COUNTED);
    before = tables();
    open_chain(0, GIB1);
    w.allocations_left = w.gets_left = 0;
    for (unsigned i = 0, next = (unsigned)_i; i < CHAIN; i++, next = (next + steps[_i % 4]) % CHAIN) {
        ck_assert_int_eq(walk(&chain[next], KIB4, WALK_READ).result, WALK_OK);
        close_tree(&chain[next]);
        ck_assert_uint_eq(walk(&w, KIB4, WALK_READ).pa, HPA + 2 * KIB4);
        ck_assert_int_eq(w.held[1], 4 * 512);
    }
    ck_assert_uint_eq(tables(), before);
    after = raw_table(&w, 0);
    protect_in(&w, 0, 4 * MIB2, writable);
    ck_assert_uint_eq(raw_table(&w, 0), after);
    w.allocations_left = w.gets_left = -1;
    both_add_up();
}
END_TEST

START_TEST(the_first_owner_may_go_first)
{
    struct pt_statistics counts;

    map_small(0, 4 * MIB2, COUNTED);
    share(0, 0, GIB1);
    w.allocations_left = w.gets_left = 0;
    F(destroy)(&w.pt);
    ck_assert_uint_eq(tables(), w2.config.levels - 1 + 4);
    ck_assert_int_eq(w.held[1], 4 * 512);
    sound(&w2);
    protect_in(&w2, MIB2, MIB2, writable); /* taken back */
    F(count)(&w2.pt, &counts);
    ck_assert_uint_eq(counts.leaves[1], 4 * 512);
    ck_assert_uint_eq(counts.tracked, 4 * 512);
    ck_assert_int_eq(walk(&w2, MIB2, WALK_WRITE).result, WALK_OK);
    unmap_in(&w2, 0, GIB1);
    ck_assert_uint_eq(tables(), 1);
    ck_assert_int_eq(w.held[1], 0);
    w.allocations_left = w.gets_left = -1;
    OK(F(init)(&w.pt, &w.config));
}
END_TEST

START_TEST(rights_do_not_come_back_by_themselves)
{
    map_small(0, 4 * MIB2, COUNTED);
    share(0, 0, GIB1);
    F(destroy)(&w2.pt);
    OK(F(init)(&w2.pt, &w2.config));
    claim(0, GIB1);
    ck_assert_uint_eq(look(0).prop, COUNTED & ~PT_W);
    done();
    protect_in(&w, KIB4, KIB4, writable);
    for (uint64_t page = 0; page < 4 * 512; page++)
        ck_assert_int_eq(walk(&w, page * KIB4, WALK_WRITE).result == WALK_OK, page == 1);
    both_add_up();
}
END_TEST

START_TEST(an_owner_counts_until_its_gather_is_synced)
{
    map_small(0, MIB2, COUNTED);
    share(0, 0, MIB2);
    w.undoing = true; /* what is allocated in vain goes back at once */
    claim_two(0, GIB1);
    OK(F(cursor_unmap_range)(&c2, MIB2)); /* hardware may still walk the table from the second root */
    w.allocations_left = 0;
    claim(0, GIB1);
    IS(F(cursor_protect_range)(&c, KIB4, writable), PT_ENOMEM);
    w.undoing = false;
    F(cursor_end)(&c2);
    world_arm(&w);
    F(gather_sync)(&w2.gather);
    ck_assert(w.quiesced);
    ck_assert_int_eq(w.held[1], 512);
    at(0);
    OK(F(cursor_protect_range)(&c, KIB4, writable));
    ck_assert_uint_eq(look(0).prop, COUNTED);
    w.allocations_left = -1;
}
END_TEST

/* A copy of a shared table makes its first owners fewer, but not before hardware has let go of it. */
START_TEST(a_table_left_by_copying_it_is_owned_until_the_sync)
{
    map_small(0, MIB2, COUNTED);
    share(0, 0, MIB2);
    claim(0, GIB1);
    OK(F(cursor_protect_range)(&c, KIB4, writable));
    ck_assert_int_eq(w.held[1], 1024);
    F(cursor_end)(&c);
    w.undoing = true;
    w.allocations_left = 0;
    claim_two(0, GIB1);
    IS(F(cursor_protect_range)(&c2, KIB4, writable), PT_ENOMEM);
    w.undoing = false;
    world_arm(&w);
    F(gather_sync)(&w.gather);
    OK(F(cursor_protect_range)(&c2, KIB4, writable));
    w.allocations_left = -1;
    done_two();
    ck_assert_int_eq(w.held[1], 1024);
    both_add_up();
}
END_TEST

static enum pt_status expect_no_w(void *ctx, const struct pt_item *first, uint64_t count)
{
    ck_assert_uint_eq(first->prop, COUNTED & ~PT_W);
    *(uint64_t *)ctx += count;
    return PT_OK;
}

static void append_text(void *ctx, const char *text, size_t length)
{
    strncat(ctx, text, length);
}

/* Every way of looking at a tree says the same as hardware: no W. And none of them takes a table of its own for it. */
START_TEST(everything_reports_effective_rights)
{
    struct world *side = _i ? &w2 : &w;
    struct pt_statistics counts;
    struct pt_fault fault;
    struct pt_range run;
    struct pt_item item;
    char text[512] = "";
    uint64_t leaves = 0;

    map_small(MIB2, MIB2, COUNTED);
    claim(0, GIB1);
    at(8 * MIB2);
    OK(F(cursor_map)(&c, HPA, 2, COUNTED));
    done();
    share(0, 0, GIB1);
    w.allocations_left = w.gets_left = 0;
    F(dump)(&side->pt, PT_DUMP_TEXT, append_text, text);
    ck_assert_str_eq(text, "0x000000200000-0x0000003fffff -> 0x000100001000  4K  r-x-  wb  ----  ---  tracked\n"
                           "0x000001000000-0x0000011fffff -> 0x000100000000  2M  r-x-  wb  ----  ---  tracked\n");
    OK(F(check)(&side->pt, expect_no_w, &leaves, &fault));
    ck_assert_uint_eq(leaves, 513);
    F(count)(&side->pt, &counts);
    ck_assert_uint_eq(counts.leaves[1], 512);
    ck_assert_uint_eq(counts.tracked, 1024);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t address = i ? 8 * MIB2 + 3 * KIB4 : MIB2 + 7 * KIB4;

        OK(F(lookup)(&side->pt, address, &item));
        ck_assert_uint_eq(item.prop, COUNTED & ~PT_W);
        OK(F(cursor_init)(&c, &side->pt, 0, GIB1, PT_WRITE, &side->gather));
        ck_assert_uint_eq(look(address).prop, COUNTED & ~PT_W);
        OK(F(cursor_find_next)(&c, KIB4, &item));
        ck_assert_uint_eq(item.prop, COUNTED & ~PT_W);
        OK(F(cursor_protect_next)(&c, KIB4, read_only, &item)); /* changes nothing */
        ck_assert_uint_eq(item.prop, COUNTED & ~PT_W);
        at(0);
        IS(F(cursor_harvest)(&c, GIB1, PT_A | PT_D, true, &run), PT_END); /* nor does this */
        F(cursor_end)(&c);
        ck_assert_int_eq(walk(side, address, WALK_READ).w, false);
    }
    ck_assert_uint_eq(side->gather.nranges, 0);
    w.allocations_left = w.gets_left = -1;
    OK(F(cursor_init)(&c, &side->pt, 0, GIB1, PT_WRITE, &side->gather));
    OK(F(cursor_take_next)(&c, GIB1, &item));
    ck_assert_uint_eq(item.prop, COUNTED & ~PT_W);
    F(cursor_end)(&c);
    F(gather_sync)(&side->gather);
    both_add_up();
}
END_TEST

static _Atomic uint64_t *raw_slot(const struct world *tree, uint64_t address, unsigned level)
{
    struct walk_answer answer = raw(tree, address);

    for (unsigned i = 0; i < answer.nsteps; i++)
        if (answer.steps[i].level == level)
            return (_Atomic uint64_t *)(uintptr_t)(answer.steps[i].pa + w.config.entries_offset);
    ck_abort_msg("no entry of level %u on the walk", level);
    return NULL;
}

START_TEST(check_notices_writable_entries_of_shared_tables)
{
    struct pt_fault fault;
    _Atomic uint64_t *entry;
    uint64_t saved;

    map_small(0, MIB2, COUNTED);
    share(0, 0, MIB2);
    entry = raw_slot(&w, 0, 2);
    saved = *entry;
    *entry |= RAW_W;
    IS(F(check)(&w.pt, NULL, NULL, &fault), PT_ECORRUPT);
    ck_assert_uint_eq(fault.level, 2);
    OK(F(check)(&w2.pt, NULL, NULL, &fault));
    *entry = saved;
    OK(F(check)(&w.pt, NULL, NULL, &fault));
}
END_TEST

static void add_owner_tests(TCase *tcase)
{
    tcase_add_test(tcase, shares_of_shares_use_one_table);
    tcase_add_loop_test(tcase, owners_leave_in_any_order, 0, 8);
    tcase_add_test(tcase, the_first_owner_may_go_first);
    tcase_add_test(tcase, rights_do_not_come_back_by_themselves);
    tcase_add_test(tcase, an_owner_counts_until_its_gather_is_synced);
    tcase_add_test(tcase, a_table_left_by_copying_it_is_owned_until_the_sync);
    tcase_add_loop_test(tcase, everything_reports_effective_rights, 0, 2);
    tcase_add_test(tcase, check_notices_writable_entries_of_shared_tables);
}
