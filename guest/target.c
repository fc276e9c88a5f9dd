/*
 * target: a guest to be run from the point where it is ready, again and again, as a fuzzer does. It says that it is
 * ready, and when it runs on, reads an input of at most `bytes` bytes at address `input`, writes to `pages` pages, puts
 * the sum of the input's bytes at address `result`, and ends as the input's first byte says.
 */
#include "guest/lib/args.h"
#include "guest/lib/guest.h"

#define PAGE 4096

/* First bytes, and what they make of the guest. Any other: it exits with the sum. */
enum end {
    END_CRASH = 'c', /* #UD */
    END_NULL = 'n',  /* a write where nothing is mapped */
    END_HALT = 'h',
    END_MARK = 'm', /* a mark with the sum, then an exit with it */
    END_LOOP = 'l', /* never */
    END_FORK = 'f', /* an exit with what the fork port reads after a fork into one */
};

static uint32_t sum_of(const volatile uint8_t *bytes, uint64_t length)
{
    uint32_t sum = 0;
    for (uint64_t i = 0; i < length; i++)
        sum += bytes[i];
    return sum;
}

static void halt(void)
{
    __asm__ volatile("hlt");
}

static uint32_t end(uint8_t first, uint32_t sum)
{
    switch (first) {
    case END_CRASH:
        __asm__ volatile("ud2");
        break;
    case END_NULL:
        *(volatile uint32_t *)UINT64_C(0x600000000000) = sum;
        break;
    case END_HALT:
        for (;;)
            halt();
    case END_MARK:
        mark(sum);
        break;
    case END_LOOP:
        for (;;)
            cpu_pause();
    case END_FORK:
        return guest_fork(1);
    default:
        break;
    }
    return sum;
}

const unsigned guest_options = GUEST_STAY_RING0; /* HLT is a matter of ring 0 */

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    args_check(info, "pages bytes input result");
    const uint64_t pages = arg_number(info, "pages", 1), bytes = arg_number(info, "bytes", 1024);
    const uint64_t first = (uint64_t)image_end;
    volatile uint8_t *input = (volatile uint8_t *)arg_number(info, "input", first);
    volatile uint32_t *result = (volatile uint32_t *)arg_number(info, "result", first + bytes);
    const uint64_t data = (first + bytes + sizeof *result + PAGE - 1) / PAGE * PAGE;

    port_out32(PORT_READY, (uint32_t)pages);
    const uint32_t sum = sum_of(input, bytes);
    for (uint64_t i = 0; i < pages; i++)
        *(volatile uint32_t *)(data + i * PAGE) = sum + (uint32_t)i;
    *result = sum;
    return end(input[0], sum);
}
