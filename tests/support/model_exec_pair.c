/* See model_exec.h: copying and sharing, between two trees or inside one. */
#include "tests/support/model_exec.h"

#include "tests/support/model_verify.h"

/* Where the source is: as long as the destination, with a claim that reaches as far beyond it. */
static struct place source_place(const struct lab *lab, const struct op *op)
{
    struct op source = *op;

    source.tree = op->from;
    source.start = op->source;
    source.before = op->inside ? op->before : 0;
    source.after = op->inside ? op->after : 0;
    return exec_place(lab, &source);
}

/* Both must be as long. */
static void match_lengths(struct place *a, struct place *b)
{
    uint64_t length_a = a->end - a->start, length_b = b->end - b->start;
    struct place *longer = length_a > length_b ? a : b;

    longer->end = longer->start + (length_a < length_b ? length_a : length_b);
}

static bool run_pair(struct job *job, const struct op *op)
{
    struct job flawed = *job;
    enum pt_status status;

    flawed.fail = FAIL_NEVER;
    if (exec_flaw(op, &flawed) && !job_run(&flawed, &status))
        return false;
    return job_run(job, &status);
}

static bool is_nothing(struct pt_change change)
{
    return (change.set | change.clear) == 0;
}

/* The destination is the session of its tree; the source has a cursor for this operation alone. */
static bool between_trees(struct lab *lab, const struct op *op, const struct place *dst, const struct place *src,
                          struct job *job)
{
    struct session *session = &lab->sessions[dst->tree];
    struct pt_cursor source;
    struct ref_cursor ref;
    bool writes = op->code == OP_SHARE || !op->reader || !is_nothing(job->source_change), same;

    /* Sometimes the claim that must be refused is a reader's. */
    writes = writes && op->flaw != FLAW_READER;
    if (!exec_open(lab, dst, op, true))
        return false;
    lab_close(lab, src->tree);
    if (!exec_claim(lab, &source, &ref, src, writes) || !exec_jump(lab, &source, &ref, src->start))
        return false;
    lab->waiting[dst->tree][dst->gather] = true;
    session->used = true;
    job->cursor = &session->cursor;
    job->ref = &session->ref;
    job->source = &source;
    job->ref_source = &ref;
    same = run_pair(job, op);
    lab_begin(lab, FAIL_NEVER, 0);
    lab->format->call.cursor_end(&source);
    lab_end(lab);
    lab->waiting[src->tree][src->gather] = true;
    return same;
}

/* Claims part of a cursor. */
static bool claim_inside(struct lab *lab, struct pt_cursor *outer, const struct ref_cursor *ref_outer,
                         const struct place *place, struct pt_cursor *cursor, struct ref_cursor *ref)
{
    *ref = *ref_outer;
    ref->start = ref->at = place->start;
    ref->end = place->end;
    return lab->format->call.cursor_init_inside(cursor, outer, place->start, place->end - place->start) == PT_OK ||
           lab_fail(lab, "cursor_init_inside fails");
}

/* A cursor over both ranges, and two inside it. */
static bool inside_tree(struct lab *lab, const struct op *op, const struct place *dst, const struct place *src,
                        struct job *job)
{
    struct place hull = *dst;
    struct pt_cursor outer, to, from;
    struct ref_cursor ref, ref_to, ref_from;
    bool same;

    lab_close(lab, dst->tree);
    hull.claim_start = src->start < dst->claim_start ? src->start : dst->claim_start;
    hull.claim_end = src->end > dst->claim_end ? src->end : dst->claim_end;
    if (!exec_claim(lab, &outer, &ref, &hull, true) || !claim_inside(lab, &outer, &ref, dst, &to, &ref_to) ||
        !claim_inside(lab, &outer, &ref, src, &from, &ref_from))
        return false;
    job->cursor = &to;
    job->ref = &ref_to;
    job->source = &from;
    job->ref_source = &ref_from;
    same = run_pair(job, op);
    lab_begin(lab, FAIL_NEVER, 0);
    lab->format->call.cursor_end(&to);
    lab->format->call.cursor_end(&from);
    lab->format->call.cursor_end(&outer);
    lab_end(lab);
    lab->waiting[dst->tree][dst->gather] = true;
    return same;
}

bool exec_on_pair(struct lab *lab, const struct op *op)
{
    struct place dst = exec_place(lab, op), src = source_place(lab, op);
    struct job job;

    match_lengths(&dst, &src);
    job = exec_job(lab, op, &dst);
    job.source_tree = src.tree;
    job.source_offset = src.start - dst.start;
    job.alike = lab->refs[dst.tree].caps == lab->refs[src.tree].caps;
    if (dst.tree == src.tree)
        return inside_tree(lab, op, &dst, &src, &job);
    return between_trees(lab, op, &dst, &src, &job);
}
