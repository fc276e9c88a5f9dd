/*
 * A machine: one guest with everything that is its own: a KVM VM and its vCPUs, its memory, devices. Machines are made
 * and ended by the thread that owns their family; vCPU threads run their guests and report to it through a mailbox
 * (report.h). A machine knows no other machine, and nothing of who owns it.
 *
 * Fields without a remark belong to the owner's thread. vCPU threads touch only what says so.
 */
#ifndef VMM_MACHINE_MACHINE_H
#define VMM_MACHINE_MACHINE_H

#include "vmm/boot/boot.h"
#include "vmm/devices/console.h"
#include "vmm/devices/marks.h"
#include "vmm/devices/uart.h"
#include "vmm/kvm/vm.h"
#include "vmm/machine/complaints.h"
#include "vmm/machine/report.h"
#include "vmm/machine/state.h"
#include "vmm/memory/memory.h"

#include <cleave/guest.h>
#include <cleave/guest_abi.h>
#include <cleave/snapshot.h>

struct machine_counters { /* written by vCPU threads */
    _Atomic uint64_t exits_io, exits_mmio, exits_hlt, exits_other;
    _Atomic uint64_t unknown_port_accesses, unknown_mmio_accesses;
};

/* What tells a guest from the one it was copied from, as it lies in boot_info from guest_id on. */
struct identity {
    uint64_t guest_id, generation;
    uint8_t entropy[BOOT_INFO_ENTROPY];
};

/* The instant that a reset returns the guest to, but for its memory's part (memory/memory.h). */
struct instant {
    struct machine_state *state;           /* one owner of it is this instant; NULL: there is none, and no reset */
    uint32_t fork_results[GUEST_MAX_CPUS]; /* as the machine's; a child's are not those of the state it was made of */
    enum cleave_reset_target kind;
    bool has_identity; /* a fork's child: written into its memory at birth, over what the view has */
    struct identity identity;
};

/* The last snapshot of a guest, or the one it was restored from: what a diff builds on. A fork's child has its
 * parent's. */
struct saved_as {
    char *path;                      /* absolute; NULL: there is none */
    struct snapshot_lineage lineage; /* it is the last */
};

/* A run that somebody waits for the end of. */
struct machine_run {
    cleave_stop_fn *done; /* NULL: there is none */
    void *context;
};

struct machine {
    uint64_t id, parent, generation;
    bool has_parent;
    size_t children;
    enum cleave_state state;
    enum cleave_end end;
    uint32_t exit_code;

    struct vm *vm;        /* NULL once ended, */
    struct memory memory; /* which is empty then */
    bool started;         /* has entered the guest */
    struct instant instant;
    struct saved_as saved;
    uint64_t ahead_pages, forks, checkpoints, resets, snapshots;

    struct console console;                /* vCPU threads too */
    struct marks marks;                    /* vCPU threads too */
    struct uart uart;                      /* vCPU threads, under report.lock */
    uint32_t fork_results[GUEST_MAX_CPUS]; /* what PORT_FORK reads, by vCPU; written by it, or while all are stopped */
    struct machine_counters counters;
    struct mailbox *mailbox; /* the owner's */
    struct machine_report report;
    struct machine_run run;
    atomic_uint until;            /* CLEAVE_UNTIL_ bits of the run under way; written while every vCPU is stopped */
    struct complaints complaints; /* under report.lock */
};

/* Makes a machine without VM and view, which reports to `mailbox`. NULL with *failure. */
struct machine *machine_new(uint64_t id, struct store *store, struct terminal *terminal, struct mailbox *mailbox,
                            struct cleave_failure *failure);

/* Frees all of it. machine_end() must have been called if it ever had a VM. */
void machine_free(struct machine *machine);

/* The guest runs in this VM from now on: it is in no other's hands. */
void machine_take_vm(struct machine *machine, struct vm *vm);

/* Stops the vCPUs and takes the VM out, for the caller to free in the background; drops the memory. What is left
 * answers queries. Frames go back only by store_reclaim(), which must come after the VM has been queued for freeing. */
struct vm *machine_end(struct machine *machine);

/* Sets the vCPUs to enter the guest that has been loaded. -1 with *failure. */
int machine_enter(struct machine *machine, const struct boot_entry *entry, struct cleave_failure *failure);

/* Save from stopped vCPUs; restore into a VM whose vCPUs have never run. -1 with *failure. */
int machine_save(struct machine *machine, struct machine_state *state, struct cleave_failure *failure);
int machine_restore_vm(struct vm *vm, const struct machine_state *state, struct cleave_failure *failure);

/* Takes from a state what is the machine's and not its VM's: devices, which vCPUs have halted. */
void machine_take_devices(struct machine *machine, const struct machine_state *state);

/* Puts vCPUs, devices and reports of the stopped machine back to its instant; its memory has been. What vCPU threads
 * have reported belongs to the life that is undone, a fork asked for and not yet made included. -1 with *failure. */
int machine_return(struct machine *machine, struct cleave_failure *failure);

/* The registers of its stopped vCPUs, into registers[vCPUs]. -1 with *failure. */
int machine_registers(struct machine *machine, struct cleave_registers *registers, struct cleave_failure *failure);

/* The dirty log into view and page sets, for a look at them: what is in it stays in it, where KVM can do that. Nothing
 * is lost on failure. -1 with *failure. */
int machine_look(struct machine *machine, struct cleave_failure *failure);

/* The same for pages that are to be published: what the guest writes from now on is logged anew. */
int machine_harvest(struct machine *machine, struct cleave_failure *failure);

/* The dirty log, as it is now, into memory.pages.log; and clearing what that names. -1 with *failure. */
int machine_read_log(struct machine *machine, struct cleave_failure *failure);
int machine_clear_log(struct machine *machine, struct cleave_failure *failure);

/* An identity for this machine with fresh entropy; and writing one into boot_info. -1 with *failure. */
int machine_draw_identity(const struct machine *machine, struct identity *identity, struct cleave_failure *failure);
int machine_write_identity(struct machine *machine, const struct identity *identity, struct cleave_failure *failure);

/* Sets the instant to the moment at which the machine's memory is what its view and `identity` say: a birth, by fork or
 * restore. */
void machine_set_birth(struct machine *machine, enum cleave_reset_target kind, struct machine_state *state,
                       const struct identity *identity);

/* Sets it to now: all is published. It takes the place of the one there was. */
void machine_set_checkpoint(struct machine *machine, struct machine_state *state);

/* The guest has ended. It may still have its VM, for a reset. */
static inline bool machine_has_ended(const struct machine *machine)
{
    return machine->state == CLEAVE_EXITED || machine->state == CLEAVE_CRASHED;
}

#endif
