/* A guest's console: see console.h. */
#include "vmm/devices/console.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void console_init(struct console *console, struct terminal *terminal, uint64_t guest)
{
    *console = (struct console){.terminal = terminal, .guest = guest, .by_lines = guest != 0};
    pthread_mutex_init(&console->lock, NULL);
}

void console_free(struct console *console)
{
    free(console->kept);
    console->kept = NULL;
    pthread_mutex_destroy(&console->lock);
}

/* Makes room for one byte more; under the lock. False: the ring is at its largest, or memory is out. */
static bool grow(struct console *console)
{
    if (console->capacity == CONSOLE_KEPT)
        return false;
    size_t capacity = console->capacity ? 2 * console->capacity : 256;
    char *grown = realloc(console->kept, capacity);
    if (!grown)
        return false;
    console->kept = grown; /* a ring that has not been full yet starts at 0 */
    console->capacity = capacity;
    return true;
}

static void keep(struct console *console, char byte)
{
    if (console->length == console->capacity && !grow(console)) {
        if (!console->capacity)
            return;
        console->kept[console->start] = byte;
        console->start = (console->start + 1) % console->capacity;
        return;
    }
    console->kept[(console->start + console->length++) % console->capacity] = byte;
}

/* Under the lock. The line is complete, or as long as it may be. What the root writes is passed on byte for byte; a
 * child's line is led by its number and always ended. */
static void pass_line(struct console *console)
{
    const struct console_line *line = &console->line;
    char text[CONSOLE_LINE + 32];
    size_t length = 0;
    if (console->guest)
        length = (size_t)snprintf(text, sizeof text, "[g%" PRIu64 "] ", console->guest);
    memcpy(text + length, line->text + console->passed, line->length - console->passed);
    length += line->length - console->passed;
    if (console->guest && text[length - 1] != '\n')
        text[length++] = '\n';
    terminal_write(console->terminal, console->guest, text, length);
    console->line.length = console->passed = 0;
}

void console_pass_lines(struct console *console)
{
    pthread_mutex_lock(&console->lock);
    console->by_lines = true;
    pthread_mutex_unlock(&console->lock);
}

/* Under the lock. */
static void put_byte(struct console *console, char byte)
{
    struct console_line *line = &console->line;
    for (size_t i = 0; console->inherited && i < line->length; i++)
        keep(console, line->text[i]);
    console->inherited = false;
    keep(console, byte);
    line->text[line->length++] = byte;
    if (byte == '\n' || line->length == CONSOLE_LINE)
        pass_line(console);
}

void console_put(struct console *console, const uint8_t *bytes, size_t length, const atomic_bool *go)
{
    for (size_t done = 0; done < length;) {
        size_t piece = length - done < CONSOLE_LINE ? length - done : CONSOLE_LINE;
        terminal_wait(console->terminal, go);
        pthread_mutex_lock(&console->lock);
        for (; piece; piece--)
            put_byte(console, (char)bytes[done++]);
        if (!console->by_lines) {
            terminal_write(console->terminal, console->guest, console->line.text + console->passed,
                           console->line.length - console->passed);
            console->passed = console->line.length;
        }
        pthread_mutex_unlock(&console->lock);
    }
}

void console_flush(struct console *console)
{
    pthread_mutex_lock(&console->lock);
    if (console->line.length > console->passed && !console->inherited)
        pass_line(console);
    console->line.length = console->passed = 0;
    console->inherited = false;
    pthread_mutex_unlock(&console->lock);
}

void console_get_line(struct console *console, struct console_line *line)
{
    pthread_mutex_lock(&console->lock);
    line->length = console->line.length;
    memcpy(line->text, console->line.text, line->length);
    pthread_mutex_unlock(&console->lock);
}

void console_begin(struct console *console, const struct console_line *line)
{
    pthread_mutex_lock(&console->lock);
    console->line.length = line->length;
    memcpy(console->line.text, line->text, line->length);
    console->inherited = true;
    pthread_mutex_unlock(&console->lock);
}

size_t console_copy(struct console *console, char *text)
{
    pthread_mutex_lock(&console->lock);
    size_t length = console->length;
    for (size_t i = 0; i < length; i++)
        text[i] = console->kept[(console->start + i) % console->capacity];
    pthread_mutex_unlock(&console->lock);
    return length;
}
