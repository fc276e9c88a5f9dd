/* A store that began before an operation and sets D in its midst: the walk has come to the leaf, and marks it when the
 * operation has planned, or committed, or when it flushes. Whatever the operation, the page is dirty afterwards, or was
 * reported. Follows ept_dirty_body.h. */

/* When the walk goes on. */
enum moment {
    AT_HOOK,  /* as soon as the operation allocates, or gets a reference: between plan and commit */
    AT_FLUSH, /* at the first flush */
    AT_END,   /* when the operation has returned, or at a flush before that */
    MOMENTS,
};

#define STALLED_PAGE (9 * KIB4)

static void stalled_body(unsigned number)
{
    while (hardware_store(number, w.pt.root, STALLED_PAGE, NULL) == STORE_FAULTS)
        sched_yield();
}

/* Clean and writable: a leaf of this level around the page. */
static void map_clean(unsigned level)
{
    claim(0, 8 * GIB1);
    MUST(F(cursor_map)(&c, HPA, level > 1 ? level : 2, COUNTED) == PT_OK);
    MUST(F(cursor_jump)(&c, STALLED_PAGE) == PT_OK);
    MUST(F(cursor_split)(&c, level) == PT_OK);
    F(gather_sync)(&w.gather);
}

static bool run_has_page(const struct pt_range *run, uint64_t page)
{
    return run->start <= page && page - run->start < run->length;
}

/* --- Operations: each answers whether it reported the page as dirty ---------------------------------------------- */

static bool stalled_split(void)
{
    MUST(F(cursor_split)(&c, 1) == PT_OK);
    return false;
}

static bool stalled_collapse(void)
{
    MUST(F(cursor_jump)(&c, 0) == PT_OK);
    MUST(F(cursor_collapse)(&c, 2) == PT_OK);
    return false;
}

static bool stalled_protect_beside(void)
{
    MUST(F(cursor_jump)(&c, 0) == PT_OK);
    MUST(F(cursor_protect_range)(&c, KIB4, (struct pt_change){PT_SOFT0, 0}) == PT_OK);
    return false;
}

static bool stalled_protect(void)
{
    MUST(F(cursor_protect_range)(&c, KIB4, (struct pt_change){PT_SOFT0, PT_W}) == PT_OK);
    return false;
}

static bool stalled_protect_next(void)
{
    struct pt_item item;

    MUST(F(cursor_protect_next)(&c, KIB4, (struct pt_change){PT_SOFT0, PT_D}, &item) == PT_OK);
    return (item.prop & PT_D) != 0;
}

static bool stalled_harvest(void)
{
    struct pt_range run;
    bool found = F(cursor_harvest)(&c, MIB2 - STALLED_PAGE, PT_D, true, &run) == PT_OK;

    return found && run_has_page(&run, STALLED_PAGE);
}

static bool stalled_take(void)
{
    struct pt_item item;

    MUST(F(cursor_take_next)(&c, KIB4, &item) == PT_OK);
    MUST(F(cursor_jump)(&c, STALLED_PAGE) == PT_OK);
    MUST(F(cursor_map)(&c, item.hpa, 1, item.prop & ~PT_D) == PT_OK);
    return (item.prop & PT_D) != 0;
}

/* The D goes to the copy, or stays. */
static bool stalled_copy(void)
{
    struct pt_item item;

    claim_two(0, 8 * GIB1);
    MUST(F(cursor_jump)(&c2, STALLED_PAGE) == PT_OK);
    MUST(F(cursor_copy_from)(&c2, &c, MIB2 - STALLED_PAGE, nothing, clean) == PT_OK);
    item = look_two(STALLED_PAGE);
    F(cursor_end)(&c2);
    return (item.prop & PT_D) != 0;
}

/* Shares all of it, and lets one side or the other, or both, make the page their own before any sync. */
static void share_stalled(bool here, bool there)
{
    claim_two(0, 8 * GIB1);
    MUST(F(cursor_jump)(&c, 0) == PT_OK);
    MUST(F(cursor_share_from)(&c2, &c, 8 * GIB1) == PT_OK);
    if (there) {
        MUST(F(cursor_jump)(&c2, 0) == PT_OK);
        MUST(F(cursor_protect_range)(&c2, KIB4, writable) == PT_OK);
    }
    if (here) {
        MUST(F(cursor_jump)(&c, 0) == PT_OK);
        MUST(F(cursor_protect_range)(&c, KIB4, (struct pt_change){PT_SOFT0, 0}) == PT_OK);
    }
    F(cursor_end)(&c2);
}

static bool stalled_share(void)
{
    share_stalled(false, false);
    return false;
}

static bool stalled_share_and_own(void)
{
    share_stalled(true, false);
    return false;
}

static bool stalled_share_and_lose(void)
{
    share_stalled(false, true);
    return false;
}

static bool stalled_share_and_both(void)
{
    share_stalled(true, true);
    return false;
}

/* The sharer has gone before the table is taken back. */
static bool stalled_share_and_take_back(void)
{
    share_stalled(false, false);
    claim_two(0, 8 * GIB1);
    MUST(F(cursor_unmap_range)(&c2, 8 * GIB1) == PT_OK);
    F(cursor_end)(&c2);
    F(gather_sync)(&w2.gather);
    MUST(F(cursor_jump)(&c, 0) == PT_OK);
    MUST(F(cursor_protect_range)(&c, KIB4, (struct pt_change){PT_SOFT0, 0}) == PT_OK);
    return false;
}

static const struct stalled_operation {
    bool (*run)(void);
    unsigned level; /* of the leaf it begins with */
} stalled_operations[] = {
    {stalled_split, 2},          {stalled_split, 3},          {stalled_collapse, 1},
    {stalled_protect_beside, 1}, {stalled_protect_beside, 2}, {stalled_protect_beside, 3},
    {stalled_protect, 1},        {stalled_protect, 2},        {stalled_protect_next, 1},
    {stalled_protect_next, 2},   {stalled_harvest, 1},        {stalled_harvest, 2},
    {stalled_take, 1},           {stalled_take, 2},           {stalled_copy, 1},
    {stalled_copy, 2},           {stalled_share, 1},          {stalled_share, 2},
    {stalled_share, 3},          {stalled_share_and_own, 1},  {stalled_share_and_own, 2},
    {stalled_share_and_own, 3},  {stalled_share_and_lose, 1}, {stalled_share_and_lose, 3},
    {stalled_share_and_both, 1}, {stalled_share_and_both, 2}, {stalled_share_and_take_back, 1},
};
#define STALLED_OPERATIONS (int)(sizeof(stalled_operations) / sizeof(*stalled_operations))

START_TEST(a_store_that_began_before_leaves_its_d)
{
    const struct stalled_operation *operation = &stalled_operations[_i / MOMENTS];
    enum moment moment = (enum moment)(_i % MOMENTS);
    struct thread processor;
    bool reported;

    open_tree(&w2);
    map_clean(operation->level);
    atomic_store(&stall, STALL_WANTED);
    start_thread(&processor, stalled_body, 0);
    while (atomic_load(&stall) != STALL_REACHED)
        sched_yield();
    atomic_store(&stall_to_hook, moment == AT_HOOK);
    MUST(F(cursor_jump)(&c, STALLED_PAGE) == PT_OK);
    reported = operation->run();
    atomic_store(&stall_to_hook, false);
    if (moment == AT_END)
        end_stall();
    F(gather_sync)(&w.gather);
    end_stall(); /* when there was nothing to flush */
    /* The processor may have had to begin again, and still wait for W. */
    MUST(F(cursor_jump)(&c, 0) == PT_OK);
    MUST(F(cursor_protect_range)(&c, MIB2, writable) == PT_OK);
    join_thread(&processor);
    MUST(reported || (look(STALLED_PAGE).prop & PT_D));
    F(cursor_end)(&c);
    F(gather_sync)(&w.gather);
    close_tree(&w2);
}
END_TEST
