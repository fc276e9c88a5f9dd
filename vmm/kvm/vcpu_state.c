/* A vCPU's state, and the order in which it is saved, restored and returned. See kvm.h. */
#include "vmm/kvm/api.h"

#include "vmm/base/failure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int vcpu_state_init(const struct kvm *kvm, struct vcpu_state *state)
{
    *state = (struct vcpu_state){.xsave = calloc(1, kvm->xsave_size)};
    return state->xsave ? 0 : -1;
}

void vcpu_state_free(struct vcpu_state *state)
{
    free(state->xsave);
    state->xsave = NULL;
}

static int get_msrs(const struct kvm *kvm, int vcpu, uint64_t *values)
{
    union msr_values buffer = {.head.nmsrs = kvm->msr_count};
    for (unsigned i = 0; i < kvm->msr_count; i++)
        buffer.head.entries[i] = (struct kvm_msr_entry){.index = kvm->msrs[i]};
    if (ioctl(vcpu, KVM_GET_MSRS, &buffer) != (int)kvm->msr_count)
        return -1;
    for (unsigned i = 0; i < kvm->msr_count; i++)
        values[i] = buffer.head.entries[i].data;
    return 0;
}

static int set_msrs(const struct kvm *kvm, int vcpu, const uint64_t *values)
{
    union msr_values buffer = {.head.nmsrs = kvm->msr_count};
    for (unsigned i = 0; i < kvm->msr_count; i++)
        buffer.head.entries[i] = (struct kvm_msr_entry){.index = kvm->msrs[i], .data = values[i]};
    return ioctl(vcpu, KVM_SET_MSRS, &buffer) == (int)kvm->msr_count ? 0 : -1;
}

/* The guest's TSC as an offset from the host's where the kernel can (5.16), else as the value at this moment. */
static int get_tsc(const struct kvm *kvm, int vcpu, struct vcpu_state *state)
{
    if (kvm->has_tsc_offset) {
        struct kvm_device_attr attr = {
            .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&state->tsc_offset};
        return ioctl(vcpu, KVM_GET_DEVICE_ATTR, &attr);
    }
    union msr_values tsc = {.head.nmsrs = 1};
    tsc.head.entries[0] = (struct kvm_msr_entry){.index = MSR_IA32_TSC};
    if (ioctl(vcpu, KVM_GET_MSRS, &tsc) != 1)
        return -1;
    state->tsc = tsc.head.entries[0].data;
    return 0;
}

static int set_tsc(const struct kvm *kvm, int vcpu, const struct vcpu_state *state)
{
    if (kvm->has_tsc_offset) {
        uint64_t offset = state->tsc_offset;
        struct kvm_device_attr attr = {
            .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset};
        return ioctl(vcpu, KVM_SET_DEVICE_ATTR, &attr);
    }
    union msr_values tsc = {.head.nmsrs = 1};
    tsc.head.entries[0] = (struct kvm_msr_entry){.index = MSR_IA32_TSC, .data = state->tsc};
    return ioctl(vcpu, KVM_SET_MSRS, &tsc) == 1 ? 0 : -1;
}

uint64_t kvm_host_tsc(void)
{
    return __builtin_ia32_rdtsc();
}

uint64_t vcpu_state_tsc(const struct kvm *kvm, const struct vcpu_state *state, uint64_t host_tsc)
{
    return kvm->has_tsc_offset ? host_tsc + state->tsc_offset : state->tsc;
}

void vcpu_state_set_tsc(const struct kvm *kvm, struct vcpu_state *state, uint64_t tsc, uint64_t host_tsc)
{
    if (kvm->has_tsc_offset)
        state->tsc_offset = tsc - host_tsc;
    else
        state->tsc = tsc;
}

#define STEP(call, what)                                                                                               \
    do {                                                                                                               \
        if ((call) < 0)                                                                                                \
            return fail_errno(failure, errno, "vCPU state: " what);                                                    \
    } while (0)

/* Has KVM take now what vcpu_state_return() left for the next KVM_RUN. Events last, as always. */
static int settle(int vcpu, struct kvm_run *run, struct cleave_failure *failure)
{
    if (!run->kvm_dirty_regs)
        return 0;
    STEP(kvm_set_regs(vcpu, &run->s.regs.regs), "KVM_SET_REGS");
    STEP(kvm_set_sregs(vcpu, &run->s.regs.sregs), "KVM_SET_SREGS");
    STEP(ioctl(vcpu, KVM_SET_VCPU_EVENTS, &run->s.regs.events), "KVM_SET_VCPU_EVENTS");
    run->kvm_dirty_regs = 0;
    return 0;
}

/* mp_state first: reading it may complete a pending INIT or SIPI and so change what follows. Events last: every other
 * ioctl may still turn a pending exception into an injected one. */
int vcpu_state_save(const struct kvm *kvm, int vcpu, struct kvm_run *run, struct vcpu_state *state,
                    struct cleave_failure *failure)
{
    if (settle(vcpu, run, failure) < 0)
        return -1;
    STEP(ioctl(vcpu, KVM_GET_MP_STATE, &state->mp_state), "KVM_GET_MP_STATE");
    STEP(kvm_get_regs(vcpu, &state->regs), "KVM_GET_REGS");
    STEP(kvm_get_sregs(vcpu, &state->sregs), "KVM_GET_SREGS");
    STEP(ioctl(vcpu, kvm->has_xsave2 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, state->xsave), "KVM_GET_XSAVE");
    if (kvm->has_xcrs)
        STEP(ioctl(vcpu, KVM_GET_XCRS, &state->xcrs), "KVM_GET_XCRS");
    if (kvm->has_debugregs)
        STEP(ioctl(vcpu, KVM_GET_DEBUGREGS, &state->debugregs), "KVM_GET_DEBUGREGS");
    STEP(get_tsc(kvm, vcpu, state), "TSC");
    STEP(get_msrs(kvm, vcpu, state->msrs), "KVM_GET_MSRS");
    STEP(ioctl(vcpu, KVM_GET_VCPU_EVENTS, &state->events), "KVM_GET_VCPU_EVENTS");
    return 0;
}

/* What neither registers nor MSRs are. */
static int restore_units(const struct kvm *kvm, int vcpu, const struct vcpu_state *state,
                         struct cleave_failure *failure)
{
    STEP(ioctl(vcpu, KVM_SET_XSAVE, state->xsave), "KVM_SET_XSAVE");
    if (kvm->has_xcrs)
        STEP(ioctl(vcpu, KVM_SET_XCRS, &state->xcrs), "KVM_SET_XCRS");
    if (kvm->has_debugregs)
        STEP(ioctl(vcpu, KVM_SET_DEBUGREGS, &state->debugregs), "KVM_SET_DEBUGREGS");
    return 0;
}

#define SET_MSRS "KVM_SET_MSRS (a short count: an MSR was refused)"

/* CPUID has been set when the vCPU was made. The TSC goes before the MSRs, of which some are relative to it; events go
 * last, because setting registers clears what is pending. */
int vcpu_state_restore(const struct kvm *kvm, int vcpu, struct kvm_run *run, const struct vcpu_state *state,
                       struct cleave_failure *failure)
{
    run->kvm_dirty_regs = 0;
    STEP(ioctl(vcpu, KVM_SET_MP_STATE, &state->mp_state), "KVM_SET_MP_STATE");
    STEP(kvm_set_regs(vcpu, &state->regs), "KVM_SET_REGS");
    STEP(kvm_set_sregs(vcpu, &state->sregs), "KVM_SET_SREGS");
    if (restore_units(kvm, vcpu, state, failure) < 0)
        return -1;
    STEP(set_tsc(kvm, vcpu, state), "TSC");
    STEP(set_msrs(kvm, vcpu, state->msrs), SET_MSRS);
    STEP(ioctl(vcpu, KVM_SET_VCPU_EVENTS, &state->events), "KVM_SET_VCPU_EVENTS");
    return 0;
}

/* A guest that sets its TSC changes IA32_TSC_ADJUST by as much, so one look at the MSRs tells of both. */
static int return_msrs(const struct kvm *kvm, int vcpu, const struct vcpu_state *state, struct cleave_failure *failure)
{
    uint64_t now[KVM_MSRS_MAX];
    STEP(get_msrs(kvm, vcpu, now), "KVM_GET_MSRS");
    int adjust = kvm->tsc_adjust;
    if (adjust < 0 || now[adjust] != state->msrs[adjust])
        STEP(set_tsc(kvm, vcpu, state), "TSC");
    if (memcmp(now, state->msrs, kvm->msr_count * sizeof now[0]) != 0)
        STEP(set_msrs(kvm, vcpu, state->msrs), SET_MSRS);
    return 0;
}

/* Without a local APIC in the kernel mp_state never changes: a HLT ends in an exit. */
int vcpu_state_return(const struct kvm *kvm, int vcpu, struct kvm_run *run, const struct vcpu_state *state,
                      struct cleave_failure *failure)
{
    if (restore_units(kvm, vcpu, state, failure) < 0 || return_msrs(kvm, vcpu, state, failure) < 0)
        return -1;
    run->s.regs.regs = state->regs;
    run->s.regs.sregs = state->sregs;
    run->s.regs.events = state->events;
    run->kvm_dirty_regs = SYNCED;
    return kvm->has_sync_regs ? 0 : settle(vcpu, run, failure);
}
