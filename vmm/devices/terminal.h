/*
 * The terminal: where the console bytes of all guests go, as one stream, through an outlet. When much is waiting to be
 * written, vCPUs wait before they add more, as long as they may run at all; nobody else ever waits, and nobody holds a
 * lock while waiting. Any thread.
 */
#ifndef VMM_DEVICES_TERMINAL_H
#define VMM_DEVICES_TERMINAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct terminal;

/* Writes to fd, which stays the caller's; fd -1 drops everything. NULL with errno: ENOMEM, or EAGAIN where a thread
 * cannot be made. */
struct terminal *terminal_new(int fd);

/* Writes out what is buffered, giving up when the reader takes nothing for five seconds. NULL is allowed. */
void terminal_free(struct terminal *terminal);

/* terminal_wait() would wait. */
bool terminal_is_full(struct terminal *terminal);

/* Waits for room, while *go. To be called before terminal_write() by who can wait, without any lock. */
void terminal_wait(struct terminal *terminal, const atomic_bool *go);

/* Adds bytes of guest `owner`. Where another guest has left a line unfinished, a newline comes first. Bytes that have
 * not been waited for find room, too, unless there are very many: then they are dropped, counted, and told of. */
void terminal_write(struct terminal *terminal, uint64_t owner, const char *bytes, size_t length);

#endif
