/* The arena and its ranges of a layer: see arena.h. */
#include "vmm/memory/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

#define ARENA_BYTES   (UINT64_C(1) << 30)
#define PREPARE_LEAST (UINT64_C(4) << 20)
#define PREPARE_MOST  (UINT64_C(64) << 20)

/* The layer that is being published into: single pages grow from its start, 2 MiB blocks from its end. */
struct arena {
    struct layers *layers;
    struct background *background;
    struct layer *layer; /* NULL before the first use */
    uint8_t *memory;     /* the layer, mapped shared; outside [frozen_low, frozen_high) read-only */
    uint64_t size;       /* of the layer, bytes */
    uint64_t low, high;  /* bytes: what is free is [low, high) */
    uint64_t frozen_low, frozen_high;
    uint64_t prepared;     /* bytes: the kernel has been asked to fault in [0, prepared) */
    uint64_t since_settle; /* bytes allocated since the last arena_settle() */
};

struct range_job {
    uint8_t *memory;
    uint64_t bytes;
};

/* Both are hints: where the kernel refuses, the first write to a page faults it in, and protection is only a safeguard.
 */
static void prepare(void *argument)
{
    struct range_job *job = argument;
    madvise(job->memory, job->bytes, MADV_POPULATE_WRITE);
    free(job);
}

static void freeze(void *argument)
{
    struct range_job *job = argument;
    mprotect(job->memory, job->bytes, PROT_READ);
    free(job);
}

static void unmap(void *argument)
{
    struct range_job *job = argument;
    munmap(job->memory, job->bytes);
    free(job);
}

static bool add_range_job(struct arena *arena, background_fn *fn, uint8_t *memory, uint64_t bytes)
{
    struct range_job *job = malloc(sizeof *job);
    if (!job)
        return false;
    *job = (struct range_job){memory, bytes};
    background_add(arena->background, fn, job);
    return true;
}

struct arena *arena_new(struct layers *layers, struct background *background)
{
    struct arena *arena = calloc(1, sizeof *arena);
    if (arena)
        *arena = (struct arena){.layers = layers, .background = background};
    return arena;
}

/* Gives up the layer; what is referenced in it stays. */
static void leave_layer(struct arena *arena)
{
    if (!arena->layer)
        return;
    if (!add_range_job(arena, unmap, arena->memory, arena->size))
        munmap(arena->memory, arena->size);
    layer_close(arena->layers, arena->layer);
    arena->layer = NULL;
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    leave_layer(arena);
    free(arena);
}

static int take_layer(struct arena *arena, uint64_t bytes, struct cleave_failure *failure)
{
    struct arena fresh = {
        .layers = arena->layers, .background = arena->background, .since_settle = arena->since_settle};
    uint64_t size = bytes > ARENA_BYTES ? (bytes + LAYER_ALIGN - 1) / LAYER_ALIGN * LAYER_ALIGN : ARENA_BYTES;
    if (layer_new(arena->layers, size, &fresh.layer, failure) < 0)
        return -1;
    fresh.memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, layer_fd(fresh.layer), 0);
    if (fresh.memory == MAP_FAILED) {
        fail_errno(failure, errno, "cannot map a layer to publish into");
        layer_close(arena->layers, fresh.layer);
        return -1;
    }
    fresh.size = fresh.high = fresh.frozen_high = size;
    leave_layer(arena);
    *arena = fresh;
    return 0;
}

int arena_allocate(struct arena *arena, uint64_t pages, bool block, uint64_t *hpa, void **memory,
                   struct cleave_failure *failure)
{
    uint64_t bytes = pages * PAGE_BYTES;
    uint64_t room = arena->high - arena->low;
    uint64_t taken = block ? (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES : bytes;
    if ((!arena->layer || room < taken) && take_layer(arena, taken, failure) < 0)
        return -1;
    uint64_t offset;
    if (block) {
        offset = arena->high -= taken;
    } else {
        offset = arena->low;
        arena->low += taken;
        arena->since_settle += taken;
    }
    *hpa = layer_hpa(arena->layer) + offset;
    *memory = arena->memory + offset;
    return 0;
}

void arena_unallocate(struct arena *arena, uint64_t hpa, uint64_t pages)
{
    uint64_t offset = hpa - layer_hpa(arena->layer), bytes = pages * PAGE_BYTES;
    if (offset + bytes == arena->low) {
        arena->low = offset;
        arena->since_settle -= bytes;
    } else if (offset == arena->high) {
        arena->high += (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    }
}

void arena_settle(struct arena *arena)
{
    uint64_t ahead = 2 * arena->since_settle;
    ahead = ahead < PREPARE_LEAST ? PREPARE_LEAST : ahead > PREPARE_MOST ? PREPARE_MOST : ahead;
    arena->since_settle = 0;
    if (!arena->layer && take_layer(arena, ARENA_BYTES, NULL) < 0)
        return; /* the next arena_allocate() says why */
    if (arena->frozen_low < arena->low &&
        add_range_job(arena, freeze, arena->memory + arena->frozen_low, arena->low - arena->frozen_low))
        arena->frozen_low = arena->low;
    if (arena->high < arena->frozen_high &&
        add_range_job(arena, freeze, arena->memory + arena->high, arena->frozen_high - arena->high))
        arena->frozen_high = arena->high;
    uint64_t from = arena->prepared > arena->low ? arena->prepared : arena->low;
    uint64_t until = arena->low + ahead < arena->high ? arena->low + ahead : arena->high;
    if (from < until && add_range_job(arena, prepare, arena->memory + from, until - from))
        arena->prepared = until;
}
