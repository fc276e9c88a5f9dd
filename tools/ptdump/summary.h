/* Tables, leaves and bytes mapped, by level. */
#ifndef PTDUMP_SUMMARY_H
#define PTDUMP_SUMMARY_H

#include "tools/ptdump/slot.h"

#include <stdio.h>

struct summary {
    unsigned levels;
    bool tables_by_level; /* an image: the walks show its tables */
    bool began;
    uint64_t tables[PT_MAX_LEVEL + 1], leaves[PT_MAX_LEVEL + 1];
    uint64_t all_tables;
    uint64_t bad; /* entries that are misconfigured or point outside the image */
};

slot_fn summary_add; /* the context is the summary */
void summary_print(FILE *out, bool json, const struct summary *summary);

#endif
