/* The sets of pages of a guest's memory. See memory.h. */
#include "vmm/memory/memory.h"

#include "vmm/base/bitmap.h"
#include "vmm/base/failure.h"

#include <stdlib.h>

static uint64_t *new_bitmap(const struct memory *memory)
{
    return calloc(bitmap_words(memory->bytes / PAGE_BYTES), sizeof(uint64_t));
}

int memory_make_pages(struct memory *memory, struct cleave_failure *failure)
{
    memory->pages.written = new_bitmap(memory);
    memory->pages.log = new_bitmap(memory);
    if (!memory->pages.written || !memory->pages.log)
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for a guest");
    return 0;
}

void memory_free_pages(struct memory *memory)
{
    struct pages *pages = &memory->pages;
    uint64_t *const all[] = {pages->written, pages->log,     pages->published, pages->outdated,
                             pages->kept,    pages->unsaved, pages->drop};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    *pages = (struct pages){0};
}

int memory_track(struct memory *memory, struct cleave_failure *failure)
{
    struct pages *pages = &memory->pages;
    uint64_t **const wanted[] = {&pages->published, &pages->outdated, &pages->kept, &pages->drop};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (!*wanted[i])
            *wanted[i] = new_bitmap(memory);
        if (!*wanted[i])
            return fail(failure, CLEAVE_NO_MEMORY, "out of memory for a guest's bitmaps");
    }
    return 0;
}

int memory_track_unsaved(struct memory *memory, struct cleave_failure *failure)
{
    struct pages *pages = &memory->pages;
    if (!pages->unsaved)
        pages->unsaved = new_bitmap(memory);
    return pages->unsaved ? 0 : fail(failure, CLEAVE_NO_MEMORY, "out of memory for a guest's bitmaps");
}
