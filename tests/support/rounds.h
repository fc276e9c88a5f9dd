/* How often KVM tests repeat what they do. SLOWER=8 in the environment, for a machine that is about that many times
 * slower, as emulated ones are, makes it an eighth, but no less than still shows what the test is about. */
#ifndef TESTS_SUPPORT_ROUNDS_H
#define TESTS_SUPPORT_ROUNDS_H

#include <stdlib.h>

static inline unsigned rounds(unsigned usual, unsigned least)
{
    const char *text = getenv("SLOWER");
    const unsigned long slower = text ? strtoul(text, NULL, 10) : 1;
    const unsigned long fewer = slower > 1 ? usual / slower : usual;
    return fewer > least ? (unsigned)fewer : least;
}

#endif
