/* See model_op.h: printing operations, and making them simpler. */
#include "tests/support/model_op.h"

#include <stdio.h>

static const char *const names[OP_CODES] = {
    [OP_QUERY] = "OP_QUERY",         [OP_FIND] = "OP_FIND",
    [OP_LOOKUP] = "OP_LOOKUP",       [OP_MAP] = "OP_MAP",
    [OP_MAP_RANGE] = "OP_MAP_RANGE", [OP_PROTECT] = "OP_PROTECT",
    [OP_UNMAP] = "OP_UNMAP",         [OP_PROTECT_NEXT] = "OP_PROTECT_NEXT",
    [OP_COPY] = "OP_COPY",           [OP_TAKE_SUBTREE] = "OP_TAKE_SUBTREE",
    [OP_SHARE] = "OP_SHARE",         [OP_TAKE_NEXT] = "OP_TAKE_NEXT",
    [OP_SPLIT] = "OP_SPLIT",         [OP_COLLAPSE] = "OP_COLLAPSE",
    [OP_HARVEST] = "OP_HARVEST",     [OP_ACCESS] = "OP_ACCESS",
    [OP_SYNC] = "OP_SYNC",           [OP_REMAKE] = "OP_REMAKE",
};

const char *op_name(enum op_code code)
{
    return names[code];
}

static void print_NUMBER(uint64_t value)
{
    printf("%llu", (unsigned long long)value);
}

static void print_ADDRESS(uint64_t value)
{
    printf("0x%llx", (unsigned long long)value);
}

static void print_PROP(uint64_t value)
{
    static const char *const bits[12] = {"PT_R", "PT_W",    "PT_X",       "PT_U",     "PT_A",     "PT_D",
                                         "PT_G", "PT_IPAT", "PT_TRACKED", "PT_SOFT0", "PT_SOFT1", "PT_SOFT2"};
    static const char *const types[8] = {"PT_UC", "PT_WC", "2 << 12", "3 << 12",
                                         "PT_WT", "PT_WP", "PT_WB",   "PT_UCMINUS"};
    const char *between = "";

    for (unsigned i = 0; i < 12; i++)
        if (value >> i & 1) {
            printf("%s%s", between, bits[i]);
            between = " | ";
        }
    if (value & PT_WRITABLE) {
        printf("%sPT_WRITABLE", between);
        between = " | ";
    }
    if (value & PT_MT_MASK)
        printf("%s%s", between, types[value >> 12 & 7]);
}

static void print_op(const struct op *op)
{
    printf("    {.code = %s", op_name(op->code));
#define PRINT(name, kind)                                                                                              \
    if (op->name) {                                                                                                    \
        printf(", ." #name " = ");                                                                                     \
        print_##kind(op->name);                                                                                        \
    }
    OP_FIELDS(PRINT)
#undef PRINT
    printf("},\n");
}

void script_print(const struct script *script)
{
    for (size_t i = 0; i < script->count; i++)
        print_op(&script->ops[i]);
}

/* Simpler values of a number: 0, then with its lowest bits gone, from many to few. */
static void simplify_number(uint64_t *value, bool (*accept)(void *ctx), void *ctx)
{
    uint64_t old = *value;

    if (old == 0)
        return;
    *value = 0;
    if (accept(ctx))
        return;
    for (unsigned shift = 57; shift > 0; shift--) {
        *value = old >> shift << shift;
        if (*value != old && *value != 0 && accept(ctx))
            return;
    }
    *value = old;
}

/* Simpler properties: one bit less, as often as it will do. */
static void simplify_bits(uint64_t *value, bool (*accept)(void *ctx), void *ctx)
{
    for (unsigned bit = 0; bit < 15; bit++) {
        uint64_t old = *value;

        *value &= ~((uint64_t)1 << bit);
        if (*value != old && !accept(ctx))
            *value = old;
    }
}

static void simplify_NUMBER(uint64_t *value, bool (*accept)(void *ctx), void *ctx)
{
    simplify_number(value, accept, ctx);
}

static void simplify_ADDRESS(uint64_t *value, bool (*accept)(void *ctx), void *ctx)
{
    simplify_number(value, accept, ctx);
}

static void simplify_PROP(uint64_t *value, bool (*accept)(void *ctx), void *ctx)
{
    simplify_bits(value, accept, ctx);
}

void op_simplify(struct op *op, bool (*accept)(void *ctx), void *ctx)
{
#define SIMPLIFY(name, kind) simplify_##kind(&op->name, accept, ctx);
    OP_FIELDS(SIMPLIFY)
#undef SIMPLIFY
}
