/* See model_shrink.h. */
#include "tests/support/model_shrink.h"

#include <stdlib.h>
#include <string.h>

struct shrinking {
    struct script *script;
    shrink_fails_fn fails;
    void *ctx;
    size_t tried, tries, kept; /* kept: of those tried, how many still failed */
};

static bool still_fails(void *ctx)
{
    struct shrinking *shrinking = ctx;

    if (shrinking->tried >= shrinking->tries)
        return false;
    shrinking->tried++;
    if (!shrinking->fails(shrinking->ctx, shrinking->script))
        return false;
    shrinking->kept++;
    return true;
}

/* Drops the operations from `first` on, if the rest still fails. */
static bool drop(struct shrinking *shrinking, size_t first, size_t count)
{
    struct script *script = shrinking->script;
    struct op *gone = malloc(count * sizeof(*gone));
    size_t behind = (script->count - first - count) * sizeof(*gone);
    bool failed;

    if (!gone)
        abort();
    memcpy(gone, &script->ops[first], count * sizeof(*gone));
    memmove(&script->ops[first], &script->ops[first + count], behind);
    script->count -= count;
    failed = still_fails(shrinking);
    if (!failed) {
        memmove(&script->ops[first + count], &script->ops[first], behind);
        memcpy(&script->ops[first], gone, count * sizeof(*gone));
        script->count += count;
    }
    free(gone);
    return failed;
}

/* Every chunk of every size, from the end, because what comes after the failure goes first. */
static void drop_chunks(struct shrinking *shrinking)
{
    for (size_t size = (shrinking->script->count + 1) / 2; size > 0; size /= 2)
        for (size_t end = shrinking->script->count; end > 0;) {
            size_t first = end > size ? end - size : 0;

            drop(shrinking, first, end - first);
            end = first < shrinking->script->count ? first : shrinking->script->count;
        }
}

/* The plainest kind of run. */
static void simplify_variant(struct shrinking *shrinking)
{
    struct script *script = shrinking->script;

    for (unsigned bit = 1; bit < VARIANTS; bit *= 2) {
        unsigned with = script->variant;

        script->variant &= ~bit;
        if (script->variant != with && !still_fails(shrinking))
            script->variant = with;
    }
}

size_t shrink(struct script *script, shrink_fails_fn fails, void *ctx, size_t tries)
{
    struct shrinking shrinking = {.script = script, .fails = fails, .ctx = ctx, .tries = tries, .kept = 1};

    for (size_t before = 0; before < shrinking.kept && shrinking.tried < tries;) {
        before = shrinking.kept;
        drop_chunks(&shrinking);
        for (size_t i = 0; i < script->count; i++)
            op_simplify(&script->ops[i], still_fails, &shrinking);
        simplify_variant(&shrinking);
    }
    return shrinking.tried;
}
