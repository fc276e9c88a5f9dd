/* Publish: overlay pages into a frozen layer, where the view names them from then on. See memory.h. */
#include "vmm/memory/memory.h"

#include "vmm/base/bitmap.h"
#include "vmm/base/failure.h"

/* Longest run published at once: bounds what is undone when memory runs out. */
#define PUBLISH_PAGES 4096

static int publish_run(struct memory *memory, uint64_t first, uint64_t count, struct cleave_failure *failure)
{
    struct arena *arena = memory->store->arena;
    uint64_t gpa = first * PAGE_BYTES, hpa;
    void *to;
    if (arena_allocate(arena, count, false, &hpa, &to, failure) < 0)
        return -1;
    if (memory_read(memory, gpa, to, count * PAGE_BYTES, failure) < 0 ||
        view_publish(&memory->view, gpa, hpa, count * PAGE_BYTES, failure) < 0) {
        arena_unallocate(arena, hpa, count);
        return -1;
    }
    bitmap_clear(memory->pages.written, first, first + count);
    bitmap_set(memory->pages.published, first, first + count);
    if (memory->pages.unsaved)
        bitmap_set(memory->pages.unsaved, first, first + count);
    return 0;
}

int memory_publish(struct memory *memory, uint64_t *published, struct cleave_failure *failure)
{
    uint64_t pages = memory->bytes / PAGE_BYTES;
    uint64_t first, end = 0;
    while ((end = bitmap_next_run(memory->pages.written, pages, end, &first)), first < pages) {
        if (end - first > PUBLISH_PAGES)
            end = first + PUBLISH_PAGES;
        if (publish_run(memory, first, end - first, failure) < 0)
            return -1;
        *published += end - first;
        memory->published_pages += end - first;
    }
    return 0;
}
