/* Telling a person of a crash: why, where, and the registers. */
#ifndef VMM_CRASH_TEXT_H
#define VMM_CRASH_TEXT_H

#include <cleave/guest.h>

/* On stderr. */
void crash_print(uint64_t guest, const struct cleave_crash *crash);

#endif
