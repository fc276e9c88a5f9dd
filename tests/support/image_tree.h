/* Trees of every format and number of levels, with leaves of every size and kind in them, and their images in memory:
 * for the tests of images and of ptdump. */
#ifndef TESTS_IMAGE_TREE_H
#define TESTS_IMAGE_TREE_H

#include <ept/ept.h>
#include <ept/image.h>
#include <ept/x86.h>

#include "tests/support/ept_world.h"

/* One format with one number of levels, and the functions that make and look at its trees. */
struct tree_kind {
    const char *format;
    unsigned levels;
    enum pt_status (*init)(struct pt *pt, const struct pt_config *config);
    void (*destroy)(struct pt *pt);
    void (*gather_init)(struct pt_gather *gather, struct pt *pt);
    void (*gather_sync)(struct pt_gather *gather);
    enum pt_status (*cursor_init)(struct pt_cursor *cursor, struct pt *pt, uint64_t start, uint64_t length,
                                  enum pt_mode mode, struct pt_gather *gather);
    enum pt_status (*cursor_init_inside)(struct pt_cursor *cursor, struct pt_cursor *outer, uint64_t start,
                                         uint64_t length);
    void (*cursor_end)(struct pt_cursor *cursor);
    enum pt_status (*cursor_jump)(struct pt_cursor *cursor, uint64_t address);
    enum pt_status (*cursor_query)(struct pt_cursor *cursor, struct pt_item *item);
    enum pt_status (*cursor_map)(struct pt_cursor *cursor, uint64_t hpa, unsigned level, pt_prop prop);
    enum pt_status (*cursor_share_from)(struct pt_cursor *dst, struct pt_cursor *src, uint64_t length);
    void (*count)(struct pt *pt, struct pt_statistics *statistics);
    void (*dump)(struct pt *pt, enum pt_dump_style style, pt_write_fn write, void *ctx);
    enum pt_status (*image)(struct pt *pt, uint64_t pa, pt_write_fn write, void *ctx);
};

#define TREE_KINDS 4
extern const struct tree_kind tree_kinds[TREE_KINDS];

static inline bool tree_is_ept(const struct tree_kind *kind)
{
    return kind->format[0] == 'e';
}

struct tree {
    const struct tree_kind *kind;
    struct world world;
    uint64_t random; /* state of tree_random */
};

/* An empty tree. */
void tree_open(struct tree *tree, const struct tree_kind *kind, uint64_t seed);
void tree_close(struct tree *tree);

/* Any number below `limit`, which is below 2^32. */
uint64_t tree_random(struct tree *tree, uint64_t limit);

/* Maps some leaves, one after the other, where nothing is mapped yet; answers how many there was room for. */
uint64_t tree_map(struct tree *tree, uint64_t address, uint64_t hpa, unsigned level, uint64_t count, pt_prop prop);

/* Shares what is mapped in one place with another that is empty. */
void tree_share(struct tree *tree, uint64_t to, uint64_t from, uint64_t length);

/* Maps runs of leaves of every size and of all kinds the format has, near the bottom, somewhere, and at the top, and
 * shares some of them, so that some tables are in two places. */
void tree_fill(struct tree *tree);

/* An address where something may well be mapped, or close to such a place. */
uint64_t tree_address(struct tree *tree);

/* What the tree's cursor says about the slot around an address. */
struct pt_item tree_look(struct tree *tree, uint64_t address);

/* Bytes that a pt_write_fn was given. */
struct bytes {
    char *data; /* zero-ended, from malloc; NULL: none yet */
    size_t length, room;
};
void bytes_append(void *bytes, const char *text, size_t length);
void bytes_free(struct bytes *bytes);

/* The tree's image with its first table at pa, and its dump. */
struct bytes tree_image(struct tree *tree, uint64_t pa);
struct bytes tree_dump(struct tree *tree, enum pt_dump_style style);

/* One access to what an image maps; of an x86 image, at the canonical form of the address. */
struct walk_answer tree_walk(const struct pt_image *image, uint64_t address, enum walk_access access);

#endif
