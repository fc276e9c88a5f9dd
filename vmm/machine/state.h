/* A machine's whole state but its memory: vCPUs, clock, devices. For forks, resets and snapshots. */
#ifndef VMM_MACHINE_STATE_H
#define VMM_MACHINE_STATE_H

#include "vmm/devices/console.h"
#include "vmm/devices/uart.h"
#include "vmm/kvm/kvm.h"

#include <cleave/guest_abi.h>

/* Several may own one; nobody changes it once it is filled in. The owner's thread only. */
struct machine_state {
    unsigned owners;
    const struct kvm *kvm;
    struct kvm_clock_data clock;
    uint64_t host_tsc; /* at the instant, as is unix_ns, of CLOCK_REALTIME */
    uint64_t unix_ns;
    struct uart uart;
    struct console_line line;              /* that the guest is in the middle of; a snapshot's file does not have it */
    uint32_t fork_results[GUEST_MAX_CPUS]; /* by vCPU: what PORT_FORK reads for who goes on from this state */
    unsigned cpus;
    struct vcpu_state vcpus[];
};

/* One that the caller owns; another owner; one owner less. NULL with *failure. */
struct machine_state *machine_state_new(const struct kvm *kvm, unsigned cpus, struct cleave_failure *failure);
struct machine_state *machine_state_get(struct machine_state *state);
void machine_state_put(struct machine_state *state); /* NULL is allowed */

#endif
