/*
 * echo: reads bytes from the UART and prints each line that ends; marks how many bytes it has read, line by line. The
 * byte 4 (Ctrl-D) ends it with that number as its exit code. Ready before the first byte.
 */
#include "guest/lib/args.h"
#include "guest/lib/guest.h"

#define LINE_STATUS (PORT_UART + 5)
#define DATA_READY  1
#define END         4

const unsigned guest_options = GUEST_STAY_RING0; /* ports that not all KVMs let ring 3 use */

static uint8_t receive(void)
{
    while (!(port_in8(LINE_STATUS) & DATA_READY))
        cpu_pause();
    return port_in8(PORT_UART);
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    args_check(info, "");
    uint32_t count = 0;
    port_out32(PORT_READY, 0);
    for (;;) {
        const uint8_t byte = receive();
        if (byte == END)
            return count;
        count++;
        port_out8(PORT_UART, byte);
        if (byte == '\n')
            mark(count);
    }
}
