/*
 * A 16550A UART, enough for a driver to find it, to print and to read: registers, line control, loopback for the
 * driver's self-test, a transmitter that is always ready, a receiver whose bytes wait on the line until they are read.
 * No interrupt is raised, as no machine of this version has an interrupt controller. Register layout: National
 * Semiconductor PC16550D data sheet, section 8.
 */
#ifndef VMM_DEVICES_UART_H
#define VMM_DEVICES_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UART_INPUT_MAX 4096

/* The whole state; a fork copies it. */
struct uart {
    uint8_t ier, fcr, lcr, mcr, scr;
    uint8_t dll, dlm;
    uint8_t looped; /* the byte sent in loopback mode, until it is read */
    bool looped_ready;
    uint16_t input_start, input_end; /* of input[]: received and not read */
    uint8_t input[UART_INPUT_MAX];
};

/* Register 0..7. A write returns true where *byte is to go to the console. */
uint8_t uart_read(struct uart *uart, unsigned reg);
bool uart_write(struct uart *uart, unsigned reg, uint8_t value, uint8_t *byte);

/* Bytes from outside, to be read one after the other: all of them, or false where there is no room for all. */
bool uart_receive(struct uart *uart, const void *bytes, size_t length);

/* How many of those have not been read. */
static inline size_t uart_unread(const struct uart *uart)
{
    return (size_t)(uart->input_end - uart->input_start);
}

#endif
