/* See model_exec.h: operations with cursors. */
#include "tests/support/model_exec.h"

/* Does this operation need a cursor that may write? */
static bool needs_writer(const struct op *op)
{
    if (op->code == OP_QUERY || op->code == OP_FIND)
        return !op->reader;
    if (op->code == OP_HARVEST)
        return !op->reader || op->clear;
    return true;
}

bool exec_flaw(const struct op *op, struct job *job)
{
    bool measured = op->code != OP_MAP && op->code != OP_SPLIT && op->code != OP_COLLAPSE && op->code != OP_QUERY;
    bool maps = op->code == OP_MAP || op->code == OP_MAP_RANGE;
    bool changes = op->code == OP_PROTECT || op->code == OP_PROTECT_NEXT || op->code == OP_COPY;

    switch (op->flaw) {
    case FLAW_EMPTY:
        job->length = 0;
        return measured;
    case FLAW_MISALIGNED:
        job->length++;
        job->hpa++;
        return measured || op->code == OP_MAP;
    case FLAW_BEYOND:
        job->length = job->ref->end - job->ref->at + PT_PAGE_SIZE;
        return measured;
    case FLAW_WRAPS:
        job->length = -PT_PAGE_SIZE;
        return measured;
    case FLAW_PROP:
        job->prop |= PT_ALL + 1;
        job->level = op->times % 2 ? 4 : 0;
        job->bits |= PT_W;
        return maps || op->code == OP_SPLIT || op->code == OP_COLLAPSE || op->code == OP_HARVEST;
    case FLAW_CHANGE:
        job->change.set |= op->times % 2 ? PT_TRACKED : PT_WT;
        job->change.clear &= ~PT_MT_MASK;
        return changes;
    case FLAW_FORMAT:
        job->prop |= job->lab->format->absent;
        job->hpa = op->times % 2 ? (uint64_t)1 << 46 : job->hpa;
        job->change.set |= job->lab->format->absent;
        return maps || changes;
    default:
        return false;
    }
}

/* Claims that cannot be made. */
static bool try_bad_claims(struct lab *lab, const struct op *op, const struct place *place)
{
    enum pt_status (*init)(struct pt_cursor *, struct pt *, uint64_t, uint64_t, enum pt_mode, struct pt_gather *) =
        lab->format->call.cursor_init;
    struct pt *pt = &lab->trees[place->tree];
    struct pt_gather *gather = &lab->gathers[place->tree][place->gather];
    struct pt_gather *foreign = &lab->gathers[(place->tree + 1) % MODEL_TREES][place->gather];
    struct pt_cursor cursor;
    uint64_t length = place->end - place->start;
    bool refused = true;

    if (op->flaw == FLAW_EMPTY)
        refused = init(&cursor, pt, place->start, 0, PT_WRITE, gather) == PT_EINVAL;
    else if (op->flaw == FLAW_MISALIGNED)
        refused = init(&cursor, pt, place->start + 8, length, PT_WRITE, gather) == PT_EINVAL;
    else if (op->flaw == FLAW_BEYOND)
        refused = init(&cursor, pt, place->start, pt->size - place->start + PT_PAGE_SIZE, PT_READ, gather) == PT_ERANGE;
    else if (op->flaw == FLAW_WRAPS)
        refused =
            init(&cursor, pt, place->start, -place->start, PT_READ, gather) == (place->start ? PT_ERANGE : PT_EINVAL);
    else if (op->flaw == FLAW_FORMAT)
        refused = init(&cursor, pt, place->start, length, PT_WRITE, foreign) == PT_EINVAL;
    return refused || lab_fail(lab, "a claim that cannot be made is not refused");
}

/* The operation on a cursor that may only read, or has ended. */
static bool try_bad_cursor(struct lab *lab, const struct op *op, const struct place *place)
{
    struct job job = exec_job(lab, op, place);
    struct pt_cursor cursor;
    struct ref_cursor ref;
    enum pt_status status;
    bool same;

    lab_close(lab, place->tree);
    if (!exec_claim(lab, &cursor, &ref, place, op->flaw == FLAW_ENDED) || !exec_jump(lab, &cursor, &ref, place->start))
        return false;
    if (op->flaw == FLAW_ENDED) {
        lab->format->call.cursor_end(&cursor);
        lab->format->call.cursor_end(&cursor);
        ref.open = false;
    }
    job.cursor = &cursor;
    job.ref = &ref;
    job.fail = FAIL_NEVER;
    same = job_run(&job, &status);
    if (op->flaw != FLAW_ENDED)
        lab->format->call.cursor_end(&cursor);
    return same;
}

/* What must be refused, before the operation itself. The session is open. */
static bool try_flaw(const struct op *op, const struct job *job)
{
    struct job flawed = *job;
    enum pt_status status;

    flawed.fail = FAIL_NEVER;
    return !exec_flaw(op, &flawed) || job_run(&flawed, &status);
}

/* Goes over the slots of the range by query and next. */
static bool query_slots(struct job *job, const struct op *op)
{
    struct lab *lab = job->lab;
    enum pt_status status = PT_OK;

    for (uint64_t i = 0; i <= op->times % 128 && status == PT_OK; i++) {
        if (!job_run(job, &status))
            return false;
        if (lab->format->call.cursor_next(job->cursor) != ref_next(job->ref, &job->item))
            return lab_fail(lab, "cursor_next answers something else than the model");
        if (lab->format->call.cursor_at(job->cursor) != job->ref->at)
            return lab_fail(lab, "cursor_next does not move to the end of the slot");
    }
    return true;
}

static bool is_repeated(enum op_code code)
{
    return code == OP_FIND || code == OP_MAP || code == OP_PROTECT_NEXT || code == OP_TAKE_NEXT ||
           code == OP_TAKE_SUBTREE || code == OP_HARVEST;
}

bool exec_on_range(struct lab *lab, const struct op *op)
{
    struct place place = exec_place(lab, op);
    struct session *session = &lab->sessions[place.tree];
    struct job job = exec_job(lab, op, &place);
    enum pt_status status = PT_OK;
    bool to_end;

    if ((op->flaw == FLAW_READER || op->flaw == FLAW_ENDED) && !try_bad_cursor(lab, op, &place))
        return false;
    if (!try_bad_claims(lab, op, &place) || !exec_open(lab, &place, op, needs_writer(op)))
        return false;
    lab->waiting[place.tree][place.gather] = true;
    job.cursor = &session->cursor;
    job.ref = &session->ref;
    job.vague = session->used || session->inside;
    if (!try_flaw(op, &job))
        return false;
    session->used = true;
    if (op->code == OP_QUERY)
        return query_slots(&job, op);
    /* Then the end of the claim will do as well, and every second time. */
    to_end = op->times % 4 >= 2 && session->ref.end == place.end;
    if (to_end)
        job.length = PT_TO_END;
    for (uint64_t i = 0; i <= op->times % 128 && status == PT_OK; i++) {
        if (!job_run(&job, &status))
            return false;
        if (!is_repeated(op->code))
            return true;
        job.hpa += 2 * pt_slot_size(job.level % 4);
        if (status == PT_OK && op->code == OP_FIND)
            (void)(lab->format->call.cursor_next(job.cursor), ref_next(job.ref, &job.item));
        if (job.ref->at >= place.end && !to_end)
            return true;
        job.length =
            to_end ? (i % 2 && job.ref->at < place.end ? place.end - job.ref->at : PT_TO_END) : place.end - job.ref->at;
    }
    return true;
}
