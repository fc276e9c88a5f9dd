/*
 * jansson's memory. What the VMM has to say must not fail for want of memory once a command has been done, so JSON may
 * be made from a reserve when malloc has none. And a reader that is short of memory must not go on: jansson's drops
 * characters of strings then, and says nothing.
 */
#ifndef VMM_CONTROL_JSON_MEMORY_H
#define VMM_CONTROL_JSON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Enough for the reply to a fork into CLEAVE_FORK_MAX children, twice. JSON is made, written out and freed in one go,
 * so that all of it is there each time. */
#define JSON_RESERVE ((size_t)1 << 20)

/* From now on jansson uses what is below. All of it belongs to one thread. Can be called again. */
void json_memory_init(void);

/* Without using the reserve from here to the end, which says whether every allocation has succeeded. */
void json_memory_begin_strict(void);
bool json_memory_end_strict(void);

/* As malloc and free, with the reserve behind. */
void *json_memory_take(size_t bytes);
void json_memory_give(void *memory);

#endif
