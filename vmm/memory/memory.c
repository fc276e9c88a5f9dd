/* A guest's memory, made and reached: see memory.h. */
#include "vmm/memory/memory.h"

#include "vmm/base/bitmap.h"
#include "vmm/base/failure.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

int memory_init(struct memory *memory, struct store *store, struct cleave_failure *failure)
{
    *memory = (struct memory){.store = store, .bytes = store->memory};
    return memory_make_pages(memory, failure);
}

int memory_make_view(struct memory *memory, struct cleave_failure *failure)
{
    memory->has_view = view_init(&memory->view, memory->store->views, memory->bytes, failure) == 0;
    return memory->has_view ? 0 : -1;
}

int memory_make_own(struct memory *memory, struct cleave_failure *failure)
{
    struct layers *layers = memory->store->layers;
    struct layer *layer;
    if (memory_make_view(memory, failure) < 0 || layer_new(layers, memory->bytes, &layer, failure) < 0)
        return -1;
    int result = view_map(&memory->view, 0, layer_hpa(layer), memory->bytes, true, failure);
    if (result == 0 && window_map(memory->window, memory->bytes, layer_fd(layer), 0, true) < 0)
        result = fail_errno(failure, errno, "cannot map %llu bytes of guest memory", (unsigned long long)memory->bytes);
    layer_close(layers, layer);
    memory->window_shared = true;
    return result;
}

void memory_end(struct memory *memory)
{
    memory_forget_hot(memory);
    memory_drop_instant(memory);
    if (memory->has_view)
        view_free(&memory->view);
    memory->has_view = false;
    memory_drop_retained(memory);
    memory_free_pages(memory);
}

/* The kernel does the copy, so that a page that cannot be had is an error here and not a signal. */
static int copy(const struct memory *memory, uint64_t gpa, void *local, size_t length, bool write,
                struct cleave_failure *failure)
{
    if (gpa > memory->bytes || length > memory->bytes - gpa)
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "guest addresses %#llx to %#llx are not all RAM, which ends at %#llx", (unsigned long long)gpa,
                    (unsigned long long)(gpa + length), (unsigned long long)memory->bytes);
    struct iovec here = {local, length};
    struct iovec there = {(void *)(uintptr_t)(memory->window + gpa), length};
    ssize_t n = write ? process_vm_writev(getpid(), &here, 1, &there, 1, 0)
                      : process_vm_readv(getpid(), &here, 1, &there, 1, 0);
    if (n != (ssize_t)length)
        return fail_errno(failure, n < 0 ? errno : ENOMEM, "cannot access guest memory at %#llx",
                          (unsigned long long)gpa);
    return 0;
}

int memory_read(const struct memory *memory, uint64_t gpa, void *to, size_t length, struct cleave_failure *failure)
{
    return copy(memory, gpa, to, length, false, failure);
}

int memory_write(struct memory *memory, uint64_t gpa, const void *from, size_t length, struct cleave_failure *failure)
{
    if (copy(memory, gpa, (void *)(uintptr_t)from, length, true, failure) < 0)
        return -1;
    if (!memory->window_shared && length)
        bitmap_set(memory->pages.written, gpa / PAGE_BYTES, (gpa + length - 1) / PAGE_BYTES + 1);
    return 0;
}
