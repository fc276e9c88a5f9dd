/* One entry a vector, each of 16 bytes: makes the stack look the same with and without an error code. */
    .text
    .globl exception_stubs
    .balign 16
exception_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    push $0
    .endif
    push $vector
    jmp 1f
    .set vector, vector + 1
    .endr
1:  mov %rsp, %rdi
    and $-16, %rsp
    call exceptions_report

    .section .note.GNU-stack, "", @progbits
