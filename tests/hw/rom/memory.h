/* What a compiler takes for granted of a freestanding program; also for the ROMs themselves. */
#ifndef TESTS_HW_ROM_MEMORY_H
#define TESTS_HW_ROM_MEMORY_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memset(void *to, int value, size_t count);

#endif
