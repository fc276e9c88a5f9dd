/* Time by RDTSC: see clock.h. */
#include "guest/lib/clock.h"
#include "guest/lib/args.h"

#define DEFAULT_MHZ 2500

struct cpuid {
    uint32_t a, b, c, d;
};

static struct cpuid cpuid(uint32_t leaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(0));
    return r;
}

#define HYPERVISOR_BIT (1u << 31) /* leaf 1, ECX */

uint64_t clock_khz_told(void)
{
    const bool told = cpuid(1).c & HYPERVISOR_BIT && cpuid(0x40000000).a >= GUEST_CPUID_TIMING;
    return told ? cpuid(GUEST_CPUID_TIMING).a : 0;
}

/* Leaf 0x15: the TSC runs at crystal clock * b / a. Leaf 0x16: the base frequency in MHz. */
static uint64_t mhz_by_processor(void)
{
    const uint32_t last = cpuid(0).a;
    if (last >= 0x15) {
        const struct cpuid r = cpuid(0x15);
        if (r.a && r.b && r.c)
            return (uint64_t)r.c * r.b / r.a / 1000000;
    }
    return last >= 0x16 ? cpuid(0x16).a & 0xffff : 0;
}

uint64_t clock_ticks_per_us(boot_info *info)
{
    uint64_t mhz = arg_number(info, "tsc_mhz", 0);
    if (!mhz)
        mhz = clock_khz_told() / 1000;
    if (!mhz)
        mhz = mhz_by_processor();
    return mhz ? mhz : DEFAULT_MHZ;
}
