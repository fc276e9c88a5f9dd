/* One guest processor on nested page tables, by VMX or SVM, whichever the processor has: what a program sets before it
 * lets the guest run and what it learns afterwards. All exceptions leave the guest; it needs no IDT, stack or segments
 * of its own. vmx.h and svm.h do it. */
#ifndef TESTS_HW_ROM_GUEST_H
#define TESTS_HW_ROM_GUEST_H

#include <stdbool.h>
#include <stdint.h>

/* Offsets are known to vmx_enter.S and svm_enter.S. rsp, rip and rflags travel in the VMCS or VMCB. */
struct guest_registers {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rsp, rip, rflags;
};

struct guest {
    struct guest_registers registers;
    uint64_t cr0, cr3, cr4, efer; /* of long mode; guest_init sets them */
    unsigned cpl;                 /* 0 or 3 */
    uint64_t nested_root;         /* pa of the EPT's or nested tables' top table */
    bool nested_ad;               /* EPT: let the processor set A and D; SVM always does */
    bool flush;                   /* SVM: forget all translations at the next entry; cleared by it */
};

enum guest_exit_reason {
    GUEST_CPUID,     /* the guest executed CPUID, which both ways to run it always answer with an exit, at any CPL */
    GUEST_EXCEPTION, /* vector, error_code; linear: the address of a page fault */
    GUEST_VIOLATION, /* EPT violation: code is the exit qualification; gpa, linear */
    GUEST_MISCONFIG, /* EPT misconfiguration: gpa */
    GUEST_NESTED,    /* nested page fault: code is EXITINFO1; gpa */
    GUEST_PORT,      /* IN or OUT: code is the exit qualification or EXITINFO1 */
    GUEST_HALT,
    GUEST_OTHER, /* raw says what */
};

struct guest_exit {
    enum guest_exit_reason reason;
    uint64_t raw; /* VMX basic exit reason or SVM exit code; VMX with bit 31: the entry failed */
    uint64_t code, gpa, linear;
    uint64_t next_rip; /* GUEST_CPUID, GUEST_PORT, GUEST_HALT: after the instruction */
    unsigned vector;
    uint32_t error_code; /* 0 where the vector has none */
};

enum guest_kind { GUEST_NONE, GUEST_VMX, GUEST_SVM };

/* Turns on VMX with EPT or SVM with nested paging. GUEST_NONE: the processor has neither. Once, before the others. */
enum guest_kind guest_open(void);

/* A guest in 64-bit mode at CPL 0, interrupts off, with CR0.WP and EFER.NXE set and all else zero. */
void guest_init(struct guest *guest);

/* Runs it until it leaves. Registers are updated; RIP stays at the instruction that left. */
void guest_run(struct guest *guest, struct guest_exit *exit);

/* The processor forgets what it has cached of this guest's nested tables: INVEPT (SDM volume 3, "Guidelines for use of
 * the INVEPT instruction"), or TLB control at the next entry (APM volume 2, "TLB Control"). */
void guest_flush(struct guest *guest);

#endif
