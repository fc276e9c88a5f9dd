/*
 * The terminal: where the console bytes of all guests go, as one stream. Guests write into a buffer; a thread of the
 * terminal's own writes it out, so that a reader that has stopped reading never stops the event loop. When the buffer
 * is full, writers wait, as long as their vCPU may run at all.
 */
#ifndef VMM_DEVICES_TERMINAL_H
#define VMM_DEVICES_TERMINAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct terminal;

/* Writes to fd, which stays the caller's; fd -1 drops everything. NULL: out of memory or threads. */
struct terminal *terminal_new(int fd);

/* Writes out what is buffered, giving up when the reader takes nothing for five seconds. */
void terminal_free(struct terminal *terminal);

/*
 * Adds bytes of guest `owner`. Where another guest has left a line unfinished, a newline comes first. Waits for room
 * while *go; after that it takes the bytes all the same, so none is lost.
 */
void terminal_write(struct terminal *terminal, uint64_t owner, const char *bytes, size_t length, const atomic_bool *go);

#endif
