/* Every operation with the allocator, or the frame counts, failing at each of its calls in turn: an error, and nothing
 * changed anywhere. Follows ept_edges_main_body.h.
 *
 * The scene: at 1 GiB two tables of 4 KiB leaves, a 2 MiB leaf, pieces that could be one 2 MiB leaf; at 4 GiB three
 * leaves of 1 GiB. As in ept_edges_body.h, another tree may share all of it. */
#define F_SMALL  GIB1
#define F_HUGE2  (GIB1 + 4 * MIB2)
#define F_PIECES (GIB1 + 6 * MIB2)
#define F_HUGE3  (4 * GIB1)
#define F_MESS   (GIB1 + KIB4 + MIB2) /* edges in small, and in huge leaves */

static struct pt_cursor far; /* in w3 */

static enum pt_status fail_map(void)
{
    at(3 * GIB1 - MIB2 - KIB4);
    return F(cursor_map_range)(&c, HPA + GIB1 - MIB2 - KIB4, MIB2 + 2 * KIB4, COUNTED);
}

static enum pt_status fail_map_one(void)
{
    at(F_SMALL + 2 * MIB2);
    return F(cursor_map)(&c, HPA, 1, COUNTED);
}

static enum pt_status fail_protect(void)
{
    at(F_MESS);
    return F(cursor_protect_range)(&c, F_HUGE3 + GIB1 + MIB2 + KIB4 - F_MESS, edge_change);
}

static enum pt_status fail_protect_next(void)
{
    struct pt_item item;

    at(F_HUGE3 + KIB4);
    return F(cursor_protect_next)(&c, KIB4, edge_change, &item);
}

static enum pt_status fail_unmap(void)
{
    at(F_MESS);
    return F(cursor_unmap_range)(&c, F_HUGE3 + GIB1 + MIB2 + KIB4 - F_MESS);
}

static enum pt_status fail_take(void)
{
    struct pt_item item;

    at(F_HUGE3 + GIB1 + KIB4);
    return F(cursor_take_next)(&c, KIB4, &item);
}

static enum pt_status fail_take_subtree(void)
{
    struct pt_item item;

    at(F_HUGE2 + KIB4);
    return F(cursor_take_subtree)(&c, MIB2 - KIB4, &item);
}

static enum pt_status fail_copy(void)
{
    at(F_MESS);
    OK(F(cursor_jump)(&far, F_MESS));
    return F(cursor_copy_from)(&far, &c, F_HUGE3 + GIB1 + MIB2 + KIB4 - F_MESS, edge_change, edge_read_only);
}

static enum pt_status fail_copy_off(void)
{
    at(F_SMALL);
    OK(F(cursor_jump)(&far, F_SMALL + KIB4));
    return F(cursor_copy_from)(&far, &c, 8 * MIB2, edge_change, edge_read_only);
}

static enum pt_status fail_share(void)
{
    at(F_MESS);
    OK(F(cursor_jump)(&far, F_MESS));
    return F(cursor_share_from)(&far, &c, F_HUGE3 + GIB1 + MIB2 + KIB4 - F_MESS);
}

static enum pt_status fail_share_off(void)
{
    at(F_SMALL);
    OK(F(cursor_jump)(&far, F_SMALL + KIB4));
    return F(cursor_share_from)(&far, &c, 8 * MIB2);
}

static enum pt_status fail_split(void)
{
    at(F_HUGE3 + GIB1 - KIB4);
    return F(cursor_split)(&c, 1);
}

static enum pt_status fail_collapse(void)
{
    at(F_PIECES);
    return F(cursor_collapse)(&c, 2);
}

static enum pt_status fail_harvest(void)
{
    struct pt_range run;

    at(F_HUGE3 + KIB4);
    return F(cursor_harvest)(&c, GIB1, PT_D, true, &run);
}

static const struct failing {
    enum pt_status (*operation)(void);
    bool allocates, gets; /* even where nothing is shared */
} failing[] = {
    {fail_map, true, true},          {fail_map_one, true, true},   {fail_protect, true, true},
    {fail_protect_next, true, true}, {fail_unmap, true, true},     {fail_take, true, true},
    {fail_take_subtree, true, true}, {fail_copy, true, true},      {fail_copy_off, true, true},
    {fail_share, true, true},        {fail_share_off, true, true}, {fail_split, true, true},
    {fail_collapse, false, true},    {fail_harvest, true, true},
};
#define FAILING (int)(sizeof(failing) / sizeof(*failing))

static void make_failing_scene(enum sharer sharer)
{
    pt_prop prop = COUNTED | PT_D;

    claim(0, 8 * GIB1);
    at(F_SMALL);
    OK(F(cursor_map_range)(&c, HPA + KIB4, 2 * MIB2, prop));
    at(F_HUGE2);
    OK(F(cursor_map)(&c, HPA + 4 * MIB2, 2, prop));
    at(F_PIECES);
    OK(F(cursor_map)(&c, HPA + 6 * MIB2, 2, prop));
    at(F_PIECES);
    OK(F(cursor_split)(&c, 1));
    at(F_HUGE3);
    OK(F(cursor_map_range)(&c, HPA + GIB1, 3 * GIB1, prop));
    done();
    s.tree = sharer == SHARED_IN ? &w2 : &w;
    if (sharer == NO_SHARER)
        return;
    open_both(0, 0);
    OK(F(cursor_share_from)(&c2, &c, w.pt.size));
    done_two();
}

struct moment {
    struct spans maps[3];
    uint64_t tables;
    int64_t held[4];
};

static struct world *const every[3] = {&w, &w2, &w3};

static struct moment remember(void)
{
    struct moment moment = {.tables = tables()};

    for (unsigned i = 0; i < 3; i++)
        moment.maps[i] = picture(every[i], true);
    for (unsigned level = 1; level <= 3; level++)
        moment.held[level] = w.held[level];
    return moment;
}

static void as_remembered(const struct moment *moment)
{
    static const char *const names[3] = {"first tree", "second tree", "third tree"};

    EQ(tables(), moment->tables);
    for (unsigned level = 1; level <= 3; level++)
        EQ(w.held[level], moment->held[level]);
    for (unsigned i = 0; i < 3; i++) {
        EQ(every[i]->gather.nranges + every[i]->gather.nruns, 0);
        same_picture(picture(every[i], true), &moment->maps[i], names[i]);
        sound(every[i]);
    }
}

static void forget(struct moment *moment)
{
    for (unsigned i = 0; i < 3; i++)
        spans_free(&moment->maps[i]);
}

/* What fails at the k-th call. */
enum failure { NO_TABLE, BAD_TABLE, NO_FRAME, FAILURES };

static enum pt_status failure_status(enum failure failure)
{
    static const enum pt_status statuses[FAILURES] = {PT_ENOMEM, PT_ETABLE, PT_EFRAME};

    return statuses[failure];
}

/* k < 0: nothing fails. */
static void fail_at(enum failure failure, long k)
{
    static const uint64_t wrong[3] = {WORLD_PA + 8, 1ull << 46, WORLD_PA - KIB4};

    w.allocations_left = failure == NO_FRAME ? -1 : k;
    w.gets_left = failure == NO_FRAME ? k : -1;
    w.bad_table = failure == BAD_TABLE ? wrong[k % 3 < 0 ? 0 : k % 3] : 0;
}

START_TEST(whatever_call_fails_nothing_changes)
{
    const struct failing *now = &failing[_i / (FAILURES * SHARERS)];
    enum sharer sharer = (enum sharer)(_i / FAILURES % SHARERS);
    enum failure failure = (enum failure)(_i % FAILURES);
    bool frames = failure == NO_FRAME;
    enum pt_status status = PT_ENOMEM;
    unsigned failures = 0;
    struct moment before;

    make_failing_scene(sharer);
    before = remember();
    for (long k = 0; status != PT_OK; k++) {
        uint64_t here, there;

        OK(F(cursor_init)(&c, &s.tree->pt, 0, 16 * GIB1, PT_WRITE, &s.tree->gather));
        OK(F(cursor_init)(&far, &w3.pt, 0, 16 * GIB1, PT_WRITE, &w3.gather));
        w.undoing = true;
        fail_at(failure, k);
        status = now->operation();
        fail_at(failure, -1);
        EQ(w.bad_tables, 0);
        here = F(cursor_at)(&c);
        there = F(cursor_at)(&far);
        if (status != PT_OK) {
            failures++;
            IS(status, failure_status(failure));
            HOLDS(here < F_HUGE3 + 2 * GIB1 && here % KIB4 == 0);
            w.gets_left = w.allocations_left = 0;
            HOLDS(now->operation() != PT_OK); /* the cursor still works, and fails again from where it was */
            w.gets_left = w.allocations_left = -1;
            EQ(F(cursor_at)(&c), here);
            EQ(F(cursor_at)(&far), there);
        }
        F(cursor_end)(&far);
        F(cursor_end)(&c);
        w.undoing = false;
        if (status != PT_OK)
            as_remembered(&before);
        HOLDS(k < 5000);
    }
    if (sharer != NO_SHARER || (frames ? now->gets : now->allocates))
        HOLDS(failures > 0);
    world_arm(&w);
    for (unsigned i = 0; i < 3; i++)
        F(gather_sync)(&every[i]->gather);
    adds_up(every, 3);
    forget(&before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("edges: " F_TEXT(PT_TEST_FORMAT) ", " F_TEXT(PT_TEST_LEVELS) " levels");
    TCase *edges = add_group(suite, "edges", setup_edges, teardown_edges);
    TCase *failures = add_group(suite, "failures", setup_edges, teardown_edges);

    tcase_add_loop_test(edges, every_operation_at_every_edge, 0, EDGE_OPERATIONS);
    tcase_add_loop_test(failures, whatever_call_fails_nothing_changes, 0, FAILING * FAILURES * SHARERS);
    return run_suite(suite);
}
