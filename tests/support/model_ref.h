/* The reference for the random tests: the operations of <ept/api.h> over segments instead of tables, with the same
 * statuses, items and page sizes, but no sharing: share_from copies. One thread, no failures. */
#ifndef TESTS_MODEL_REF_H
#define TESTS_MODEL_REF_H

#include "tests/support/ept_segments.h"

#define REF_STALE 64u

/* Ranges of a tree that hardware may still use the old way: each must be flushed by its gather's next sync. */
struct ref_stale {
    struct pt_range ranges[REF_STALE]; /* what does not fit is forgotten, so that it is not asked for */
    unsigned count;
};

struct ref_tree {
    struct segments map;
    bool is_ept;
    pt_prop absent; /* properties that the format has no bit for */
    unsigned levels, caps;
    struct pt_range frames; /* that can be tracked */
};

struct ref_cursor {
    struct ref_tree *tree;
    const void *gather; /* identity: cursors of one tree must share it to copy */
    struct ref_stale *stale;
    uint64_t start, end, at;
    bool writes, open;
};

unsigned ref_highest_leaf(const struct ref_tree *tree);

/* Could these rights be a leaf? */
bool ref_rights_allowed(const struct ref_tree *tree, pt_prop prop);

/* Is this a change that the format can make at all? */
bool ref_change_allowed(const struct ref_tree *tree, struct pt_change change);

/* The properties after a change. */
static inline pt_prop ref_changed(pt_prop prop, struct pt_change change)
{
    return (prop & ~change.clear) | change.set;
}

/* Could each leaf of the range change so? */
bool ref_all_allowed(const struct ref_tree *tree, const struct segments *map, uint64_t start, uint64_t end,
                     struct pt_change change);

/* Changes the range, and notes what must be flushed. */
void ref_change(struct ref_tree *tree, struct ref_stale *stale, uint64_t start, uint64_t end, struct pt_change change);

/* Inserts [start, end) with the largest pages up to leaf_max that fit. */
void ref_insert(struct ref_tree *tree, struct segment range, unsigned leaf_max);

/* The largest pages for which addresses that differ by this much are aligned alike. */
unsigned ref_fitting_leaf(uint64_t delta, unsigned limit);

void ref_stale_note(struct ref_stale *stale, uint64_t start, uint64_t end);
/* Forgets what this range covers. */
void ref_stale_flush(struct ref_stale *stale, uint64_t start, uint64_t end);

/* What every operation on a range checks first; PT_TO_END becomes a length. */
enum pt_status ref_begin(const struct ref_cursor *cursor, uint64_t *length, bool writing);
/* The same for those that look for a leaf: nothing is left of a depleted cursor's claim. */
enum pt_status ref_begin_step(const struct ref_cursor *cursor, uint64_t *length, bool writing);

enum pt_status ref_query(const struct ref_cursor *cursor, struct pt_item *item);
/* `item`: the slot the cursor stands in. */
enum pt_status ref_next(struct ref_cursor *cursor, const struct pt_item *item);
enum pt_status ref_find_next(struct ref_cursor *cursor, uint64_t length, struct pt_item *item);
enum pt_status ref_lookup(const struct ref_tree *tree, uint64_t address, struct pt_item *item);

enum pt_status ref_map(struct ref_cursor *cursor, uint64_t hpa, unsigned level, pt_prop prop);
enum pt_status ref_map_range(struct ref_cursor *cursor, uint64_t hpa, uint64_t length, pt_prop prop);
enum pt_status ref_protect_range(struct ref_cursor *cursor, uint64_t length, struct pt_change change);
enum pt_status ref_protect_next(struct ref_cursor *cursor, uint64_t length, struct pt_change change,
                                struct pt_item *item);
enum pt_status ref_unmap_range(struct ref_cursor *cursor, uint64_t length);
enum pt_status ref_take_next(struct ref_cursor *cursor, uint64_t length, struct pt_item *item);

/* `claimed`: the table that fills the whole claim is taken too, if it is there. A cursor cannot get at a table that it
 * holds since it was opened, but at one that was made since. */
enum pt_status ref_take_subtree(struct ref_cursor *cursor, uint64_t length, bool claimed, struct pt_item *item);

enum pt_status ref_copy_from(struct ref_cursor *dst, struct ref_cursor *src, uint64_t length, struct pt_change to_dst,
                             struct pt_change to_src);

enum pt_status ref_share_from(struct ref_cursor *dst, struct ref_cursor *src, uint64_t length, bool alike);
enum pt_status ref_split(struct ref_cursor *cursor, unsigned level);
enum pt_status ref_collapse(struct ref_cursor *cursor, unsigned level);
enum pt_status ref_harvest(struct ref_cursor *cursor, uint64_t length, pt_prop bits, bool clear, struct pt_range *run);

#endif
