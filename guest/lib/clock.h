/* Time by RDTSC, which needs no device and no exit from the guest. */
#ifndef GUEST_LIB_CLOCK_H
#define GUEST_LIB_CLOCK_H

#include "guest/lib/guest.h"

/*
 * RDTSC ticks in a microsecond: the argument tsc_mhz=N where given, else what the VMM says, else what the processor says
 * by CPUID, else 2500. Used for pacing only, so a wrong guess makes a guest faster or slower but never wrong.
 */
uint64_t clock_ticks_per_us(boot_info *info);

/* The TSC's frequency by GUEST_CPUID_TIMING, in kHz; 0 where that is not there. */
uint64_t clock_khz_told(void);

#endif
