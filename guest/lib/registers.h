/* Holding patterns in registers across whatever the VMM does to a vCPU. */
#ifndef GUEST_LIB_REGISTERS_H
#define GUEST_LIB_REGISTERS_H

#include <stdint.h>

/* Bits of the result: what did not hold. */
#define REGISTERS_GENERAL 0x01
#define REGISTERS_XMM     0x02
#define REGISTERS_X87     0x04
#define REGISTERS_MXCSR   0x08
#define REGISTERS_FLAGS   0x10
#define REGISTERS_BASES   0x20

/*
 * Loads every general register, XMM0 to XMM15, an x87 register, MXCSR, the direction flag and, with bases != 0, the FS
 * and GS bases with values made from `seed`; spins `spins` times; returns which of them have changed. Ring 3 only.
 */
uint32_t hold_registers(uint64_t seed, uint64_t spins, uint64_t bases);

#endif
