/*
 * smp: every vCPU counts, alone and together, and meets the others at a barrier. In a child all of them must go on.
 */
#include "guest/lib/args.h"
#include "guest/lib/console.h"
#include "guest/lib/identity.h"
#include "guest/lib/marks.h"

const unsigned guest_options = GUEST_ALL_CPUS;

static volatile uint32_t arrived; /* vCPUs at the barrier, over all rounds: only ever grows */
static volatile uint32_t started;

static void count(unsigned cpu, uint64_t times)
{
    volatile struct probe *probe = PROBE;
    for (uint64_t i = 0; i < times; i++) {
        probe->cpu[cpu].counter++;
        __atomic_fetch_add(&probe->shared, 1, __ATOMIC_SEQ_CST);
    }
}

/* Waits until every vCPU has come here `round` times. */
static void barrier(uint32_t cpus, uint32_t round)
{
    __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
    while ((int32_t)(arrived - cpus * round) < 0)
        cpu_pause();
}

static void report(boot_info *info, const char *what)
{
    print_text("smp ");
    print_text(what);
    print_identity(info);
    print_field("vcpus", info->cpus);
    print_field("shared", PROBE->shared);
    print_text("\n");
}

/* Everything counted so far, by the vCPUs' own counters; nobody may be counting meanwhile. */
static bool sums_agree(boot_info *info)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < info->cpus; i++)
        sum += PROBE->cpu[i].counter;
    return sum == PROBE->shared;
}

/* In a fork's child: true once every vCPU has been seen to count on. The other vCPUs are at it; this one counts too. */
static void wait_for_all(boot_info *info)
{
    uint64_t before[GUEST_MAX_CPUS];
    const unsigned cpus = info->cpus;
    for (unsigned i = 0; i < cpus; i++)
        before[i] = PROBE->cpu[i].counter;
    for (unsigned i = 1; i < cpus; i++)
        while (PROBE->cpu[i].counter == before[i])
            cpu_pause();
}

static unsigned count_forever(boot_info *info, unsigned cpu)
{
    const bool leave = arg_is(info, "after", "exit");
    for (;;) {
        count(cpu, 1);
        if (cpu != 0 || !identity_changed(info))
            continue;
        mark(MARK_FIRST_OUTPUT);
        wait_for_all(info);
        mark(MARK_VERIFIED);
        report(info, "continues");
        if (leave)
            return 0;
    }
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    if (cpu == 0) {
        args_check(info, "mode rounds times after");
        probe_start(info, "smp");
        started = 1;
    }
    while (!started)
        cpu_pause();
    const uint32_t rounds = (uint32_t)arg_number(info, "rounds", 10);
    const uint64_t times = arg_number(info, "times", 10000);

    for (uint32_t round = 0; round < rounds; round++) {
        count(cpu, times);
        barrier(info->cpus, 2 * round + 1);
        if (cpu == 0 && !sums_agree(info)) {
            report(info, "wrong");
            return 1;
        }
        barrier(info->cpus, 2 * round + 2);
    }
    if (cpu == 0) {
        report(info, "done");
        mark(MARK_ROUND);
    }
    if (arg_is(info, "mode", "forever"))
        return count_forever(info, cpu);
    if (cpu == 0)
        return 0;
    for (;;)
        cpu_pause();
}
