/*
 * state: keeps patterns in every register that ring 3 has and checks them all the time, and that RDTSC never goes back.
 * A child that finds everything as its parent left it says so and exits with code 0.
 */
#include "guest/lib/args.h"
#include "guest/lib/console.h"
#include "guest/lib/hash.h"
#include "guest/lib/identity.h"
#include "guest/lib/marks.h"
#include "guest/lib/registers.h"

#define CR4_FSGSBASE 0x10000
#define CR4_OSXSAVE  0x40000
#define XCR0_AVX     7     /* x87, SSE, AVX */
#define LOST_TSC     0x100 /* beside the bits of registers.h */

/* Ring 3 cannot see whether it may use WRFSBASE, nor allow itself AVX, so this guest does both in ring 0. */
const unsigned guest_options = GUEST_STAY_RING0;

static bool bases_allowed(void)
{
    uint64_t cr4 = 0;
    if (cpu_level() == 0)
        __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    return (cr4 & CR4_FSGSBASE) != 0;
}

/* A KVM that interprets ring 0 may not know XSETBV, so this is done only where it is asked for. */
static void allow_avx(void)
{
    uint64_t cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_OSXSAVE));
    __asm__ volatile("xsetbv" : : "a"(XCR0_AVX), "d"(0), "c"(0));
}

static void report(boot_info *info, const char *what, uint64_t value)
{
    print_text("state");
    print_identity(info);
    print_field(what, value);
    print_text("\n");
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    const bool allowed = bases_allowed();
    args_check(info, "spins rounds after bases avx");
    const bool avx = arg_number(info, "avx", 0) != 0;
    if (avx && cpu_level() == 0)
        allow_avx();
    drop_to_ring3();
    const bool bases = arg_number(info, "bases", allowed) != 0;
    const uint64_t spins = arg_number(info, "spins", 1000000);
    const uint64_t rounds = arg_number(info, "rounds", 0);
    const bool leave = !arg_is(info, "after", "continue");

    probe_start(info, "state");
    report(info, "bases", bases);
    const uint64_t also = (bases ? HOLD_BASES : 0) | (avx ? HOLD_YMM : 0);
    uint64_t before = read_tsc();
    while (!rounds || PROBE->counter < rounds) {
        uint32_t lost = hold_registers(hash_mix(PROBE->counter), spins, also);
        const uint64_t now = read_tsc();
        if (now < before)
            lost |= LOST_TSC;
        before = now;
        PROBE->counter++;
        if (lost) {
            report(info, "lost", lost);
            mark(MARK_WRONG);
            return 1;
        }
        if (identity_changed(info)) {
            mark(MARK_VERIFIED);
            report(info, "ok", PROBE->counter);
            if (leave)
                return 0;
        }
    }
    report(info, "ok", PROBE->counter);
    return 0;
}
