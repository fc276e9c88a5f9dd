/* The library's two formats behind one set of names, as the processor that is there decides which one is walked. */
#ifndef TESTS_HW_MICROVISOR_FORMAT_H
#define TESTS_HW_MICROVISOR_FORMAT_H

#include <ept/types.h>

struct format {
    pt_prop rights; /* of a leaf that the guest may use in every way */
    enum pt_status (*init)(struct pt *pt, const struct pt_config *config);
    void (*destroy)(struct pt *pt);
    void (*gather_init)(struct pt_gather *gather, struct pt *pt);
    void (*gather_sync)(struct pt_gather *gather);
    enum pt_status (*cursor_init)(struct pt_cursor *cursor, struct pt *pt, uint64_t start, uint64_t length,
                                  enum pt_mode mode, struct pt_gather *gather);
    void (*cursor_end)(struct pt_cursor *cursor);
    enum pt_status (*query)(struct pt_cursor *cursor, struct pt_item *item);
    enum pt_status (*next)(struct pt_cursor *cursor);
    enum pt_status (*find_next)(struct pt_cursor *cursor, uint64_t length, struct pt_item *item);
    enum pt_status (*jump)(struct pt_cursor *cursor, uint64_t address);
    enum pt_status (*map)(struct pt_cursor *cursor, uint64_t hpa, unsigned level, pt_prop prop);
    enum pt_status (*protect_range)(struct pt_cursor *cursor, uint64_t length, struct pt_change change);
    enum pt_status (*unmap_range)(struct pt_cursor *cursor, uint64_t length);
    enum pt_status (*share_from)(struct pt_cursor *to, struct pt_cursor *from, uint64_t length);
    enum pt_status (*split)(struct pt_cursor *cursor, unsigned level);
    enum pt_status (*collapse)(struct pt_cursor *cursor, unsigned level);
    enum pt_status (*harvest)(struct pt_cursor *cursor, uint64_t length, pt_prop bits, bool clear,
                              struct pt_range *run);
    enum pt_status (*lookup)(const struct pt *pt, uint64_t address, struct pt_item *item);
    void (*count)(struct pt *pt, struct pt_statistics *statistics);
    enum pt_status (*check)(struct pt *pt, pt_leaf_fn leaf, void *ctx, struct pt_fault *fault);
};

extern const struct format format_ept, format_x86;

#endif
