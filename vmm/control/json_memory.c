/* jansson's memory, and the reserve behind it: see json_memory.h. */
#include "vmm/control/json_memory.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

/* Of every block of the reserve, before its bytes. */
struct block {
    size_t bytes; /* this and the block's own */
    size_t pad;   /* to 16 */
};

/* A stack: blocks are mostly freed in the order they were made or the reverse, and at last all of them. */
static struct {
    _Alignas(16) unsigned char bytes[JSON_RESERVE];
    size_t used, live;
} reserve;

static bool strict, failed;

static bool is_reserve(const void *memory)
{
    return (uintptr_t)memory - (uintptr_t)reserve.bytes < JSON_RESERVE;
}

static void *take_reserve(size_t bytes)
{
    if (bytes > JSON_RESERVE)
        return NULL;
    const size_t whole = sizeof(struct block) + ((bytes + 15) & ~(size_t)15);
    if (whole > JSON_RESERVE - reserve.used)
        return NULL;
    struct block *block = (struct block *)(void *)(reserve.bytes + reserve.used);
    block->bytes = whole;
    reserve.used += whole;
    reserve.live++;
    return block + 1;
}

static void give_reserve(void *memory)
{
    const struct block *block = (const struct block *)memory - 1;
    const size_t start = (size_t)((const unsigned char *)block - reserve.bytes);
    if (start + block->bytes == reserve.used)
        reserve.used = start;
    if (--reserve.live == 0)
        reserve.used = 0;
}

void *json_memory_take(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory && !strict)
        memory = take_reserve(bytes);
    failed |= !memory;
    return memory;
}

void json_memory_give(void *memory)
{
    if (is_reserve(memory))
        give_reserve(memory);
    else
        free(memory);
}

void json_memory_init(void)
{
    json_set_alloc_funcs(json_memory_take, json_memory_give);
}

void json_memory_begin_strict(void)
{
    strict = true;
    failed = false;
}

bool json_memory_end_strict(void)
{
    strict = false;
    return !failed;
}
