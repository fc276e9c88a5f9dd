/* The guests' code, copied to a page of its own; it is position-independent. rbx: address, rcx: count, rdx: stride,
 * rax: value. CPUID and HLT leave the guest: a step is done, the loop is over. */
    .text
    .globl guest_start, guest_read, guest_write, guest_end
guest_start:
guest_read:
    mov (%rbx), %rax
    cpuid
    add %rdx, %rbx
    dec %rcx
    jnz guest_read
    hlt
guest_write:
    mov %rax, (%rbx)
    cpuid
    add %rdx, %rbx
    inc %rax
    dec %rcx
    jnz guest_write
    hlt
guest_end:

    .section .note.GNU-stack, "", @progbits
