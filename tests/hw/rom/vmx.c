/* See vmx.h. Numbers of fields and bits are those of the SDM, volume 3, "Virtual Machine Control Structures" and the
 * appendix "Field Encoding in VMCS". */
#include "tests/hw/rom/vmx.h"

#include "tests/hw/rom/console.h"
#include "tests/hw/rom/machine.h"

enum field {
    GUEST_ES_SELECTOR = 0x800,
    GUEST_CS_SELECTOR = 0x802,
    GUEST_SS_SELECTOR = 0x804,
    GUEST_DS_SELECTOR = 0x806,
    GUEST_TR_SELECTOR = 0x80e,
    HOST_ES_SELECTOR = 0xc00,
    HOST_CS_SELECTOR = 0xc02,
    HOST_SS_SELECTOR = 0xc04,
    HOST_DS_SELECTOR = 0xc06,
    HOST_TR_SELECTOR = 0xc0c,
    EPT_POINTER = 0x201a,
    GUEST_PHYSICAL_ADDRESS = 0x2400,
    VMCS_LINK_POINTER = 0x2800,
    GUEST_EFER = 0x2806,
    HOST_EFER = 0x2c02,
    PIN_CONTROLS = 0x4000,
    PROCESSOR_CONTROLS = 0x4002,
    EXCEPTION_BITMAP = 0x4004,
    EXIT_CONTROLS = 0x400c,
    ENTRY_CONTROLS = 0x4012,
    PROCESSOR_CONTROLS2 = 0x401e,
    INSTRUCTION_ERROR = 0x4400,
    EXIT_REASON = 0x4402,
    EXIT_INTERRUPTION = 0x4404,
    EXIT_ERROR_CODE = 0x4406,
    EXIT_LENGTH = 0x440c,
    GUEST_ES_LIMIT = 0x4800, /* CS, SS, DS, FS, GS, LDTR, TR follow at steps of 2 */
    GUEST_ES_RIGHTS = 0x4814,
    GUEST_CS_RIGHTS = 0x4816,
    GUEST_SS_RIGHTS = 0x4818,
    GUEST_DS_RIGHTS = 0x481a,
    GUEST_FS_RIGHTS = 0x481c,
    GUEST_GS_RIGHTS = 0x481e,
    GUEST_LDTR_RIGHTS = 0x4820,
    GUEST_TR_RIGHTS = 0x4822,
    EXIT_QUALIFICATION = 0x6400,
    GUEST_LINEAR_ADDRESS = 0x640a,
    GUEST_CR0 = 0x6800,
    GUEST_CR3 = 0x6802,
    GUEST_CR4 = 0x6804,
    GUEST_DR7 = 0x681a,
    GUEST_RSP = 0x681c,
    GUEST_RIP = 0x681e,
    GUEST_RFLAGS = 0x6820,
    HOST_CR0 = 0x6c00,
    HOST_CR3 = 0x6c02,
    HOST_CR4 = 0x6c04,
    HOST_GDTR_BASE = 0x6c0c,
    HOST_IDTR_BASE = 0x6c0e,
    HOST_RIP = 0x6c16,
};

#define PROCESSOR_HLT        (1u << 7)
#define PROCESSOR_IO         (1u << 24)
#define PROCESSOR_SECONDARY  (1u << 31)
#define PROCESSOR2_EPT       (1u << 1)
#define EXIT_HOST_64         (1u << 9)
#define EXIT_SAVE_EFER       (1u << 20)
#define EXIT_LOAD_EFER       (1u << 21)
#define ENTRY_GUEST_64       (1u << 9)
#define ENTRY_LOAD_EFER      (1u << 15)
#define CONTROL_MSRS         0x481 /* pin-based, processor-based, exit, entry */
#define CONTROL_MSRS_TRUE    0x48d
#define BASIC_TRUE_CONTROLS  (1ull << 55)
#define FEATURE_LOCKED       1u
#define FEATURE_VMX          4u
#define EPT_WRITE_BACK       6u
#define EPT_FOUR_LEVELS      (3u << 3)
#define EPT_AD               (1u << 6)
#define RIGHTS_UNUSABLE      0x10000u
#define RIGHTS_CODE          0xa09bu
#define RIGHTS_DATA          0xc093u
#define RIGHTS_BUSY_TSS      0x8bu
#define RIGHTS_DPL(cpl)      ((cpl) << 5)
#define ENTRY_FAILED         (1u << 31)
#define INVEPT_SINGLE        1ull
#define INTERRUPTION_ERROR   (1u << 11)
#define REASON_EXCEPTION     0
#define REASON_CPUID         10
#define REASON_HLT           12
#define REASON_IO            30
#define REASON_EPT_VIOLATION 48
#define REASON_EPT_MISCONFIG 49

/* vmx_enter.S. False: VMLAUNCH or VMRESUME refused, and the guest did not run. */
bool vmx_enter(struct guest_registers *registers, bool resume);
extern const char vmx_left[]; /* where the processor comes back */

static _Alignas(4096) uint32_t vmxon_region[1024], vmcs[1024];
static bool launched;

static void vmwrite(enum field field, uint64_t value)
{
    bool failed;

    __asm__ volatile("vmwrite %2, %1" : "=@ccbe"(failed) : "r"((uint64_t)field), "rm"(value) : "memory");
    if (failed)
        machine_fail("VMWRITE of a field the processor has not");
}

static uint64_t vmread(enum field field)
{
    uint64_t value;

    __asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((uint64_t)field) : "cc");
    return value;
}

/* The wanted controls and those that must be set; index as in CONTROL_MSRS. */
static uint32_t allowed(uint32_t msr, uint32_t wanted)
{
    uint64_t limits = rdmsr(msr);

    if (wanted & ~(uint32_t)(limits >> 32))
        machine_fail("the processor lacks a VMX control");
    return wanted | (uint32_t)limits;
}

static void set_controls(void)
{
    uint32_t msrs = rdmsr(MSR_VMX_BASIC) & BASIC_TRUE_CONTROLS ? CONTROL_MSRS_TRUE : CONTROL_MSRS;

    vmwrite(PIN_CONTROLS, allowed(msrs, 0));
    vmwrite(PROCESSOR_CONTROLS, allowed(msrs + 1, PROCESSOR_HLT | PROCESSOR_IO | PROCESSOR_SECONDARY));
    vmwrite(PROCESSOR_CONTROLS2, allowed(MSR_VMX_PROCBASED2, PROCESSOR2_EPT));
    vmwrite(EXIT_CONTROLS, allowed(msrs + 2, EXIT_HOST_64 | EXIT_SAVE_EFER | EXIT_LOAD_EFER));
    vmwrite(ENTRY_CONTROLS, allowed(msrs + 3, ENTRY_GUEST_64 | ENTRY_LOAD_EFER));
    vmwrite(EXCEPTION_BITMAP, ~0u);
    vmwrite(VMCS_LINK_POINTER, ~0ull);
}

static void set_host(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } gdt, idt;

    __asm__ volatile("sgdt %0" : "=m"(gdt));
    __asm__ volatile("sidt %0" : "=m"(idt));
    vmwrite(HOST_CS_SELECTOR, SELECTOR_CODE);
    vmwrite(HOST_SS_SELECTOR, SELECTOR_DATA);
    vmwrite(HOST_DS_SELECTOR, SELECTOR_DATA);
    vmwrite(HOST_ES_SELECTOR, SELECTOR_DATA);
    vmwrite(HOST_TR_SELECTOR, SELECTOR_TSS);
    vmwrite(HOST_GDTR_BASE, gdt.base);
    vmwrite(HOST_IDTR_BASE, idt.base);
    vmwrite(HOST_CR0, read_cr0());
    vmwrite(HOST_CR3, read_cr3());
    vmwrite(HOST_CR4, read_cr4());
    vmwrite(HOST_EFER, rdmsr(MSR_EFER));
    vmwrite(HOST_RIP, (uintptr_t)vmx_left);
}

/* Flat segments; those for a CPL are set at every entry. */
static void set_segments(void)
{
    for (enum field limit = GUEST_ES_LIMIT; limit <= GUEST_ES_LIMIT + 14; limit += 2)
        vmwrite(limit, 0xffffffff);
    vmwrite(GUEST_FS_RIGHTS, RIGHTS_UNUSABLE);
    vmwrite(GUEST_GS_RIGHTS, RIGHTS_UNUSABLE);
    vmwrite(GUEST_LDTR_RIGHTS, RIGHTS_UNUSABLE);
    vmwrite(GUEST_TR_SELECTOR, SELECTOR_TSS);
    vmwrite(GUEST_TR_RIGHTS, RIGHTS_BUSY_TSS | 0x8000); /* a limit over 1 MiB needs granularity */
    vmwrite(GUEST_DR7, 0x400);
}

bool vmx_open(void)
{
    uint32_t revision = (uint32_t)rdmsr(MSR_VMX_BASIC) & 0x7fffffff;
    uint64_t at;
    bool failed;

    if (!(cpuid(1).ecx & CPUID_1_ECX_VMX))
        return false;
    if (!(rdmsr(MSR_FEATURE_CONTROL) & FEATURE_LOCKED))
        wrmsr(MSR_FEATURE_CONTROL, FEATURE_LOCKED | FEATURE_VMX);
    write_cr0(read_cr0() | rdmsr(MSR_VMX_CR0_FIXED0));
    write_cr4(read_cr4() | rdmsr(MSR_VMX_CR4_FIXED0));
    vmxon_region[0] = vmcs[0] = revision;
    at = (uintptr_t)vmxon_region;
    __asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(at) : "memory");
    if (failed)
        machine_fail("VMXON");
    at = (uintptr_t)vmcs;
    __asm__ volatile("vmclear %0\n\tvmptrld %0" : : "m"(at) : "cc", "memory");
    set_controls();
    set_host();
    set_segments();
    return true;
}

static uint64_t ept_pointer(const struct guest *guest)
{
    return guest->nested_root | EPT_WRITE_BACK | EPT_FOUR_LEVELS | (guest->nested_ad ? EPT_AD : 0);
}

static void load(const struct guest *guest)
{
    vmwrite(GUEST_CS_SELECTOR, 0x8 | guest->cpl);
    vmwrite(GUEST_SS_SELECTOR, 0x10 | guest->cpl);
    vmwrite(GUEST_DS_SELECTOR, 0x10 | guest->cpl);
    vmwrite(GUEST_ES_SELECTOR, 0x10 | guest->cpl);
    vmwrite(GUEST_CS_RIGHTS, RIGHTS_CODE | RIGHTS_DPL(guest->cpl));
    vmwrite(GUEST_SS_RIGHTS, RIGHTS_DATA | RIGHTS_DPL(guest->cpl));
    vmwrite(GUEST_DS_RIGHTS, RIGHTS_DATA | RIGHTS_DPL(guest->cpl));
    vmwrite(GUEST_ES_RIGHTS, RIGHTS_DATA | RIGHTS_DPL(guest->cpl));
    vmwrite(GUEST_CR0, guest->cr0);
    vmwrite(GUEST_CR3, guest->cr3);
    vmwrite(GUEST_CR4, guest->cr4 | CR4_VMXE);
    vmwrite(GUEST_EFER, guest->efer);
    vmwrite(GUEST_RSP, guest->registers.rsp);
    vmwrite(GUEST_RIP, guest->registers.rip);
    vmwrite(GUEST_RFLAGS, guest->registers.rflags);
    vmwrite(EPT_POINTER, ept_pointer(guest));
}

static void tell(struct guest_exit *exit)
{
    uint32_t interruption = (uint32_t)vmread(EXIT_INTERRUPTION);

    exit->code = vmread(EXIT_QUALIFICATION);
    exit->next_rip = vmread(GUEST_RIP) + vmread(EXIT_LENGTH);
    switch (exit->raw) {
    case REASON_EXCEPTION:
        exit->reason = GUEST_EXCEPTION;
        exit->vector = interruption & 0xff;
        exit->error_code = interruption & INTERRUPTION_ERROR ? (uint32_t)vmread(EXIT_ERROR_CODE) : 0;
        exit->linear = exit->code;
        break;
    case REASON_EPT_VIOLATION:
    case REASON_EPT_MISCONFIG:
        exit->reason = exit->raw == REASON_EPT_VIOLATION ? GUEST_VIOLATION : GUEST_MISCONFIG;
        exit->gpa = vmread(GUEST_PHYSICAL_ADDRESS);
        exit->linear = vmread(GUEST_LINEAR_ADDRESS);
        break;
    case REASON_CPUID:
        exit->reason = GUEST_CPUID;
        break;
    case REASON_HLT:
        exit->reason = GUEST_HALT;
        break;
    case REASON_IO:
        exit->reason = GUEST_PORT;
        break;
    default:
        exit->reason = GUEST_OTHER;
    }
}

void vmx_run(struct guest *guest, struct guest_exit *exit)
{
    load(guest);
    if (!vmx_enter(&guest->registers, launched)) {
        console_text("\nVM instruction error ");
        console_hex(vmread(INSTRUCTION_ERROR));
        machine_fail("VM entry refused");
    }
    launched = true;
    exit->raw = vmread(EXIT_REASON);
    if (exit->raw & ENTRY_FAILED)
        launched = false;
    guest->registers.rsp = vmread(GUEST_RSP);
    guest->registers.rip = vmread(GUEST_RIP);
    guest->registers.rflags = vmread(GUEST_RFLAGS);
    tell(exit);
}

void vmx_flush(const struct guest *guest)
{
    struct {
        uint64_t ept_pointer, reserved;
    } descriptor = {.ept_pointer = ept_pointer(guest)};
    bool failed;

    __asm__ volatile("invept %1, %2" : "=@ccbe"(failed) : "m"(descriptor), "r"(INVEPT_SINGLE) : "memory");
    if (failed)
        machine_fail("INVEPT");
}
