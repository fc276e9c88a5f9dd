/*
 * Hot pages: those that a guest which is reset in a loop writes in nearly every run. Write-protecting one for the dirty
 * log costs the guest 3 to 6 us at its next write, and copying it back 0.5 us; so hot pages are not protected any more,
 * count as written at every reset, and are copied back from copies that lie ready. See memory.h.
 *
 * A page becomes hot when a reset finds it written that has returned it before. One that a reset finds as it was, two
 * times of those at which it is looked at, is no longer hot: its write is logged again. Whatever else takes the dirty
 * log has all of them logged again.
 */
#include "vmm/memory/memory.h"

#include "vmm/base/bitmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* Copies are memory of their own: 32 MiB at most. */
#define HOT_MOST 8192

/* A page is compared with its copy at one reset of so many. */
#define LOOK_EVERY 16

struct hot_page {
    uint64_t page;
    bool unchanged; /* when it was last looked at */
};

struct hot {
    size_t count;
    uint64_t *pages; /* bitmap, as all sets of pages */
    uint8_t *copies; /* address space for HOT_MOST pages */
    unsigned turn;
    struct hot_page list[HOT_MOST];
};

static struct hot *hot_new(const struct memory *memory)
{
    struct hot *hot = malloc(sizeof *hot);
    if (!hot)
        return NULL;
    hot->count = hot->turn = 0;
    hot->pages = calloc(bitmap_words(memory->bytes / PAGE_BYTES), sizeof(uint64_t));
    hot->copies =
        mmap(NULL, HOT_MOST * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (hot->pages && hot->copies != MAP_FAILED)
        return hot;
    if (hot->copies != MAP_FAILED)
        munmap(hot->copies, HOT_MOST * PAGE_BYTES);
    free(hot->pages);
    free(hot);
    return NULL;
}

void memory_forget_hot(struct memory *memory)
{
    struct hot *hot = memory->hot;
    if (!hot)
        return;
    munmap(hot->copies, HOT_MOST * PAGE_BYTES);
    free(hot->pages);
    free(hot);
    memory->hot = NULL;
}

void memory_leave_out_hot(struct memory *memory)
{
    uint64_t *log = memory->pages.log;
    for (size_t i = 0; memory->hot && i < bitmap_words(memory->bytes / PAGE_BYTES); i++)
        log[i] &= ~memory->hot->pages[i];
}

uint64_t memory_hot_bytes(const struct memory *memory)
{
    return memory->hot ? memory->hot->count * PAGE_BYTES : 0;
}

static uint8_t *copy_of(const struct hot *hot, size_t i)
{
    return hot->copies + i * PAGE_BYTES;
}

static void *place_of(const struct memory *memory, const struct hot_page *page)
{
    return (void *)(uintptr_t)(memory->window + page->page * PAGE_BYTES);
}

/* Of a window over a file that somebody may truncate the kernel copies, for which lost memory is an error and no
 * signal. */
static bool transfer(const struct memory *memory, void *window, void *own, bool to_window)
{
    if (!memory->window_fragile) {
        memcpy(to_window ? window : own, to_window ? own : window, PAGE_BYTES);
        return true;
    }
    const struct iovec here = {own, PAGE_BYTES}, there = {window, PAGE_BYTES};
    ssize_t n = to_window ? process_vm_writev(getpid(), &here, 1, &there, 1, 0)
                          : process_vm_readv(getpid(), &here, 1, &there, 1, 0);
    return n == (ssize_t)PAGE_BYTES;
}

static bool is_unchanged(const struct memory *memory, const struct hot_page *page, const uint8_t *copy)
{
    uint8_t now[PAGE_BYTES];
    if (!memory->window_fragile)
        return memcmp(place_of(memory, page), copy, PAGE_BYTES) == 0;
    return transfer(memory, place_of(memory, page), now, false) && memcmp(now, copy, PAGE_BYTES) == 0;
}

/* The last takes its place. */
static void remove_page(struct hot *hot, size_t i)
{
    bitmap_clear(hot->pages, hot->list[i].page, hot->list[i].page + 1);
    hot->count--;
    if (i == hot->count)
        return;
    hot->list[i] = hot->list[hot->count];
    memcpy(copy_of(hot, i), copy_of(hot, hot->count), PAGE_BYTES);
}

/* True where the page need not be copied back; it may have been removed then. */
static bool look(const struct memory *memory, size_t i)
{
    struct hot *hot = memory->hot;
    struct hot_page *page = &hot->list[i];
    const bool before = page->unchanged, now = is_unchanged(memory, page, copy_of(hot, i));
    page->unchanged = now;
    if (before && now)
        remove_page(hot, i);
    return now;
}

void memory_leave_out_unchanged(struct memory *memory)
{
    struct hot *hot = memory->hot;
    for (size_t i = 0; hot && i < hot->count; i++)
        if (is_unchanged(memory, &hot->list[i], copy_of(hot, i)))
            bitmap_clear(memory->pages.log, hot->list[i].page, hot->list[i].page + 1);
}

static bool is_written(const struct memory *memory, uint64_t page)
{
    return memory->pages.written[page / 64] >> page % 64 & 1;
}

bool memory_return_hot(struct memory *memory)
{
    struct hot *hot = memory->hot;
    if (!hot)
        return true;
    const unsigned turn = hot->turn++ % LOOK_EVERY;
    for (size_t i = hot->count; i-- > 0;) {
        const struct hot_page page = hot->list[i];
        if (!is_written(memory, page.page))
            continue;
        bitmap_clear(memory->pages.written, page.page, page.page + 1);
        if (i % LOOK_EVERY == turn && look(memory, i))
            continue;
        if (!transfer(memory, place_of(memory, &page), copy_of(hot, i), true))
            return false;
    }
    return true;
}

static int copy_run(void *context, const struct view_run *run)
{
    struct memory *memory = context;
    struct hot *hot = memory->hot;
    uint64_t gpa = hot->list[hot->count].page * PAGE_BYTES;
    return layers_read(memory->store->layers, run->hpa + (gpa - run->gpa), copy_of(hot, hot->count), PAGE_BYTES, false,
                       NULL);
}

/* With a copy of what the view has there. Where that cannot be had the page is simply not hot. */
static void add_page(struct memory *memory, uint64_t page)
{
    struct hot *hot = memory->hot;
    hot->list[hot->count] = (struct hot_page){.page = page};
    if (view_each_run_in(&memory->view, page * PAGE_BYTES, PAGE_BYTES, copy_run, memory) < 0)
        return;
    bitmap_set(hot->pages, page, page + 1);
    hot->count++;
}

void memory_add_hot(struct memory *memory)
{
    const struct pages *pages = &memory->pages;
    const size_t words = bitmap_words(memory->bytes / PAGE_BYTES);
    for (size_t i = 0; i < words; i++) {
        uint64_t again = pages->written[i] & pages->kept[i];
        if (!again)
            continue;
        if (!memory->hot)
            memory->hot = hot_new(memory);
        if (!memory->hot)
            return;
        for (again &= ~memory->hot->pages[i]; again && memory->hot->count < HOT_MOST; again &= again - 1)
            add_page(memory, i * 64 + (unsigned)__builtin_ctzll(again));
    }
}
