/*
 * Entry of every test guest, for each vCPU, in ring 0 or ring 3 alike: halts the vCPUs that the guest has no use for,
 * goes to ring 3 and calls guest_main on the stack the machine starts with.
 */
#include "guest/lib/guest.h"

    .section .text.start, "ax"
    .globl start
start:
    /* RDI = boot_info and RSI = vCPU index stay as they are, to be guest_main's arguments. */
    movl    guest_options, %eax
    testl   %esi, %esi
    jz      1f
    testl   $GUEST_ALL_CPUS, %eax
    jz      park
1:  testl   $GUEST_STAY_RING0, %eax
    jnz     2f
    call    drop_to_ring3
2:  xorl    %ebp, %ebp
    call    guest_main
    movl    $PORT_EXIT, %edx
3:  outl    %eax, %dx
    jmp     3b

    /* Only ring 0 can halt. The VMM takes a vCPU halted with interrupts off as one that has ended. */
park:
    movl    %cs, %eax
    testb   $3, %al
    jnz     5f
4:  cli
    hlt
    jmp     4b
5:  pause
    jmp     5b

    .text
    .globl drop_to_ring3
drop_to_ring3:
    movl    %cs, %eax
    testb   $3, %al
    jnz     6f
    popq    %rdx
    movq    %rsp, %rcx
    pushq   $GUEST_USER_DATA | 3
    pushq   %rcx
    pushfq
    pushq   $GUEST_USER_CODE | 3
    pushq   %rdx
    iretq
6:  ret

    .section .rodata
    .weak   guest_options
    .align  4
guest_options:
    .long   0

    .section .note.GNU-stack, "", @progbits
