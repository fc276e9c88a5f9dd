/*
 * The way back: memory and view become those of the instant again, in place. See memory.h.
 *
 * The overlay are the private copies in the window that the dirty log names. There are two ways to be rid of one:
 *
 *   drop       MADV_DONTNEED: the window shows again what it was mapped from, and the memory is free. The guest's next
 *              write pays for a copy again.
 *   copy back  overwrite it with the frame that the view names. It stays private, and the next write is cheap.
 *
 * Copying back is the only way where the window was mapped from something older (pages.outdated): such pages were
 * published since, and mapping the window anew there would cost far more, a mapping a run. It is also the better one in
 * a loop of resets, where the guest writes the same pages again and again: it takes a fifth of the time on both sides.
 * So a page is dropped the first time, and copied back from then on (pages.kept), up to a limit. From the second time
 * on it is hot as well (hot.c).
 */
#include "vmm/memory/memory.h"

#include "vmm/base/bitmap.h"
#include "vmm/base/failure.h"

#include <errno.h>
#include <sys/mman.h>

/* Memory that a guest may keep from reset to reset; beyond it all is dropped. */
#define KEEP_BYTES (UINT64_C(64) << 20)

/* A return under way. */
struct returning {
    struct memory *memory;
    uint64_t pages; /* of the guest's RAM */
    uint64_t *returned;
    struct cleave_failure *failure;
};

/* All that differs from the instant: into `written`, as it is all in the overlay now that the view is back. */
static void find_differences(struct returning *r)
{
    struct memory *memory = r->memory;
    struct pages *pages = &memory->pages;
    bool settle = memory_return_view(memory);
    memory->harvested_pages += bitmap_count(pages->log, r->pages);
    for (size_t i = 0; i < bitmap_words(r->pages); i++) {
        pages->written[i] |= pages->log[i] | pages->published[i];
        pages->published[i] = 0;
        if (pages->unsaved)
            pages->unsaved[i] |= pages->written[i];
    }
    *r->returned = bitmap_count(pages->written, r->pages);
    if (settle)
        store_settle(memory->store);
}

/* Which of them to drop, into `drop`. They are kept next time, or else nothing is kept any more, and nothing hot. */
static void choose_drops(struct returning *r, uint64_t *drop)
{
    struct pages *pages = &r->memory->pages;
    size_t words = bitmap_words(r->pages);
    for (size_t i = 0; i < words; i++)
        drop[i] = pages->written[i] & ~pages->kept[i] & ~pages->outdated[i];
    uint64_t kept = pages->kept_count + bitmap_count(drop, r->pages);
    if (kept * PAGE_BYTES <= KEEP_BYTES) {
        for (size_t i = 0; i < words; i++)
            pages->kept[i] |= drop[i];
        pages->kept_count = kept;
        return;
    }
    for (size_t i = 0; i < words; i++) {
        drop[i] |= pages->kept[i] & ~pages->outdated[i];
        pages->kept[i] = 0;
    }
    pages->kept_count = 0;
    memory_forget_hot(r->memory);
}

static int drop_runs(struct returning *r, const uint64_t *drop)
{
    struct memory *memory = r->memory;
    uint64_t first, end = 0;
    while ((end = bitmap_next_run(drop, r->pages, end, &first)), first < r->pages) {
        void *at = (void *)(uintptr_t)(memory->window + first * PAGE_BYTES);
        if (madvise(at, (end - first) * PAGE_BYTES, MADV_DONTNEED) < 0)
            return fail_errno(r->failure, errno, "MADV_DONTNEED");
        bitmap_clear(memory->pages.written, first, end);
    }
    return 0;
}

struct copying {
    struct returning *r;
    uint64_t start, end; /* GPAs */
};

static int copy_run(void *context, const struct view_run *run)
{
    struct copying *copying = context;
    struct returning *r = copying->r;
    uint64_t from = run->gpa > copying->start ? run->gpa : copying->start;
    uint64_t until = run->gpa + run->bytes < copying->end ? run->gpa + run->bytes : copying->end;
    void *to = (void *)(uintptr_t)(r->memory->window + from);
    return layers_read(r->memory->store->layers, run->hpa + (from - run->gpa), to, until - from,
                       r->memory->window_fragile, r->failure);
}

static int copy_back(struct returning *r)
{
    struct memory *memory = r->memory;
    uint64_t *written = memory->pages.written, first, end = 0;
    while ((end = bitmap_next_run(written, r->pages, end, &first)), first < r->pages) {
        struct copying copying = {r, first * PAGE_BYTES, end * PAGE_BYTES};
        if (view_each_run_in(&memory->view, copying.start, copying.end - copying.start, copy_run, &copying) < 0)
            return -1;
        bitmap_clear(written, first, end);
    }
    return 0;
}

int memory_return(struct memory *memory, uint64_t *returned, struct cleave_failure *failure)
{
    struct returning r = {memory, memory->bytes / PAGE_BYTES, returned, failure};
    find_differences(&r);
    if (!memory->log_is_cleared)
        memory_add_hot(memory);
    if (!memory_return_hot(memory))
        return fail(failure, CLEAVE_IO_ERROR, "guest memory is gone");
    choose_drops(&r, memory->pages.drop);
    memory_leave_out_hot(memory); /* what the guest writes from now on is logged, but for these */
    return drop_runs(&r, memory->pages.drop) < 0 || copy_back(&r) < 0 ? -1 : 0;
}
