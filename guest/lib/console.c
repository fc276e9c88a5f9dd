/* Printing to the console port: see console.h. */
#include "guest/lib/console.h"
#include "guest/lib/guest.h"

void print_text(const char *text)
{
    for (; *text; text++)
        port_out8(PORT_CONSOLE, (uint8_t)*text);
}

void print_decimal(uint64_t value)
{
    char digits[21];
    unsigned at = sizeof digits - 1;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    print_text(digits + at);
}

void print_hex(uint64_t value)
{
    for (int shift = 60; shift >= 0; shift -= 4)
        port_out8(PORT_CONSOLE, (uint8_t) "0123456789abcdef"[value >> shift & 15]);
}

void print_field(const char *name, uint64_t value)
{
    print_text(" ");
    print_text(name);
    print_text(" ");
    print_decimal(value);
}
