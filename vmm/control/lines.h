/* Cuts a client's bytes into lines, however they arrive. Knows nothing of sockets and JSON. */
#ifndef VMM_CONTROL_LINES_H
#define VMM_CONTROL_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* The longest line, its ending not counted: 64 KiB of data are 85 KiB of base64. */
#define CONTROL_LINE_MAX ((size_t)96 << 10)

/* Zero-initialized is empty. Bytes [start, end) are waiting; [start, scanned) has no newline. */
struct lines {
    char *bytes;
    size_t start, scanned, end, capacity;
};

enum line_result {
    LINE_NONE,     /* no whole line is there yet */
    LINE_TAKEN,    /* the line's bytes stay where they are until the next call that is not lines_take */
    LINE_TOO_LONG, /* nothing more can be taken */
};

/* Where to put more bytes: *room of them, at least one unless lines_full. NULL when out of memory. */
char *lines_space(struct lines *lines, size_t *room);

/* So many bytes were put there. */
void lines_added(struct lines *lines, size_t count);

/* No more bytes can be accepted before a line is taken. */
bool lines_full(const struct lines *lines);

/* lines_take would give something else than LINE_NONE. */
bool lines_waiting(struct lines *lines, bool at_end);

/*
 * Takes the next line, without its "\n" or "\r\n". With `at_end` no more bytes will come, and what is left without an
 * ending is a line too.
 */
enum line_result lines_take(struct lines *lines, bool at_end, const char **line, size_t *length);

void lines_free(struct lines *lines);

#endif
