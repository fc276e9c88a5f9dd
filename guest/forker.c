/*
 * forker: forks itself by port, level after level. Level and index are known from its own stack alone, so they are
 * right only where a child continues from the fork with its parent's registers and memory.
 */
#include "guest/lib/args.h"
#include "guest/lib/clock.h"
#include "guest/lib/console.h"
#include "guest/lib/identity.h"

#define EXIT_REFUSED 1
#define EXIT_CHILD   10 /* plus the index */

static void report(boot_info *info, const char *what, uint64_t level, uint64_t value)
{
    print_text("forker");
    print_identity(info);
    print_field("level", level);
    print_field(what, value);
    print_text(" nonce ");
    print_hex(PROBE->nonce);
    print_text("\n");
}

static unsigned linger_and_end(boot_info *info, unsigned code)
{
    const uint64_t ticks = arg_number(info, "linger_us", 0) * clock_ticks_per_us(info);
    for (const uint64_t start = read_tsc(); read_tsc() - start < ticks;)
        cpu_pause();
    return code;
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    args_check(info, "children depth linger_us tsc_mhz");
    const uint32_t children = (uint32_t)arg_number(info, "children", 2);
    const uint64_t depth = arg_number(info, "depth", 1);

    probe_start(info, "forker");
    uint32_t own_index = 0;
    for (uint64_t level = 0; level < depth; level++) {
        const uint32_t index = guest_fork(children);
        if (index == FORK_REFUSED) {
            report(info, "refused", level, children);
            return EXIT_REFUSED;
        }
        if (index == 0) {
            report(info, "forked", level, children);
            return linger_and_end(info, own_index ? EXIT_CHILD + own_index : 0);
        }
        own_index = index;
        identity_changed(info);
        report(info, "index", level + 1, index);
    }
    return linger_and_end(info, own_index ? EXIT_CHILD + own_index : 0);
}
