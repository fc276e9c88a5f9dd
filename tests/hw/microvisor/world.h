/* What the microvisor's guests have in common: memory for tables and frames, who counts it, and the processor's way to
 * walk tables. RAM is identity-mapped, so a frame's or table's address is its pa. */
#ifndef TESTS_HW_MICROVISOR_WORLD_H
#define TESTS_HW_MICROVISOR_WORLD_H

#include <ept/types.h>

#include "tests/hw/microvisor/format.h"

#define KIB   ((uint64_t)1024)
#define MIB   (1024 * KIB)
#define BLOCK (2 * MIB)

struct world {
    const struct format *format;
    unsigned levels;        /* of nested tables */
    uint64_t frames_in_use; /* handed out and not yet released */
    uint64_t frames_copied; /* by copy-on-write, ever */
};

extern struct world world;

/* Turns virtualization on and makes all memory available. Once. */
void world_open(void);

/* All fields of a config that do not belong to one guest. */
void world_configure(struct pt_config *config);

/* A free frame, or 512 of them aligned to 2 MiB, contents arbitrary. It becomes the caller's by being mapped. */
uint64_t world_frame(void);
uint64_t world_block(void);

/* Is every frame of [hpa, hpa + length) referenced by one leaf only? */
bool world_is_alone(uint64_t hpa, uint64_t length);

/* No table and no frame is left: by the allocators' numbers, and by every single count. */
void world_expect_empty(void);

#endif
