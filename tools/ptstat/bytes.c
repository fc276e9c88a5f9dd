/* See bytes.h. */
#include "tools/ptstat/bytes.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int suffix_shift(const char *suffix)
{
    if (suffix[0] == '\0')
        return 0;
    if (suffix[1] != '\0')
        return -EINVAL;
    switch (suffix[0]) {
    case 'K':
        return 10;
    case 'M':
        return 20;
    case 'G':
        return 30;
    default:
        return -EINVAL;
    }
}

int bytes_parse(const char *text, uint64_t *bytes)
{
    char *end;
    uint64_t number;
    int shift;

    if (!isdigit((unsigned char)text[0]))
        return -EINVAL;
    errno = 0;
    number = strtoull(text, &end, 10);
    shift = suffix_shift(end);
    if (shift < 0)
        return -EINVAL;
    if (errno == ERANGE || number > (uint64_t)INT64_MAX >> shift)
        return -ERANGE;
    number <<= shift;
    if (number == 0 || number % PAGE_BYTES)
        return -EINVAL;
    *bytes = number;
    return 0;
}

/* Shifts *bytes down to the largest unit that divides it: 0 bytes, 1 KiB, 2 MiB, 3 GiB. */
static unsigned unit_of(uint64_t *bytes)
{
    unsigned unit = 0;

    while (unit < 3 && *bytes && *bytes % 1024 == 0) {
        *bytes /= 1024;
        unit++;
    }
    return unit;
}

char *bytes_text(char text[BYTES_TEXT], uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
    unsigned unit = unit_of(&bytes);

    snprintf(text, BYTES_TEXT, "%" PRIu64 " %s", bytes, units[unit]);
    return text;
}

char *bytes_option(char text[BYTES_TEXT], uint64_t bytes)
{
    static const char *const units[] = {"", "K", "M", "G"};
    unsigned unit = unit_of(&bytes);

    snprintf(text, BYTES_TEXT, "%" PRIu64 "%s", bytes, units[unit]);
    return text;
}
