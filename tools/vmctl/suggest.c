/* What somebody who mistyped a command may have meant. */
#include "tools/vmctl/command_line.h"

#include <string.h>

#define NAME_MAX_LENGTH 32

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters have to be put in, taken out or changed to make `b` of `a`; both are short. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LENGTH + 1], columns = strlen(b);
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 1; j <= columns; j++) {
            size_t above = row[j];
            row[j] = least(diagonal + (a[i] != b[j - 1]), least(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[columns];
}

const char *suggest_subcommand(const char *name)
{
    const char *best = NULL;
    size_t best_distance = 3; /* more than two letters are another word */
    if (strlen(name) > NAME_MAX_LENGTH)
        return NULL;
    for (size_t i = 0; i < subcommand_count; i++) {
        size_t far = distance(name, subcommands[i].name);
        if (far < best_distance && far < strlen(name)) {
            best = subcommands[i].name;
            best_distance = far;
        }
    }
    return best;
}
