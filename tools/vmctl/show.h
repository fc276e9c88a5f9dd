/* Values for people: sizes, times, tables, text that came from a guest. */
#ifndef VMCTL_SHOW_H
#define VMCTL_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One cell or phrase; long enough for every number with its unit. */
struct words {
    char text[64];
};

struct words size_words(uint64_t bytes);     /* "1.5 MiB" */
struct words time_words(uint64_t ns);        /* "412 us", "1.32 ms" */
struct words end_words(const json_t *guest); /* "exit 3", "killed", "crash", "-" */

/* Members of an object; 0, "" or false where absent or of another type. */
uint64_t member_number(const json_t *object, const char *key);
const char *member_text(const json_t *object, const char *key);
bool member_true(const json_t *object, const char *key);

/* A table: columns as wide as their widest cell, two spaces apart. Cells are copied. */
struct table;
struct table *table_new(size_t columns);
void table_add(struct table *table, const char *cell); /* row by row; the first row is the heading */
void table_add_number(struct table *table, uint64_t value);
int table_print(struct table *table); /* and frees it; -1 when out of memory */

/* Guest-made text to stdout. A terminal gets no control characters but newline and tab. */
void show_guest_text(const char *text, size_t length);

/* A value as one line of JSON. 0, or -1 when out of memory. */
int show_json(const json_t *value);

#endif
