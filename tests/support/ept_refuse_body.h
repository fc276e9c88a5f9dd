/* Tests of what every operation with a length refuses, and of copies that the destination's tree cannot hold; for one
 * format and number of levels. Follows ept_picture_body.h. */

static struct pt_item refused_item;
static struct pt_range refused_run;

static enum pt_status refuse_map_range(uint64_t length)
{
    return F(cursor_map_range)(&c, HPA, length, RAM);
}

static enum pt_status refuse_protect_range(uint64_t length)
{
    return F(cursor_protect_range)(&c, length, read_only);
}

static enum pt_status refuse_protect_next(uint64_t length)
{
    return F(cursor_protect_next)(&c, length, read_only, &refused_item);
}

static enum pt_status refuse_take_next(uint64_t length)
{
    return F(cursor_take_next)(&c, length, &refused_item);
}

static enum pt_status refuse_take_subtree(uint64_t length)
{
    return F(cursor_take_subtree)(&c, length, &refused_item);
}

static enum pt_status refuse_unmap_range(uint64_t length)
{
    return F(cursor_unmap_range)(&c, length);
}

static enum pt_status refuse_harvest(uint64_t length)
{
    return F(cursor_harvest)(&c, length, PT_D, true, &refused_run);
}

static enum pt_status refuse_copy_here(uint64_t length)
{
    return F(cursor_copy_from)(&c, &c2, length, nothing, nothing);
}

static enum pt_status refuse_copy_from_here(uint64_t length)
{
    return F(cursor_copy_from)(&c2, &c, length, nothing, read_only);
}

static enum pt_status refuse_share_here(uint64_t length)
{
    return F(cursor_share_from)(&c, &c2, length);
}

static enum pt_status refuse_share_from_here(uint64_t length)
{
    return F(cursor_share_from)(&c2, &c, length);
}

static enum pt_status refuse_find_next(uint64_t length)
{
    return F(cursor_find_next)(&c, length, &refused_item);
}

/* The last one changes nothing, so that it is allowed to readers. */
static enum pt_status (*const refusing[])(uint64_t length) = {
    refuse_map_range,      refuse_protect_range, refuse_protect_next,    refuse_take_next,
    refuse_take_subtree,   refuse_unmap_range,   refuse_harvest,         refuse_copy_here,
    refuse_copy_from_here, refuse_share_here,    refuse_share_from_here, refuse_find_next};
#define REFUSING (int)(sizeof(refusing) / sizeof(*refusing))

static void refuse_at(uint64_t address, uint64_t length, enum pt_status (*operation)(uint64_t), enum pt_status status)
{
    at(address);
    IS(operation(length), status);
    EQ(F(cursor_at)(&c), address);
}

/* Does it look for the next leaf, and so end where the claim does? */
static bool steps(enum pt_status (*operation)(uint64_t))
{
    return operation == refuse_protect_next || operation == refuse_take_next || operation == refuse_take_subtree ||
           operation == refuse_harvest || operation == refuse_find_next;
}

/* Is the source another cursor, which says how far PT_TO_END is? */
static bool to_here(enum pt_status (*operation)(uint64_t))
{
    return operation == refuse_copy_here || operation == refuse_share_here;
}

/* Ranges that are empty, not whole pages, outside the claim, or wrap around; in the middle and at the very top. */
START_TEST(every_operation_checks_its_range)
{
    uint64_t starts[3] = {0, MIB2, w.pt.size - 2 * MIB2};
    static const uint64_t uneven[4] = {0, 1, KIB4 - 1, MIB2 + 1};
    enum pt_status (*operation)(uint64_t) = refusing[_i];
    struct spans before;

    for (unsigned i = 0; i < 3; i++) {
        uint64_t start = starts[i], end = start + 2 * MIB2;

        claim(start, 2 * MIB2);
        OK(F(cursor_map)(&c, HPA, 2, COUNTED | PT_D));
        at(end - KIB4);
        OK(F(cursor_map)(&c, HPA, 1, COUNTED | PT_D));
        claim_two(start, 2 * MIB2);
        for (unsigned n = 0; n < 4; n++)
            refuse_at(start, uneven[n], operation, PT_EINVAL);
        refuse_at(start, 2 * MIB2 + KIB4, operation, PT_ERANGE);
        refuse_at(start + KIB4, 2 * MIB2, operation, PT_ERANGE);
        refuse_at(end - KIB4, 2 * KIB4, operation, PT_ERANGE);
        refuse_at(start + KIB4, -(start + KIB4), operation, PT_ERANGE); /* up to 2^64 */
        refuse_at(start + KIB4, -KIB4, operation, PT_ERANGE);           /* around it */
        refuse_at(end, KIB4, operation, PT_ERANGE);                     /* depleted */
        refuse_at(end, 0, operation, steps(operation) ? PT_END : PT_EINVAL);
        refuse_at(end, PT_TO_END, operation,
                  to_here(operation) ? PT_ERANGE : PT_END); /* c2's claim is not at its end */
        EQ(w.gather.nranges, 0);
        done_two();
        before = picture(&w, true);
        EQ(before.count, 2);
        EQ(before.list[0].prop, (COUNTED | PT_D) + ((pt_prop)2 << PICTURE_LEVEL_BIT));
        spans_free(&before);
        claim(start, 2 * MIB2);
        OK(F(cursor_unmap_range)(&c, 2 * MIB2));
        done();
    }
}
END_TEST

START_TEST(readers_and_ended_cursors_are_refused_by_every_operation)
{
    enum pt_status (*operation)(uint64_t) = refusing[_i];

    claim(0, MIB2);
    OK(F(cursor_map)(&c, HPA, 1, COUNTED | PT_D));
    done();
    claim_two(GIB1, MIB2); /* a hole, so that nothing else is wrong */
    IS(operation(KIB4), PT_EMODE);
    OK(F(cursor_init)(&c, &w.pt, _i == 0 ? MIB2 : 0, MIB2, PT_READ, &w.gather));
    if (operation != refuse_find_next)
        IS(operation(KIB4), PT_EMODE);
    F(cursor_end)(&c);
    IS(operation(KIB4), PT_EMODE);
    claim(0, MIB2);
    EQ(look(0).prop, COUNTED | PT_D);
}
END_TEST

/* One leaf at the start of the claim, one at its very end, three of them beyond it. */
START_TEST(every_operation_goes_to_the_end_of_the_claim)
{
    enum pt_status (*operation)(uint64_t) = refusing[_i], status;
    uint64_t start = w.pt.size - MIB2, length = MIB2 - 3 * KIB4, end = start + length;

    claim(start, MIB2);
    if (operation != refuse_map_range && !to_here(operation)) {
        OK(F(cursor_map)(&c, HPA, 1, COUNTED | PT_D));
        at(end - KIB4);
        for (unsigned i = 0; i < 4; i++)
            OK(F(cursor_map)(&c, HPA + i * MIB2, 1, COUNTED | PT_D));
    }
    done();
    claim(start, length);
    claim_two(start, to_here(operation) ? length : PT_TO_END);
    status = operation(PT_TO_END);
    if (steps(operation)) {
        OK(status);
        if (operation == refuse_find_next)
            at(start + KIB4);
        EQ(F(cursor_at)(&c), start + KIB4);
        OK(operation(PT_TO_END));
        if (operation == refuse_find_next)
            at(end);
        EQ(F(cursor_at)(&c), end);
        IS(operation(PT_TO_END), PT_END);
        IS(operation(0), PT_END);
    } else {
        OK(status);
        IS(operation(PT_TO_END), PT_END);
    }
    EQ(F(cursor_at)(&c), end);
    done_two();
    claim(0, PT_TO_END);
    EQ(c.end, w.pt.size);
    for (uint64_t beyond = end; beyond < w.pt.size && operation != refuse_map_range && !to_here(operation);
         beyond += KIB4)
        EQ(look(beyond).prop, COUNTED | PT_D);
}
END_TEST

START_TEST(the_cursor_is_judged_before_anything_else)
{
    enum pt_resolution found;
    struct pt_item item;

    OK(F(cursor_init)(&c, &w.pt, 0, GIB1, PT_READ, &w.gather));
    IS(F(cursor_map)(&c, 1, 9, PT_ALL), PT_EMODE);
    IS(F(cursor_collapse)(&c, 9), PT_EMODE);
    IS(F(cursor_split)(&c, 9), PT_EMODE);
    IS(F(cursor_protect_range)(&c, 1, (struct pt_change){~0u, 0}), PT_EMODE);
    IS(F(cursor_resolve)(&c, 9, NULL, NULL, &found, &item), PT_EMODE);
    IS(F(cursor_harvest)(&c, 1, 0, true, &refused_run), PT_EMODE);
    IS(F(cursor_harvest)(&c, 1, 0, false, &refused_run), PT_EINVAL);
}
END_TEST

START_TEST(claims_reach_to_the_end)
{
    struct pt_cursor inside;

    IS(F(cursor_init)(&c, &w.pt, w.pt.size, PT_TO_END, PT_READ, &w.gather), PT_ERANGE);
    claim(GIB1, 2 * GIB1);
    IS(F(cursor_init_inside)(&inside, &c, 3 * GIB1, PT_TO_END), PT_ERANGE);
    OK(F(cursor_init_inside)(&inside, &c, 2 * GIB1, PT_TO_END));
    EQ(inside.start, 2 * GIB1);
    EQ(inside.end, 3 * GIB1);
    F(cursor_end)(&inside);
}
END_TEST

/* --- Copies to a tree that can do less ---------------------------------------------------------------------------- */

/* Another tree instead of `w2`, with part of its configuration changed. */
static void reopen_two(struct pt_config config)
{
    F(destroy)(&w2.pt);
    w2.config = config;
    OK(F(init)(&w2.pt, &w2.config));
}

START_TEST(copies_use_the_page_sizes_of_the_destination)
{
    static const unsigned caps[3] = {0, PT_CAP_2M, PT_CAP_2M | PT_CAP_1G};
    unsigned level = (unsigned)_i;
    struct pt_config config = w.config;

    for (unsigned i = 0; i < 3; i++) {
        unsigned largest = i + 1 < level ? i + 1 : level;

        if (largest == 1 && level == 3)
            continue; /* a million leaves prove no more */
        config.caps = PT_CAP_AD | PT_CAP_EXEC_ONLY | caps[i];
        reopen_two(config);
        claim(0, 4 * GIB1);
        at(GIB1);
        OK(F(cursor_map)(&c, HPA, level, COUNTED));
        claim_two(0, 4 * GIB1);
        at(GIB1);
        at_two(GIB1);
        OK(F(cursor_copy_from)(&c2, &c, pt_slot_size(level), nothing, nothing));
        EQ(look_two(GIB1).level, largest);
        EQ(look_two(GIB1 + pt_slot_size(level) - KIB4).level, largest);
        EQ(walk(&w2, GIB1 + pt_slot_size(level) - 1, WALK_READ).pa, HPA + pt_slot_size(level) - 1);
        EQ(look(GIB1).level, level);
        at(0);
        OK(F(cursor_unmap_range)(&c, 4 * GIB1));
        done_two();
    }
}
END_TEST

START_TEST(copies_that_the_destination_cannot_hold_are_refused)
{
    struct pt_config config = w.config;
    pt_prop prop = _i == 2 ? PT_X | PT_WB : COUNTED;

    if (_i == 2 && !is_ept())
        return;
    if (_i == 0)
        config.maxphyaddr = 32; /* HPA is 4 GiB */
    if (_i == 1) {
        config.frame_get = NULL;
        config.frame_put = NULL;
    }
    if (_i == 2)
        config.caps &= ~PT_CAP_EXEC_ONLY;
    reopen_two(config);
    for (unsigned level = 1; level <= 3; level++) {
        claim(0, 4 * GIB1);
        OK(F(cursor_map)(&c, HPA, level, prop));
        claim_two(0, 4 * GIB1);
        at(0);
        IS(F(cursor_copy_from)(&c2, &c, GIB1, nothing, nothing), PT_EINVAL);
        IS(F(cursor_share_from)(&c2, &c, GIB1), PT_EINVAL);
        EQ(F(cursor_at)(&c2), 0);
        EQ(look_two(0).kind, PT_HOLE);
        EQ(look(0).prop, prop);
        at(0);
        OK(F(cursor_unmap_range)(&c, 4 * GIB1));
        done_two();
    }
}
END_TEST

static void add_refuse_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, every_operation_checks_its_range, 0, REFUSING);
    tcase_add_loop_test(tcase, readers_and_ended_cursors_are_refused_by_every_operation, 0, REFUSING);
    tcase_add_loop_test(tcase, every_operation_goes_to_the_end_of_the_claim, 0, REFUSING);
    tcase_add_test(tcase, the_cursor_is_judged_before_anything_else);
    tcase_add_test(tcase, claims_reach_to_the_end);
    tcase_add_loop_test(tcase, copies_use_the_page_sizes_of_the_destination, 1, 4);
    tcase_add_loop_test(tcase, copies_that_the_destination_cannot_hold_are_refused, 0, 3);
}
