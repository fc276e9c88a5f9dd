/*
 * The guest ABI, version 1: what a flat binary or ELF64 guest finds when it starts under vmm, and the ports it can use.
 * For guest authors (C and assembly) and for the VMM; it needs no other header in assembly.
 */
#ifndef CLEAVE_GUEST_ABI_H
#define CLEAVE_GUEST_ABI_H

/*
 * Start: 64-bit mode, interrupts off, CR0.WP, EFER.NXE and SSE on, all RAM identity-mapped (readable, writable,
 * executable, open to ring 3). RDI = GPA of struct boot_info, RSI = vCPU index. Every vCPU enters at the same address.
 */
#define GUEST_LOAD_ADDRESS 0x200000 /* a flat binary is loaded and entered here */
#define GUEST_STACK_TOP    0x200000 /* RSP of vCPU i = GUEST_STACK_TOP - i * GUEST_STACK_SIZE */
#define GUEST_STACK_SIZE   0x10000
#define GUEST_RAM_START    0x100000 /* below this everything belongs to the VMM */
#define GUEST_MAX_CPUS     8

/* Selectors of the GDT the guest starts with; SYSCALL and SYSRET find what they expect. */
#define GUEST_KERNEL_CODE 0x08
#define GUEST_KERNEL_DATA 0x10
#define GUEST_USER_DATA   0x18
#define GUEST_USER_CODE   0x20
#define GUEST_TSS         0x28

/* CPUID leaf: EAX is the frequency of the TSC on this host in kHz, where KVM knows it; as under QEMU and VMware. It is
 * there if EAX of leaf 0x40000000 is no less. */
#define GUEST_CPUID_TIMING 0x40000010

/* Ports. The TSS opens all of them to ring 3. Any other port reads as all ones and ignores writes. */
#define PORT_CONSOLE 0xe9  /* out 8: a byte to the console */
#define PORT_UART    0x3f8 /* in, out 8: a 16550 UART, eight ports */
#define PORT_EXIT    0xf4  /* out 32: this guest ends with this exit code */
#define PORT_FORK    0xf5  /* out 32: make N children now; in 32: own index 1..N in a child, 0 in the parent */
#define PORT_MARK    0xf6  /* out 32: a timestamped event for control clients */
#define PORT_READY   0xf7  /* out 32: this guest is ready: who runs it until then gets it back; else an event */

#define FORK_REFUSED 0xffffffff /* what PORT_FORK reads after a fork that was refused */

#define BOOT_INFO_MAGIC   "CLEAVE01"
#define BOOT_INFO_VERSION 1
#define BOOT_INFO_ENTROPY 32

#ifndef __ASSEMBLER__
#include <stdint.h>

/* The VMM refreshes guest_id, generation and entropy before a forked guest runs its first instruction; a reset returns
 * them with all other memory. Little-endian. */
struct boot_info {
    char magic[8];                      /*  0: BOOT_INFO_MAGIC, without a final zero */
    uint32_t version;                   /*  8: BOOT_INFO_VERSION */
    uint32_t cpus;                      /* 12: vCPU count */
    uint64_t ram_bytes;                 /* 16: RAM is GPA [0, ram_bytes) */
    uint64_t guest_id;                  /* 24: 0 for the root, then counting up */
    uint64_t generation;                /* 32: forks and restores in this guest's line; root 0 */
    uint8_t entropy[BOOT_INFO_ENTROPY]; /* 40: differs in every guest */
    uint32_t args_length;               /* 72: bytes of args, without the final zero */
    uint32_t reserved;                  /* 76: zero */
    char args[];                        /* 80: the arguments joined by single spaces, zero-ended */
};

_Static_assert(__builtin_offsetof(struct boot_info, ram_bytes) == 16, "ABI offset");
_Static_assert(__builtin_offsetof(struct boot_info, guest_id) == 24, "ABI offset");
_Static_assert(__builtin_offsetof(struct boot_info, entropy) == 40, "ABI offset");
_Static_assert(__builtin_offsetof(struct boot_info, args_length) == 72, "ABI offset");
_Static_assert(__builtin_offsetof(struct boot_info, args) == 80, "ABI offset");
#endif

#endif
