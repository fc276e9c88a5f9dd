/* See console.h. */
#include "tests/hw/rom/console.h"

#include "tests/hw/rom/machine.h"

#define PORT_CONSOLE    0xe9
#define PORT_BOCHS_END  0x8900
#define PORT_QEMU_END   0x501 /* isa-debug-exit: as its iobase says */
#define STATUS_QEMU_END 0

void console_bytes(const void *bytes, size_t count)
{
    outsb(PORT_CONSOLE, bytes, count);
}

static size_t length(const char *text)
{
    size_t count = 0;

    while (text[count])
        count++;
    return count;
}

void console_text(const char *text)
{
    console_bytes(text, length(text));
}

void console_hex(uint64_t value)
{
    char digits[16];
    size_t at = sizeof(digits);

    do {
        digits[--at] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    console_bytes(digits + at, sizeof(digits) - at);
}

static _Noreturn void power_off(void)
{
    outsb(PORT_BOCHS_END, "Shutdown", 8);
    outl(PORT_QEMU_END, STATUS_QEMU_END);
    for (;;)
        halt();
}

void machine_end(void)
{
    console_text("\nEND ok\n");
    power_off();
}

void machine_fail(const char *why)
{
    console_text("\nEND failed: ");
    console_text(why);
    console_text("\n");
    power_off();
}
