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
#define LOST_TSC     0x100 /* beside the bits of registers.h */

/* Ring 3 cannot see whether it may use WRFSBASE, so this guest looks while it is in ring 0. */
const unsigned guest_options = GUEST_STAY_RING0;

static bool bases_allowed(void)
{
    uint64_t cr4 = 0;
    if (cpu_level() == 0)
        __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    return (cr4 & CR4_FSGSBASE) != 0;
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
    drop_to_ring3();
    args_check(info, "spins rounds after bases");
    const bool bases = arg_number(info, "bases", allowed) != 0;
    const uint64_t spins = arg_number(info, "spins", 1000000);
    const uint64_t rounds = arg_number(info, "rounds", 0);
    const bool leave = !arg_is(info, "after", "continue");

    probe_start(info, "state");
    report(info, "bases", bases);
    uint64_t before = read_tsc();
    while (!rounds || PROBE->counter < rounds) {
        uint32_t lost = hold_registers(hash_mix(PROBE->counter), spins, bases);
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
