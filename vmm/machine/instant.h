/*
 * The instant that a reset returns a guest to: its last checkpoint, or else the fork or restore that made it. It is the
 * state of the vCPUs and devices, and a view: the guest's memory then.
 *
 * As long as nothing has been published since, that view is the guest's own, so an instant is had for nothing.
 * instant_preserve() gives it one to itself just before that changes. The host alone changes views, so there is no
 * hurry.
 */
#ifndef VMM_MACHINE_INSTANT_H
#define VMM_MACHINE_INSTANT_H

#include "vmm/base/failure.h"
#include "vmm/family/family.h"
#include "vmm/memory/view.h"

#include <cleave/guest_abi.h>

struct machine;
struct machine_state;

/* What tells a guest from the one it was copied from, as it lies in boot_info from guest_id on. */
struct identity {
    uint64_t guest_id, generation;
    uint8_t entropy[BOOT_INFO_ENTROPY];
};

struct instant {
    struct machine_state *state; /* one owner of it is this instant; NULL: there is none, and no reset */
    uint32_t fork_result;        /* what PORT_FORK reads */
    enum reset_target kind;
    bool has_identity; /* a fork's child: written into its memory at birth, over what the view has */
    struct identity identity;
    bool has_view; /* else the view is the guest's own */
    struct view view;
    size_t retained; /* with a view: how many runs machine->retained had, */
    bool *detached;  /* and which of its blocks were detached; NULL: none */
};

/* Sets it to the moment at which the machine's memory is what its view and its overlay's identity say: a birth, by fork
 * or restore. */
void instant_set_birth(struct machine *machine, enum reset_target kind, struct machine_state *state,
                       const struct identity *identity);

/* Sets it to now: all is published. It takes the place of the one there was. */
void instant_set_checkpoint(struct machine *machine, struct machine_state *state, uint32_t fork_result);

/* To be called before anything is published, which may then fail half-way without harm. -1 with *failure. */
int instant_preserve(struct machine *machine, struct failure *failure);

/* Makes the guest's view that of the instant again, without dirty pages. The frames that come free are due for
 * layers_settle(). True where anything had been published since. */
bool instant_return_view(struct machine *machine);

/* Drops it. */
void instant_drop(struct machine *machine);

#endif
