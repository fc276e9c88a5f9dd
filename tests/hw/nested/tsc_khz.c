/* Prints the frequency of this processor's TSC in kHz, which is that of QEMU's TCG too. For tests/hw/nested/run. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

/* When, by clock and TSC. The reading of the clock that took the least time says it best. */
static void read_both(uint64_t *ns, uint64_t *tsc)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 100; i++) {
        struct timespec now;
        const uint64_t before = __builtin_ia32_rdtsc();
        clock_gettime(CLOCK_MONOTONIC_RAW, &now);
        const uint64_t took = __builtin_ia32_rdtsc() - before;
        if (took >= least)
            continue;
        least = took;
        *tsc = before + took / 2;
        *ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    }
}

int main(void)
{
    uint64_t ns[2], tsc[2];
    read_both(&ns[0], &tsc[0]);
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    read_both(&ns[1], &tsc[1]);
    printf("%.0f\n", (double)(tsc[1] - tsc[0]) / (double)(ns[1] - ns[0]) * 1e6);
    return 0;
}
