/* See model_exec.h: what needs no cursor. */
#include <string.h>

#include "tests/support/model_exec.h"
#include "tests/support/model_verify.h"

bool exec_lookup(struct lab *lab, const struct op *op)
{
    struct place place = exec_place(lab, op);
    const struct pt *pt = &lab->trees[place.tree];
    uint64_t address = op->flaw == FLAW_BEYOND ? pt->size : place.start + op->times * 0x123;
    struct pt_item is = {0}, should = {0};
    enum pt_status status, right = ref_lookup(&lab->refs[place.tree], address, &should);

    lab_begin(lab, FAIL_NEVER, 0);
    status = lab->format->call.lookup(pt, address, &is);
    lab_end(lab);
    if (status != right)
        return lab_fail(lab, "answers \"%s\", and should \"%s\"", pt_status_name(status), pt_status_name(right));
    return status != PT_OK || job_same_item(lab, &is, &should, lab->sessions[place.tree].open);
}

/* Finds every address at which a table can be reached, to change the model of the leaf in one slot of it. */
struct reach {
    struct lab *lab;
    unsigned tree;
    uint64_t table, offset; /* from the table's first address to the leaf's */
    pt_prop marks;
};

static bool mark_reached(void *ctx, uint64_t pa, unsigned level, uint64_t start)
{
    const struct reach *reach = ctx;
    struct segments *map = &reach->lab->refs[reach->tree].map;
    struct segment leaf;

    if (pa == reach->table && segments_leaf(map, start + reach->offset, &leaf))
        segments_change(map, leaf.start, leaf.end, (struct pt_change){.set = reach->marks});
    return level > 1;
}

static bool pass_leaves(void *ctx, const struct raw_run *run)
{
    (void)ctx, (void)run;
    return true;
}

/* What the model says about an access. */
static bool is_translated(struct lab *lab, unsigned tree, uint64_t address, pt_prop right,
                          const struct walk_answer *answer)
{
    struct segment leaf = {0};
    bool mapped = segments_leaf(&lab->refs[tree].map, address, &leaf), allowed = mapped && (leaf.prop & right);
    enum walk_result refused = lab->format->is_ept ? WALK_VIOLATION : WALK_PAGE_FAULT;

    /* An x86 entry that is present can be read, and those of level 1 are found by nothing else. */
    if (answer->result != (allowed ? WALK_OK : refused))
        return lab_fail(lab, "hardware's walk ends with %d, and should with %d", answer->result,
                        allowed ? WALK_OK : refused);
    if (allowed &&
        (answer->pa != leaf.hpa + (address - leaf.start) || answer->level != leaf.level ||
         answer->r != !!(leaf.prop & PT_R) || answer->w != !!(leaf.prop & PT_W) || answer->x != !!(leaf.prop & PT_X)))
        return lab_fail(lab, "hardware's walk ends at 0x%llx of level %u, and should at 0x%llx of level %u",
                        (unsigned long long)answer->pa, answer->level,
                        (unsigned long long)(leaf.hpa + (address - leaf.start)), leaf.level);
    return true;
}

bool exec_access(struct lab *lab, const struct op *op)
{
    static const pt_prop rights[3] = {[WALK_READ] = PT_R, [WALK_WRITE] = PT_W, [WALK_FETCH] = PT_X};
    struct place place = exec_place(lab, op);
    const struct pt *pt = &lab->trees[place.tree];
    enum walk_access access = (enum walk_access)(op->access % 3);
    bool set = (pt->config.caps & PT_CAP_AD) != 0;
    struct walk_memory memory = {
        .pa = LAB_PA, .length = LAB_TABLES * PT_PAGE_SIZE, .offset = pt->config.entries_offset};
    struct walk_answer answer;
    struct reach reach = {.lab = lab};
    struct raw_visit visit = {.ctx = &reach, .leaves = pass_leaves, .table = mark_reached, .end = pt->size};
    const struct walk_step *last;

    lab->format->access(pt, &memory, place.start, access, set, &answer);
    if (!is_translated(lab, place.tree, place.start, rights[access], &answer))
        return false;
    if (!set || answer.result != WALK_OK)
        return true;
    last = &answer.steps[answer.nsteps - 1];
    reach.table = last->pa & ~(PT_PAGE_SIZE - 1);
    reach.offset = (last->pa - reach.table) / 8 * pt_slot_size(last->level);
    reach.marks = access == WALK_WRITE ? PT_A | PT_D : PT_A;
    for (reach.tree = 0; reach.tree < MODEL_TREES; reach.tree++)
        lab->format->raw_walk(&lab->trees[reach.tree], &visit);
    return verify_range(lab, place.tree, place.start, place.end);
}

bool exec_sync(struct lab *lab, const struct op *op)
{
    struct place place = exec_place(lab, op);

    if (!op->all) {
        lab_sync(lab, place.tree, place.gather);
        return verify_range(lab, place.tree, place.start, place.end);
    }
    for (unsigned tree = 0; tree < MODEL_TREES; tree++)
        lab_close(lab, tree);
    /* From either end, so that owners leave in every order. */
    for (unsigned i = 0; i < MODEL_TREES * MODEL_GATHERS; i++) {
        unsigned n = op->times % 2 ? MODEL_TREES * MODEL_GATHERS - 1 - i : i;

        lab_sync(lab, n / MODEL_GATHERS, n % MODEL_GATHERS);
    }
    return verify_all(lab);
}

/* Makes the tree that has been destroyed; first without memory, if the operation says so. */
static bool make_again(struct lab *lab, const struct op *op, unsigned tree)
{
    enum pt_status status;

    lab_begin(lab, (enum op_fail)(op->fail % FAILS), 0);
    status = lab->format->call.init(&lab->trees[tree], &lab->configs[tree]);
    if (!lab_end(lab))
        return status == PT_OK || lab_fail(lab, "init answers \"%s\"", pt_status_name(status));
    if (status != PT_ENOMEM)
        return lab_fail(lab, "init answers \"%s\" when there is no table", pt_status_name(status));
    lab_begin(lab, FAIL_NEVER, 0);
    status = lab->format->call.init(&lab->trees[tree], &lab->configs[tree]);
    lab_end(lab);
    return status == PT_OK || lab_fail(lab, "init answers \"%s\"", pt_status_name(status));
}

bool exec_remake(struct lab *lab, const struct op *op)
{
    struct place place = exec_place(lab, op);

    lab_close(lab, place.tree);
    for (unsigned gather = 0; gather < MODEL_GATHERS; gather++)
        lab_sync(lab, place.tree, gather);
    lab_begin(lab, FAIL_NEVER, 0);
    lab->format->call.destroy(&lab->trees[place.tree]);
    lab_end(lab);
    lab->refs[place.tree].map.count = 0;
    if (!make_again(lab, op, place.tree))
        return false;
    for (unsigned gather = 0; gather < MODEL_GATHERS; gather++)
        lab->format->call.gather_init(&lab->gathers[place.tree][gather], &lab->trees[place.tree]);
    return verify_all(lab);
}
