/* The UART: see uart.h. */
#include "vmm/devices/uart.h"

#include <string.h>

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define LCR_DLAB        0x80
#define MCR_LOOP        0x10
#define FCR_ENABLE      0x01
#define IIR_NONE        0x01 /* no interrupt pending */
#define IIR_FIFO        0xc0
#define LSR_DATA_READY  0x01
#define LSR_THR_EMPTY   0x60 /* holding register and shift register */
#define MSR_CTS_DSR_DCD 0xb0

/* In loopback the modem lines read what the modem control register drives: RTS->CTS, DTR->DSR, OUT1->RI, OUT2->DCD. */
static uint8_t modem_status(const struct uart *uart)
{
    if (!(uart->mcr & MCR_LOOP))
        return MSR_CTS_DSR_DCD;
    return (uint8_t)((uart->mcr & 0x02) << 3 | (uart->mcr & 0x01) << 5 | (uart->mcr & 0x0c) << 4);
}

/* In loopback the receiver is cut off from the line, where bytes then wait (data sheet, 8.7). Clearing the FIFOs does
 * not reach them there either: the 16 bytes of a FIFO are filled from the line as they are read. */
static bool has_input(const struct uart *uart)
{
    return uart_unread(uart) && !(uart->mcr & MCR_LOOP);
}

/* The receive buffer register. Without a new byte it has the last one. */
static uint8_t receive_buffer(struct uart *uart)
{
    if (!uart->looped_ready && has_input(uart))
        uart->looped = uart->input[uart->input_start++];
    uart->looped_ready = false;
    return uart->looped;
}

bool uart_receive(struct uart *uart, const void *bytes, size_t length)
{
    const size_t unread = uart_unread(uart);
    if (length > UART_INPUT_MAX - unread)
        return false;
    memmove(uart->input, uart->input + uart->input_start, unread);
    memcpy(uart->input + unread, bytes, length);
    uart->input_start = 0;
    uart->input_end = (uint16_t)(unread + length);
    return true;
}

uint8_t uart_read(struct uart *uart, unsigned reg)
{
    bool latch = uart->lcr & LCR_DLAB;
    switch (reg) {
    case RBR_THR:
        if (latch)
            return uart->dll;
        return receive_buffer(uart);
    case IER:
        return latch ? uart->dlm : uart->ier;
    case IIR_FCR:
        return IIR_NONE | (uart->fcr & FCR_ENABLE ? IIR_FIFO : 0);
    case LCR:
        return uart->lcr;
    case MCR:
        return uart->mcr;
    case LSR:
        return LSR_THR_EMPTY | (uart->looped_ready || has_input(uart) ? LSR_DATA_READY : 0);
    case MSR:
        return modem_status(uart);
    default:
        return uart->scr;
    }
}

static bool send(struct uart *uart, uint8_t value, uint8_t *byte)
{
    if (uart->mcr & MCR_LOOP) {
        uart->looped = value;
        uart->looped_ready = true;
        return false;
    }
    *byte = value;
    return true;
}

bool uart_write(struct uart *uart, unsigned reg, uint8_t value, uint8_t *byte)
{
    bool latch = uart->lcr & LCR_DLAB;
    switch (reg) {
    case RBR_THR:
        if (!latch)
            return send(uart, value, byte);
        uart->dll = value;
        break;
    case IER:
        if (latch)
            uart->dlm = value;
        else
            uart->ier = value & 0x0f;
        break;
    case IIR_FCR:
        uart->fcr = value;
        break;
    case LCR:
        uart->lcr = value;
        break;
    case MCR:
        uart->mcr = value & 0x1f;
        break;
    case SCR:
        uart->scr = value;
        break;
    default: /* LSR and MSR are read-only */
        break;
    }
    return false;
}
