/* How much KVM tests do. SLOWER=16 in the environment, for a machine that is about that many times slower, as emulated
 * ones are, makes it a sixteenth, but no less than still shows what the test is about. */
#ifndef TESTS_SUPPORT_ROUNDS_H
#define TESTS_SUPPORT_ROUNDS_H

#include <stdbool.h>
#include <stdlib.h>

static inline unsigned long times_slower(void)
{
    const char *text = getenv("SLOWER");
    const unsigned long slower = text ? strtoul(text, NULL, 10) : 1;
    return slower ? slower : 1;
}

/* How often to repeat something. */
static inline unsigned rounds(unsigned usual, unsigned least)
{
    const unsigned long fewer = usual / times_slower();
    return fewer > least ? (unsigned)fewer : least;
}

/* Whether to take a smaller guest, or look at samples of it. */
static inline bool on_slow_machine(void)
{
    return times_slower() > 1;
}

#endif
