/* Registers that neither VMX nor SVM saves: struct guest_registers as assembly sees it, for vmx_enter.S and
 * svm_enter.S. None of these macros changes the flags. */
#define RAX 0x00
#define RBX 0x08
#define RCX 0x10
#define RDX 0x18
#define RSI 0x20
#define RDI 0x28
#define RBP 0x30
#define R8  0x38
#define R9  0x40
#define R10 0x48
#define R11 0x50
#define R12 0x58
#define R13 0x60
#define R14 0x68
#define R15 0x70

    .macro SAVE_HOST
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    .endm

    .macro LOAD_HOST
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    .endm

    /* From the structure at rdi. */
    .macro LOAD_GUEST
    mov RAX(%rdi), %rax
    mov RBX(%rdi), %rbx
    mov RCX(%rdi), %rcx
    mov RDX(%rdi), %rdx
    mov RSI(%rdi), %rsi
    mov RBP(%rdi), %rbp
    mov R8(%rdi), %r8
    mov R9(%rdi), %r9
    mov R10(%rdi), %r10
    mov R11(%rdi), %r11
    mov R12(%rdi), %r12
    mov R13(%rdi), %r13
    mov R14(%rdi), %r14
    mov R15(%rdi), %r15
    mov RDI(%rdi), %rdi
    .endm

    /* All but RAX, to the structure at rax. */
    .macro SAVE_GUEST
    mov %rbx, RBX(%rax)
    mov %rcx, RCX(%rax)
    mov %rdx, RDX(%rax)
    mov %rsi, RSI(%rax)
    mov %rdi, RDI(%rax)
    mov %rbp, RBP(%rax)
    mov %r8, R8(%rax)
    mov %r9, R9(%rax)
    mov %r10, R10(%rax)
    mov %r11, R11(%rax)
    mov %r12, R12(%rax)
    mov %r13, R13(%rax)
    mov %r14, R14(%rax)
    mov %r15, R15(%rax)
    .endm
