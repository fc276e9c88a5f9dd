/* The random test of one format: operations against a model of segments. After each, mappings, reference counts, checks
 * and flushes must be what the model says; at the end nothing may be left. Allocation and frame_get fail at random, and
 * then nothing may have changed. SEED repeats one run; STEPS and RUNS set the size. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/ept_format.h"
#include "tests/support/ept_segments.h"

struct model {
    struct world world;
    struct segments segments;
    uint64_t random, seed;
    unsigned step;
    uint64_t base; /* the region all runs work in */
    int64_t held[4];
    struct segments seen;
};

#define REGION (3 * GIB1)

static uint64_t draw(struct model *m, uint64_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (m->random >> 11) % below;
}

#define EXPECT(m, condition)                                                                                           \
    ck_assert_msg(condition, "step %u: %s (SEED=%" PRIu64 " repeats this)", (m)->step, #condition, (m)->seed)

/* Offsets and lengths near the edges of pages of all sizes, where mistakes live. */
static uint64_t draw_offset(struct model *m, uint64_t limit)
{
    static const uint64_t sizes[3] = {KIB4, MIB2, GIB1};
    uint64_t size = sizes[draw(m, 3)], offset = draw(m, REGION / size + 1) * size;

    offset += (draw(m, 3) * KIB4) - KIB4 * draw(m, 2);
    if (draw(m, 4) == 0)
        offset = draw(m, 64) * KIB4 + (draw(m, 3) << 21);
    if (offset <= limit)
        return offset;
    return limit < 4 * KIB4 ? limit : limit - draw(m, 4) * KIB4;
}

static pt_prop draw_prop(struct model *m)
{
    static const pt_prop rights[5] = {PT_RWX, PT_RW, PT_R, PT_RX, 0};
    static const pt_prop types[3] = {PT_WB, PT_UC, PT_WT};

    return rights[draw(m, 5)] | types[draw(m, 3)] | (draw(m, 3) ? PT_TRACKED : 0) | (draw(m, 4) ? 0 : PT_D) |
           (draw(m, 4) ? 0 : PT_A) | (draw(m, 4) ? 0 : PT_SOFT1);
}

static struct pt_change draw_change(struct model *m)
{
    static const struct pt_change changes[8] = {{0, PT_W},
                                                {PT_R | PT_W, 0},
                                                {PT_A | PT_D, 0},
                                                {0, PT_A | PT_D},
                                                {PT_SOFT0, PT_SOFT1},
                                                {0, PT_RWX},
                                                {PT_UC, PT_MT_MASK},
                                                {0, 0}};
    return changes[draw(m, 8)];
}

static uint64_t draw_hpa(struct model *m, uint64_t address, uint64_t length)
{
    uint64_t hpa = HPA + address % GIB1 + draw(m, 2) * GIB1;

    /* Not aligned like the address, so all of it becomes small pages: seldom for long ranges. */
    if (draw(m, length > 8 * MIB2 ? 60 : 3) == 0)
        hpa = HPA + draw(m, 1000) * KIB4;
    return hpa + length <= HPA + (WORLD_FRAMES << 12) ? hpa : HPA + address % MIB2;
}

static enum pt_status collect(void *ctx, const struct pt_item *first, uint64_t count)
{
    struct model *m = ctx;
    struct segment segment = {first->start, first->start + count * first->length, first->hpa, first->prop};

    segments_append(&m->seen, segment);
    if (first->prop & PT_TRACKED)
        m->held[first->level] += (int64_t)count;
    return PT_OK;
}

/* check merges runs over A and D, so the exact properties are read with a cursor. */
static void read_back(struct model *m)
{
    struct pt_cursor cursor;
    struct pt_item item;
    struct pt *pt = &m->world.pt;

    segments_free(&m->seen);
    EXPECT(m, F(cursor_init)(&cursor, pt, 0, pt->size, PT_READ, &m->world.gather) == PT_OK);
    while (F(cursor_at)(&cursor) < pt->size &&
           F(cursor_find_next)(&cursor, pt->size - F(cursor_at)(&cursor), &item) == PT_OK) {
        struct segment segment = {item.start, item.start + item.length, item.hpa, item.prop};

        segments_append(&m->seen, segment);
        EXPECT(m, F(cursor_next)(&cursor) == PT_OK);
    }
    F(cursor_end)(&cursor);
}

static void verify(struct model *m)
{
    struct pt_fault fault;
    long difference;
    enum pt_status status;

    for (unsigned level = 1; level <= 3; level++)
        m->held[level] = 0;
    segments_free(&m->seen);
    status = F(check)(&m->world.pt, collect, m, &fault);
    ck_assert_msg(status == PT_OK, "step %u: check: %s at %" PRIx64 " (SEED=%" PRIu64 ")", m->step, fault.what,
                  fault.address, m->seed);
    for (unsigned level = 1; level <= 3; level++)
        EXPECT(m, m->held[level] == m->world.held[level]);
    read_back(m);
    difference = segments_differ(&m->segments, &m->seen);
    if (difference >= 0) {
        for (size_t i = (size_t)difference; i < (size_t)difference + 3; i++) {
            if (i < m->segments.count)
                printf("model %zu: %" PRIx64 "-%" PRIx64 " -> %" PRIx64 " %x\n", i, m->segments.list[i].start,
                       m->segments.list[i].end, m->segments.list[i].hpa, m->segments.list[i].prop);
            if (i < m->seen.count)
                printf("table %zu: %" PRIx64 "-%" PRIx64 " -> %" PRIx64 " %x\n", i, m->seen.list[i].start,
                       m->seen.list[i].end, m->seen.list[i].hpa, m->seen.list[i].prop);
        }
    }
    EXPECT(m, difference == -1);
    EXPECT(m, m->world.early == 0 && m->world.underflows == 0);
}

static bool allowed(struct model *m, uint64_t start, uint64_t end, struct pt_change change)
{
    struct segments slice = segments_slice(&m->segments, start, end);
    bool all = true;

    for (size_t i = 0; i < slice.count; i++) {
        pt_prop prop = (slice.list[i].prop & ~change.clear) | change.set;

        if ((prop & (PT_W | PT_R)) == PT_W || (!is_ept() && (prop & PT_X) && !(prop & PT_R)))
            all = false;
    }
    segments_free(&slice);
    return all;
}

static bool unchanged(enum pt_status status, const struct model *m)
{
    return (status == PT_ENOMEM && m->world.allocations_left == 0) || (status == PT_EFRAME && m->world.gets_left == 0);
}

static void step_map(struct model *m, struct pt_cursor *cursor, uint64_t length)
{
    uint64_t at = F(cursor_at)(cursor), hpa = draw_hpa(m, at, length);
    pt_prop prop = draw_prop(m);
    unsigned level = draw(m, 4) ? 0 : (unsigned)draw(m, 3) + 1;
    bool occupied;
    enum pt_status status;

    if (level && pt_slot_size(level) <= length) {
        length = pt_slot_size(level);
        status = F(cursor_map)(cursor, hpa, level, prop);
        if ((at | hpa) & (length - 1)) {
            EXPECT(m, status == PT_EINVAL && F(cursor_at)(cursor) == at);
            return;
        }
    } else {
        status = F(cursor_map_range)(cursor, hpa, length, prop);
    }
    occupied = segments_mapped(&m->segments, at, at + length);
    if (unchanged(status, m))
        return;
    EXPECT(m, status == (occupied ? PT_EOCCUPIED : PT_OK));
    EXPECT(m, F(cursor_at)(cursor) == (occupied ? at : at + length));
    if (!occupied)
        segments_insert(&m->segments, (struct segment){at, at + length, hpa, prop});
}

static void step_protect(struct model *m, struct pt_cursor *cursor, uint64_t length)
{
    uint64_t at = F(cursor_at)(cursor);
    struct pt_change change = draw_change(m);
    enum pt_status status = F(cursor_protect_range)(cursor, length, change);

    if (unchanged(status, m))
        return;
    EXPECT(m, status == (allowed(m, at, at + length, change) ? PT_OK : PT_EINVAL));
    EXPECT(m, F(cursor_at)(cursor) == (status == PT_OK ? at + length : at));
    if (status == PT_OK)
        segments_protect(&m->segments, at, at + length, change);
}

static void step_unmap(struct model *m, struct pt_cursor *cursor, uint64_t length)
{
    uint64_t at = F(cursor_at)(cursor);
    enum pt_status status = F(cursor_unmap_range)(cursor, length);
    struct segments gone;

    if (unchanged(status, m))
        return;
    EXPECT(m, status == PT_OK && F(cursor_at)(cursor) == at + length);
    gone = segments_slice(&m->segments, at, at + length);
    F(gather_sync)(&m->world.gather);
    for (size_t i = 0; i < gone.count; i++)
        EXPECT(m, world_flushed(&m->world, gone.list[i].start, gone.list[i].end - gone.list[i].start));
    segments_free(&gone);
    segments_remove(&m->segments, at, at + length);
}

/* take_next, take_subtree and protect_next, a few times. */
static void step_next(struct model *m, struct pt_cursor *cursor, uint64_t length)
{
    uint64_t end = F(cursor_at)(cursor) + length;
    unsigned kind = (unsigned)draw(m, 3);
    struct pt_change change = draw_change(m);

    for (unsigned i = 0; i < 4 && F(cursor_at)(cursor) < end; i++) {
        uint64_t at = F(cursor_at)(cursor);
        struct segments rest = segments_slice(&m->segments, at, end);
        struct pt_item item;
        enum pt_status status;

        status = kind == 0   ? F(cursor_take_next)(cursor, end - at, &item)
                 : kind == 1 ? F(cursor_take_subtree)(cursor, end - at, &item)
                             : F(cursor_protect_next)(cursor, end - at, change, &item);
        if (status == PT_OK) {
            uint64_t first = item.start > at ? item.start : at, stop = item.start + item.length;

            EXPECT(m, rest.count > 0 && stop > at && item.at >= at);
            stop = stop < end ? stop : end;
            EXPECT(m, F(cursor_at)(cursor) == stop);
            EXPECT(m, item.kind == PT_TABLE ? first <= rest.list[0].start : first == rest.list[0].start);
            if (item.kind == PT_LEAF) {
                EXPECT(m, item.prop == rest.list[0].prop);
                EXPECT(m, item.hpa + (first - item.start) == rest.list[0].hpa);
            }
            if (kind == 2)
                segments_protect(&m->segments, first, stop, change);
            else
                segments_remove(&m->segments, first, stop);
        } else if (status == PT_END) {
            EXPECT(m, rest.count == 0 && F(cursor_at)(cursor) == end);
        } else {
            EXPECT(m, F(cursor_at)(cursor) == at);
            EXPECT(m, unchanged(status, m) || (kind == 2 && status == PT_EINVAL));
            i = 4;
        }
        segments_free(&rest);
    }
}

/* Copies inside the tree: a cursor around everything, and two inside it. */
static void step_copy(struct model *m)
{
    uint64_t from = draw_offset(m, REGION - KIB4), to = draw_offset(m, REGION - KIB4), far = from > to ? from : to;
    uint64_t gap = from > to ? from - to : to - from, length = draw_offset(m, REGION - far);
    struct pt_change to_src = draw_change(m), to_dst = draw_change(m);
    struct pt_cursor hull, src, dst;
    bool occupied, possible;
    enum pt_status status;

    length = length < gap ? length : gap;
    if (length == 0)
        return;
    from += m->base;
    to += m->base;
    EXPECT(m, F(cursor_init)(&hull, &m->world.pt, m->base, REGION, PT_WRITE, &m->world.gather) == PT_OK);
    EXPECT(m, F(cursor_init_inside)(&src, &hull, from, length) == PT_OK);
    EXPECT(m, F(cursor_init_inside)(&dst, &hull, to, length) == PT_OK);
    status = F(cursor_copy_from)(&dst, &src, length, to_dst, to_src);
    occupied = segments_mapped(&m->segments, to, to + length);
    possible = allowed(m, from, from + length, to_dst) && allowed(m, from, from + length, to_src);
    if (!unchanged(status, m)) {
        EXPECT(m, status == (occupied ? PT_EOCCUPIED : possible ? PT_OK : PT_EINVAL));
        if (status == PT_OK) {
            struct segments copies = segments_slice(&m->segments, from, from + length);

            for (size_t i = 0; i < copies.count; i++) {
                struct segment copy = copies.list[i];

                copy.prop = (copy.prop & ~to_dst.clear) | to_dst.set;
                copy.start += to - from;
                copy.end += to - from;
                segments_insert(&m->segments, copy);
            }
            segments_free(&copies);
            segments_protect(&m->segments, from, from + length, to_src);
        }
    }
    EXPECT(m, F(cursor_at)(&src) == from + (status == PT_OK ? length : 0));
    EXPECT(m, F(cursor_at)(&dst) == to + (status == PT_OK ? length : 0));
    F(cursor_end)(&dst);
    F(cursor_end)(&src);
    F(cursor_end)(&hull);
}

static void run_step(struct model *m)
{
    uint64_t start = draw_offset(m, REGION - KIB4), length = draw_offset(m, REGION - start), at, left;
    struct pt_cursor cursor;

    m->world.undoing = m->world.allocations_left >= 0 || m->world.gets_left >= 0;
    if (draw(m, 5) == 0) {
        step_copy(m);
        return;
    }
    if (length == 0)
        length = KIB4;
    EXPECT(m, F(cursor_init)(&cursor, &m->world.pt, m->base + start, length, PT_WRITE, &m->world.gather) == PT_OK);
    for (uint64_t n = draw(m, 3) + 1; n > 0; n--) {
        at = draw(m, 2) ? start : start + draw(m, length >> 12) * KIB4;
        EXPECT(m, F(cursor_jump)(&cursor, m->base + at) == PT_OK);
        left = start + length - at;
        left = draw(m, 2) ? left : (draw(m, left >> 12) + 1) * KIB4;
        switch (draw(m, 6)) {
        case 0:
        case 1:
        case 2:
            step_map(m, &cursor, left);
            break;
        case 3:
            step_protect(m, &cursor, left);
            break;
        case 4:
            step_next(m, &cursor, left);
            break;
        default:
            step_unmap(m, &cursor, left);
        }
    }
    F(cursor_end)(&cursor);
}

static void run_model(uint64_t seed, unsigned steps)
{
    struct model m = {.seed = seed, .random = seed * 0x9e3779b97f4a7c15ull | 1};
    struct pt_statistics statistics;

    world_open(&m.world, PT_TEST_LEVELS);
    EXPECT(&m, F(init)(&m.world.pt, &m.world.config) == PT_OK);
    F(gather_init)(&m.world.gather, &m.world.pt);
    /* At the bottom, across an edge of the top level, or at the very top. */
    m.base = draw(&m, 3) == 0 ? 0 : draw(&m, 2) ? m.world.pt.size - REGION : (512 - 1) * GIB1;
    for (m.step = 0; m.step < steps; m.step++) {
        m.world.allocations_left = draw(&m, 8) ? -1 : (long)draw(&m, 5);
        m.world.gets_left = draw(&m, 8) ? -1 : (long)draw(&m, 5);
        world_arm(&m.world);
        run_step(&m);
        F(gather_sync)(&m.world.gather);
        m.world.undoing = false;
        m.world.allocations_left = m.world.gets_left = -1;
        verify(&m);
        F(count)(&m.world.pt, &statistics);
        /* Too many small pages make the test slow and not better. */
        if (statistics.leaves[1] > 50000) {
            F(destroy)(&m.world.pt);
            segments_free(&m.segments);
            EXPECT(&m, F(init)(&m.world.pt, &m.world.config) == PT_OK);
        }
    }
    F(destroy)(&m.world.pt);
    EXPECT(&m, pt_arena_used(&m.world.arena) == 0);
    for (unsigned level = 1; level <= 3; level++)
        EXPECT(&m, m.world.held[level] == 0);
    segments_free(&m.segments);
    segments_free(&m.seen);
    world_close(&m.world);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 0) : otherwise;
}

START_TEST(random_operations_match_the_model)
{
    uint64_t seed = setting("SEED", 0), runs = seed ? 1 : setting("RUNS", 6);

    for (uint64_t run = 1; run <= runs; run++)
        run_model(seed ? seed : run, (unsigned)setting("STEPS", 300));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model: " F_TEXT(PT_TEST_FORMAT) ", " F_TEXT(PT_TEST_LEVELS) " levels");
    TCase *tcase = tcase_create("model");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, random_operations_match_the_model);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
