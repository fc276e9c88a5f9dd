/*
 * Freezing: the pause that forks, checkpoints and snapshots have in common. The guest stops, its state is saved, and
 * what it has written goes into frozen layers; then it runs on. Afterwards its view names frozen frames only and no
 * page is dirty.
 *
 * Where a running guest has written much, most of that is published before the pause, while it runs on.
 *
 * Until its first freezing the root's window is its own layer, mapped shared: nothing has to be published, as
 * everything is in the layer already, but the guest must leave that window before anybody else maps the layer, or they
 * would see what it writes later. So it moves: it goes on in a fresh VM from the pool whose window maps the layer
 * privately, which costs one mmap and a restore instead of tearing down page tables.
 */
#ifndef VMM_FAMILY_FREEZE_H
#define VMM_FAMILY_FREEZE_H

#include "vmm/machine/machine.h"

#include <cleave/cleave.h>

struct freezing {
    struct cleave_family *family;
    struct machine *machine;
    struct machine_state *state; /* of the pause; the caller may get it */
    struct vm *spare;            /* the VM to move to; after moving, the one that was left */
    uint64_t pause_ns;
    uint64_t phases_ns[CLEAVE_FORK_PHASES];
    uint64_t published_pages;
    uint64_t phase_start;
};

/* Everything that can fail for want of memory, while the guest still runs; and publishing ahead. freeze_end() must
 * follow all the same. */
int freeze_prepare(struct freezing *freezing, struct cleave_family *family, struct machine *machine,
                   struct cleave_failure *failure);

/* The pause. A guest that was running does so again when this returns, whether it worked or not. */
int freeze(struct freezing *freezing, struct cleave_failure *failure);

/* Gives back what is left over. */
void freeze_end(struct freezing *freezing);

#endif
