/*
 * What every test guest stands on: its entry, the ports of the guest ABI, and a few instructions. For C and assembly.
 */
#ifndef GUEST_LIB_GUEST_H
#define GUEST_LIB_GUEST_H

#include "cleave/guest_abi.h"

/* Bits of guest_options, which a guest defines where it wants other than 0. */
#define GUEST_ALL_CPUS   1 /* every vCPU runs guest_main; otherwise vCPU 0 does and the others halt */
#define GUEST_STAY_RING0 2 /* guest_main starts at the level the machine starts at, not always in ring 3 */

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The VMM changes guest_id, generation and entropy behind a guest's back, hence volatile. */
typedef const volatile struct boot_info boot_info;

extern const unsigned guest_options;

/* The end of the loaded image, zero-filled data included; page-aligned. */
extern uint8_t image_end[];

/* A guest's own code. What it returns is the guest's exit code, whichever vCPU returns it. */
unsigned guest_main(boot_info *info, unsigned cpu);

/* From ring 0: returns in ring 3 on the same stack. From ring 3: does nothing. */
void drop_to_ring3(void);

static inline void port_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void port_out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t port_in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint32_t port_in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void mark(uint32_t value)
{
    port_out32(PORT_MARK, value);
}

static inline _Noreturn void guest_exit(uint32_t code)
{
    for (;;)
        port_out32(PORT_EXIT, code);
}

/* Makes `count` children. The index of this one, 1 to count, in a child; 0 in the parent; FORK_REFUSED if there are
 * none. */
static inline uint32_t guest_fork(uint32_t count)
{
    port_out32(PORT_FORK, count);
    return port_in32(PORT_FORK);
}

static inline uint64_t read_tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static inline void cpu_pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

static inline unsigned cpu_level(void)
{
    uint16_t cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    return cs & 3u;
}
#endif

#endif
