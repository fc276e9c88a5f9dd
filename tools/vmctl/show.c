/* Values for people: see show.h. */
#include "tools/vmctl/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct words size_words(uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    struct words words;
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    bool whole = value >= 100 || value == (double)(uint64_t)value;
    snprintf(words.text, sizeof words.text, "%.*f %s", whole ? 0 : 1, value, units[unit]);
    return words;
}

struct words time_words(uint64_t ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    struct words words;
    double value = (double)ns;
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    int decimals = unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
    snprintf(words.text, sizeof words.text, "%.*f %s", decimals, value, units[unit]);
    return words;
}

struct words end_words(const json_t *guest)
{
    struct words words;
    const char *reason = member_text(guest, "reason");
    const json_t *code = json_object_get(guest, "exit_code");
    if (json_is_integer(code))
        snprintf(words.text, sizeof words.text, "%s %" PRIu64, reason, member_number(guest, "exit_code"));
    else
        snprintf(words.text, sizeof words.text, "%s", *reason ? reason : "-");
    return words;
}

uint64_t member_number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

const char *member_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

bool member_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

struct table {
    size_t columns;
    size_t count; /* of cells */
    size_t capacity;
    char **cells;
    bool failed; /* out of memory */
};

struct table *table_new(size_t columns)
{
    struct table *table = calloc(1, sizeof *table);
    if (table)
        table->columns = columns;
    return table;
}

void table_add(struct table *table, const char *cell)
{
    if (!table || table->failed)
        return;
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? 2 * table->capacity : 64;
        char **cells = realloc(table->cells, capacity * sizeof *cells);
        if (!cells) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    char *copy = strdup(cell);
    if (copy)
        table->cells[table->count++] = copy;
    else
        table->failed = true;
}

void table_add_number(struct table *table, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    table_add(table, text);
}

static size_t column_width(const struct table *table, size_t column)
{
    size_t width = 0;
    for (size_t i = column; i < table->count; i += table->columns) {
        size_t length = strlen(table->cells[i]);
        width = length > width ? length : width;
    }
    return width;
}

int table_print(struct table *table)
{
    if (!table)
        return -1;
    size_t widths[16];
    for (size_t column = 0; column < table->columns; column++)
        widths[column] = column_width(table, column);
    for (size_t i = 0; i < table->count && !table->failed; i++) {
        size_t column = i % table->columns;
        bool last = column + 1 == table->columns || (column + 2 == table->columns && !*table->cells[i + 1]);
        printf("%-*s%s", last ? 0 : (int)widths[column], table->cells[i], last ? "" : "  ");
        if (column + 1 == table->columns)
            putchar('\n');
    }
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    int result = table->failed ? -1 : 0;
    free(table);
    return result;
}

void show_guest_text(const char *text, size_t length)
{
    bool terminal = isatty(STDOUT_FILENO);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
        /* U+0080 to U+009F are controls too: C2 80 to C2 9F. */
        if (c == 0xC2 && i + 1 < length && (unsigned char)text[i + 1] < 0xA0) {
            control = true;
            i += terminal;
        }
        putchar(terminal && control ? '?' : c);
    }
}

int show_json(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        return -1;
    puts(text);
    free(text);
    return 0;
}
