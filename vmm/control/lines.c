/* Cuts a client's bytes into lines: see lines.h. */
#include "vmm/control/lines.h"

#include <stdlib.h>
#include <string.h>

/* The longest line and "\r\n". */
#define BUFFER_MAX (CONTROL_LINE_MAX + 2)

static void move_to_front(struct lines *lines)
{
    if (lines->start == 0)
        return;
    memmove(lines->bytes, lines->bytes + lines->start, lines->end - lines->start);
    lines->end -= lines->start;
    lines->scanned -= lines->start;
    lines->start = 0;
}

char *lines_space(struct lines *lines, size_t *room)
{
    move_to_front(lines);
    if (lines->end == lines->capacity && lines->capacity < BUFFER_MAX) {
        size_t capacity = lines->capacity ? 4 * lines->capacity : 4096;
        if (capacity > BUFFER_MAX)
            capacity = BUFFER_MAX;
        char *bytes = realloc(lines->bytes, capacity);
        if (!bytes)
            return NULL;
        lines->bytes = bytes;
        lines->capacity = capacity;
    }
    *room = lines->capacity - lines->end;
    return lines->bytes + lines->end;
}

void lines_added(struct lines *lines, size_t count)
{
    lines->end += count;
}

bool lines_full(const struct lines *lines)
{
    return lines->end - lines->start >= BUFFER_MAX;
}

/* The newline that ends the first line, or NULL. */
static const char *find_newline(struct lines *lines)
{
    if (lines->scanned == lines->end)
        return NULL;
    const char *newline = memchr(lines->bytes + lines->scanned, '\n', lines->end - lines->scanned);
    lines->scanned = newline ? (size_t)(newline - lines->bytes) : lines->end;
    return newline;
}

/* The length of a line of `length` bytes without a carriage return at its end. */
static size_t without_return(const char *line, size_t length)
{
    return length > 0 && line[length - 1] == '\r' ? length - 1 : length;
}

static bool too_long(const struct lines *lines, size_t length)
{
    return without_return(lines->bytes + lines->start, length) > CONTROL_LINE_MAX;
}

bool lines_waiting(struct lines *lines, bool at_end)
{
    size_t length = lines->end - lines->start;
    return find_newline(lines) || (length > 0 && (at_end || too_long(lines, length)));
}

enum line_result lines_take(struct lines *lines, bool at_end, const char **line, size_t *length)
{
    const char *newline = find_newline(lines);
    size_t bytes = (newline ? lines->scanned : lines->end) - lines->start;
    if (bytes > 0 && too_long(lines, bytes))
        return LINE_TOO_LONG;
    if (!newline && (!at_end || bytes == 0))
        return LINE_NONE;
    *line = lines->bytes + lines->start;
    *length = without_return(*line, bytes);
    lines->start += newline ? bytes + 1 : bytes;
    lines->scanned = lines->start;
    return LINE_TAKEN;
}

void lines_free(struct lines *lines)
{
    free(lines->bytes);
    *lines = (struct lines){0};
}
