/*
 * nmi_timer: makes the machine's old timer (PIT, channel 0) interrupt the processor a hundred times a second from now on,
 * by NMI. Runs as root in the emulated machine; why it is needed there: tests/hw/README.md.
 *
 * The timer's ports: Intel 8254 data sheet, "Control Word Format". The I/O APIC, which the timer reaches at input 2:
 * Intel 82093AA data sheet, 3.2.4, "I/O Redirection Table Registers".
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIT_CHANNEL_0 0x40
#define PIT_CONTROL   0x43
#define PIT_RATE      0x34 /* channel 0, both bytes, mode 2: a pulse each time it has counted down */
#define PIT_HZ        1193182
#define NMI_HZ        100

#define IOAPIC        0xfec00000
#define IOAPIC_SELECT 0 /* these two in words of 32 bits */
#define IOAPIC_WINDOW 4
#define IOAPIC_ENTRY  (0x10 + 2 * 2) /* of input 2: the lower half, and the upper one in the next register */
#define DELIVER_NMI   0x400          /* to the processor 0, by edge, not masked */

int main(void)
{
    const int memory = open("/dev/mem", O_RDWR | O_SYNC);
    if (memory < 0 || ioperm(PIT_CHANNEL_0, 4, 1) < 0) {
        perror("nmi_timer: /dev/mem or the ports of the timer");
        return 1;
    }
    volatile uint32_t *ioapic = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, IOAPIC);
    if (ioapic == MAP_FAILED) {
        perror("nmi_timer: /dev/mem at the I/O APIC, which iomem=relaxed opens");
        return 1;
    }
    outb(PIT_RATE, PIT_CONTROL);
    outb(PIT_HZ / NMI_HZ & 0xff, PIT_CHANNEL_0);
    outb(PIT_HZ / NMI_HZ >> 8, PIT_CHANNEL_0);
    ioapic[IOAPIC_SELECT] = IOAPIC_ENTRY + 1;
    ioapic[IOAPIC_WINDOW] = 0;
    ioapic[IOAPIC_SELECT] = IOAPIC_ENTRY;
    ioapic[IOAPIC_WINDOW] = DELIVER_NMI;
    return 0;
}
