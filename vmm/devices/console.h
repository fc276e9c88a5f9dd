/*
 * A guest's console: keeps its last 64 KiB for query-console and passes its bytes on to the terminal: a child's line by
 * line, each led by "[gN] "; the root's as they come while it is alone, then line by line too, so that no line is torn.
 * Written by vCPU threads, read by the owner's thread. Nobody waits under its lock.
 */
#ifndef VMM_DEVICES_CONSOLE_H
#define VMM_DEVICES_CONSOLE_H

#include "vmm/devices/terminal.h"

#include <pthread.h>

#define CONSOLE_KEPT 65536
#define CONSOLE_LINE 1024 /* a longer line of a child comes out in parts */

/* The line that a guest is in the middle of: what it has written of it. */
struct console_line {
    size_t length;
    char text[CONSOLE_LINE];
};

struct console {
    struct terminal *terminal;
    uint64_t guest;
    pthread_mutex_t lock;
    char *kept; /* a ring that grows up to CONSOLE_KEPT; under lock, as are the rest */
    size_t capacity, length, start;
    struct console_line line;
    size_t passed;  /* bytes of the line that the terminal has already */
    bool inherited; /* all of the line is of before the guest's own life, and it has written nothing since */
    bool by_lines;
};

void console_init(struct console *console, struct terminal *terminal, uint64_t guest);
void console_free(struct console *console);

/* From now on only whole lines are passed on; a child's are from the start. */
void console_pass_lines(struct console *console);

/* Waits for room in the terminal while *go, as for terminal_wait(). Bytes of one thread stay in order. */
void console_put(struct console *console, const uint8_t *bytes, size_t length, const atomic_bool *go);

/* Passes on an unfinished line: the guest has ended. */
void console_flush(struct console *console);

/* The line that the guest is in the middle of; and a new guest that begins there. What the latter writes goes on from
 * it, so that its first line is a whole one. Until it writes, it has written nothing. */
void console_get_line(struct console *console, struct console_line *line);
void console_begin(struct console *console, const struct console_line *line);

/* Copies what is kept, in order, to text (CONSOLE_KEPT bytes of room); returns its length. */
size_t console_copy(struct console *console, char *text);

#endif
