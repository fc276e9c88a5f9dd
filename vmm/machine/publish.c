/*
 * How a guest's memory moves between overlay, layers and window: harvest (dirty log into the view), publish (overlay
 * into a frozen layer), coalesce (scattered frozen frames into whole blocks), project (view into a window).
 */
#include "vmm/base/bitmap.h"
#include "vmm/machine/machine.h"

#include "vmm/memory/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longest run published at once: bounds what is undone when memory runs out. */
#define PUBLISH_PAGES 4096

int machine_harvest(struct machine *machine, struct failure *failure)
{
    if (machine->window_shared)
        return 0; /* nothing is frozen, so nothing is in an overlay */
    uint64_t pages = machine->view.memory / PAGE_BYTES;
    if (kvm_get_dirty_log(machine->vm->fd, machine->pages.log) < 0)
        return fail_errno(failure, errno, "KVM_GET_DIRTY_LOG");
    /* The kernel has forgotten them by now: remember them first, whatever fails next. */
    for (size_t i = 0; i < bitmap_words(pages); i++)
        machine->pages.written[i] |= machine->pages.log[i];
    uint64_t first, end = 0;
    while ((end = bitmap_next_run(machine->pages.written, pages, end, &first)), first < pages) {
        if (view_set_dirty(&machine->view, first * PAGE_BYTES, (end - first) * PAGE_BYTES, failure) < 0)
            return -1;
    }
    machine->harvested_pages += bitmap_count(machine->pages.log, pages);
    return 0;
}

void machine_forget_dirty(struct machine *machine)
{
    uint64_t pages = machine->view.memory / PAGE_BYTES, first, end = 0;
    while ((end = bitmap_next_run(machine->pages.written, pages, end, &first)), first < pages)
        view_forget_dirty(&machine->view, first * PAGE_BYTES, (end - first) * PAGE_BYTES);
}

uint64_t machine_overlay_bytes(const struct machine *machine)
{
    return bitmap_count(machine->pages.written, machine->view.memory / PAGE_BYTES) * PAGE_BYTES;
}

static int publish_run(struct machine *machine, struct layers *layers, uint64_t first, uint64_t count,
                       struct failure *failure)
{
    uint64_t gpa = first * PAGE_BYTES, hpa;
    void *memory;
    if (layers_allocate(layers, count, false, &hpa, &memory, failure) < 0)
        return -1;
    if (machine_read(machine, gpa, memory, count * PAGE_BYTES, failure) < 0 ||
        view_publish(&machine->view, gpa, hpa, count * PAGE_BYTES, failure) < 0) {
        layers_unallocate(layers, hpa, count);
        return -1;
    }
    bitmap_clear(machine->pages.written, first, first + count);
    bitmap_set(machine->pages.published, first, first + count);
    if (machine->pages.unsaved)
        bitmap_set(machine->pages.unsaved, first, first + count);
    return 0;
}

int machine_publish(struct machine *machine, struct layers *layers, uint64_t *published, struct failure *failure)
{
    uint64_t pages = machine->view.memory / PAGE_BYTES;
    uint64_t first, end = 0;
    while ((end = bitmap_next_run(machine->pages.written, pages, end, &first)), first < pages) {
        if (end - first > PUBLISH_PAGES)
            end = first + PUBLISH_PAGES;
        if (publish_run(machine, layers, first, end - first, failure) < 0)
            return -1;
        *published += end - first;
        machine->published_pages += end - first;
    }
    return 0;
}

struct projection {
    struct machine *machine;
    struct vm *vm;
    struct layers *layers;
    struct failure *failure;
};

static int project_run(void *context, const struct view_run *run)
{
    struct projection *p = context;
    for (uint64_t done = 0; done < run->bytes;) {
        int fd;
        uint64_t offset, bytes;
        if (!layers_find(p->layers, run->hpa + done, &fd, &offset, &bytes))
            return fail(p->failure, FAIL_INTERNAL, "the view names HPA %#llx, which no layer backs",
                        (unsigned long long)(run->hpa + done));
        if (bytes > run->bytes - done)
            bytes = run->bytes - done;
        if (window_map(p->vm->window + run->gpa + done, bytes, fd, offset, false) < 0)
            return fail_errno(p->failure, errno, "cannot map guest memory%s",
                              errno == ENOMEM ? " (see the sysctl vm.max_map_count, and ulimit -v)" : "");
        done += bytes;
    }
    if (layers_find_file(p->layers, run->hpa))
        p->machine->window_fragile = true;
    return 0;
}

int machine_project(struct machine *machine, struct vm *vm, struct failure *failure)
{
    struct projection p = {machine, vm, host_layers(machine->host), failure};
    return view_each_run(&machine->view, project_run, &p);
}

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
 * it does, so the machine keeps a reference to each until its window goes. A block needs that once only: what replaces
 * its frames later was never in this window but under pages of the overlay.
 */
static int retain(struct machine *machine, struct layers *layers, uint64_t hpa, uint64_t bytes, struct failure *failure)
{
    struct retained *retained = &machine->retained;
    if (retained->count == retained->room) {
        size_t room = retained->room ? 2 * retained->room : 64;
        struct frame_run *grown = realloc(retained->runs, room * sizeof *grown);
        if (!grown)
            return fail(failure, FAIL_NO_MEMORY, "out of memory for merging scattered pages");
        retained->runs = grown;
        retained->room = room;
    }
    if (!layers_get(layers, hpa, 1, bytes / PAGE_BYTES))
        return fail(failure, FAIL_INTERNAL, "the view names an HPA that no layer backs");
    retained->runs[retained->count++] = (struct frame_run){hpa, bytes / PAGE_BYTES};
    return 0;
}

void machine_trim_retained(struct machine *machine, size_t count)
{
    struct retained *retained = &machine->retained;
    while (retained->count > count) {
        const struct frame_run *run = &retained->runs[--retained->count];
        layers_put(host_layers(machine->host), run->hpa, 1, run->pages);
    }
}

void machine_drop_retained(struct machine *machine)
{
    struct retained *retained = &machine->retained;
    machine_trim_retained(machine, 0);
    free(retained->runs);
    free(retained->detached);
    *retained = (struct retained){0};
}

struct block_copy {
    struct machine *machine; /* whose window shows the block's frames; NULL where it no longer does */
    struct layers *layers;
    uint64_t start, bytes; /* GPA range of the block */
    uint8_t *to;
    struct failure *failure;
};

/* Reads from the file and not from a mapping, so that holes stay holes in the layer read from. */
static int copy_run(void *context, const struct view_run *run)
{
    struct block_copy *copy = context;
    uint64_t from = run->gpa > copy->start ? run->gpa : copy->start;
    uint64_t until = run->gpa + run->bytes, end = copy->start + copy->bytes;
    if (until > end)
        until = end;
    if (copy->machine &&
        retain(copy->machine, copy->layers, run->hpa + (from - run->gpa), until - from, copy->failure) < 0)
        return -1;
    while (from < until) {
        int fd;
        uint64_t offset, bytes;
        if (!layers_find(copy->layers, run->hpa + (from - run->gpa), &fd, &offset, &bytes))
            return fail(copy->failure, FAIL_INTERNAL, "the view names an HPA that no layer backs");
        size_t length = until - from < bytes ? until - from : bytes;
        uint8_t *to = copy->to + (from - copy->start);
        ssize_t n = fd < 0 ? (memset(to, 0, length), (ssize_t)length) : pread(fd, to, length, (off_t)offset);
        if (n <= 0)
            return fail_errno(copy->failure, n < 0 ? errno : EIO, "cannot read a layer");
        from += (uint64_t)n;
    }
    return 0;
}

static int coalesce_block(struct machine *machine, struct layers *layers, uint64_t block, struct failure *failure)
{
    struct block_copy copy = {.layers = layers, .start = block * BLOCK_BYTES, .bytes = BLOCK_BYTES, .failure = failure};
    if (copy.bytes > machine->view.memory - copy.start)
        copy.bytes = machine->view.memory - copy.start;
    if (!machine->retained.detached[block])
        copy.machine = machine;
    uint64_t hpa;
    void *memory;
    if (layers_allocate(layers, copy.bytes / PAGE_BYTES, true, &hpa, &memory, failure) < 0)
        return -1;
    copy.to = memory;
    if (view_each_run_in(&machine->view, copy.start, copy.bytes, copy_run, &copy) < 0 ||
        view_publish(&machine->view, copy.start, hpa, copy.bytes, failure) < 0) {
        layers_unallocate(layers, hpa, copy.bytes / PAGE_BYTES);
        return -1;
    }
    machine->retained.detached[block] = true;
    return 0;
}

int machine_coalesce(struct machine *machine, struct layers *layers, size_t budget, struct failure *failure)
{
    uint64_t blocks = (machine->view.memory + BLOCK_BYTES - 1) / BLOCK_BYTES;
    struct scatter scatter = {.runs = calloc(blocks, sizeof(uint16_t))};
    if (!machine->retained.detached)
        machine->retained.detached = calloc(blocks, sizeof(bool));
    if (!scatter.runs || !machine->retained.detached) {
        free(scatter.runs);
        return fail(failure, FAIL_NO_MEMORY, "out of memory for merging scattered pages");
    }
    view_each_run(&machine->view, count_run, &scatter);
    /* From the most scattered downwards, by halves of the count: exact order does not matter. */
    int result = 0;
    for (unsigned least = 512; least > 1 && scatter.total > budget && !result; least /= 2) {
        for (uint64_t i = 0; i < blocks && scatter.total > budget && !result; i++) {
            if (scatter.runs[i] <= least)
                continue;
            result = coalesce_block(machine, layers, i, failure);
            scatter.total -= scatter.runs[i] - 1u;
            scatter.runs[i] = 1;
        }
    }
    free(scatter.runs);
    return result;
}
