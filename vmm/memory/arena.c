/*
 * Where published pages go: room in a layer that only the VMM writes, faulted in ahead of time so that publishing a
 * page in a pause is one copy of 4 KiB and no page fault. See layers_allocate() in layer.h.
 */
#include "vmm/memory/layer_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

#define ARENA_BYTES   (UINT64_C(1) << 30)
#define PREPARE_LEAST (UINT64_C(4) << 20)
#define PREPARE_MOST  (UINT64_C(64) << 20)

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

static bool add_range_job(struct layers *layers, background_fn *fn, uint8_t *memory, uint64_t bytes)
{
    struct range_job *job = malloc(sizeof *job);
    if (!job)
        return false;
    *job = (struct range_job){memory, bytes};
    background_add(layers->background, fn, job);
    return true;
}

void arena_close(struct layers *layers)
{
    struct arena *arena = &layers->arena;
    if (!arena->layer)
        return;
    if (!add_range_job(layers, unmap, arena->memory, arena->layer->size))
        munmap(arena->memory, arena->layer->size);
    layer_close(layers, arena->layer);
    *arena = (struct arena){0};
}

static int arena_open(struct layers *layers, uint64_t bytes, struct failure *failure)
{
    struct arena fresh = {0};
    uint64_t size = bytes > ARENA_BYTES ? (bytes + LAYER_ALIGN - 1) / LAYER_ALIGN * LAYER_ALIGN : ARENA_BYTES;
    if (layer_new(layers, size, &fresh.layer, failure) < 0)
        return -1;
    fresh.memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fresh.layer->fd, 0);
    if (fresh.memory == MAP_FAILED) {
        fail_errno(failure, errno, "cannot map a layer to publish into");
        layer_close(layers, fresh.layer);
        return -1;
    }
    fresh.high = fresh.frozen_high = size;
    fresh.since_settle = layers->arena.since_settle;
    arena_close(layers);
    layers->arena = fresh;
    return 0;
}

int layers_allocate(struct layers *layers, uint64_t pages, bool block, uint64_t *hpa, void **memory,
                    struct failure *failure)
{
    struct arena *arena = &layers->arena;
    uint64_t bytes = pages * PAGE_BYTES;
    uint64_t room = arena->high - arena->low;
    uint64_t taken = block ? (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES : bytes;
    if ((!arena->layer || room < taken) && arena_open(layers, taken, failure) < 0)
        return -1;
    uint64_t offset;
    if (block) {
        offset = arena->high -= taken;
    } else {
        offset = arena->low;
        arena->low += taken;
        arena->since_settle += taken;
    }
    *hpa = arena->layer->hpa + offset;
    *memory = arena->memory + offset;
    return 0;
}

void layers_unallocate(struct layers *layers, uint64_t hpa, uint64_t pages)
{
    struct arena *arena = &layers->arena;
    uint64_t offset = hpa - arena->layer->hpa, bytes = pages * PAGE_BYTES;
    if (offset + bytes == arena->low) {
        arena->low = offset;
        arena->since_settle -= bytes;
    } else if (offset == arena->high) {
        arena->high += (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    }
}

void arena_settle(struct layers *layers)
{
    struct arena *arena = &layers->arena;
    uint64_t ahead = 2 * arena->since_settle;
    ahead = ahead < PREPARE_LEAST ? PREPARE_LEAST : ahead > PREPARE_MOST ? PREPARE_MOST : ahead;
    arena->since_settle = 0;
    if (!arena->layer && arena_open(layers, ARENA_BYTES, NULL) < 0)
        return; /* the next layers_allocate() says why */
    if (arena->frozen_low < arena->low &&
        add_range_job(layers, freeze, arena->memory + arena->frozen_low, arena->low - arena->frozen_low))
        arena->frozen_low = arena->low;
    if (arena->high < arena->frozen_high &&
        add_range_job(layers, freeze, arena->memory + arena->high, arena->frozen_high - arena->high))
        arena->frozen_high = arena->high;
    uint64_t from = arena->prepared > arena->low ? arena->prepared : arena->low;
    uint64_t until = arena->low + ahead < arena->high ? arena->low + ahead : arena->high;
    if (from < until && add_range_job(layers, prepare, arena->memory + from, until - from))
        arena->prepared = until;
}
