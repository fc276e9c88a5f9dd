/* The machine a ROM runs on: where things lie in memory, the processor's registers, and one-instruction functions.
 * For all code below tests/hw/ that runs in ring 0 of an emulated processor, in C and assembly. */
#ifndef TESTS_HW_ROM_MACHINE_H
#define TESTS_HW_ROM_MACHINE_H

/* RAM. The program lies from 1 MiB on and may use what is below STACK_TOP; above it all is the program's own choice. */
#define HOST_PML5 0x1000
#define HOST_PML4 0x2000
#define HOST_PDPT 0x3000 /* two tables */
#define STACK_TOP 0x900000
/* The ROM: 2 MiB that end at 4 GiB. The core is its end; before it lies what the hosted side has put there. */
#define ROM_START 0xffe00000
#define ROM_SIZE  0x200000
#define CORE_SIZE 0x40000

#define SELECTOR_CODE   0x08
#define SELECTOR_DATA   0x10
#define SELECTOR_CODE32 0x18
#define SELECTOR_TSS    0x20

#define CR0_PE     0x1
#define CR0_NE     0x20
#define CR0_WP     0x10000
#define CR0_NW     0x20000000
#define CR0_CD     0x40000000
#define CR0_PG     0x80000000
#define CR4_PAE    0x20
#define CR4_LA57   0x1000
#define CR4_VMXE   0x2000
#define CR4_SMEP   0x100000
#define CR4_SMAP   0x200000
#define RFLAGS_SET 0x2 /* the bit that is always one */

#define MSR_EFER            0xc0000080
#define EFER_LME            0x100
#define EFER_LMA            0x400
#define EFER_NXE            0x800
#define EFER_SVME           0x1000
#define MSR_APIC_BASE       0x1b
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_VMX_BASIC       0x480
#define MSR_VMX_CR0_FIXED0  0x486
#define MSR_VMX_CR4_FIXED0  0x488
#define MSR_VMX_PROCBASED2  0x48b
#define MSR_VM_HSAVE_PA     0xc0010117

#define CPUID_1_ECX_VMX       0x20
#define CPUID_7_ECX_LA57      0x10000
#define CPUID_EXTENDED_1_SVM  0x4
#define CPUID_EXTENDED_SVM_NP 0x1

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

/* Every byte to one port, in one instruction. */
static inline void outsb(uint16_t port, const void *bytes, size_t count)
{
    __asm__ volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"(port) : "memory");
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(msr));
}

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf)
{
    struct cpuid id;

    __asm__ volatile("cpuid" : "=a"(id.eax), "=b"(id.ebx), "=c"(id.ecx), "=d"(id.edx) : "a"(leaf), "c"(0));
    return id;
}

#define MACHINE_CONTROL_REGISTER(n)                                                                                    \
    static inline uint64_t read_cr##n(void)                                                                            \
    {                                                                                                                  \
        uint64_t value;                                                                                                \
                                                                                                                       \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(value));                                                          \
        return value;                                                                                                  \
    }                                                                                                                  \
    static inline void write_cr##n(uint64_t value)                                                                     \
    {                                                                                                                  \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory");                                                 \
    }
MACHINE_CONTROL_REGISTER(0)
MACHINE_CONTROL_REGISTER(3)
MACHINE_CONTROL_REGISTER(4)

static inline uint64_t read_cr2(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}

static inline void halt(void)
{
    __asm__ volatile("cli\n\thlt");
}
#endif

#endif
