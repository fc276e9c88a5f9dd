/* Where the random tests' trees live: one arena and one set of frame counts for all, hooks that fail on demand and see
 * what is released too early, and a reference beside each tree. Reused from run to run, because setting up costs. */
#ifndef TESTS_MODEL_LAB_H
#define TESTS_MODEL_LAB_H

#include <ept/arena.h>

#include "tests/support/model_format.h"
#include "tests/support/model_op.h"
#include "tests/support/model_ref.h"

#define LAB_PA     0x40000000ull /* of the first table */
#define LAB_TABLES 8192u
#define LAB_HPA    0x100000000ull /* of the first counted frame; a multiple of 1 GiB */
#define LAB_FRAMES (3ull << 18)   /* 3 GiB */

/* A cursor that stays open between operations, and its reference. */
struct session {
    bool open, inside; /* inside: `cursor` was opened inside `outer` */
    bool used;         /* it may hold tables that it has emptied */
    unsigned gather;
    struct pt_cursor outer, cursor;
    struct ref_cursor ref;
};

/* What one call of the library did through its hooks. */
struct lab_call {
    long allocations_left, gets_left; /* before the hook fails; -1: never */
    bool refused;
    unsigned flushes;
    int64_t unflushed; /* frames put before any flush, less those gotten; in a split they are the same */
    uint64_t used;     /* tables, before the call */
    int64_t held[PT_HUGE_LEVEL + 1];
};

struct lab {
    const struct model_format *format;
    uint64_t base; /* what the addresses of operations count from */
    struct pt_config configs[MODEL_TREES];
    struct pt trees[MODEL_TREES];
    struct pt_gather gathers[MODEL_TREES][MODEL_GATHERS];
    struct ref_tree refs[MODEL_TREES];
    struct ref_stale stale[MODEL_TREES][MODEL_GATHERS];
    bool waiting[MODEL_TREES][MODEL_GATHERS]; /* used since its last sync */
    struct session sessions[MODEL_TREES];

    struct pt_arena arena;
    char *tables;
    struct pt_table *meta;
    uint32_t born[LAB_TABLES]; /* the call in which a table was allocated; 0: it is not */
    uint32_t seen[LAB_TABLES]; /* the raw walk that last met it */
    uint32_t calls, walks;
    uint32_t *counts[PT_HUGE_LEVEL + 1]; /* [level]: references of each frame */
    int64_t held[PT_HUGE_LEVEL + 1];     /* [level]: their sum */
    struct lab_call call;
    unsigned sections; /* read-side sections open now */
    bool quiesced;     /* since the last flush */

    size_t step;
    const struct op *op; /* that runs now */
    char failure[512];   /* the first; "": none */
};

struct lab *lab_new(void);
void lab_free(struct lab *lab);

/* Makes empty trees of this format and variant. False: see failure. */
bool lab_start(struct lab *lab, const struct model_format *format, unsigned variant);

/* Notes the first failure. Always false. */
bool lab_fail(struct lab *lab, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Brackets each call of the library that may use hooks. `after` calls until the hook fails; -1: it does not. */
void lab_begin(struct lab *lab, enum op_fail fail, long after);
/* Answers whether a hook failed. */
bool lab_end(struct lab *lab);

void lab_sync(struct lab *lab, unsigned tree, unsigned gather);

/* Ends the tree's session, if there is one. */
void lab_close(struct lab *lab, unsigned tree);

#endif
