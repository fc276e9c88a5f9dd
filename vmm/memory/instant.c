/* The instant that a reset returns the memory to, kept at no cost until something is published: see memory.h. */
#include "vmm/memory/memory.h"

#include "vmm/base/bitmap.h"
#include "vmm/base/failure.h"

#include <stdlib.h>
#include <string.h>

static size_t detached_bytes(const struct memory *memory)
{
    return (memory->bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * sizeof(bool);
}

void memory_drop_instant(struct memory *memory)
{
    struct instant_view *instant = &memory->instant;
    if (instant->has_view)
        view_free(&instant->view);
    free(instant->detached);
    *instant = (struct instant_view){0};
}

void memory_set_birth(struct memory *memory)
{
    memory->instant = (struct instant_view){.wanted = true};
}

void memory_set_instant(struct memory *memory)
{
    memory_drop_instant(memory);
    memory_set_birth(memory);
    memory_advance_instant(memory);
}

void memory_advance_instant(struct memory *memory)
{
    memory_forget_hot(memory);
    struct pages *pages = &memory->pages;
    for (size_t i = 0; i < bitmap_words(memory->bytes / PAGE_BYTES); i++) {
        pages->outdated[i] |= pages->published[i];
        pages->published[i] = 0;
    }
}

/* A copy of which blocks are detached; *copy is NULL where no block is. -1: out of memory. */
static int copy_detached(const struct memory *memory, bool **copy)
{
    *copy = NULL;
    if (!memory->retained.detached)
        return 0;
    *copy = malloc(detached_bytes(memory));
    if (!*copy)
        return -1;
    memcpy(*copy, memory->retained.detached, detached_bytes(memory));
    return 0;
}

int memory_preserve(struct memory *memory, struct cleave_failure *failure)
{
    struct instant_view *instant = &memory->instant;
    if (memory_track(memory, failure) < 0)
        return -1;
    if (!instant->wanted || instant->has_view)
        return 0;
    memory_forget_dirty(memory); /* the next harvest finds those pages again */
    bool *detached;
    if (copy_detached(memory, &detached) < 0)
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for the view to return to");
    struct view *view = &instant->view;
    if (view_init(view, memory->store->views, memory->bytes, failure) < 0) {
        free(detached);
        return -1;
    }
    if (view_share(view, &memory->view, failure) < 0) {
        view_free(view);
        free(detached);
        return -1;
    }
    instant->has_view = true;
    instant->retained = memory->retained.count;
    instant->detached = detached;
    return 0;
}

bool memory_return_view(struct memory *memory)
{
    struct instant_view *instant = &memory->instant;
    if (!instant->has_view) {
        memory_forget_dirty(memory);
        return false;
    }
    view_swap(&memory->view, &instant->view);
    view_free(&instant->view);
    instant->has_view = false;
    /* What was merged since, the view names as the window shows it. */
    memory_trim_retained(memory, instant->retained);
    if (memory->retained.detached)
        memset(memory->retained.detached, 0, detached_bytes(memory));
    if (instant->detached)
        memcpy(memory->retained.detached, instant->detached, detached_bytes(memory));
    free(instant->detached);
    instant->detached = NULL;
    return true;
}
