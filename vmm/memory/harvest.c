/* Harvest: from the dirty log into the view and the set of written pages; and what was found so far. See memory.h. */
#include "vmm/memory/memory.h"

#include "vmm/base/bitmap.h"
#include "vmm/base/failure.h"

int memory_harvest(struct memory *memory, struct cleave_failure *failure)
{
    if (memory->window_shared)
        return 0; /* nothing is frozen, so nothing is in an overlay */
    uint64_t pages = memory->bytes / PAGE_BYTES;
    /* The kernel has forgotten them by now: remember them first, whatever fails next. */
    uint64_t found = 0;
    for (size_t i = 0; i < bitmap_words(pages); i++) {
        found += (unsigned)__builtin_popcountll(memory->pages.log[i] & ~memory->pages.written[i]);
        memory->pages.written[i] |= memory->pages.log[i];
    }
    memory->harvested_pages += found;
    uint64_t first, end = 0;
    while ((end = bitmap_next_run(memory->pages.written, pages, end, &first)), first < pages) {
        if (view_set_dirty(&memory->view, first * PAGE_BYTES, (end - first) * PAGE_BYTES, failure) < 0)
            return -1;
    }
    return 0;
}

void memory_forget_dirty(struct memory *memory)
{
    uint64_t pages = memory->bytes / PAGE_BYTES, first, end = 0;
    while ((end = bitmap_next_run(memory->pages.written, pages, end, &first)), first < pages)
        view_forget_dirty(&memory->view, first * PAGE_BYTES, (end - first) * PAGE_BYTES);
}

uint64_t memory_overlay_bytes(const struct memory *memory)
{
    return bitmap_count(memory->pages.written, memory->bytes / PAGE_BYTES) * PAGE_BYTES;
}
