/*
 * random: writes words to random pages without end and forks itself by port now and then. All it does follows from its
 * seed and from which guests it descends from, so a test on the host can tell what every page must hold at any step.
 */
#include "guest/lib/random.h"
#include "guest/lib/args.h"
#include "guest/lib/clock.h"
#include "guest/lib/console.h"
#include "guest/lib/identity.h"

#define PAGE          4096
#define EXIT_TOO_DEEP 3
#define EXIT_AS_TOLD  7

#define STATE ((volatile struct random_state *)(uintptr_t)RANDOM_STATE_GPA)

static volatile uint64_t *slot_word(uint64_t page, uint64_t slot)
{
    return (volatile uint64_t *)(STATE->first + page * PAGE) + random_word(page, slot);
}

static void take_step(uint64_t key, uint64_t step)
{
    volatile struct random_state *state = STATE;
    const struct random_action action = random_action(state->pages, state->run, state->fork_every, key, step);
    if (action.fork) {
        const uint32_t index = guest_fork((uint32_t)action.fork);
        if (index == FORK_REFUSED) {
            state->refused++;
            return;
        }
        state->forks++;
        state->index = index;
        return;
    }
    for (uint64_t page = action.page; page < action.page + action.count; page++)
        *slot_word(page, action.slot) = random_value(key, step, page);
}

/* ends=1: some children do what no sibling may notice. */
static void end_badly(uint64_t guest_id)
{
    switch (guest_id % 4) {
    case 1:
        __asm__ volatile("ud2");
        break;
    case 2:
        for (;;)
            cpu_pause();
    case 3:
        guest_exit(EXIT_AS_TOLD);
    }
}

static unsigned run(boot_info *info)
{
    volatile struct random_state *state = STATE;
    const uint64_t pace = arg_number(info, "pace_us", 50) * clock_ticks_per_us(info);
    const bool ends = arg_number(info, "ends", 0) != 0;
    uint64_t key = state->seed, last = read_tsc();
    for (uint64_t step = 0;; step++) {
        while (read_tsc() - last < pace)
            cpu_pause();
        last = read_tsc();
        const uint64_t guest_id = info->guest_id;
        if (guest_id != state->guest_id) {
            const uint64_t n = state->entries;
            if (n == RANDOM_HISTORY)
                return EXIT_TOO_DEEP;
            state->history[n].step = step;
            state->history[n].salt = guest_id;
            state->entries = n + 1;
            state->guest_id = guest_id;
            key = random_key(key, guest_id);
            if (ends)
                end_badly(guest_id);
        }
        take_step(key, step);
        state->step = step + 1;
    }
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    args_check(info, "seed pages fill run fork_every pace_us ends tsc_mhz");
    volatile struct random_state *state = STATE;
    const uint64_t first = (uint64_t)image_end;
    const uint64_t room = (info->ram_bytes - first) / PAGE;
    state->first = first;
    state->seed = arg_number(info, "seed", 1);
    state->pages = arg_number(info, "pages", room);
    state->filled = arg_number(info, "fill", 0);
    state->run = arg_number(info, "run", 16);
    state->fork_every = arg_number(info, "fork_every", 0);
    state->guest_id = info->guest_id;
    if (!state->pages || state->pages > room || state->filled > state->pages || !state->run) {
        print_text("random: pages=, fill= and run= do not fit into RAM after the image\n");
        return ARGS_EXIT;
    }
    probe_start(info, "random");
    for (uint64_t page = 0; page < state->filled; page++)
        *slot_word(page, 0) = random_fill(state->seed, page);
    for (unsigned i = 0; i < sizeof state->magic; i++)
        state->magic[i] = RANDOM_MAGIC[i];
    return run(info);
}
