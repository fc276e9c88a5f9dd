/*
 * Between a machine's state as the VMM holds it and as a snapshot file does (<cleave/snapshot.h>): vCPUs, devices, what
 * the guest sees of the processor. What KVM's structs mean is kvm.c's business; here they are bytes.
 */
#ifndef VMM_MACHINE_SAVED_STATE_H
#define VMM_MACHINE_SAVED_STATE_H

#include "vmm/machine/machine.h"

#include <cleave/snapshot.h>

/* A state made ready for a file. The records point into it and into the machine's state. */
struct saved_state {
    struct snapshot_state state;
    struct machine_state *from; /* one owner of it is this */
    struct saved_vcpu {
        uint64_t tsc;
        uint32_t fork_result;
        uint8_t halted;
        struct kvm_msr_entry msrs[KVM_MSRS_MAX];
    } * vcpus;
    uint8_t uart[9];
};

/* Of a machine whose vCPUs were saved to `state`, -1 with *failure. */
int saved_state_encode(struct saved_state *saved, const struct machine *machine, struct machine_state *state,
                       struct cleave_failure *failure);
void saved_state_free(struct saved_state *saved);

/*
 * The opposite: a new machine state, the caller's, whose clocks go on from the instant. NULL with *failure that begins
 * with `path`: Unsupported where this host's KVM cannot hold it all, SnapshotInvalid where no guest can be in that
 * state.
 */
struct machine_state *saved_state_decode(const struct kvm *kvm, const struct snapshot_state *state, const char *path,
                                         struct cleave_failure *failure);

#endif
