/* bool vmx_enter(struct guest_registers *registers, bool resume): into the guest and back. The host's callee-saved
 * registers stay on its stack, and under them `registers`; the processor reloads the host's RSP and RIP from the VMCS
 * (SDM volume 3, "Loading Host State"). */
#include "tests/hw/rom/registers.S.h"

#define FIELD_HOST_RSP 0x6c14

    .text
    .globl vmx_enter, vmx_left
vmx_enter:
    SAVE_HOST
    push %rdi
    mov $FIELD_HOST_RSP, %eax
    vmwrite %rsp, %rax
    test %sil, %sil
    LOAD_GUEST
    jnz 1f
    vmlaunch
    jmp 2f
1:  vmresume
2:  pop %rdi
    xor %eax, %eax
    LOAD_HOST
    ret
vmx_left:
    push %rax
    mov 8(%rsp), %rax
    SAVE_GUEST
    pop RAX(%rax)
    pop %rdi
    mov $1, %eax
    LOAD_HOST
    ret

    .section .note.GNU-stack, "", @progbits
