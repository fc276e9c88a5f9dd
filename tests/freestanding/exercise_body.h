/* Every operation of the library on one small tree, in steps that build on each other. Included by exercise_ept.c and
 * exercise_x86.c, which define FN, EXERCISE, RIGHTS and look(). */

/* What is mapped at first: three 2 MiB pages and four of 4 KiB. */
#define FIRST  ((uint64_t)6 * MIB + 16 * KIB)
#define SECOND ((uint64_t)512 * MIB) /* where the copy goes */
#define THIRD  ((uint64_t)768 * MIB) /* a huge page of its own */
#define SPACE  ((uint64_t)1024 * MIB)

/* A tree, and a cursor and gather to work on it with. */
struct exercise {
    struct world *world;
    struct pt pt;
    struct pt_gather gather;
    struct pt_cursor cursor;
};

static void open(struct exercise *e, uint64_t start, uint64_t length)
{
    FN(gather_init)(&e->gather, &e->pt);
    EXPECT(FN(cursor_init)(&e->cursor, &e->pt, start, length, PT_WRITE, &e->gather) == PT_OK);
}

static void close(struct exercise *e)
{
    FN(cursor_end)(&e->cursor);
    FN(gather_sync)(&e->gather);
}

static bool allows(struct exercise *e, uint64_t address, enum walk_access access)
{
    return look(e->world, &e->pt, address, access).result == WALK_OK;
}

static bool leads_to(struct exercise *e, uint64_t address, uint64_t hpa)
{
    struct walk_answer answer = look(e->world, &e->pt, address, WALK_READ);

    return answer.result == WALK_OK && answer.pa == hpa;
}

static struct pt_statistics counted(struct exercise *e)
{
    struct pt_statistics statistics;

    FN(count)(&e->pt, &statistics);
    return statistics;
}

static enum pt_status add_frames(void *ctx, const struct pt_item *first, uint64_t count)
{
    *(uint64_t *)ctx += count * first->frames;
    return PT_OK;
}

/* Every invariant holds, and so many frames are mapped. */
static void verify(struct exercise *e, uint64_t frames)
{
    struct pt_fault fault;
    uint64_t seen = 0;

    EXPECT(FN(check)(&e->pt, add_frames, &seen, &fault) == PT_OK);
    EXPECT(seen == frames);
    EXPECT(counted(e).frames == frames);
    EXPECT(counted(e).tracked == frames);
}

static void map(struct exercise *e)
{
    struct pt_statistics s;

    open(e, 0, SPACE);
    EXPECT(FN(cursor_map_range)(&e->cursor, WORLD_HPA, FIRST, RIGHTS | PT_WB | PT_TRACKED) == PT_OK);
    EXPECT(FN(cursor_at)(&e->cursor) == FIRST);
    close(e);
    s = counted(e);
    EXPECT(s.leaves[2] == 3 && s.leaves[1] == 4);
    EXPECT(leads_to(e, 0, WORLD_HPA));
    EXPECT(leads_to(e, FIRST - 1, WORLD_HPA + FIRST - 1));
    EXPECT(!allows(e, FIRST, WALK_READ));
    verify(e, FIRST / PT_PAGE_SIZE);
}

/* Part of a huge page: it is split, and the rest of it keeps its rights. */
static void protect(struct exercise *e)
{
    struct pt_statistics s;

    open(e, 0, SPACE);
    EXPECT(FN(cursor_jump)(&e->cursor, MIB) == PT_OK);
    EXPECT(FN(cursor_protect_range)(&e->cursor, 64 * KIB, (struct pt_change){.clear = PT_W}) == PT_OK);
    close(e);
    s = counted(e);
    EXPECT(s.leaves[2] == 2 && s.leaves[1] == 4 + PT_ENTRIES);
    EXPECT(e->world->flushed > 0);
    EXPECT(allows(e, MIB - 1, WALK_WRITE) && allows(e, MIB + 64 * KIB, WALK_WRITE));
    EXPECT(!allows(e, MIB, WALK_WRITE) && leads_to(e, MIB, WORLD_HPA + MIB));
    EXPECT(pt_frames_count(&e->world->frames, WORLD_HPA, 2) == 0);
    EXPECT(pt_frames_references(&e->world->frames, WORLD_HPA + MIB) == 1);
    verify(e, FIRST / PT_PAGE_SIZE);
}

/* A second tree gets the first one's tables copy-on-write, changes one page, and goes. */
static void share(struct exercise *e)
{
    const uint64_t tables = pt_arena_used(&e->world->arena);
    struct exercise child = {.world = e->world};

    EXPECT(FN(init)(&child.pt, &e->world->config) == PT_OK);
    open(e, 0, SPACE);
    open(&child, 0, SPACE);
    EXPECT(FN(cursor_share_from)(&child.cursor, &e->cursor, SPACE) == PT_OK);
    close(e);
    close(&child);
    EXPECT(counted(e).shared > 0 && counted(&child).shared > 0);
    EXPECT(leads_to(&child, FIRST - 1, WORLD_HPA + FIRST - 1));
    EXPECT(!allows(e, 0, WALK_WRITE) && !allows(&child, 0, WALK_WRITE));
    EXPECT(pt_frames_references(&e->world->frames, WORLD_HPA) == 1);

    open(&child, 0, PT_PAGE_SIZE);
    EXPECT(FN(cursor_protect_range)(&child.cursor, PT_PAGE_SIZE, (struct pt_change){.set = PT_W}) == PT_OK);
    close(&child);
    EXPECT(allows(&child, 0, WALK_WRITE) && !allows(&child, PT_PAGE_SIZE, WALK_WRITE));
    EXPECT(!allows(e, 0, WALK_WRITE) && pt_frames_references(&e->world->frames, WORLD_HPA) == 2);
    verify(e, FIRST / PT_PAGE_SIZE);
    verify(&child, FIRST / PT_PAGE_SIZE);
    FN(destroy)(&child.pt);

    open(e, 0, SPACE);
    EXPECT(FN(cursor_protect_range)(&e->cursor, FIRST, (struct pt_change){.set = PT_W}) == PT_OK);
    close(e);
    EXPECT(allows(e, 0, WALK_WRITE) && allows(e, FIRST - 1, WALK_WRITE));
    EXPECT(counted(e).shared == 0 && pt_arena_used(&e->world->arena) == tables);
    EXPECT(e->world->released == 0);
    verify(e, FIRST / PT_PAGE_SIZE);
}

static bool copy_page(void *ctx, uint64_t hpa, unsigned level, uint64_t *copy)
{
    (void)hpa;
    *copy = *(uint64_t *)ctx;
    return level == 1;
}

/* A write to a page that two trees have gets one of them a copy; the other one has the page to itself then. */
static void resolve(struct exercise *e)
{
    const pt_prop prop = RIGHTS | PT_WB | PT_TRACKED | PT_WRITABLE;
    uint64_t fresh = WORLD_HPA + THIRD + PT_PAGE_SIZE;
    struct exercise child = {.world = e->world};
    enum pt_resolution found;
    struct pt_item item;

    EXPECT(FN(init)(&child.pt, &e->world->config) == PT_OK);
    open(e, THIRD, 2 * MIB);
    open(&child, THIRD, 2 * MIB);
    EXPECT(FN(cursor_map)(&e->cursor, WORLD_HPA + THIRD, 1, prop) == PT_OK);
    EXPECT(FN(cursor_jump)(&e->cursor, THIRD) == PT_OK);
    EXPECT(FN(cursor_share_from)(&child.cursor, &e->cursor, PT_TO_END) == PT_OK);
    EXPECT(FN(cursor_jump)(&e->cursor, THIRD) == PT_OK && FN(cursor_jump)(&child.cursor, THIRD) == PT_OK);
    FN(gather_sync)(&e->gather);
    EXPECT(FN(cursor_resolve)(&child.cursor, 1, copy_page, &fresh, &found, &item) == PT_OK);
    EXPECT(found == PT_RESOLVED_COPY && item.hpa == fresh && (item.prop & PT_W));
    EXPECT(FN(cursor_resolve)(&e->cursor, 1, copy_page, &fresh, &found, &item) == PT_OK);
    EXPECT(found == PT_RESOLVED_SOLE && item.hpa == WORLD_HPA + THIRD && (item.prop & PT_W));
    EXPECT(FN(cursor_unmap_range)(&e->cursor, 2 * MIB) == PT_OK);
    close(e);
    close(&child);
    FN(destroy)(&child.pt);
    EXPECT(e->world->released == 2);
    e->world->released = 0;
}

/* Copy-on-write within the tree: two cursors inside the one that claims both ranges. */
static void copy(struct exercise *e)
{
    const struct pt_change read_only = {.clear = PT_W};
    struct pt_cursor from, to;

    open(e, 0, SPACE);
    EXPECT(FN(cursor_init_inside)(&from, &e->cursor, 0, 16 * MIB) == PT_OK);
    EXPECT(FN(cursor_init_inside)(&to, &e->cursor, SECOND, 16 * MIB) == PT_OK);
    EXPECT(FN(cursor_copy_from)(&to, &from, 8 * MIB, read_only, read_only) == PT_OK);
    EXPECT(FN(cursor_at)(&from) == 8 * MIB && FN(cursor_at)(&to) == SECOND + 8 * MIB);
    FN(cursor_end)(&to);
    FN(cursor_end)(&from);
    close(e);
    for (uint64_t at = 0; at < FIRST; at += 64 * KIB) {
        EXPECT(leads_to(e, at, WORLD_HPA + at) && leads_to(e, SECOND + at, WORLD_HPA + at));
        EXPECT(!allows(e, at, WALK_WRITE) && !allows(e, SECOND + at, WALK_WRITE));
        EXPECT(pt_frames_references(&e->world->frames, WORLD_HPA + at) == 2);
    }
    verify(e, 2 * FIRST / PT_PAGE_SIZE);
}

/* What cannot be done is refused and changes nothing. */
static void refuse(struct exercise *e)
{
    const uint64_t tables = pt_arena_used(&e->world->arena);
    const uint64_t refused = WORLD_HPA + WORLD_FRAMES * PT_PAGE_SIZE;

    open(e, 0, SPACE);
    EXPECT(FN(cursor_map)(&e->cursor, WORLD_HPA, 1, PT_R | PT_WB) == PT_EOCCUPIED);
    EXPECT(FN(cursor_map)(&e->cursor, WORLD_HPA + 1, 1, PT_R | PT_WB) == PT_EINVAL);
    EXPECT(FN(cursor_jump)(&e->cursor, SPACE + PT_PAGE_SIZE) == PT_ERANGE);
    EXPECT(FN(cursor_jump)(&e->cursor, 256 * MIB) == PT_OK);
    EXPECT(FN(cursor_map)(&e->cursor, refused, 2, RIGHTS | PT_WB | PT_TRACKED) == PT_EFRAME);
    e->world->arena.limit = tables;
    EXPECT(FN(cursor_map)(&e->cursor, WORLD_HPA, 1, RIGHTS | PT_WB | PT_TRACKED) == PT_ENOMEM);
    e->world->arena.limit = WORLD_TABLES;
    EXPECT(FN(cursor_at)(&e->cursor) == 256 * MIB);
    EXPECT(*pt_status_name(PT_ENOMEM) != 0);
    close(e);
    EXPECT(pt_arena_used(&e->world->arena) == tables);
    verify(e, 2 * FIRST / PT_PAGE_SIZE);
}

/* Looking, changing and taking leaf by leaf. */
static void step(struct exercise *e)
{
    struct pt_item item;

    open(e, 0, SPACE);
    EXPECT(FN(cursor_query)(&e->cursor, &item) == PT_OK && item.kind == PT_LEAF && item.level == 1);
    EXPECT(FN(cursor_next)(&e->cursor) == PT_OK && FN(cursor_at)(&e->cursor) == PT_PAGE_SIZE);
    EXPECT(FN(cursor_jump)(&e->cursor, FIRST) == PT_OK);
    EXPECT(FN(cursor_find_next)(&e->cursor, SPACE - FIRST, &item) == PT_OK && item.start == SECOND);
    EXPECT(FN(cursor_protect_next)(&e->cursor, MIB, (struct pt_change){.set = PT_W}, &item) == PT_OK);
    EXPECT((item.prop & PT_W) == 0 && FN(cursor_at)(&e->cursor) == SECOND + PT_PAGE_SIZE);
    EXPECT(FN(cursor_take_next)(&e->cursor, MIB, &item) == PT_OK && item.start == SECOND + PT_PAGE_SIZE);
    EXPECT(FN(cursor_take_next)(&e->cursor, PT_PAGE_SIZE, &item) == PT_OK);
    EXPECT(FN(cursor_jump)(&e->cursor, SECOND) == PT_OK);
    close(e);
    EXPECT(allows(e, SECOND, WALK_WRITE) && !allows(e, SECOND + PT_PAGE_SIZE, WALK_READ));
    verify(e, 2 * FIRST / PT_PAGE_SIZE - 2);
}

/* A huge page split and made one again, but only when its pieces are equal. */
static void resize(struct exercise *e)
{
    const uint64_t blocks = counted(e).leaves[2];
    const struct pt_change mark = {.set = PT_SOFT1}, unmark = {.clear = PT_SOFT1};
    struct pt_item item;

    open(e, THIRD, 2 * MIB);
    EXPECT(FN(cursor_map)(&e->cursor, WORLD_HPA + THIRD, 2, RIGHTS | PT_WB | PT_TRACKED) == PT_OK);
    EXPECT(FN(cursor_jump)(&e->cursor, THIRD + MIB) == PT_OK);
    EXPECT(FN(cursor_split)(&e->cursor, 1) == PT_OK && FN(cursor_at)(&e->cursor) == THIRD + MIB);
    EXPECT(FN(cursor_query)(&e->cursor, &item) == PT_OK && item.level == 1 && item.hpa == WORLD_HPA + THIRD + MIB);
    EXPECT(FN(cursor_protect_next)(&e->cursor, MIB, mark, &item) == PT_OK);
    EXPECT(FN(cursor_jump)(&e->cursor, THIRD) == PT_OK);
    EXPECT(FN(cursor_collapse)(&e->cursor, 2) == PT_EUNEQUAL && FN(cursor_at)(&e->cursor) == THIRD);
    EXPECT(FN(cursor_protect_range)(&e->cursor, 2 * MIB, unmark) == PT_OK);
    EXPECT(FN(cursor_jump)(&e->cursor, THIRD) == PT_OK);
    EXPECT(FN(cursor_collapse)(&e->cursor, 2) == PT_OK && FN(cursor_at)(&e->cursor) == THIRD + 2 * MIB);
    close(e);
    EXPECT(counted(e).leaves[2] == blocks + 1);
    EXPECT(leads_to(e, THIRD + MIB, WORLD_HPA + THIRD + MIB));
    EXPECT(pt_frames_count(&e->world->frames, WORLD_HPA + THIRD, 2) == 1);
    EXPECT(pt_frames_count(&e->world->frames, WORLD_HPA + THIRD, 1) == 0);
}

/* What the software MMU wrote to is found once, and again only when it writes again. */
static void harvest(struct exercise *e)
{
    struct pt_range range;

    for (unsigned round = 0; round < 2; round++) {
        EXPECT(allows(e, THIRD + MIB, WALK_WRITE));
        open(e, THIRD - MIB, 4 * MIB);
        EXPECT(FN(cursor_harvest)(&e->cursor, 4 * MIB, PT_D, true, &range) == PT_OK);
        EXPECT(range.start == THIRD && range.length == 2 * MIB);
        EXPECT(FN(cursor_jump)(&e->cursor, THIRD - MIB) == PT_OK);
        EXPECT(FN(cursor_harvest)(&e->cursor, 4 * MIB, PT_D, true, &range) == PT_END);
        close(e);
    }
}

/* Without a cursor. Then the page goes. */
static void look_up(struct exercise *e)
{
    const uint64_t sections = e->world->sections;
    struct pt_item item;

    EXPECT(FN(lookup)(&e->pt, THIRD + MIB, &item) == PT_OK && item.kind == PT_LEAF && item.level == 2);
    EXPECT(item.start == THIRD && item.at == THIRD + MIB && item.hpa == WORLD_HPA + THIRD && (item.prop & PT_W));
    EXPECT(FN(lookup)(&e->pt, FIRST - 1, &item) == PT_OK && item.level == 1 && item.hpa == WORLD_HPA + item.start);
    EXPECT(FN(lookup)(&e->pt, THIRD + 2 * MIB, &item) == PT_OK && item.kind == PT_HOLE);
    EXPECT(FN(lookup)(&e->pt, e->pt.size, &item) == PT_ERANGE);
    EXPECT(e->world->sections >= sections + 3 && e->world->depth == 0);
    open(e, THIRD, 2 * MIB);
    EXPECT(FN(cursor_unmap_range)(&e->cursor, 2 * MIB) == PT_OK);
    close(e);
    EXPECT(e->world->released == PT_ENTRIES);
    e->world->released = 0;
}

static void write_text(void *ctx, const char *text, size_t length)
{
    *(uint64_t *)ctx += length;
    for (size_t i = 0; i < length; i++)
        port_out8(PORT_CONSOLE, (uint8_t)text[i]);
}

static void count_text(void *ctx, const char *text, size_t length)
{
    (void)text;
    *(uint64_t *)ctx += length;
}

static void show(struct exercise *e)
{
    uint64_t text = 0, json = 0;

    FN(dump)(&e->pt, PT_DUMP_TEXT, write_text, &text);
    FN(dump)(&e->pt, PT_DUMP_JSON, count_text, &json);
    EXPECT(text > 0 && json > 0);
}

static void write_image(void *ctx, const char *bytes, size_t length)
{
    struct world *w = ctx;

    EXPECT(length <= WORLD_IMAGE - w->image_bytes);
    __builtin_memcpy(w->image + w->image_bytes, bytes, length);
    w->image_bytes += length;
}

/* The tree as a file, which a software MMU walks where it lies. */
static void image(struct exercise *e)
{
    struct pt_statistics s = counted(e);
    struct walk_answer answer;
    struct pt_image image;
    uint64_t tables = 0;

    EXPECT(FN(image)(&e->pt, MIB + 1, write_image, e->world) == PT_EINVAL && e->world->image_bytes == 0);
    EXPECT(FN(image)(&e->pt, MIB, write_image, e->world) == PT_OK);
    EXPECT(pt_image_open(e->world->image, e->world->image_bytes - 1, &image) != NULL);
    EXPECT(pt_image_open(e->world->image, e->world->image_bytes, &image) == NULL);
    for (unsigned level = 1; level <= e->pt.config.levels; level++)
        tables += s.tables[level];
    EXPECT(image.tables == tables && image.levels == e->pt.config.levels);
    if (image.format == PT_IMAGE_EPT)
        walk_ept(&image.memory, &image.ept, FIRST - 1, WALK_READ, &answer);
    else
        walk_x86(&image.memory, &image.x86, FIRST - 1, WALK_READ, &answer);
    EXPECT(answer.result == WALK_OK && answer.pa == WORLD_HPA + FIRST - 1);
}

/* The copy goes as one table, the rest page by page; what only one side held is released, once flushed. */
static void unmap(struct exercise *e)
{
    struct pt_item item;

    open(e, 0, SPACE);
    EXPECT(FN(cursor_unmap_range)(&e->cursor, 4 * MIB + 4 * KIB) == PT_OK);
    EXPECT(FN(cursor_jump)(&e->cursor, SECOND) == PT_OK);
    EXPECT(FN(cursor_take_subtree)(&e->cursor, 2 * MIB, &item) == PT_OK);
    EXPECT(item.kind == PT_TABLE && item.frames == PT_ENTRIES - 2);
    EXPECT(e->world->released == 0);
    close(e);
    EXPECT(e->world->released == PT_ENTRIES);
    EXPECT(!allows(e, 0, WALK_READ) && allows(e, 4 * MIB + 4 * KIB, WALK_READ));
    EXPECT(!allows(e, SECOND, WALK_READ) && allows(e, SECOND + 2 * MIB, WALK_READ));
    verify(e, (FIRST - 4 * MIB - 4 * KIB + FIRST - 2 * MIB) / PT_PAGE_SIZE);
}

void EXERCISE(unsigned levels)
{
    struct exercise e = {.world = world_start(levels)};

    EXPECT(FN(init)(&e.pt, &e.world->config) == PT_OK);
    EXPECT(pt_arena_used(&e.world->arena) == 1);
    map(&e);
    protect(&e);
    share(&e);
    resolve(&e);
    copy(&e);
    refuse(&e);
    step(&e);
    resize(&e);
    harvest(&e);
    look_up(&e);
    show(&e);
    image(&e);
    unmap(&e);
    FN(destroy)(&e.pt);
    EXPECT(pt_arena_used(&e.world->arena) == 0);
    EXPECT(e.world->released == FIRST / PT_PAGE_SIZE);
}
