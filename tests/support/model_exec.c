/* See model_exec.h: the loop over a script, and what all operations share. */
#include "tests/support/model_exec.h"

#include "tests/support/model_verify.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

struct place exec_place(const struct lab *lab, const struct op *op)
{
    uint64_t limit = pt_slot_size(lab->format->levels + 1) - lab->base, page = PT_PAGE_SIZE;
    uint64_t start = least(op->start & ~(page - 1), limit - page);
    uint64_t length = least(op->length < page ? page : op->length & ~(page - 1), limit - start);
    struct place place = {.tree = op->tree % MODEL_TREES, .gather = op->gather % MODEL_GATHERS};

    place.start = lab->base + start;
    place.end = place.start + length;
    place.claim_start = place.start - least(op->before & ~(page - 1), start);
    place.claim_end = place.end + least(op->after & ~(page - 1), limit - start - length);
    return place;
}

bool exec_claim(struct lab *lab, struct pt_cursor *cursor, struct ref_cursor *ref, const struct place *place,
                bool writes)
{
    enum pt_status status;

    *ref = (struct ref_cursor){.tree = &lab->refs[place->tree],
                               .gather = &lab->gathers[place->tree][place->gather],
                               .stale = &lab->stale[place->tree][place->gather],
                               .start = place->claim_start,
                               .end = place->claim_end,
                               .at = place->claim_start,
                               .writes = writes,
                               .open = true};
    lab->waiting[place->tree][place->gather] = true;
    lab_begin(lab, FAIL_NEVER, 0);
    status = lab->format->call.cursor_init(cursor, &lab->trees[place->tree], place->claim_start,
                                           place->claim_end - place->claim_start, writes ? PT_WRITE : PT_READ,
                                           &lab->gathers[place->tree][place->gather]);
    lab_end(lab);
    return status == PT_OK || lab_fail(lab, "cursor_init answers \"%s\"", pt_status_name(status));
}

bool exec_jump(struct lab *lab, struct pt_cursor *cursor, struct ref_cursor *ref, uint64_t address)
{
    const struct model_calls *call = &lab->format->call;

    if (call->cursor_jump(cursor, address + 1) != PT_EINVAL ||
        call->cursor_jump(cursor, ref->end + PT_PAGE_SIZE) != PT_ERANGE || call->cursor_at(cursor) != ref->at)
        return lab_fail(lab, "a jump to where there is nothing is not refused, or moves");
    if (call->cursor_jump(cursor, address) != PT_OK)
        return lab_fail(lab, "a jump inside the claim is refused");
    ref->at = address;
    return true;
}

/* Does the open session serve this place? */
static bool session_fits(const struct session *session, const struct place *place, bool writes)
{
    return session->open && session->gather == place->gather && session->ref.start <= place->start &&
           place->end <= session->ref.end && (session->ref.writes || !writes);
}

bool exec_open(struct lab *lab, const struct place *place, const struct op *op, bool writes)
{
    struct session *session = &lab->sessions[place->tree];
    struct place outer = *place;
    uint64_t size = lab->trees[place->tree].size, margin = pt_slot_size(2);
    enum pt_status status;

    if (session_fits(session, place, writes))
        return exec_jump(lab, &session->cursor, &session->ref, place->start);
    lab_close(lab, place->tree);
    *session = (struct session){.open = true, .inside = op->inside != 0, .gather = place->gather};
    if (!session->inside)
        return exec_claim(lab, &session->cursor, &session->ref, place, writes) &&
               exec_jump(lab, &session->cursor, &session->ref, place->start);
    outer.claim_start -= least(outer.claim_start, margin);
    outer.claim_end += least(size - outer.claim_end, margin);
    if (!exec_claim(lab, &session->outer, &session->ref, &outer, writes))
        return false;
    session->ref.start = session->ref.at = place->claim_start;
    session->ref.end = place->claim_end;
    status = lab->format->call.cursor_init_inside(&session->cursor, &session->outer, outer.claim_start,
                                                  outer.claim_end - outer.claim_start + PT_PAGE_SIZE);
    if (status != PT_ERANGE)
        return lab_fail(lab, "cursor_init_inside takes more than there is");
    status = lab->format->call.cursor_init_inside(&session->cursor, &session->outer, place->claim_start,
                                                  place->claim_end - place->claim_start);
    if (status != PT_OK)
        return lab_fail(lab, "cursor_init_inside answers \"%s\"", pt_status_name(status));
    return exec_jump(lab, &session->cursor, &session->ref, place->start);
}

/* Properties that this format has. */
static pt_prop prop_of(const struct lab *lab, uint64_t drawn)
{
    pt_prop prop = (pt_prop)drawn & PT_ALL & ~lab->format->absent, type = prop & PT_MT_MASK;
    bool exists = type == PT_UC || type == PT_WT || type == PT_WB ||
                  (lab->format->is_ept ? type == PT_WC || type == PT_WP : type == PT_UCMINUS);

    return exists ? prop : (prop & ~PT_MT_MASK) | PT_WB;
}

struct job exec_job(struct lab *lab, const struct op *op, const struct place *place)
{
    struct pt_range range = {.start = place->start, .length = place->end - place->start};
    struct job job = {.lab = lab, .code = op->code, .tree = place->tree, .range = range, .length = range.length};

    job.fail = (enum op_fail)(op->fail % FAILS);
    job.hpa = LAB_HPA + (op->hpa & ~(PT_PAGE_SIZE - 1));
    job.level = (unsigned)op->level;
    job.prop = prop_of(lab, op->prop);
    job.bits = (pt_prop)op->bits;
    job.clearing = op->clear != 0;
    job.change = (struct pt_change){.set = (pt_prop)op->set, .clear = (pt_prop)op->clear};
    job.source_change = (struct pt_change){.set = (pt_prop)op->source_set, .clear = (pt_prop)op->source_clear};
    return job;
}

static bool exec_op(struct lab *lab, const struct op *op)
{
    switch (op->code) {
    case OP_LOOKUP:
        return exec_lookup(lab, op);
    case OP_ACCESS:
        return exec_access(lab, op);
    case OP_SYNC:
        return exec_sync(lab, op);
    case OP_REMAKE:
        return exec_remake(lab, op);
    case OP_COPY:
    case OP_SHARE:
        return exec_on_pair(lab, op);
    default:
        return exec_on_range(lab, op);
    }
}

/* Destroys the trees, in an order that depends on the script. */
static bool finish(struct lab *lab, const struct script *script)
{
    static const struct op all = {.code = OP_SYNC, .all = true};

    if (!exec_sync(lab, &all))
        return false;
    for (unsigned i = 0; i < MODEL_TREES; i++) {
        unsigned tree = (unsigned)(script->count + i * (script->count % 2 ? 1 : 3)) % MODEL_TREES;

        lab_begin(lab, FAIL_NEVER, 0);
        lab->format->call.destroy(&lab->trees[tree]);
        lab_end(lab);
    }
    return verify_nothing(lab);
}

bool model_run(struct lab *lab, const struct model_format *format, const struct script *script, bool thorough)
{
    unsigned since = 0;

    if (!lab_start(lab, format, script->variant))
        return false;
    for (lab->step = 0; lab->step < script->count; lab->step++) {
        const struct op *op = &script->ops[lab->step];

        if (!exec_op(lab, op) || lab->failure[0])
            return false;
        if (!op->keep)
            lab_close(lab, op->tree % MODEL_TREES);
        /* Comparing everything takes as long as there are tables. */
        since++;
        if (thorough || since > 16 + pt_arena_used(&lab->arena)) {
            since = 0;
            if (!verify_all(lab))
                return false;
        }
    }
    return finish(lab, script);
}
