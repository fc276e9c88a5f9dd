/* A simple model of a page table: a sorted array of segments, each contiguous in address and HPA with one set of
 * properties. Two models of the same mappings are equal arrays. Page sizes are not modelled. */
#ifndef TESTS_EPT_SEGMENTS_H
#define TESTS_EPT_SEGMENTS_H

#include <ept/types.h>

struct segment {
    uint64_t start, end, hpa;
    pt_prop prop;
};

struct segments {
    struct segment *list;
    size_t count, room;
};

void segments_free(struct segments *segments);

/* Appends behind everything else; merges with the last segment when it continues it. */
void segments_append(struct segments *segments, struct segment segment);

/* Is anything mapped in [start, end)? */
bool segments_mapped(const struct segments *segments, uint64_t start, uint64_t end);

/* Inserts into a range where nothing is mapped. */
void segments_insert(struct segments *segments, struct segment segment);
void segments_remove(struct segments *segments, uint64_t start, uint64_t end);
void segments_protect(struct segments *segments, uint64_t start, uint64_t end, struct pt_change change);

/* The part of the segments inside [start, end), as a new model. */
struct segments segments_slice(const struct segments *segments, uint64_t start, uint64_t end);

/* Index of the first difference, or -1. */
long segments_differ(const struct segments *a, const struct segments *b);

#endif
