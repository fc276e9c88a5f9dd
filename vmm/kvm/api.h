/* Of KVM's interface, what kvm.c and vcpu_state.c share and <linux/kvm.h> does not have. */
#ifndef VMM_KVM_API_H
#define VMM_KVM_API_H

#include "vmm/kvm/kvm.h"

#ifndef KVM_CAP_XSAVE2 /* Linux 5.17 */
#define KVM_CAP_XSAVE2 208
#define KVM_GET_XSAVE2 _IOR(KVMIO, 0xcf, struct kvm_xsave)
#endif
#ifndef KVM_VCPU_TSC_CTRL /* Linux 5.16 */
#define KVM_VCPU_TSC_CTRL   0
#define KVM_VCPU_TSC_OFFSET 0
#endif

#define MSR_IA32_TSC 0x10

/* What vcpu_state_return() leaves in the shared page. */
#define SYNCED (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

/* The values of MSRs; KVM's structure ends in an array. */
union msr_values {
    struct kvm_msrs head;
    uint8_t room[sizeof(struct kvm_msrs) + KVM_MSRS_MAX * sizeof(struct kvm_msr_entry)];
};

#endif
