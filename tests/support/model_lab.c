/* See model_lab.h. */
#include "tests/support/model_lab.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        abort();
    return memory;
}

static size_t counts_size(unsigned level)
{
    return (LAB_FRAMES >> 9 * (level - 1)) * sizeof(uint32_t);
}

struct lab *lab_new(void)
{
    struct lab *lab = calloc(1, sizeof(*lab));

    if (!lab)
        abort();
    lab->tables = reserve(LAB_TABLES * PT_PAGE_SIZE);
    lab->meta = reserve(LAB_TABLES * sizeof(*lab->meta));
    for (unsigned level = 1; level <= PT_HUGE_LEVEL; level++)
        lab->counts[level] = reserve(counts_size(level));
    return lab;
}

void lab_free(struct lab *lab)
{
    munmap(lab->tables, LAB_TABLES * PT_PAGE_SIZE);
    munmap(lab->meta, LAB_TABLES * sizeof(*lab->meta));
    for (unsigned level = 1; level <= PT_HUGE_LEVEL; level++)
        munmap(lab->counts[level], counts_size(level));
    for (unsigned tree = 0; tree < MODEL_TREES; tree++)
        segments_free(&lab->refs[tree].map);
    free(lab);
}

bool lab_fail(struct lab *lab, const char *format, ...)
{
    va_list arguments;

    if (lab->failure[0])
        return false;
    va_start(arguments, format);
    vsnprintf(lab->failure, sizeof(lab->failure), format, arguments);
    va_end(arguments);
    return false;
}

static bool hook_alloc(void *ctx, uint64_t *pa)
{
    struct lab *lab = ctx;

    if (lab->call.allocations_left == 0) {
        lab->call.refused = true;
        return false;
    }
    lab->call.allocations_left -= lab->call.allocations_left > 0;
    if (!pt_arena_alloc(&lab->arena, pa))
        return lab_fail(lab, "the arena of %u tables is used up", LAB_TABLES);
    lab->born[(*pa - LAB_PA) / PT_PAGE_SIZE] = lab->calls;
    return true;
}

/* Hardware may still walk a table, unless it was allocated in this very call or there was a flush. */
static void hook_free(void *ctx, uint64_t pa)
{
    struct lab *lab = ctx;
    uint64_t index = (pa - LAB_PA) / PT_PAGE_SIZE;

    if (index >= LAB_TABLES || lab->born[index] == 0) {
        lab_fail(lab, "free_table gets 0x%llx, which is no allocated table", (unsigned long long)pa);
        return;
    }
    if (lab->call.flushes == 0 && lab->born[index] != lab->calls)
        lab_fail(lab, "a table is freed without a flush");
    if (lab->configs[0].quiesce && !lab->quiesced && lab->born[index] != lab->calls)
        lab_fail(lab, "a table is freed without quiesce");
    lab->born[index] = 0;
    memset(lab->tables + index * PT_PAGE_SIZE, 0xee, PT_PAGE_SIZE);
    pt_arena_free(&lab->arena, pa);
}

/* The counters of a run of frames; NULL: they are not counted. */
static uint32_t *counters(struct lab *lab, uint64_t hpa, unsigned level, uint64_t count)
{
    uint64_t size = pt_slot_size(level), offset = hpa - LAB_HPA, all = LAB_FRAMES * PT_PAGE_SIZE;

    if (offset >= all || offset % size != 0 || count > (all - offset) / size)
        return NULL;
    return &lab->counts[level][offset / size];
}

static bool hook_get(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    struct lab *lab = ctx;
    uint32_t *list = counters(lab, hpa, level, count);

    if (lab->call.gets_left == 0) {
        lab->call.refused = true;
        return false;
    }
    lab->call.gets_left -= lab->call.gets_left > 0;
    if (!list)
        return false;
    for (uint64_t i = 0; i < count; i++)
        list[i]++;
    lab->held[level] += (int64_t)count;
    lab->call.unflushed -= (int64_t)(count << 9 * (level - 1));
    return true;
}

static void hook_put(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    struct lab *lab = ctx;
    uint32_t *list = counters(lab, hpa, level, count), none = 0;

    for (uint64_t i = 0; list && i < count; i++) {
        none |= list[i] == 0;
        list[i]--;
    }
    if (!list || none)
        lab_fail(lab, "frame_put of %llu leaves of level %u at 0x%llx, which nobody holds", (unsigned long long)count,
                 level, (unsigned long long)hpa);
    lab->held[level] -= (int64_t)count;
    if (lab->call.flushes > 0)
        return;
    lab->call.unflushed += (int64_t)(count << 9 * (level - 1));
    if (lab->call.unflushed > 0)
        lab_fail(lab, "frames are put without a flush");
}

static void flush_tree(struct lab *lab, unsigned tree, const struct pt *pt, unsigned why, const struct pt_range *ranges,
                       size_t count)
{
    if (pt != &lab->trees[tree] || why == 0 || why > (PT_FLUSH_MARKS << 1) - 1)
        lab_fail(lab, "a flush of tree %u comes for another, or for no reason", tree);
    lab->call.flushes++;
    lab->quiesced = false;
    for (unsigned gather = 0; gather < MODEL_GATHERS; gather++)
        for (size_t i = 0; lab->stale[tree][gather].count > 0 && i < count; i++)
            ref_stale_flush(&lab->stale[tree][gather], ranges[i].start, ranges[i].start + ranges[i].length);
}

#define FLUSH_HOOK(tree)                                                                                               \
    static void hook_flush_##tree(void *ctx, const struct pt *pt, unsigned why, const struct pt_range *ranges,         \
                                  size_t count)                                                                        \
    {                                                                                                                  \
        flush_tree(ctx, tree, pt, why, ranges, count);                                                                 \
    }
FLUSH_HOOK(0)
FLUSH_HOOK(1)
FLUSH_HOOK(2)
FLUSH_HOOK(3)

static void hook_read_begin(void *ctx)
{
    struct lab *lab = ctx;

    lab->sections++;
}

static void hook_read_end(void *ctx)
{
    struct lab *lab = ctx;

    if (lab->sections == 0)
        lab_fail(lab, "read_end without read_begin");
    lab->sections--;
}

static void hook_quiesce(void *ctx)
{
    struct lab *lab = ctx;

    if (lab->sections > 0)
        lab_fail(lab, "quiesce inside a read-side section");
    lab->quiesced = true;
}

static void configure(struct lab *lab, unsigned tree, unsigned variant)
{
    static void (*const flushes[MODEL_TREES])(void *, const struct pt *, unsigned, const struct pt_range *,
                                              size_t) = {hook_flush_0, hook_flush_1, hook_flush_2, hook_flush_3};
    struct pt_config *config = &lab->configs[tree];
    unsigned caps = PT_CAP_2M | PT_CAP_1G | PT_CAP_EXEC_ONLY | PT_CAP_AD;

    caps &= variant & VARIANT_NO_1G ? ~PT_CAP_1G : ~0u;
    caps &= variant & VARIANT_NO_2M ? ~(PT_CAP_2M | PT_CAP_1G) : ~0u;
    caps &= variant & VARIANT_NO_AD ? ~PT_CAP_AD : ~0u;
    caps &= variant & VARIANT_NO_EXEC ? ~PT_CAP_EXEC_ONLY : ~0u;
    if (tree == MODEL_TREES - 1)
        caps &= variant & VARIANT_UNLIKE ? ~PT_CAP_1G : ~0u;
    *config = (struct pt_config){0};
    pt_arena_configure(&lab->arena, lab->meta, config);
    config->ctx = lab;
    config->alloc_table = hook_alloc;
    config->free_table = hook_free;
    config->frame_get = hook_get;
    config->frame_put = hook_put;
    config->flush = flushes[tree];
    config->levels = lab->format->levels;
    config->maxphyaddr = 46;
    config->caps = caps;
    if (variant & VARIANT_HOOKS) {
        config->read_begin = hook_read_begin;
        config->read_end = hook_read_end;
        config->quiesce = hook_quiesce;
    }
    lab->refs[tree].is_ept = lab->format->is_ept;
    lab->refs[tree].absent = lab->format->absent;
    lab->refs[tree].levels = lab->format->levels;
    lab->refs[tree].caps = caps;
    lab->refs[tree].frames = (struct pt_range){.start = LAB_HPA, .length = LAB_FRAMES * PT_PAGE_SIZE};
    lab->refs[tree].map.count = 0;
}

bool lab_start(struct lab *lab, const struct model_format *format, unsigned variant)
{
    uint64_t fresh = lab->arena.fresh;

    /* A run that failed leaves frames held. */
    for (unsigned level = 1; lab->failure[0] && level <= PT_HUGE_LEVEL; level++) {
        madvise(lab->counts[level], counts_size(level), MADV_DONTNEED);
        lab->held[level] = 0;
    }
    /* Only what the last run may have touched. */
    memset(lab->tables, 0, fresh * PT_PAGE_SIZE);
    memset(lab->meta, 0, fresh * sizeof(*lab->meta));
    memset(lab->born, 0, sizeof(lab->born));
    memset(lab->stale, 0, sizeof(lab->stale));
    memset(lab->waiting, 0, sizeof(lab->waiting));
    pt_arena_init(&lab->arena, lab->tables, LAB_PA, LAB_TABLES);
    lab->format = format;
    lab->calls = lab->sections = 0;
    lab->failure[0] = '\0';
    lab->base = variant & VARIANT_TOP ? pt_slot_size(format->levels + 1) - 2 * pt_slot_size(format->levels) : 0;
    for (unsigned tree = 0; tree < MODEL_TREES; tree++) {
        configure(lab, tree, variant);
        lab->sessions[tree].open = false;
        lab_begin(lab, FAIL_NEVER, 0);
        if (format->call.init(&lab->trees[tree], &lab->configs[tree]) != PT_OK)
            return lab_fail(lab, "init of a tree fails");
        for (unsigned gather = 0; gather < MODEL_GATHERS; gather++)
            format->call.gather_init(&lab->gathers[tree][gather], &lab->trees[tree]);
        lab_end(lab);
    }
    return true;
}

void lab_begin(struct lab *lab, enum op_fail fail, long after)
{
    lab->calls++;
    lab->quiesced = false;
    lab->call = (struct lab_call){.allocations_left = fail == FAIL_ALLOC ? after : -1,
                                  .gets_left = fail == FAIL_GET ? after : -1,
                                  .used = pt_arena_used(&lab->arena)};
    memcpy(lab->call.held, lab->held, sizeof(lab->held));
}

bool lab_end(struct lab *lab)
{
    if (lab->sections > 0)
        lab_fail(lab, "read_begin without read_end");
    lab->call.allocations_left = lab->call.gets_left = -1;
    return lab->call.refused;
}

void lab_sync(struct lab *lab, unsigned tree, unsigned gather)
{
    const struct ref_stale *stale = &lab->stale[tree][gather];

    lab_begin(lab, FAIL_NEVER, 0);
    lab->format->call.gather_sync(&lab->gathers[tree][gather]);
    lab_end(lab);
    lab->waiting[tree][gather] = false;
    if (stale->count > 0)
        lab_fail(lab, "[0x%llx, + 0x%llx) of tree %u has changed and was not flushed",
                 (unsigned long long)(stale->ranges[0].start - lab->base), (unsigned long long)stale->ranges[0].length,
                 tree);
}

void lab_close(struct lab *lab, unsigned tree)
{
    struct session *session = &lab->sessions[tree];

    if (!session->open)
        return;
    lab_begin(lab, FAIL_NEVER, 0);
    lab->format->call.cursor_end(&session->cursor);
    if (session->inside)
        lab->format->call.cursor_end(&session->outer);
    lab_end(lab);
    session->open = session->ref.open = false;
    lab->waiting[tree][session->gather] = true;
}
