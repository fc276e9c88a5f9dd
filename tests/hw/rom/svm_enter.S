/* void svm_enter(struct guest_registers *registers, uint64_t vmcb_pa): into the guest and back. VMRUN saves and restores
 * the host's RSP, RIP and RAX by itself; RAX is the VMCB's address (APM volume 2, "VMRUN Instruction"). */
#include "tests/hw/rom/registers.S.h"

    .text
    .globl svm_enter
svm_enter:
    SAVE_HOST
    push %rdi
    push %rsi
    LOAD_GUEST
    pop %rax
    vmrun %rax
    pop %rax
    SAVE_GUEST
    LOAD_HOST
    ret

    .section .note.GNU-stack, "", @progbits
