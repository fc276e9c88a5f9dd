/* See model_job.h. */
#include "tests/support/model_job.h"

#include <string.h>

#include "tests/support/model_verify.h"

static enum pt_status call_library(struct job *job)
{
    const struct model_calls *call = &job->lab->format->call;

    switch (job->code) {
    case OP_QUERY:
        return call->cursor_query(job->cursor, &job->item);
    case OP_FIND:
        return call->cursor_find_next(job->cursor, job->length, &job->item);
    case OP_MAP:
        return call->cursor_map(job->cursor, job->hpa, job->level, job->prop);
    case OP_MAP_RANGE:
        return call->cursor_map_range(job->cursor, job->hpa, job->length, job->prop);
    case OP_PROTECT:
        return call->cursor_protect_range(job->cursor, job->length, job->change);
    case OP_PROTECT_NEXT:
        return call->cursor_protect_next(job->cursor, job->length, job->change, &job->item);
    case OP_UNMAP:
        return call->cursor_unmap_range(job->cursor, job->length);
    case OP_TAKE_NEXT:
        return call->cursor_take_next(job->cursor, job->length, &job->item);
    case OP_TAKE_SUBTREE:
        return call->cursor_take_subtree(job->cursor, job->length, &job->item);
    case OP_COPY:
        return call->cursor_copy_from(job->cursor, job->source, job->length, job->change, job->source_change);
    case OP_SHARE:
        return call->cursor_share_from(job->cursor, job->source, job->length);
    case OP_SPLIT:
        return call->cursor_split(job->cursor, job->level);
    case OP_COLLAPSE:
        return call->cursor_collapse(job->cursor, job->level);
    case OP_HARVEST:
        return call->cursor_harvest(job->cursor, job->length, job->bits, job->clearing, &job->run);
    default:
        return PT_ECORRUPT;
    }
}

static enum pt_status call_reference(struct job *job)
{
    switch (job->code) {
    case OP_QUERY:
        return ref_query(job->ref, &job->ref_item);
    case OP_FIND:
        return ref_find_next(job->ref, job->length, &job->ref_item);
    case OP_MAP:
        return ref_map(job->ref, job->hpa, job->level, job->prop);
    case OP_MAP_RANGE:
        return ref_map_range(job->ref, job->hpa, job->length, job->prop);
    case OP_PROTECT:
        return ref_protect_range(job->ref, job->length, job->change);
    case OP_PROTECT_NEXT:
        return ref_protect_next(job->ref, job->length, job->change, &job->ref_item);
    case OP_UNMAP:
        return ref_unmap_range(job->ref, job->length);
    case OP_TAKE_NEXT:
        return ref_take_next(job->ref, job->length, &job->ref_item);
    case OP_TAKE_SUBTREE:
        return ref_take_subtree(job->ref, job->length, job->item.length == job->ref->end - job->ref->start,
                                &job->ref_item);
    case OP_COPY:
        return ref_copy_from(job->ref, job->ref_source, job->length, job->change, job->source_change);
    case OP_SHARE:
        return ref_share_from(job->ref, job->ref_source, job->length, job->alike);
    case OP_SPLIT:
        return ref_split(job->ref, job->level);
    case OP_COLLAPSE:
        return ref_collapse(job->ref, job->level);
    case OP_HARVEST:
        return ref_harvest(job->ref, job->length, job->bits, job->clearing, &job->ref_run);
    default:
        return PT_ECORRUPT;
    }
}

/* Do the cursors stand where their references do? */
static bool compare_positions(struct job *job)
{
    const struct model_calls *call = &job->lab->format->call;
    uint64_t at = job->ref->open ? call->cursor_at(job->cursor) : job->ref->at, base = job->lab->base;

    if (at != job->ref->at)
        return lab_fail(job->lab, "the cursor stands at 0x%llx and should at 0x%llx", (unsigned long long)(at - base),
                        (unsigned long long)(job->ref->at - base));
    if (!job->source || !job->ref_source->open)
        return true;
    at = call->cursor_at(job->source);
    if (at != job->ref_source->at)
        return lab_fail(job->lab, "the source's cursor stands at 0x%llx and should at 0x%llx",
                        (unsigned long long)(at - base), (unsigned long long)(job->ref_source->at - base));
    return true;
}

bool job_same_item(struct lab *lab, const struct pt_item *is, const struct pt_item *expected, bool vague)
{
    struct pt_item should = *expected;
    uint64_t base = lab->base;

    /* A hole in a table that is empty but still held. */
    if (vague && is->kind == PT_HOLE && should.kind == PT_HOLE && is->level >= 1 && is->level < should.level) {
        should.level = is->level;
        should.length = pt_slot_size(is->level);
        should.start = should.at & ~(should.length - 1);
    }
    if (is->kind == should.kind && is->level == should.level && is->start == should.start &&
        is->length == should.length && is->at == should.at && is->hpa == should.hpa && is->frames == should.frames &&
        is->prop == should.prop)
        return true;
    return lab_fail(lab,
                    "reports kind %u level %u [0x%llx, + 0x%llx) at 0x%llx -> 0x%llx prop 0x%x frames %llu,\n"
                    "    and should kind %u level %u [0x%llx, + 0x%llx) at 0x%llx -> 0x%llx prop 0x%x frames %llu",
                    is->kind, is->level, (unsigned long long)(is->start - base), (unsigned long long)is->length,
                    (unsigned long long)(is->at - base), (unsigned long long)is->hpa, is->prop,
                    (unsigned long long)is->frames, should.kind, should.level,
                    (unsigned long long)(should.start - base), (unsigned long long)should.length,
                    (unsigned long long)(should.at - base), (unsigned long long)should.hpa, should.prop,
                    (unsigned long long)should.frames);
}

static bool has_item(enum op_code code)
{
    return code == OP_QUERY || code == OP_FIND || code == OP_PROTECT_NEXT || code == OP_TAKE_NEXT ||
           code == OP_TAKE_SUBTREE;
}

/* The mappings around what the operation was about, on both sides. */
static bool verify_surroundings(const struct job *job)
{
    uint64_t start = job->range.start, end = start + job->range.length;

    if (!verify_range(job->lab, job->tree, start, end))
        return false;
    start += job->source_offset;
    return !job->source || verify_range(job->lab, job->source_tree, start, start + job->range.length);
}

/* A hook failed: the operation says so, and nothing has changed, neither in the trees nor in what they hold. */
static bool compare_refused(struct job *job, enum pt_status status)
{
    struct lab *lab = job->lab;
    const struct lab_call *call = &lab->call;
    enum pt_status should = job->fail == FAIL_ALLOC ? PT_ENOMEM : PT_EFRAME;
    /* Inside one tree the source may keep the tables that it made its own, until it ends. */
    bool exact = call->flushes == 0 && !(job->source && job->source_tree == job->tree);

    if (status != should)
        return lab_fail(lab, "answers \"%s\" when a hook fails, and should \"%s\"", pt_status_name(status),
                        pt_status_name(should));
    if (exact && call->used != pt_arena_used(&lab->arena))
        return lab_fail(lab, "holds %lld more tables after a hook failed",
                        (long long)(pt_arena_used(&lab->arena) - call->used));
    if (exact && memcmp(call->held, lab->held, sizeof(lab->held)) != 0)
        return lab_fail(lab, "holds other references after a hook failed");
    return compare_positions(job) && verify_surroundings(job);
}

bool job_run(struct job *job, enum pt_status *status)
{
    struct lab *lab = job->lab;
    enum pt_status should;

    /* After so many calls, which is enough for most operations, hooks fail no more. */
    for (long after = 0;; after += 1 + after / 4) {
        lab_begin(lab, after < 40 ? job->fail : FAIL_NEVER, after);
        *status = call_library(job);
        if (!lab_end(lab))
            break;
        if (!compare_refused(job, *status))
            return false;
    }
    should = call_reference(job);
    if (*status != should)
        return lab_fail(lab, "answers \"%s\", and should \"%s\"", pt_status_name(*status), pt_status_name(should));
    if (!compare_positions(job) ||
        (*status == PT_OK && has_item(job->code) && !job_same_item(lab, &job->item, &job->ref_item, job->vague)))
        return false;
    if (*status == PT_OK && job->code == OP_HARVEST &&
        (job->run.start != job->ref_run.start || job->run.length != job->ref_run.length))
        return lab_fail(lab, "harvests [0x%llx, + 0x%llx), and should [0x%llx, + 0x%llx)",
                        (unsigned long long)(job->run.start - lab->base), (unsigned long long)job->run.length,
                        (unsigned long long)(job->ref_run.start - lab->base), (unsigned long long)job->ref_run.length);
    return verify_surroundings(job) && !lab->failure[0];
}
