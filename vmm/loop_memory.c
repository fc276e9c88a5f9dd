/* Memory for libuv: see loop_memory.h. */
#include "vmm/loop_memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* A block of the reserve. It is given away once: what is freed of it is lost. */
struct block {
    size_t size;
    max_align_t bytes[];
};

static _Alignas(max_align_t) char reserve[LOOP_MEMORY_RESERVE];
static size_t used;

static bool is_reserve(const void *memory)
{
    return (uintptr_t)memory - (uintptr_t)reserve < sizeof reserve;
}

static void *take_reserve(size_t size)
{
    const size_t align = _Alignof(max_align_t);
    if (size > sizeof reserve || (size + sizeof(struct block) + align - 1) / align * align > sizeof reserve - used)
        return NULL;
    struct block *block = (void *)(reserve + used);
    used += (size + sizeof(struct block) + align - 1) / align * align;
    block->size = size;
    return block->bytes;
}

static void *allocate(size_t size)
{
    void *memory = malloc(size);
    return memory || !size ? memory : take_reserve(size);
}

static void *allocate_zeroed(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory || !size || count > sizeof reserve / size)
        return memory;
    return take_reserve(count * size); /* zero, as nothing is given away twice */
}

static void release(void *memory)
{
    if (!is_reserve(memory))
        free(memory);
}

static size_t size_of(void *memory)
{
    if (!is_reserve(memory))
        return malloc_usable_size(memory); /* 0 for NULL */
    return ((struct block *)(void *)((char *)memory - offsetof(struct block, bytes)))->size;
}

static void *reallocate(void *old, size_t size)
{
    void *memory = is_reserve(old) ? allocate(size) : realloc(old, size);
    if (!memory && size && !is_reserve(old))
        memory = take_reserve(size);
    else if (!is_reserve(old))
        return memory;
    if (!memory)
        return NULL;
    const size_t kept = size_of(old);
    if (old)
        memcpy(memory, old, kept < size ? kept : size);
    release(old);
    return memory;
}

int loop_memory_init(void)
{
    return uv_replace_allocator(allocate, reallocate, allocate_zeroed, release);
}
