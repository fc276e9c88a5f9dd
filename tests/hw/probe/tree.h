/* The operations that build images, for trees whose format is known only when the program runs: each opens a cursor
 * over what it needs, does one thing and ends it. */
#ifndef TESTS_HW_PROBE_TREE_H
#define TESTS_HW_PROBE_TREE_H

#include <ept/arena.h>
#include <ept/types.h>

struct tree_operations;

/* Pages for the tables of one tree, or of several that share tables. The arena's pa is what the processor's walker
 * calls the first. */
struct table_space {
    struct pt_arena arena;
    struct pt_table *meta;
    uint64_t *entries;
};

struct tree {
    const struct tree_operations *operations;
    struct table_space *space;
    struct pt_config config;
    struct pt_gather gather;
    struct pt pt;
};

struct tree_operations {
    /* An empty tree with the configuration that is there. */
    enum pt_status (*open)(struct tree *tree);

    /* cursor_map_range; cursor_map of one leaf. */
    enum pt_status (*map)(struct tree *tree, uint64_t at, uint64_t hpa, uint64_t length, pt_prop prop);
    enum pt_status (*map_leaf)(struct tree *tree, uint64_t at, uint64_t hpa, unsigned level, pt_prop prop);

    enum pt_status (*protect)(struct tree *tree, uint64_t at, uint64_t length, struct pt_change change);
    enum pt_status (*unmap)(struct tree *tree, uint64_t at, uint64_t length);

    /* cursor_take_subtree: the first mapping or table of the range. */
    enum pt_status (*take)(struct tree *tree, uint64_t at, uint64_t length);

    /* cursor_copy_from within the tree. */
    enum pt_status (*copy)(struct tree *tree, uint64_t to, uint64_t from, uint64_t length, struct pt_change to_dst,
                           struct pt_change to_src);

    /* cursor_share_from within the tree, and between trees of one space: the same addresses of both. */
    enum pt_status (*share)(struct tree *tree, uint64_t to, uint64_t from, uint64_t length);
    enum pt_status (*fork)(struct tree *child, struct tree *parent, uint64_t at, uint64_t length);

    /* cursor_split and cursor_collapse at an address. */
    enum pt_status (*split)(struct tree *tree, uint64_t at, unsigned level);
    enum pt_status (*collapse)(struct tree *tree, uint64_t at, unsigned level);

    /* cursor_harvest that clears A and D, to the end of the range. */
    enum pt_status (*harvest)(struct tree *tree, uint64_t at, uint64_t length);

    /* Every invariant; `leaf` gets the runs of leaves. */
    enum pt_status (*check)(struct tree *tree, pt_leaf_fn leaf, void *ctx);
};

extern const struct tree_operations ept_tree_operations, x86_tree_operations;

#endif
