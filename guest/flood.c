/*
 * flood: floods the VMM as a hostile guest would: vCPU 0 writes to the console without end, the last vCPU asks for
 * forks without end. Children end at once, so that only the parent's forks are left.
 */
#include "guest/lib/args.h"
#include "guest/lib/console.h"
#include "guest/lib/identity.h"

const unsigned guest_options = GUEST_ALL_CPUS;

/* As much as one instruction can. */
static void write_without_end(void)
{
    static const char text[] = "a line that somebody should read, and nobody does; there are many more like it here\n";
    for (;; PROBE->counter++) {
        const char *from = text;
        uint64_t count = sizeof text - 1;
        __asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(PORT_CONSOLE) : "memory");
    }
}

static void fork_without_end(uint32_t children)
{
    for (;;) {
        const uint32_t index = guest_fork(children);
        if (index != 0 && index != FORK_REFUSED)
            guest_exit(0);
        PROBE->cpu[index ? 1 : 0].counter++; /* 0: made, 1: refused */
    }
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    if (cpu == 0) {
        args_check(info, "console forks after");
        probe_start(info, "flood");
    }
    const uint32_t children = (uint32_t)arg_number(info, "forks", 0);
    if (children && cpu == info->cpus - 1) {
        while (PROBE->counter < arg_number(info, "after", 0))
            cpu_pause();
        fork_without_end(children);
    }
    if (cpu == 0 && arg_number(info, "console", 1))
        write_without_end();
    for (;;)
        cpu_pause();
}
