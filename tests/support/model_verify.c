/* See model_verify.h. */
#include "tests/support/model_verify.h"

#include <stdio.h>
#include <string.h>

struct compare {
    struct lab *lab;
    unsigned tree;
    const struct segments *map;
    size_t next;      /* segment of the model that is compared next */
    uint64_t at, end; /* where the comparison has come to, and where it ends */
};

/* The tree has this run, or NULL: a hole, and the model something else. */
static bool differs(const struct compare *compare, const struct raw_run *run)
{
    const struct segment *model = compare->next < compare->map->count ? &compare->map->list[compare->next] : NULL;
    const uint64_t base = compare->lab->base;
    char has[160] = "nothing", should[160] = "nothing";

    if (run)
        snprintf(has, sizeof(has), "[0x%llx, 0x%llx) -> 0x%llx prop 0x%x level %u",
                 (unsigned long long)(run->start - base), (unsigned long long)(run->end - base),
                 (unsigned long long)(run->hpa - LAB_HPA), run->prop, run->level);
    if (model)
        snprintf(should, sizeof(should), "[0x%llx, 0x%llx) -> 0x%llx prop 0x%x level %u",
                 (unsigned long long)(model->start - base), (unsigned long long)(model->end - base),
                 (unsigned long long)(model->hpa - LAB_HPA), model->prop, model->level);
    return lab_fail(compare->lab, "from 0x%llx on, tree %u has %s,\n    and should have %s",
                    (unsigned long long)(compare->at - base), compare->tree, has, should);
}

/* A run of leaves of the tree must be one or more segments of the model, and nothing may lie before it. */
static bool compare_leaves(void *ctx, const struct raw_run *run)
{
    struct compare *compare = ctx;
    uint64_t at = run->start > compare->at ? run->start : compare->at;
    uint64_t end = run->end < compare->end ? run->end : compare->end;

    while (at < end) {
        const struct segment *model = &compare->map->list[compare->next];

        if (compare->next == compare->map->count || (model->start > compare->at ? model->start : compare->at) != at ||
            model->prop != run->prop || model->level != run->level ||
            model->hpa - model->start != run->hpa - run->start)
            return differs(compare, run);
        at = compare->at = model->end < end ? model->end : end;
        compare->next += model->end == at;
    }
    return true;
}

static bool enter_table(void *ctx, uint64_t pa, unsigned level, uint64_t start)
{
    (void)ctx, (void)pa, (void)level, (void)start;
    return true;
}

bool verify_range(struct lab *lab, unsigned tree, uint64_t start, uint64_t end)
{
    const struct pt *pt = &lab->trees[tree];
    uint64_t margin = 2 * pt_slot_size(2);
    struct compare compare = {.lab = lab, .tree = tree, .map = &lab->refs[tree].map};
    struct raw_visit visit = {.ctx = &compare, .leaves = compare_leaves, .table = enter_table};

    visit.start = compare.at = start < margin ? 0 : start - margin;
    visit.end = compare.end = pt->size - end < margin ? pt->size : end + margin;
    compare.next = segments_find(compare.map, compare.at);
    lab->format->raw_walk(pt, &visit);
    if (visit.unsafe)
        lab_fail(lab, "hardware must not find the entry 0x%llx", (unsigned long long)visit.unsafe);
    if (!lab->failure[0] && compare.at < compare.end && compare.next < compare.map->count &&
        compare.map->list[compare.next].start < compare.end)
        differs(&compare, NULL);
    return !lab->failure[0];
}

/* Each distinct table and the references of the tracked leaves in it, however many entries point at it. */
struct census {
    struct lab *lab;
    uint64_t tables;
    int64_t held[PT_HUGE_LEVEL + 1];
    bool taking; /* references are taken out of the counts, to be put back by a second walk */
};

static bool census_table(void *ctx, uint64_t pa, unsigned level, uint64_t start)
{
    struct census *census = ctx;
    struct lab *lab = census->lab;
    uint64_t index = (pa - LAB_PA) / PT_PAGE_SIZE;

    (void)level, (void)start;
    if (index >= LAB_TABLES || lab->born[index] == 0)
        return lab_fail(lab, "an entry points at 0x%llx, which is no allocated table", (unsigned long long)pa);
    if (lab->seen[index] == lab->walks)
        return false;
    lab->seen[index] = lab->walks;
    census->tables++;
    return true;
}

static bool census_leaves(void *ctx, const struct raw_run *run)
{
    struct census *census = ctx;
    struct lab *lab = census->lab;
    uint64_t count = (run->end - run->start) / pt_slot_size(run->level), first, none = 0;
    uint32_t *list;

    if (!(run->prop & PT_TRACKED))
        return true;
    first = (run->hpa - LAB_HPA) / pt_slot_size(run->level);
    if (first + count > LAB_FRAMES >> 9 * (run->level - 1))
        return lab_fail(lab, "a tracked leaf points at frames that are not counted");
    list = &lab->counts[run->level][first];
    census->held[run->level] += (int64_t)count;
    for (uint64_t i = 0; i < count; i++) {
        none |= census->taking && list[i] == 0;
        list[i] += census->taking ? UINT32_MAX : 1;
    }
    if (none)
        lab_fail(lab, "there are more tracked leaves of level %u at 0x%llx than references", run->level,
                 (unsigned long long)run->hpa);
    return true;
}

static void take_census(struct census *census)
{
    struct lab *lab = census->lab;
    struct raw_visit visit = {.ctx = census, .leaves = census_leaves, .table = census_table, .end = lab->trees[0].size};

    lab->walks++;
    for (unsigned tree = 0; tree < MODEL_TREES; tree++)
        lab->format->raw_walk(&lab->trees[tree], &visit);
}

/* Nothing waits in a gather and no cursor holds an empty table. */
static bool is_calm(const struct lab *lab)
{
    for (unsigned tree = 0; tree < MODEL_TREES; tree++)
        for (unsigned gather = 0; gather < MODEL_GATHERS; gather++)
            if (lab->sessions[tree].open || lab->waiting[tree][gather])
                return false;
    return true;
}

/* No leaf without its own reference; and where nothing waits for a flush, no reference and no table beyond those. */
static bool verify_census(struct lab *lab)
{
    struct census census = {.lab = lab, .taking = true}, back = {.lab = lab};

    take_census(&census);
    take_census(&back);
    if (census.tables > pt_arena_used(&lab->arena) || (is_calm(lab) && census.tables < pt_arena_used(&lab->arena)))
        lab_fail(lab, "%llu tables are in use, and %llu allocated", (unsigned long long)census.tables,
                 (unsigned long long)pt_arena_used(&lab->arena));
    for (unsigned level = 1; level <= PT_HUGE_LEVEL; level++)
        if (census.held[level] > lab->held[level] || (is_calm(lab) && census.held[level] < lab->held[level]))
            lab_fail(lab, "there are %lld tracked leaves of level %u, and %lld references",
                     (long long)census.held[level], level, (long long)lab->held[level]);
    return !lab->failure[0];
}

struct tally {
    uint64_t leaves[PT_MAX_LEVEL + 1], frames, tracked;
};

static enum pt_status tally_leaves(void *ctx, const struct pt_item *first, uint64_t count)
{
    struct tally *tally = ctx;
    uint64_t frames = count * first->frames;

    tally->leaves[first->level] += count;
    tally->frames += frames;
    tally->tracked += first->prop & PT_TRACKED ? frames : 0;
    return PT_OK;
}

/* The library's own check and count, and the model's sums. */
static bool verify_by_library(struct lab *lab, unsigned tree)
{
    const struct segments *map = &lab->refs[tree].map;
    struct tally checked = {0}, model = {0};
    struct pt_statistics counted;
    struct pt_fault fault;

    lab_begin(lab, FAIL_NEVER, 0);
    if (lab->format->call.check(&lab->trees[tree], tally_leaves, &checked, &fault) != PT_OK)
        return lab_fail(lab, "check of tree %u: %s at 0x%llx (level %u, index %u, entry 0x%llx)", tree, fault.what,
                        (unsigned long long)(fault.address - lab->base), fault.level, fault.index,
                        (unsigned long long)fault.entry);
    lab->format->call.count(&lab->trees[tree], &counted);
    lab_end(lab);
    for (size_t i = 0; i < map->count; i++) {
        const struct segment *s = &map->list[i];

        tally_leaves(
            &model,
            &(struct pt_item){.level = s->level, .frames = pt_slot_size(s->level) / PT_PAGE_SIZE, .prop = s->prop},
            (s->end - s->start) / pt_slot_size(s->level));
    }
    if (memcmp(&model, &checked, sizeof(model)) != 0)
        lab_fail(lab, "check of tree %u reports other leaves than the model has", tree);
    if (memcmp(model.leaves, counted.leaves, sizeof(model.leaves)) != 0 || model.frames != counted.frames ||
        model.tracked != counted.tracked)
        lab_fail(lab, "count of tree %u differs from the model's", tree);
    return !lab->failure[0];
}

bool verify_all(struct lab *lab)
{
    for (unsigned tree = 0; tree < MODEL_TREES; tree++) {
        if (!verify_range(lab, tree, 0, lab->trees[tree].size))
            return false;
        if (!lab->sessions[tree].open && !verify_by_library(lab, tree))
            return false;
    }
    return verify_census(lab);
}

bool verify_nothing(struct lab *lab)
{
    if (pt_arena_used(&lab->arena) != 0)
        lab_fail(lab, "%llu tables are left when all trees are gone", (unsigned long long)pt_arena_used(&lab->arena));
    for (unsigned level = 1; level <= PT_HUGE_LEVEL; level++)
        if (lab->held[level] != 0)
            lab_fail(lab, "%lld references of level %u are left when all trees are gone", (long long)lab->held[level],
                     level);
    return !lab->failure[0];
}
