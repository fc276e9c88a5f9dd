/* Reference counts for a run of frames, usable as the frame_get and frame_put hooks of a pt_config; freestanding.
 * Leaves of levels 1, 2 and 3 are counted apart, so a huge leaf costs one count. A frame is free when its own count and
 * those of the 2 MiB and the 1 GiB unit around it are all zero. */
#ifndef EPT_FRAMES_H
#define EPT_FRAMES_H

#include <ept/types.h>

PT_START

/* Called once for each run of frames that became free, without locks held. */
typedef void (*pt_released_fn)(void *ctx, uint64_t hpa, uint64_t frames);

struct pt_frames {
    uint64_t hpa;    /* first frame; a multiple of 1 GiB */
    uint64_t frames; /* how many; get refuses what is not inside */
    pt_released_fn released;
    void *ctx;
    PT_ATOMIC(uint32_t) *
        counts[PT_HUGE_LEVEL + 1u]; /* [level]: references of leaves of that level; by the unit's lock */
    PT_ATOMIC(uint32_t) * locks;    /* one for each 1 GiB unit */
};

/* Bytes of zeroed memory that pt_frames_init needs for this many frames: 4 a frame, 4 for each 2 MiB begun and 8 for
 * each 1 GiB begun. A constant for a constant: static uint32_t counts[PT_FRAMES_BYTES(FRAMES) / 4]; */
#define PT_FRAMES_BYTES(frames) (((frames) + ((frames) + 511u) / 512u + ((frames) + 262143u) / 262144u * 2u) * 4u)

/* The same as a function. */
size_t pt_frames_bytes(uint64_t frames);

/* Counts [hpa, hpa + count * 4 KiB), nothing referenced yet. `memory` is zeroed, 4-byte aligned and outlives the
 * counts. `released` may be NULL. False: hpa is not a multiple of 1 GiB, or there is nothing to count. */
PT_CHECKED bool pt_frames_init(struct pt_frames *frames, void *memory, uint64_t hpa, uint64_t count,
                               pt_released_fn released, void *ctx);

/* Sets the fields of a config that concern frames: frame_ctx and the three hooks. */
void pt_frames_supply(struct pt_frames *frames, struct pt_config *config);

/* The hooks; ctx is the pt_frames. Get refuses frames it does not count and counts that would overflow. */
bool pt_frames_get(void *frames, uint64_t hpa, unsigned level, uint64_t count);
void pt_frames_put(void *frames, uint64_t hpa, unsigned level, uint64_t count);

/* The frame_shared hook: has somebody a reference on a frame of this leaf, besides one for the leaf itself? */
bool pt_frames_shared(void *frames, uint64_t hpa, unsigned level);

/* References that keep this frame alive: its own and those of the units around it. */
uint64_t pt_frames_references(const struct pt_frames *frames, uint64_t hpa);

/* The count of one level alone, for tests and statistics. */
uint32_t pt_frames_count(const struct pt_frames *frames, uint64_t hpa, unsigned level);

PT_FINISH

#endif
