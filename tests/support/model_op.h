/* Operations of the random tests as data: decided before any of them runs, so that a list can be run again, shortened
 * by dropping any of its elements, printed, and pasted into a test. */
#ifndef TESTS_MODEL_OP_H
#define TESTS_MODEL_OP_H

#include <ept/types.h>

#define MODEL_TREES   4u
#define MODEL_GATHERS 2u /* for each tree */

enum op_code {
    OP_QUERY, /* up to `times` slots, by query and next */
    OP_FIND,  /* up to `times` leaves, by find_next and next */
    OP_LOOKUP,
    OP_MAP,       /* up to `times` leaves of `level`, whose HPAs are not contiguous */
    OP_MAP_RANGE, /* [start, + length) */
    OP_PROTECT,
    OP_PROTECT_NEXT, /* up to `times` leaves */
    OP_UNMAP,
    OP_TAKE_NEXT,    /* up to `times` leaves */
    OP_TAKE_SUBTREE, /* up to `times` tables or leaves */
    OP_COPY,         /* from [source, + length) of tree `from` */
    OP_SHARE,
    OP_SPLIT,    /* to `level` */
    OP_COLLAPSE, /* to `level` */
    OP_HARVEST,  /* up to `times` runs */
    OP_ACCESS,   /* hardware uses the address and sets A and D */
    OP_SYNC,     /* one gather; with `all`, every one */
    OP_REMAKE,   /* destroys the tree and makes it again */
    OP_CODES,
};

/* What is called first, in a way that must be refused; then comes the operation itself. */
enum op_flaw {
    FLAW_NONE,
    FLAW_EMPTY,      /* length 0 */
    FLAW_MISALIGNED, /* length, HPA or claim */
    FLAW_BEYOND,     /* longer than the claim */
    FLAW_WRAPS,      /* so long that start + length wraps around */
    FLAW_READER,     /* a cursor for reading */
    FLAW_ENDED,      /* a cursor that has ended */
    FLAW_PROP,       /* properties that nobody has, a level that is none */
    FLAW_CHANGE,     /* a change that cannot be made */
    FLAW_FORMAT,     /* what only the other format has */
    FLAWS,
};

enum op_fail {
    FAIL_NEVER,
    FAIL_ALLOC, /* the operation is tried with every call of alloc_table failing, one after the other, until it works */
    FAIL_GET,   /* the same with frame_get */
    FAILS,
};

/* The fields of an operation, all uint64_t; addresses count from the run's base. X(name, how it is printed). */
#define OP_FIELDS(X)                                                                                                   \
    X(tree, NUMBER)                                                                                                    \
    X(gather, NUMBER)                                                                                                  \
    X(start, ADDRESS)                                                                                                  \
    X(length, ADDRESS)                                                                                                 \
    X(from, NUMBER)    /* tree of the source */                                                                        \
    X(source, ADDRESS) /* address in it */                                                                             \
    X(hpa, ADDRESS)    /* counts from the first counted frame */                                                       \
    X(level, NUMBER)                                                                                                   \
    X(times, NUMBER) /* one more than this */                                                                          \
    X(prop, PROP)                                                                                                      \
    X(set, PROP)                                                                                                       \
    X(clear, PROP)                                                                                                     \
    X(source_set, PROP)                                                                                                \
    X(source_clear, PROP)                                                                                              \
    X(bits, PROP)     /* of harvest */                                                                                 \
    X(access, NUMBER) /* enum walk_access */                                                                           \
    X(all, NUMBER)                                                                                                     \
    X(before, ADDRESS) /* by how much the claim begins before the range */                                             \
    X(after, ADDRESS)  /* by how much it ends behind it */                                                             \
    X(inside, NUMBER)  /* the cursor is opened inside another */                                                       \
    X(keep, NUMBER)    /* the cursor stays open, and the next operation on the tree uses it if it fits */              \
    X(reader, NUMBER)  /* the cursor is for reading, where that is enough */                                           \
    X(flaw, NUMBER)    /* enum op_flaw */                                                                              \
    X(fail, NUMBER)    /* enum op_fail */

struct op {
    enum op_code code;
#define OP_FIELD(name, print) uint64_t name;
    OP_FIELDS(OP_FIELD)
#undef OP_FIELD
};

/* What a run is made of. */
#define VARIANT_TOP     1u /* the base is near the end of the address space, not at 0 */
#define VARIANT_NO_1G   2u /* capabilities that all trees lack */
#define VARIANT_NO_2M   4u
#define VARIANT_NO_AD   8u
#define VARIANT_NO_EXEC 16u
#define VARIANT_UNLIKE  32u /* the last tree has no 1 GiB leaves, so it shares with no other */
#define VARIANT_HOOKS   64u /* read-side sections */
#define VARIANTS        128u

struct script {
    uint64_t seed; /* 0: not from a seed */
    unsigned variant;
    struct op *ops;
    size_t count;
};

/* Where a list of operations comes from: a seed, or bytes. */
struct choices {
    uint64_t state;
    const uint8_t *bytes; /* NULL: from the state */
    size_t left;
};

/* A number below `below`; 0 when there are no bytes left. */
uint64_t choose(struct choices *choices, uint64_t below);

/* For which trees operations are drawn. */
struct op_taste {
    unsigned levels, variant;
    bool failing; /* hooks fail in many of them */
    bool lazy;    /* gathers are seldom synced, so that they fill up */
};

/* The next operation. `last` is the one before. */
struct op op_draw(struct choices *choices, const struct op_taste *taste, const struct op *last);

/* `steps` operations of a seed. Caller frees ops. */
struct script script_of_seed(uint64_t seed, size_t steps, unsigned levels, bool failing);

/* The first byte is the variant and whether the taste is lazy, then each OP_BYTES make an operation. Caller frees ops.
 */
#define OP_BYTES 40u
struct script script_of_bytes(const uint8_t *bytes, size_t length, unsigned levels);

/* Prints the list as an initializer that can be pasted into tests/support/model_cases.c. */
void script_print(const struct script *script);

const char *op_name(enum op_code code);

/* Offers simpler forms of the operation, field by field; `accept` answers whether a form will do, and it is kept then.
 */
void op_simplify(struct op *op, bool (*accept)(void *ctx), void *ctx);

#endif
