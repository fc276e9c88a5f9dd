/* The model of one tree's mappings: a sorted array of segments, each a run of leaves of one size and one set of
 * properties, contiguous in address and HPA. For the reference implementation of the random tests. */
#ifndef TESTS_EPT_SEGMENTS_H
#define TESTS_EPT_SEGMENTS_H

#include <ept/types.h>

struct segment {
    uint64_t start, end, hpa;
    pt_prop prop;
    unsigned level;
};

struct segments {
    struct segment *list;
    size_t count, room;
};

void segments_free(struct segments *segments);

/* Index of the first segment that ends after the address. */
size_t segments_find(const struct segments *segments, uint64_t address);

/* The leaf around the address, as a segment; false: a hole. */
bool segments_leaf(const struct segments *segments, uint64_t address, struct segment *leaf);

/* The part of [start, end) that lies in this segment. */
struct segment segment_clip(struct segment segment, uint64_t start, uint64_t end);

/* Is anything mapped in [start, end)? */
bool segments_mapped(const struct segments *segments, uint64_t start, uint64_t end);

/* Splits the leaf around the address until a leaf begins there, and answers the index of the first segment that begins
 * there or later. */
size_t segments_divide(struct segments *segments, uint64_t address);

/* Inserts into a range where nothing is mapped. */
void segments_insert(struct segments *segments, struct segment segment);

/* Leaves that are partly inside are split. */
void segments_remove(struct segments *segments, uint64_t start, uint64_t end);

/* As protect_range: leaves that are partly inside are split if they change. */
void segments_change(struct segments *segments, uint64_t start, uint64_t end, struct pt_change change);

#endif
