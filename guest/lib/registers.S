/*
 * hold_registers (registers.h). RCX counts down and RSP holds the stack; everything else holds a pattern. Pattern n is
 * seed + n * STEP, where n is the register's number, so a value that went to another register is noticed too.
 */
#include "guest/lib/registers.h"

#define STEP  0x0101010101010101
#define MXCSR 0x5f80 /* masked exceptions, rounding up: not the default */

    .text
    .globl hold_registers
/* On the stack: 0 seed, 8 what else to hold, 16 scratch (16 bytes), 32 result, 40 saved MXCSR. */
hold_registers:
    pushq   %rbx
    pushq   %rbp
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    subq    $56, %rsp
    movq    %rdi, 0(%rsp)
    movq    %rdx, 8(%rsp)
    movq    $0, 32(%rsp)
    stmxcsr 40(%rsp)
    movq    %rsi, %rcx

    movl    $MXCSR, 16(%rsp)
    ldmxcsr 16(%rsp)
    movabsq $STEP, %rax
    testb   $HOLD_BASES, %dl
    jz      1f
    leaq    (%rdi,%rax), %rdx
    shrq    $20, %rdx               /* a canonical address */
    wrfsbase %rdx
    incq    %rdx
    wrgsbase %rdx
1:
    movq    %rdi, %rdx
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movq    %rdx, 16(%rsp)
    addq    %rax, %rdx
    movq    %rdx, 24(%rsp)
    movdqu  16(%rsp), %xmm\n
    .endr
    testb   $HOLD_YMM, 8(%rsp)
    jz      13f
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    addq    %rax, %rdx
    movq    %rdx, 16(%rsp)
    notq    %rdx
    movq    %rdx, 24(%rsp)
    notq    %rdx
    vinsertf128 $1, 16(%rsp), %ymm\n, %ymm\n
    .endr
13: fninit
    fildll  0(%rsp)
    movq    %rdi, %rdx
    addq    %rax, %rdx
    movq    %rdx, %rax
    movq    %rdx, %rsi
    movabsq $STEP, %rbx
    .irp r, rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15,rdx
    addq    %rbx, %rax
    movq    %rax, %\r
    .endr
    addq    %rbx, %rax
    movq    %rax, %rbx
    stc
    std

    /* Neither LEA nor JRCXZ touches the flags. */
2:  jrcxz   3f
    leaq    -1(%rcx), %rcx
    jmp     2b

3:  pushfq
    cld
    popq    %rcx
    andl    $0x401, %ecx            /* DF and CF */
    cmpl    $0x401, %ecx
    je      4f
    orq     $REGISTERS_FLAGS, 32(%rsp)
4:  /* RBX and RAX hold the same, and each of the others its place in the row. */
    cmpq    %rbx, %rax
    je      5f
    orq     $REGISTERS_GENERAL, 32(%rsp)
5:  movq    0(%rsp), %rcx
    movabsq $STEP, %rax
    addq    %rax, %rcx
    .irp r, rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15,rdx,rbx
    addq    %rax, %rcx
    cmpq    %\r, %rcx
    je      6f
    orq     $REGISTERS_GENERAL, 32(%rsp)
6:
    .endr

    movq    0(%rsp), %rdx
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movdqu  %xmm\n, 16(%rsp)
    cmpq    %rdx, 16(%rsp)
    je      7f
    orq     $REGISTERS_XMM, 32(%rsp)
7:  addq    %rax, %rdx
    cmpq    %rdx, 24(%rsp)
    je      8f
    orq     $REGISTERS_XMM, 32(%rsp)
8:
    .endr
    testb   $HOLD_YMM, 8(%rsp)
    jz      15f
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    addq    %rax, %rdx
    vextractf128 $1, %ymm\n, 16(%rsp)
    movq    24(%rsp), %rbx
    notq    %rbx
    cmpq    %rdx, 16(%rsp)
    jne     14f
    cmpq    %rdx, %rbx
    je      16f
14: orq     $REGISTERS_YMM, 32(%rsp)
16:
    .endr
    vzeroupper

15: fistpll 16(%rsp)
    movq    16(%rsp), %rdx
    cmpq    0(%rsp), %rdx
    je      9f
    orq     $REGISTERS_X87, 32(%rsp)
9:  stmxcsr 16(%rsp)
    cmpl    $MXCSR, 16(%rsp)
    je      10f
    orq     $REGISTERS_MXCSR, 32(%rsp)
10: testb   $HOLD_BASES, 8(%rsp)
    jz      12f
    movq    0(%rsp), %rdx
    addq    %rax, %rdx
    shrq    $20, %rdx
    rdfsbase %rcx
    cmpq    %rdx, %rcx
    jne     11f
    incq    %rdx
    rdgsbase %rcx
    cmpq    %rdx, %rcx
    je      12f
11: orq     $REGISTERS_BASES, 32(%rsp)
12: ldmxcsr 40(%rsp)
    movl    32(%rsp), %eax
    addq    $56, %rsp
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %rbp
    popq    %rbx
    ret

    .section .note.GNU-stack, "", @progbits
