/* Coalesce: scattered frozen frames into whole blocks, so that a view takes fewer mappings. See memory.h. */
#include "vmm/memory/memory.h"

#include "vmm/base/failure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Runs of a view in each 2 MiB block of GPA. */
struct scatter {
    uint16_t *runs;
    size_t total;
};

static int count_run(void *context, const struct view_run *run)
{
    struct scatter *scatter = context;
    for (uint64_t block = run->gpa / BLOCK_BYTES; block <= (run->gpa + run->bytes - 1) / BLOCK_BYTES; block++)
        scatter->runs[block]++;
    scatter->total++;
    return 0;
}

/*
 * Merging a block takes frames out of the view that the guest's own window still shows. They must not be punched while
 * it does, so the memory keeps a reference to each until its window goes. A block needs that once only: what replaces
 * its frames later was never in this window but under pages of the overlay.
 */
static int retain(struct memory *memory, uint64_t hpa, uint64_t bytes, struct cleave_failure *failure)
{
    struct retained *retained = &memory->retained;
    if (retained->count == retained->room) {
        size_t room = retained->room ? 2 * retained->room : 64;
        struct frame_run *grown = realloc(retained->runs, room * sizeof *grown);
        if (!grown)
            return fail(failure, CLEAVE_NO_MEMORY, "out of memory for merging scattered pages");
        retained->runs = grown;
        retained->room = room;
    }
    if (!layers_get(memory->store->layers, hpa, 1, bytes / PAGE_BYTES))
        return fail(failure, CLEAVE_INTERNAL, "the view names an HPA that no layer backs");
    retained->runs[retained->count++] = (struct frame_run){hpa, bytes / PAGE_BYTES};
    return 0;
}

void memory_trim_retained(struct memory *memory, size_t count)
{
    struct retained *retained = &memory->retained;
    while (retained->count > count) {
        const struct frame_run *run = &retained->runs[--retained->count];
        layers_put(memory->store->layers, run->hpa, 1, run->pages);
    }
}

void memory_drop_retained(struct memory *memory)
{
    struct retained *retained = &memory->retained;
    memory_trim_retained(memory, 0);
    free(retained->runs);
    free(retained->detached);
    *retained = (struct retained){0};
}

struct block_copy {
    struct memory *memory;
    bool retain;           /* the window shows the block's frames */
    uint64_t start, bytes; /* GPA range of the block */
    uint8_t *to;
    struct cleave_failure *failure;
};

/* Reads from the file and not from a mapping, so that holes stay holes in the layer read from. */
static int copy_run(void *context, const struct view_run *run)
{
    struct block_copy *copy = context;
    uint64_t from = run->gpa > copy->start ? run->gpa : copy->start;
    uint64_t until = run->gpa + run->bytes, end = copy->start + copy->bytes;
    if (until > end)
        until = end;
    if (copy->retain && retain(copy->memory, run->hpa + (from - run->gpa), until - from, copy->failure) < 0)
        return -1;
    while (from < until) {
        int fd;
        uint64_t offset, bytes;
        if (!layers_find(copy->memory->store->layers, run->hpa + (from - run->gpa), &fd, &offset, &bytes))
            return fail(copy->failure, CLEAVE_INTERNAL, "the view names an HPA that no layer backs");
        size_t length = until - from < bytes ? until - from : bytes;
        uint8_t *to = copy->to + (from - copy->start);
        ssize_t n = fd < 0 ? (memset(to, 0, length), (ssize_t)length) : pread(fd, to, length, (off_t)offset);
        if (n <= 0)
            return fail_errno(copy->failure, n < 0 ? errno : EIO, "cannot read a layer");
        from += (uint64_t)n;
    }
    return 0;
}

static int coalesce_block(struct memory *memory, uint64_t block, struct cleave_failure *failure)
{
    struct block_copy copy = {.memory = memory, .start = block * BLOCK_BYTES, .bytes = BLOCK_BYTES, .failure = failure};
    if (copy.bytes > memory->bytes - copy.start)
        copy.bytes = memory->bytes - copy.start;
    copy.retain = !memory->retained.detached[block];
    struct arena *arena = memory->store->arena;
    uint64_t hpa;
    void *to;
    if (arena_allocate(arena, copy.bytes / PAGE_BYTES, true, &hpa, &to, failure) < 0)
        return -1;
    copy.to = to;
    if (view_each_run_in(&memory->view, copy.start, copy.bytes, copy_run, &copy) < 0 ||
        view_publish(&memory->view, copy.start, hpa, copy.bytes, failure) < 0) {
        arena_unallocate(arena, hpa, copy.bytes / PAGE_BYTES);
        return -1;
    }
    memory->retained.detached[block] = true;
    return 0;
}

int memory_coalesce(struct memory *memory, size_t budget, struct cleave_failure *failure)
{
    uint64_t blocks = (memory->bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
    struct scatter scatter = {.runs = calloc(blocks, sizeof(uint16_t))};
    if (!memory->retained.detached)
        memory->retained.detached = calloc(blocks, sizeof(bool));
    if (!scatter.runs || !memory->retained.detached) {
        free(scatter.runs);
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for merging scattered pages");
    }
    view_each_run(&memory->view, count_run, &scatter);
    /* From the most scattered downwards, by halves of the count: exact order does not matter. */
    int result = 0;
    for (unsigned least = 512; least > 1 && scatter.total > budget && !result; least /= 2) {
        for (uint64_t i = 0; i < blocks && scatter.total > budget && !result; i++) {
            if (scatter.runs[i] <= least)
                continue;
            result = coalesce_block(memory, i, failure);
            scatter.total -= scatter.runs[i] - 1u;
            scatter.runs[i] = 1;
        }
    }
    free(scatter.runs);
    return result;
}
