/*
 * A guest's console: keeps its last 64 KiB for query-console and passes its bytes on to the terminal: a child's line by
 * line, each led by "[gN] "; the root's as they come while it is alone, then line by line too, so that no line is torn.
 * Written by vCPU threads, read by the event-loop thread.
 */
#ifndef VMM_DEVICES_CONSOLE_H
#define VMM_DEVICES_CONSOLE_H

#include "vmm/devices/terminal.h"

#include <pthread.h>

#define CONSOLE_KEPT 65536
#define CONSOLE_LINE 1024 /* a longer line of a child comes out in parts */

struct console {
    struct terminal *terminal;
    uint64_t guest;
    pthread_mutex_t lock;
    char *kept; /* a ring that grows up to CONSOLE_KEPT; under lock, as are the rest */
    size_t capacity, length, start;
    char line[CONSOLE_LINE];
    size_t line_length;
    bool by_lines;
};

void console_init(struct console *console, struct terminal *terminal, uint64_t guest);
void console_free(struct console *console);

/* From now on only whole lines are passed on; a child's are from the start. */
void console_pass_lines(struct console *console);

/* `go` as for terminal_write(). */
void console_put(struct console *console, const uint8_t *bytes, size_t length, const atomic_bool *go);

/* Passes on an unfinished line: the guest has ended. */
void console_flush(struct console *console);

/* Copies what is kept, in order, to text (CONSOLE_KEPT bytes of room); returns its length. */
size_t console_copy(struct console *console, char *text);

#endif
