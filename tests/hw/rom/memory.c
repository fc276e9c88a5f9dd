/* See memory.h. By string instructions: what emulators do fastest. */
#include "tests/hw/rom/memory.h"

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    void *start = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    return start;
}

void *memset(void *to, int value, size_t count)
{
    void *start = to;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
    return start;
}
