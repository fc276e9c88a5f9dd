/* Holding patterns in registers across whatever the VMM does to a vCPU. */
#ifndef GUEST_LIB_REGISTERS_H
#define GUEST_LIB_REGISTERS_H

/* Bits of the result: what did not hold. */
#define REGISTERS_GENERAL 0x01
#define REGISTERS_XMM     0x02
#define REGISTERS_X87     0x04
#define REGISTERS_MXCSR   0x08
#define REGISTERS_FLAGS   0x10
#define REGISTERS_BASES   0x20
#define REGISTERS_YMM     0x40

/* What to hold beside the others, where the processor lets ring 3 have it. */
#define HOLD_BASES 1 /* FS and GS: CR4.FSGSBASE is set */
#define HOLD_YMM   2 /* the upper halves of YMM0 to YMM15: CR4.OSXSAVE is set, and AVX in XCR0 */

#ifndef __ASSEMBLER__
#include <stdint.h>

/*
 * Loads every general register, XMM0 to XMM15, an x87 register, MXCSR, the direction flag and what `also` adds with
 * values made from `seed`; spins `spins` times; returns which of them have changed. Ring 3 only.
 */
uint32_t hold_registers(uint64_t seed, uint64_t spins, uint64_t also);
#endif

#endif
