/*
 * counter: never stops. Its counter only grows and its nonce is drawn once, so a child that shows its parent's nonce
 * and a higher count has continued and not restarted.
 */
#include "guest/lib/args.h"
#include "guest/lib/clock.h"
#include "guest/lib/console.h"
#include "guest/lib/identity.h"

#define INTERVAL_US 100000

static void report(boot_info *info)
{
    print_text("counter ");
    print_decimal(PROBE->counter);
    print_identity(info);
    print_text(" nonce ");
    print_hex(PROBE->nonce);
    print_text("\n");
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    args_check(info, "interval_us every limit quiet tsc_mhz");
    const uint64_t interval = arg_number(info, "interval_us", INTERVAL_US) * clock_ticks_per_us(info);
    const uint64_t every = arg_number(info, "every", 0);
    const uint64_t limit = arg_number(info, "limit", 0);
    const bool quiet = arg_number(info, "quiet", 0) != 0;

    volatile struct probe *probe = PROBE;
    probe_start(info, "counter");
    report(info);
    uint64_t last = read_tsc();
    while (!limit || probe->counter < limit) {
        probe->counter++;
        bool due = identity_changed(info);
        if (every)
            due |= probe->counter % every == 0;
        else if (!quiet && read_tsc() - last >= interval)
            due = true;
        if (due) {
            report(info);
            last = read_tsc();
        }
    }
    report(info);
    return 0;
}
