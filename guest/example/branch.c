/* A guest to begin with: finds something out once, and forks itself into children that all go on from there. */
#include <guest/lib/args.h>
#include <guest/lib/console.h>
#include <guest/lib/guest.h>

/* Primes below `limit`, the slow way. */
static uint64_t count_primes(uint64_t limit)
{
    uint64_t count = 0;
    for (uint64_t n = 2; n < limit; n++) {
        uint64_t d = 2;
        while (d * d <= n && n % d)
            d++;
        count += d * d > n;
    }
    return count;
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    args_check(info, "children below");
    const uint64_t primes = count_primes(arg_number(info, "below", 10000));
    const uint32_t index = guest_fork((uint32_t)arg_number(info, "children", 2));
    if (index == FORK_REFUSED) {
        print_text("the fork was refused\n");
        return 1;
    }
    print_text(index ? "a child:" : "the parent:");
    print_field("index", index);
    print_field("primes", primes);
    print_text("\n");
    return 0;
}
