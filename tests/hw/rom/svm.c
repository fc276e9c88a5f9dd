/* See svm.h. The VMCB's layout is that of the APM, volume 2, appendix "VMCB Layout". */
#include "tests/hw/rom/svm.h"

#include "tests/hw/rom/console.h"
#include "tests/hw/rom/machine.h"

struct segment {
    uint16_t selector, attributes;
    uint32_t limit;
    uint64_t base;
};

struct vmcb {
    uint32_t intercept_cr, intercept_dr, intercept_exceptions, intercept1, intercept2;
    uint8_t gap0[0x40 - 0x14];
    uint64_t iopm_pa, msrpm_pa, tsc_offset;
    uint32_t asid, tlb_control;
    uint64_t virtual_interrupt, interrupt_shadow, exit_code, exit_info1, exit_info2, exit_interrupt, nested_enable;
    uint8_t gap1[0xb0 - 0x98];
    uint64_t nested_cr3;
    uint8_t gap2[0x400 - 0xb8];
    struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t gap3[0x4cb - 0x4a0];
    uint8_t cpl;
    uint32_t gap4;
    uint64_t efer;
    uint8_t gap5[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t gap6[0x5d8 - 0x580];
    uint64_t rsp;
    uint8_t gap7[0x5f8 - 0x5e0];
    uint64_t rax;
    uint8_t gap8[0x640 - 0x600];
    uint64_t cr2;
    uint8_t gap9[0x668 - 0x648];
    uint64_t pat;
    uint8_t gap10[0x1000 - 0x670];
};
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70 && offsetof(struct vmcb, nested_cr3) == 0xb0, "control area");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0 && offsetof(struct vmcb, rip) == 0x578, "state save area");
_Static_assert(offsetof(struct vmcb, pat) == 0x668 && sizeof(struct vmcb) == 4096, "state save area");

#define INTERCEPT1_CPUID     (1u << 18)
#define INTERCEPT1_HLT       (1u << 24)
#define INTERCEPT1_IO        (1u << 27)
#define INTERCEPT1_SHUTDOWN  (1u << 31)
#define INTERCEPT2_VMRUN     (1u << 0)
#define NESTED_PAGING        1u
#define TLB_FLUSH_ALL        1u
#define ATTRIBUTES_CODE      0xa9bu
#define ATTRIBUTES_DATA      0xc93u
#define ATTRIBUTES_DPL(cpl)  ((cpl) << 5)
#define DEFAULT_PAT          0x0007040600070406ull
#define EXIT_EXCEPTIONS      0x40
#define EXIT_EXCEPTIONS_LAST 0x5f
#define EXIT_CPUID           0x72
#define EXIT_HLT             0x78
#define EXIT_IO              0x7b
#define EXIT_NESTED          0x400
#define VECTOR_PAGE_FAULT    14
#define CPUID_LENGTH         2 /* without prefixes, as guests here write it; HLT: 1 */

/* svm_enter.S: VMRUN of the VMCB at this pa. RAX travels in the VMCB. */
void svm_enter(struct guest_registers *registers, uint64_t vmcb_pa);

static _Alignas(4096) struct vmcb vmcb;
static _Alignas(4096) uint8_t save_area[4096], io_permissions[3 * 4096];

bool svm_open(void)
{
    if (cpuid(0x80000000).eax < 0x8000000a || !(cpuid(0x80000001).ecx & CPUID_EXTENDED_1_SVM) ||
        !(cpuid(0x8000000a).edx & CPUID_EXTENDED_SVM_NP))
        return false;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, (uintptr_t)save_area);
    for (size_t i = 0; i < sizeof(io_permissions); i++)
        io_permissions[i] = 0xff;
    vmcb.intercept_exceptions = ~0u;
    vmcb.intercept1 = INTERCEPT1_CPUID | INTERCEPT1_HLT | INTERCEPT1_IO | INTERCEPT1_SHUTDOWN;
    vmcb.intercept2 = INTERCEPT2_VMRUN;
    vmcb.iopm_pa = (uintptr_t)io_permissions;
    vmcb.asid = 1;
    vmcb.nested_enable = NESTED_PAGING;
    vmcb.dr6 = 0xffff0ff0;
    vmcb.dr7 = 0x400;
    vmcb.pat = DEFAULT_PAT;
    return true;
}

static void load(const struct guest *guest)
{
    unsigned dpl = ATTRIBUTES_DPL(guest->cpl);
    struct segment data = {(uint16_t)(0x10 | guest->cpl), (uint16_t)(ATTRIBUTES_DATA | dpl), 0xffffffff, 0};

    vmcb.cs = (struct segment){(uint16_t)(0x8 | guest->cpl), (uint16_t)(ATTRIBUTES_CODE | dpl), 0xffffffff, 0};
    vmcb.ss = vmcb.ds = vmcb.es = data;
    vmcb.cpl = (uint8_t)guest->cpl;
    vmcb.cr0 = guest->cr0;
    vmcb.cr3 = guest->cr3;
    vmcb.cr4 = guest->cr4;
    vmcb.efer = guest->efer | EFER_SVME;
    vmcb.rax = guest->registers.rax;
    vmcb.rsp = guest->registers.rsp;
    vmcb.rip = guest->registers.rip;
    vmcb.rflags = guest->registers.rflags;
    vmcb.nested_cr3 = guest->nested_root;
    vmcb.tlb_control = guest->flush ? TLB_FLUSH_ALL : 0;
}

static void tell(struct guest_exit *exit)
{
    exit->raw = vmcb.exit_code;
    exit->code = vmcb.exit_info1;
    if (exit->raw >= EXIT_EXCEPTIONS && exit->raw <= EXIT_EXCEPTIONS_LAST) {
        exit->reason = GUEST_EXCEPTION;
        exit->vector = (unsigned)exit->raw - EXIT_EXCEPTIONS;
        exit->error_code = (uint32_t)vmcb.exit_info1;
        exit->linear = exit->vector == VECTOR_PAGE_FAULT ? vmcb.exit_info2 : 0;
    } else if (exit->raw == EXIT_NESTED) {
        exit->reason = GUEST_NESTED;
        exit->gpa = vmcb.exit_info2;
    } else if (exit->raw == EXIT_CPUID) {
        exit->reason = GUEST_CPUID;
        exit->next_rip = vmcb.rip + CPUID_LENGTH;
    } else if (exit->raw == EXIT_HLT) {
        exit->reason = GUEST_HALT;
        exit->next_rip = vmcb.rip + 1;
    } else if (exit->raw == EXIT_IO) {
        exit->reason = GUEST_PORT;
        exit->next_rip = vmcb.exit_info2;
    } else {
        exit->reason = GUEST_OTHER;
    }
}

void svm_run(struct guest *guest, struct guest_exit *exit)
{
    load(guest);
    guest->flush = false;
    svm_enter(&guest->registers, (uintptr_t)&vmcb);
    guest->registers.rax = vmcb.rax;
    guest->registers.rsp = vmcb.rsp;
    guest->registers.rip = vmcb.rip;
    guest->registers.rflags = vmcb.rflags;
    tell(exit);
}
