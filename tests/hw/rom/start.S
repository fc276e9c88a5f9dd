/* From reset to C: 16-bit code at the end of the ROM, paging, 64-bit mode, then the program is copied to RAM and
 * entered. Identity-maps the first 1 TiB with 1 GiB pages; five levels where the processor has them, else four, so that
 * the processor's model decides how deep SVM's nested tables are (APM volume 2, "Nested Paging"; SDM volume 3, "Mode
 * Switching" and "IA-32e Mode Initialization"). No BIOS, no interrupts. */
#include "tests/hw/rom/machine.h"

    .section .reset, "ax"
    .code16
    .globl reset_vector
reset_vector:
    jmp start16

    .section .boot, "ax"
    .code16
start16:
    cli
    /* CS still has the base 0xffff0000 that it was reset to. */
    lgdtl %cs:gdt_pointer - 0xffff0000
    mov %cr0, %eax
    or $CR0_PE, %eax
    mov %eax, %cr0
    ljmpl $SELECTOR_CODE32, $start32

    .code32
start32:
    mov $SELECTOR_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $STACK_TOP, %esp
    cld

    /* PML5, PML4 and two PDPTs of 512 leaves: A and D are set beforehand. */
    mov $HOST_PML5, %edi
    mov $4 * 4096 / 4, %ecx
    xor %eax, %eax
    rep stosl
    movl $HOST_PML4 + 0x23, HOST_PML5
    movl $HOST_PDPT + 0x23, HOST_PML4
    movl $HOST_PDPT + 0x1000 + 0x23, HOST_PML4 + 8
    mov $HOST_PDPT, %edi
    mov $0xe3, %eax
    xor %edx, %edx
    mov $1024, %ecx
1:  mov %eax, (%edi)
    mov %edx, 4(%edi)
    add $0x40000000, %eax
    adc $0, %edx
    add $8, %edi
    loop 1b

    mov $HOST_PML4, %esi
    mov $CR4_PAE, %edi
    xor %eax, %eax
    cpuid
    cmp $7, %eax
    jb 2f
    mov $7, %eax
    xor %ecx, %ecx
    cpuid
    test $CPUID_7_ECX_LA57, %ecx
    jz 2f
    mov $HOST_PML5, %esi
    or $CR4_LA57, %edi
2:  mov %edi, %cr4
    mov %esi, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME | EFER_NXE, %eax
    wrmsr
    mov %cr0, %eax
    or $CR0_PG | CR0_WP | CR0_NE, %eax
    and $~(CR0_CD | CR0_NW), %eax
    mov %eax, %cr0
    ljmp $SELECTOR_CODE, $start64

    .code64
start64:
    mov $rom_base, %esi
    mov $program_start, %edi
    mov $program_end, %ecx
    sub %edi, %ecx
    rep movsb
    mov $bss_end, %ecx
    sub %edi, %ecx
    xor %eax, %eax
    rep stosb
    mov $STACK_TOP, %esp
    xor %ebp, %ebp
    mov $main, %eax
    call *%rax
3:  hlt
    jmp 3b

    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* SELECTOR_CODE */
    .quad 0x00cf93000000ffff /* SELECTOR_DATA */
    .quad 0x00cf9b000000ffff /* SELECTOR_CODE32 */
    .quad 0x00008b0000000067 /* SELECTOR_TSS: VMX wants its host to have one; nothing is ever read from it */
    .quad 0
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt

    .section .note.GNU-stack, "", @progbits
