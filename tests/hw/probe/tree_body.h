/* tree.h for one format: define PT_TEST_FORMAT (ept or x86) and include this. */
#include <ept/ept.h>
#include <ept/x86.h>

#include "tests/hw/probe/tree.h"

#define F_JOIN_(a, b) a##_##b
#define F_JOIN(a, b)  F_JOIN_(a, b)
#define F(name)       F_JOIN(PT_TEST_FORMAT, name)

static enum pt_status open_tree(struct tree *tree)
{
    enum pt_status status = F(init)(&tree->pt, &tree->config);

    if (status == PT_OK)
        F(gather_init)(&tree->gather, &tree->pt);
    return status;
}

static enum pt_status open_cursor(struct pt_cursor *cursor, struct tree *tree, uint64_t at, uint64_t length)
{
    return F(cursor_init)(cursor, &tree->pt, at, length, PT_WRITE, &tree->gather);
}

static enum pt_status close_cursor(struct pt_cursor *cursor, enum pt_status status)
{
    F(cursor_end)(cursor);
    F(gather_sync)(cursor->gather);
    return status;
}

static enum pt_status map(struct tree *tree, uint64_t at, uint64_t hpa, uint64_t length, pt_prop prop)
{
    struct pt_cursor cursor;
    enum pt_status status = open_cursor(&cursor, tree, at, length);

    return status == PT_OK ? close_cursor(&cursor, F(cursor_map_range)(&cursor, hpa, length, prop)) : status;
}

static enum pt_status map_leaf(struct tree *tree, uint64_t at, uint64_t hpa, unsigned level, pt_prop prop)
{
    struct pt_cursor cursor;
    enum pt_status status = open_cursor(&cursor, tree, at, pt_slot_size(level));

    return status == PT_OK ? close_cursor(&cursor, F(cursor_map)(&cursor, hpa, level, prop)) : status;
}

static enum pt_status protect(struct tree *tree, uint64_t at, uint64_t length, struct pt_change change)
{
    struct pt_cursor cursor;
    enum pt_status status = open_cursor(&cursor, tree, at, length);

    return status == PT_OK ? close_cursor(&cursor, F(cursor_protect_range)(&cursor, length, change)) : status;
}

static enum pt_status unmap(struct tree *tree, uint64_t at, uint64_t length)
{
    struct pt_cursor cursor;
    enum pt_status status = open_cursor(&cursor, tree, at, length);

    return status == PT_OK ? close_cursor(&cursor, F(cursor_unmap_range)(&cursor, length)) : status;
}

static enum pt_status take(struct tree *tree, uint64_t at, uint64_t length)
{
    struct pt_cursor cursor;
    struct pt_item item;
    enum pt_status status = open_cursor(&cursor, tree, at, length);

    return status == PT_OK ? close_cursor(&cursor, F(cursor_take_subtree)(&cursor, length, &item)) : status;
}

/* One cursor over everything, and two inside it. */
static enum pt_status open_two(struct pt_cursor *outer, struct pt_cursor *dst, struct pt_cursor *src, struct tree *tree,
                               const uint64_t at[2], uint64_t length)
{
    enum pt_status status = open_cursor(outer, tree, 0, tree->pt.size);

    if (status != PT_OK)
        return status;
    status = F(cursor_init_inside)(dst, outer, at[0], length);
    if (status != PT_OK)
        return close_cursor(outer, status);
    status = F(cursor_init_inside)(src, outer, at[1], length);
    if (status == PT_OK)
        return status;
    F(cursor_end)(dst);
    return close_cursor(outer, status);
}

static enum pt_status close_two(struct pt_cursor *outer, struct pt_cursor *dst, struct pt_cursor *src,
                                enum pt_status status)
{
    F(cursor_end)(src);
    F(cursor_end)(dst);
    return close_cursor(outer, status);
}

static enum pt_status copy(struct tree *tree, uint64_t to, uint64_t from, uint64_t length, struct pt_change to_dst,
                           struct pt_change to_src)
{
    struct pt_cursor outer, dst, src;
    enum pt_status status = open_two(&outer, &dst, &src, tree, (uint64_t[]){to, from}, length);

    if (status != PT_OK)
        return status;
    return close_two(&outer, &dst, &src, F(cursor_copy_from)(&dst, &src, length, to_dst, to_src));
}

static enum pt_status share(struct tree *tree, uint64_t to, uint64_t from, uint64_t length)
{
    struct pt_cursor outer, dst, src;
    enum pt_status status = open_two(&outer, &dst, &src, tree, (uint64_t[]){to, from}, length);

    if (status != PT_OK)
        return status;
    return close_two(&outer, &dst, &src, F(cursor_share_from)(&dst, &src, length));
}

static enum pt_status fork_tree(struct tree *child, struct tree *parent, uint64_t at, uint64_t length)
{
    struct pt_cursor dst, src;
    enum pt_status status = open_cursor(&src, parent, at, length);

    if (status != PT_OK)
        return status;
    status = open_cursor(&dst, child, at, length);
    if (status == PT_OK)
        status = close_cursor(&dst, F(cursor_share_from)(&dst, &src, length));
    return close_cursor(&src, status);
}

static enum pt_status split(struct tree *tree, uint64_t at, unsigned level)
{
    struct pt_cursor cursor;
    enum pt_status status = open_cursor(&cursor, tree, 0, tree->pt.size);

    if (status != PT_OK)
        return status;
    status = F(cursor_jump)(&cursor, at);
    return close_cursor(&cursor, status == PT_OK ? F(cursor_split)(&cursor, level) : status);
}

static enum pt_status collapse(struct tree *tree, uint64_t at, unsigned level)
{
    struct pt_cursor cursor;
    enum pt_status status = open_cursor(&cursor, tree, at, pt_slot_size(level));

    return status == PT_OK ? close_cursor(&cursor, F(cursor_collapse)(&cursor, level)) : status;
}

static enum pt_status harvest(struct tree *tree, uint64_t at, uint64_t length)
{
    struct pt_cursor cursor;
    struct pt_range run;
    enum pt_status status = open_cursor(&cursor, tree, at, length);

    if (status != PT_OK)
        return status;
    while (status == PT_OK)
        status = F(cursor_harvest)(&cursor, at + length - F(cursor_at)(&cursor), PT_A | PT_D, true, &run);
    return close_cursor(&cursor, status);
}

static enum pt_status check(struct tree *tree, pt_leaf_fn leaf, void *ctx)
{
    struct pt_fault fault;

    return F(check)(&tree->pt, leaf, ctx, &fault);
}

const struct tree_operations F(tree_operations) = {open_tree, map,       map_leaf, protect,  unmap,   take, copy,
                                                   share,     fork_tree, split,    collapse, harvest, check};
