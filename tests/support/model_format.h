/* One page-table format with a number of levels, as a table of functions, so that the random tests are compiled once:
 * the library's API, and raw entries for a walk of the tests' own. */
#ifndef TESTS_MODEL_FORMAT_H
#define TESTS_MODEL_FORMAT_H

#include <ept/types.h>
#include <ept/walk.h>

/* The functions of <ept/api.h> that take a cursor, under their names without the prefix. */
struct model_calls {
    enum pt_status (*init)(struct pt *pt, const struct pt_config *config);
    void (*destroy)(struct pt *pt);
    void (*gather_init)(struct pt_gather *gather, struct pt *pt);
    void (*gather_sync)(struct pt_gather *gather);
    enum pt_status (*cursor_init)(struct pt_cursor *cursor, struct pt *pt, uint64_t start, uint64_t length,
                                  enum pt_mode mode, struct pt_gather *gather);
    enum pt_status (*cursor_init_inside)(struct pt_cursor *cursor, struct pt_cursor *outer, uint64_t start,
                                         uint64_t length);
    void (*cursor_end)(struct pt_cursor *cursor);
    uint64_t (*cursor_at)(const struct pt_cursor *cursor);
    enum pt_status (*cursor_query)(struct pt_cursor *cursor, struct pt_item *item);
    enum pt_status (*cursor_next)(struct pt_cursor *cursor);
    enum pt_status (*cursor_find_next)(struct pt_cursor *cursor, uint64_t length, struct pt_item *item);
    enum pt_status (*cursor_jump)(struct pt_cursor *cursor, uint64_t address);
    enum pt_status (*cursor_map)(struct pt_cursor *cursor, uint64_t hpa, unsigned level, pt_prop prop);
    enum pt_status (*cursor_map_range)(struct pt_cursor *cursor, uint64_t hpa, uint64_t length, pt_prop prop);
    enum pt_status (*cursor_protect_range)(struct pt_cursor *cursor, uint64_t length, struct pt_change change);
    enum pt_status (*cursor_protect_next)(struct pt_cursor *cursor, uint64_t length, struct pt_change change,
                                          struct pt_item *item);
    enum pt_status (*cursor_take_next)(struct pt_cursor *cursor, uint64_t length, struct pt_item *item);
    enum pt_status (*cursor_take_subtree)(struct pt_cursor *cursor, uint64_t length, struct pt_item *item);
    enum pt_status (*cursor_unmap_range)(struct pt_cursor *cursor, uint64_t length);
    enum pt_status (*cursor_copy_from)(struct pt_cursor *dst, struct pt_cursor *src, uint64_t length,
                                       struct pt_change to_dst, struct pt_change to_src);
    enum pt_status (*cursor_share_from)(struct pt_cursor *dst, struct pt_cursor *src, uint64_t length);
    enum pt_status (*cursor_split)(struct pt_cursor *cursor, unsigned level);
    enum pt_status (*cursor_collapse)(struct pt_cursor *cursor, unsigned level);
    enum pt_status (*cursor_harvest)(struct pt_cursor *cursor, uint64_t length, pt_prop bits, bool clear,
                                     struct pt_range *run);
    enum pt_status (*lookup)(const struct pt *pt, uint64_t address, struct pt_item *item);
    void (*count)(struct pt *pt, struct pt_statistics *statistics);
    enum pt_status (*check)(struct pt *pt, pt_leaf_fn leaf, void *ctx, struct pt_fault *fault);
};

/* Leaves that a raw walk found: a run of one size and one set of effective properties. */
struct raw_run {
    uint64_t start, end, hpa;
    pt_prop prop;
    unsigned level;
};

/* A raw walk. `leaves` gets every run of [start, end) in order; `table` every table on the way, before what it holds,
 * and answers whether to go down. Either answering false for leaves stops the walk. */
struct raw_visit {
    void *ctx;
    bool (*leaves)(void *ctx, const struct raw_run *run);
    bool (*table)(void *ctx, uint64_t pa, unsigned level, uint64_t start);
    uint64_t start, end;
    uint64_t unsafe; /* an entry met that hardware must not find; 0: none */
};

struct model_format {
    const char *name;
    unsigned levels;
    bool is_ept;
    pt_prop absent; /* properties that the format has no bit for */
    struct model_calls call;
    void (*raw_walk)(const struct pt *pt, struct raw_visit *visit);
    /* One access by the independent walker, which sets A and D if `set`. */
    void (*access)(const struct pt *pt, const struct walk_memory *memory, uint64_t address, enum walk_access access,
                   bool set, struct walk_answer *answer);
};

extern const struct model_format model_ept, model_x86, model_x86_5;

#endif
