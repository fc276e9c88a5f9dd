/* Makes a list of operations that fails shorter and simpler, while it still fails. */
#ifndef TESTS_MODEL_SHRINK_H
#define TESTS_MODEL_SHRINK_H

#include "tests/support/model_op.h"

/* Does this script fail? In whatever way: a crash is one too. */
typedef bool (*shrink_fails_fn)(void *ctx, const struct script *script);

/* Drops chunks of operations, from halves down to single ones, then simplifies what is left, and again until nothing
 * more goes or `tries` scripts were tried. The script must fail at first. Answers how many tries it took. */
size_t shrink(struct script *script, shrink_fails_fn fails, void *ctx, size_t tries);

#endif
