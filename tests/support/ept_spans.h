/* A simple model of a page table: a sorted array of spans, each contiguous in address and HPA with one set of
 * properties. Two models of the same mappings are equal arrays. Page sizes are not modelled. */
#ifndef TESTS_EPT_SPANS_H
#define TESTS_EPT_SPANS_H

#include <ept/types.h>

struct span {
    uint64_t start, end, hpa;
    pt_prop prop;
};

struct spans {
    struct span *list;
    size_t count, room;
};

void spans_free(struct spans *spans);

/* Appends behind everything else; merges with the last span when it continues it. */
void spans_append(struct spans *spans, struct span span);

/* Is anything mapped in [start, end)? */
bool spans_mapped(const struct spans *spans, uint64_t start, uint64_t end);

/* Inserts into a range where nothing is mapped. */
void spans_insert(struct spans *spans, struct span span);
void spans_remove(struct spans *spans, uint64_t start, uint64_t end);
void spans_protect(struct spans *spans, uint64_t start, uint64_t end, struct pt_change change);

/* The part of the spans inside [start, end), as a new model. */
struct spans spans_slice(const struct spans *spans, uint64_t start, uint64_t end);

/* Index of the first difference, or -1. */
long spans_differ(const struct spans *a, const struct spans *b);

#endif
