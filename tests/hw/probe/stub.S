/* The guest's code: one access each, then CPUID, which leaves the guest at any CPL. Copied to PROBE_STUB_PA; rbx is the
 * address, rdx what to write, rax the answer, rcx what is found where rdx was written. */
#include "tests/hw/probe/format.h"

    .macro ACCESS
    .balign PROBE_STUB_SIZE
    .endm

    .text
    .globl stub_start, stub_end
    .balign PROBE_STUB_SIZE
stub_start:
    ACCESS /* PROBE_READ */
    mov (%rbx), %rax
    cpuid
    ACCESS /* PROBE_WRITE */
    mov %rdx, (%rbx)
    mov PROBE_MARKER - PROBE_MAILBOX(%rbx), %rax
    mov (%rbx), %rcx
    cpuid
    ACCESS /* PROBE_FETCH */
    jmp *%rbx
    ACCESS /* PROBE_READ32 */
    mov (%rbx), %eax
    cpuid
    ACCESS /* PROBE_WRITE32 */
    mov %edx, (%rbx)
    mov PROBE_DEVICE_READ - PROBE_DEVICE_WRITE(%rbx), %eax
    mov (%rbx), %ecx
    cpuid
    ACCESS /* PROBE_WALK */
    mov (%rbx), %rax
    cpuid
stub_end:

    .section .note.GNU-stack, "", @progbits
