/*
 * A 16550A UART, enough for a driver to find it and to print: registers, line control, loopback for the driver's
 * self-test, a transmitter that is always ready. Nothing is ever received, and no interrupt is raised, as no machine of
 * this version has an interrupt controller. Register layout: National Semiconductor PC16550D data sheet, section 8.
 */
#ifndef VMM_DEVICES_UART_H
#define VMM_DEVICES_UART_H

#include <stdbool.h>
#include <stdint.h>

/* The whole state; a fork copies it. */
struct uart {
    uint8_t ier, fcr, lcr, mcr, scr;
    uint8_t dll, dlm;
    uint8_t looped; /* the byte sent in loopback mode, until it is read */
    bool looped_ready;
};

/* Register 0..7. A write returns true where *byte is to go to the console. */
uint8_t uart_read(struct uart *uart, unsigned reg);
bool uart_write(struct uart *uart, unsigned reg, uint8_t value, uint8_t *byte);

#endif
