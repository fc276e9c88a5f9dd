/* The last of a text that grows, looked at again and again: which part of it is new? Pure. */
#ifndef VMCTL_CONSOLE_TAIL_H
#define VMCTL_CONSOLE_TAIL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Where in now[0..length), the end of the text as it is, the part begins that was not yet there when its end was
 * old[0..old_length). The text is UTF-8, and each end may begin in the middle of a character, which then is U+FFFD: up
 * to three of these at the beginning do not count. *missed: the two ends have nothing in common, so something between
 * them was not seen.
 *
 * Where a text repeats itself over all that is seen of it, the least is new that can be.
 */
size_t tail_fresh(const char *old, size_t old_length, const char *now, size_t length, bool *missed);

/* The length without the last character, if that may be one that is not complete yet: up to three U+FFFD. */
size_t tail_complete(const char *text, size_t length);

#endif
