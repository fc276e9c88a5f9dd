/*
 * The segment and interrupt descriptors a guest starts with, at the selectors of the guest ABI. Serves load.c. A vCPU
 * has a GDT and a TSS of its own; all share one IDT.
 */
#include "vmm/boot/layout.h"

#include <string.h>

/* Flat 64-bit segments, accessed bit preset so that the CPU never writes to the GDT. Base and limit are ignored. */
#define SEGMENT_KERNEL_CODE UINT64_C(0x00af9b000000ffff)
#define SEGMENT_KERNEL_DATA UINT64_C(0x00cf93000000ffff)
#define SEGMENT_USER_DATA   UINT64_C(0x00cff3000000ffff)
#define SEGMENT_USER_CODE   UINT64_C(0x00affb000000ffff)

#define TSS_TYPE_BUSY  0xb /* as if LTR had loaded it */
#define GATE_INTERRUPT 0xe
#define PRESENT        0x80
#define DPL_USER       0x60

/* Offsets in a 64-bit TSS. */
#define TSS_RSP0      0x04
#define TSS_IST1      0x24
#define TSS_IO_BITMAP 0x66

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void make_gdt(uint8_t *gdt, uint64_t tss)
{
    memset(gdt, 0, GDT_LIMIT + 1);
    put(gdt + GUEST_KERNEL_CODE, SEGMENT_KERNEL_CODE, 8);
    put(gdt + GUEST_KERNEL_DATA, SEGMENT_KERNEL_DATA, 8);
    put(gdt + GUEST_USER_DATA, SEGMENT_USER_DATA, 8);
    put(gdt + GUEST_USER_CODE, SEGMENT_USER_CODE, 8);
    put(gdt + GUEST_TSS + 0, TSS_LIMIT, 2);
    put(gdt + GUEST_TSS + 2, tss, 3);
    gdt[GUEST_TSS + 5] = PRESENT | TSS_TYPE_BUSY;
    put(gdt + GUEST_TSS + 7, tss >> 24, 5);
}

/* A 32-bit access to a port checks the bits of four, so a range of those is open three ports further. */
static void open_ports(uint8_t *bitmap, unsigned first, unsigned last)
{
    for (unsigned port = first; port <= last; port++)
        bitmap[port / 8] &= (uint8_t) ~(1u << port % 8);
}

static void make_tss(uint8_t *tss, uint64_t stack_top, uint64_t ist_top)
{
    memset(tss, 0, TSS_BYTES);
    put(tss + TSS_RSP0, stack_top, 8);
    put(tss + TSS_IST1, ist_top, 8);
    put(tss + TSS_IO_BITMAP, TSS_BYTES, 2);

    uint8_t *bitmap = tss + TSS_BYTES;
    memset(bitmap, 0xff, IO_BITMAP_BYTES + 1);
    open_ports(bitmap, PORT_CONSOLE, PORT_CONSOLE);
    open_ports(bitmap, PORT_EXIT, PORT_MARK + 3);
    open_ports(bitmap, PORT_UART, PORT_UART + 7);
}

static void make_idt(uint8_t *idt)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        const uint64_t stub = STUB_BASE + vector * STUB_STRIDE;
        const bool from_user = vector == 3 || vector == 4; /* INT3 and INTO are there for ring 3 */
        uint8_t *gate = idt + (size_t)16 * vector;
        memset(gate, 0, 16);
        put(gate + 0, stub, 2);
        put(gate + 2, GUEST_KERNEL_CODE, 2);
        gate[4] = 1; /* IST1 */
        gate[5] = (uint8_t)(PRESENT | (from_user ? DPL_USER : 0) | GATE_INTERRUPT);
        put(gate + 6, stub >> 16, 6);
    }
}

void boot_make_descriptors(const struct boot_ram *ram, unsigned cpus)
{
    for (unsigned i = 0; i < cpus; i++) {
        const uint64_t tss = TSS_BASE + i * TSS_STRIDE;
        make_gdt(ram->base + GDT_BASE + i * GDT_STRIDE, tss);
        make_tss(ram->base + tss, STACK_BASE + (i + 1) * STACK_STRIDE, IST_BASE + (i + 1) * IST_STRIDE);
    }
    make_idt(ram->base + IDT_BASE);
}
