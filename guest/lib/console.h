/* Printing to the console port, a byte at a time. There is no buffer: what is printed is out. */
#ifndef GUEST_LIB_CONSOLE_H
#define GUEST_LIB_CONSOLE_H

#include <stdint.h>

void print_text(const char *text);
void print_decimal(uint64_t value);
void print_hex(uint64_t value); /* 16 digits, without 0x */

/* " NAME VALUE": a field of a line, the value in decimal. */
void print_field(const char *name, uint64_t value);

#endif
