/* States of machines and their owners: see state.h. */
#include "vmm/machine/state.h"

#include "vmm/base/failure.h"

#include <stdlib.h>

struct machine_state *machine_state_new(const struct kvm *kvm, unsigned cpus, struct cleave_failure *failure)
{
    struct machine_state *state = calloc(1, sizeof *state + cpus * sizeof state->vcpus[0]);
    if (state) {
        state->owners = 1;
        state->kvm = kvm;
        while (state->cpus < cpus && vcpu_state_init(kvm, &state->vcpus[state->cpus]) == 0)
            state->cpus++;
        if (state->cpus == cpus)
            return state;
        machine_state_put(state);
    }
    fail(failure, CLEAVE_NO_MEMORY, "out of memory for vCPU state");
    return NULL;
}

struct machine_state *machine_state_get(struct machine_state *state)
{
    state->owners++;
    return state;
}

void machine_state_put(struct machine_state *state)
{
    if (!state || --state->owners)
        return;
    for (unsigned i = 0; i < state->cpus; i++)
        vcpu_state_free(&state->vcpus[i]);
    free(state);
}
