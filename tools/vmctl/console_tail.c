/* See console_tail.h. */
#include "tools/vmctl/console_tail.h"

#include <string.h>

#define REPLACEMENT        "\xEF\xBF\xBD"
#define REPLACEMENT_LENGTH (sizeof REPLACEMENT - 1)
#define CUT_MAX            3 /* bytes of a character that is cut in two */

/* Fewer bytes in common than these may be chance. */
#define COMMON_LEAST 16

size_t tail_complete(const char *text, size_t length)
{
    for (unsigned i = 0; i < CUT_MAX && length >= REPLACEMENT_LENGTH; i++) {
        if (memcmp(text + length - REPLACEMENT_LENGTH, REPLACEMENT, REPLACEMENT_LENGTH) != 0)
            break;
        length -= REPLACEMENT_LENGTH;
    }
    return length;
}

/* How much of the beginning may be the rest of a character. */
static size_t cut_head(const char *text, size_t length)
{
    size_t head = 0;
    for (unsigned i = 0; i < CUT_MAX && length - head >= REPLACEMENT_LENGTH; i++) {
        if (memcmp(text + head, REPLACEMENT, REPLACEMENT_LENGTH) != 0)
            break;
        head += REPLACEMENT_LENGTH;
    }
    return head;
}

size_t tail_fresh(const char *old, size_t old_length, const char *now, size_t length, bool *missed)
{
    *missed = false;
    if (old_length <= length && memcmp(old, now, old_length) == 0)
        return old_length; /* nothing has gone at its beginning */
    size_t head = cut_head(now, length);
    now += head;
    length -= head;
    for (size_t start = 0; start < old_length; start++) {
        size_t common = old_length - start;
        if (common < COMMON_LEAST)
            break;
        if (common <= length && old[start] == *now && memcmp(old + start, now, common) == 0)
            return head + common;
    }
    *missed = true;
    return 0;
}
