/* Telling a person of a crash: why, where, and the registers. */
#ifndef VMM_CRASH_TEXT_H
#define VMM_CRASH_TEXT_H

#include <cleave/guest.h>

/* In the log. Guests that crash again and again, or children that do one after the other, are told of at a rate; the
 * first guest's crashes are not held back by those of others. */
void crash_print(uint64_t guest, uint64_t now_ns, const struct cleave_crash *crash);

/* How many crashes have not been told of since the last that was, if any: at the end. */
void crash_print_left_out(void);

#endif
