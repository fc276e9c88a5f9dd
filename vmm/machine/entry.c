/* The first registers of a guest that has been loaded, as boot/ wants them. See machine_enter() in machine.h. */
#include "vmm/machine/machine.h"

#include "vmm/base/failure.h"

#include <errno.h>

/* Control register and EFER bits: SDM volume 3, 2.5 and 2.2.1. */
#define CR0_PE       (1u << 0)
#define CR0_MP       (1u << 1)
#define CR0_ET       (1u << 4)
#define CR0_NE       (1u << 5)
#define CR0_WP       (1u << 16)
#define CR0_PG       (1u << 31)
#define CR4_PAE      (1u << 5)
#define CR4_OSFXSR   (1u << 9)
#define CR4_OSXMMEX  (1u << 10)
#define CR4_FSGSBASE (1u << 16)
#define EFER_SCE     (1u << 0)
#define EFER_LME     (1u << 8)
#define EFER_LMA     (1u << 10)
#define EFER_NXE     (1u << 11)
#define RFLAGS_FIXED (1u << 1)

enum { TYPE_DATA = 3, TYPE_CODE = 11, TYPE_TSS_BUSY = 11 };

static struct kvm_segment segment(uint16_t selector, uint8_t type, unsigned cpl)
{
    return (struct kvm_segment){
        .limit = 0xffffffff,
        .selector = (uint16_t)(selector | cpl),
        .type = type,
        .present = 1,
        .dpl = (uint8_t)cpl,
        .s = 1,
        .g = 1,
        .l = type == TYPE_CODE,
        .db = type != TYPE_CODE,
    };
}

static void set_segments(struct kvm_sregs *s, const struct boot_entry *entry, unsigned vcpu)
{
    unsigned cpl = entry->cpl;
    s->cs = segment(cpl ? GUEST_USER_CODE : GUEST_KERNEL_CODE, TYPE_CODE, cpl);
    s->ds = s->es = s->fs = s->gs = s->ss = segment(cpl ? GUEST_USER_DATA : GUEST_KERNEL_DATA, TYPE_DATA, cpl);
    s->tr = (struct kvm_segment){
        .base = entry->tss_base + vcpu * entry->tss_stride,
        .limit = entry->tss_limit,
        .selector = GUEST_TSS,
        .type = TYPE_TSS_BUSY,
        .present = 1,
    };
    s->ldt = (struct kvm_segment){.unusable = 1};
    s->gdt =
        (struct kvm_dtable){.base = entry->gdt_base + vcpu * entry->gdt_stride, .limit = (uint16_t)entry->gdt_limit};
    s->idt = (struct kvm_dtable){.base = entry->idt_base, .limit = (uint16_t)entry->idt_limit};
}

static int enter_at(struct vcpu *vcpu, const struct boot_entry *entry, struct cleave_failure *failure)
{
    struct kvm_sregs s;
    if (kvm_get_sregs(vcpu->fd, &s) < 0)
        return fail_errno(failure, errno, "KVM_GET_SREGS");
    set_segments(&s, entry, vcpu->index);
    s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    s.cr3 = entry->cr3;
    s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEX | (kvm_has_fsgsbase(vcpu->vm->kvm) ? CR4_FSGSBASE : 0);
    s.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    if (kvm_set_sregs(vcpu->fd, &s) < 0)
        return fail_errno(failure, errno, "KVM_SET_SREGS");
    struct kvm_regs r = {
        .rip = entry->rip,
        .rsp = GUEST_STACK_TOP - vcpu->index * GUEST_STACK_SIZE,
        .rdi = entry->boot_info,
        .rsi = vcpu->index,
        .rflags = RFLAGS_FIXED,
    };
    if (kvm_set_regs(vcpu->fd, &r) < 0)
        return fail_errno(failure, errno, "KVM_SET_REGS");
    return 0;
}

int machine_enter(struct machine *machine, const struct boot_entry *entry, struct cleave_failure *failure)
{
    for (unsigned i = 0; i < machine->vm->cpus; i++)
        if (enter_at(&machine->vm->vcpus[i], entry, failure) < 0)
            return -1;
    return 0;
}
