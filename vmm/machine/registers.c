/* Registers, from KVM's structs: see registers.h. */
#include "vmm/machine/registers.h"

static struct cleave_segment segment(const struct kvm_segment *s)
{
    return (struct cleave_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = s->type,
        .dpl = s->dpl,
        .present = s->present,
        .system = !s->s,
        .long_mode = s->l,
        .big = s->db,
        .granular = s->g,
    };
}

void registers_fill(struct cleave_registers *registers, const struct kvm_regs *r, const struct kvm_sregs *s)
{
    *registers = (struct cleave_registers){
        .rax = r->rax,
        .rbx = r->rbx,
        .rcx = r->rcx,
        .rdx = r->rdx,
        .rsi = r->rsi,
        .rdi = r->rdi,
        .rbp = r->rbp,
        .rsp = r->rsp,
        .r8 = r->r8,
        .r9 = r->r9,
        .r10 = r->r10,
        .r11 = r->r11,
        .r12 = r->r12,
        .r13 = r->r13,
        .r14 = r->r14,
        .r15 = r->r15,
        .rip = r->rip,
        .rflags = r->rflags,
        .cr0 = s->cr0,
        .cr2 = s->cr2,
        .cr3 = s->cr3,
        .cr4 = s->cr4,
        .cr8 = s->cr8,
        .efer = s->efer,
        .cs = segment(&s->cs),
        .ds = segment(&s->ds),
        .es = segment(&s->es),
        .fs = segment(&s->fs),
        .gs = segment(&s->gs),
        .ss = segment(&s->ss),
        .tr = segment(&s->tr),
        .ldt = segment(&s->ldt),
        .gdt_base = s->gdt.base,
        .idt_base = s->idt.base,
        .gdt_limit = s->gdt.limit,
        .idt_limit = s->idt.limit,
    };
}
