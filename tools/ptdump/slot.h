/*
 * What ptdump knows of one slot, whether an image or a live guest said so, and of a path through the tables. The words
 * are those of <ept/types.h>.
 */
#ifndef PTDUMP_SLOT_H
#define PTDUMP_SLOT_H

#include <ept/types.h>
#include <ept/walk.h>

enum slot_kind {
    SLOT_HOLE,
    SLOT_LEAF,
    SLOT_MISCONFIGURED, /* a processor would not take the entry */
    SLOT_OUTSIDE,       /* the entry points at a table that is not in the image */
};

struct slot {
    enum slot_kind kind;
    unsigned level;
    uint64_t start, bytes;
    uint64_t entry; /* raw; 0 where nobody said */
    uint64_t hpa;   /* SLOT_LEAF: what `start` maps to */
    pt_prop prop;   /* SLOT_LEAF: with the rights that the whole path leaves */
};

/* Receives slots in the order of addresses: `count` equal ones side by side, each at the HPA after the last. `answer`
 * is the walk that found it; NULL for a live guest. */
typedef void slot_fn(void *context, const struct slot *slot, uint64_t count, const struct walk_answer *answer);

/* The entries on the way to one address, from the top. */
struct path {
    uint64_t address;
    struct slot slot; /* around it */
    unsigned count;
    struct walk_step steps[PT_MAX_LEVEL]; /* level and entry; the pa where the image has it */
};

#endif
