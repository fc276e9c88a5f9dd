/* What a ROM says and how it ends. Port 0xE9 is Bochs's `port_e9_hack` and QEMU's `-debugcon`. */
#ifndef TESTS_HW_ROM_CONSOLE_H
#define TESTS_HW_ROM_CONSOLE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes as they are. */
void console_bytes(const void *bytes, size_t count);

/* Text up to its zero. */
void console_text(const char *text);

/* A number as hexadecimal digits, without leading zeros or a prefix. */
void console_hex(uint64_t value);

/* Says `END ok`, or `END failed: WHY`, on a line of its own, and turns the machine off; the hosted side goes by that
 * line. Bochs ends on "Shutdown" to port 0x8900, QEMU on a write to `isa-debug-exit`. */
_Noreturn void machine_end(void);
_Noreturn void machine_fail(const char *why);

#endif
