/*
 * A machine: one guest with everything that is its own: a KVM VM and its vCPUs, a view, a window, devices. Machines are
 * made and ended by the event-loop thread; vCPU threads run their guests and report through machine_report_*().
 *
 * Fields without a remark belong to the event-loop thread. vCPU threads touch only what says so.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "vmm/devices/console.h"
#include "vmm/devices/marks.h"
#include "vmm/devices/uart.h"
#include "vmm/host.h"
#include "vmm/instant.h"
#include "vmm/view.h"
#include "vmm/vm.h"

#include <cleave/snapshot.h>

#define MACHINE_REASON    256
#define MACHINE_REGISTERS 1024

struct machine_counters { /* written by vCPU threads */
    _Atomic uint64_t exits_io, exits_mmio, exits_hlt, exits_other;
    _Atomic uint64_t unknown_port_accesses, unknown_mmio_accesses;
};

/* What a guest has to tell the event loop; under `lock`. */
struct machine_report {
    pthread_mutex_t lock;
    bool posted;          /* on the host's list of machines with something to tell */
    struct machine *next; /* on that list; under the host's lock */
    enum guest_end end;   /* the first end reported counts */
    uint32_t exit_code;
    char reason[MACHINE_REASON];
    char registers[MACHINE_REGISTERS];
    unsigned halted;                  /* vCPUs */
    uint32_t forks[OPTIONS_CPUS_MAX]; /* by vCPU: children it has asked for and waits for; 0: does not wait */
};

struct frame_run {
    uint64_t hpa, pages;
};

/* Frames that are no longer in the view and that the window still shows; see publish.c. */
struct retained {
    struct frame_run *runs;
    size_t count, room;
    bool *detached; /* by 2 MiB block: the window shows none of the frames that the view names here */
};

/*
 * Bitmaps of pages of one machine, which say where the content of a page is. A page's private copy in the window, if
 * it has one, holds what the guest sees; but when it is dropped, the window shows what it was mapped from.
 */
struct pages {
    uint64_t *written; /* in the overlay and not published, as far as harvested */
    uint64_t *log;     /* room for a dirty log */
    /* For reset, NULL before machine_track(): */
    uint64_t *published; /* since the instant to return to: the view has moved on */
    uint64_t *outdated;  /* published before it, after the window was mapped: the window must not be uncovered here */
    uint64_t *kept;      /* returned by a reset before, so likely to be written again: not worth dropping */
    uint64_t kept_count; /* pages */
    uint64_t *unsaved;   /* published since the last snapshot or restore; NULL where there was none */
};

/* The last snapshot of a guest, or the one it was restored from: what a diff builds on. A fork's child has its
 * parent's. */
struct saved_as {
    char *path;                      /* absolute; NULL: there is none */
    struct snapshot_lineage lineage; /* it is the last */
};

struct machine {
    struct host *host;
    uint64_t id, parent, generation;
    bool has_parent;
    size_t children;
    enum guest_state state;
    enum guest_end end;
    uint32_t exit_code;

    struct vm *vm; /* NULL once ended, as is what follows */
    struct view view;
    bool window_shared;  /* the window is the guest's own layer, mapped shared: nothing is frozen yet */
    bool window_fragile; /* it shows a snapshot's file: somebody may truncate that, and private copies go with it */
    bool started;        /* has entered the guest */
    struct pages pages;
    struct retained retained;
    struct instant instant;
    struct saved_as saved;
    uint64_t harvested_pages, published_pages, ahead_pages, forks, checkpoints, resets, snapshots;

    struct console console; /* vCPU threads too */
    struct marks marks;     /* vCPU threads too */
    struct uart uart;       /* vCPU threads, under report.lock */
    uint32_t fork_result;   /* what PORT_FORK reads; written only while every vCPU is stopped */
    struct machine_counters counters;
    struct machine_report report;
};

/* A machine's whole state but its memory. Several may own one; nobody changes it once it is filled in. */
struct machine_state {
    unsigned owners;
    const struct kvm *kvm;
    struct kvm_clock_data clock;
    uint64_t host_tsc; /* at the instant, as is unix_ns, of CLOCK_REALTIME */
    uint64_t unix_ns;
    struct uart uart;
    unsigned cpus;
    struct vcpu_state vcpus[];
};

/* One that the caller owns; another owner; one owner less. NULL with *failure. */
struct machine_state *machine_state_new(const struct kvm *kvm, unsigned cpus, struct failure *failure);
struct machine_state *machine_state_get(struct machine_state *state);
void machine_state_put(struct machine_state *state); /* NULL is allowed */

/* Save from stopped vCPUs; restore into a VM whose vCPUs have never run. -1 with *failure. */
int machine_save(struct machine *machine, struct machine_state *state, struct failure *failure);
int machine_restore_vm(struct vm *vm, const struct machine_state *state, struct failure *failure);

/* Makes a machine without VM and view. NULL with *failure. */
struct machine *machine_new(struct host *host, uint64_t id, uint64_t memory, struct terminal *terminal,
                            struct failure *failure);

/* Frees all of it. machine_end() must have been called if it ever had a VM. */
void machine_free(struct machine *machine);

/* Stops the vCPUs and takes the VM out, for the caller to free in the background; drops view and bitmaps. What is left
 * answers queries. Frames go back only by layers_settle(), which must come after the VM has been queued for freeing. */
struct vm *machine_end(struct machine *machine);

/* The one way to guest memory: bounds-checked, faults come back as failures, writes are recorded as written pages.
 * machine_read() may be called from vCPU threads too. */
int machine_read(const struct machine *machine, uint64_t gpa, void *to, size_t length, struct failure *failure);
int machine_write(struct machine *machine, uint64_t gpa, const void *from, size_t length, struct failure *failure);

/* An identity for this machine with fresh entropy; and writing one into boot_info. */
int machine_draw_identity(const struct machine *machine, struct identity *identity, struct failure *failure);
int machine_write_identity(struct machine *machine, const struct identity *identity, struct failure *failure);

/* Maps every run of the view privately into the VM's window, which must be unmapped. */
int machine_project(struct machine *machine, struct vm *vm, struct failure *failure);

/* Takes the dirty log into the view as D bits and into `written`. Nothing is lost on failure. */
int machine_harvest(struct machine *machine, struct failure *failure);

/* Makes room for the bitmaps that reset needs; before anything is published. -1 with *failure. */
int machine_track(struct machine *machine, struct failure *failure);

/* Makes the bitmap of what is unsaved, if there is none. -1 with *failure. */
int machine_track_unsaved(struct machine *machine, struct failure *failure);

/* Takes the D bits that harvesting has set from the view again. */
void machine_forget_dirty(struct machine *machine);

/* Bytes of pages written since they were last published, as far as harvested. */
uint64_t machine_overlay_bytes(const struct machine *machine);

/* Copies every harvested page into a frozen layer and maps it there in the view; the guest must be stopped. What was
 * published before a failure stays so, the rest stays harvested. Adds to *published. */
int machine_publish(struct machine *machine, struct layers *layers, uint64_t *published, struct failure *failure);

/* Merges the most scattered 2 MiB blocks of a view without dirty pages into whole ones, until projecting it takes at
 * most `budget` mappings or nothing is left to merge. The guest may run. */
int machine_coalesce(struct machine *machine, struct layers *layers, size_t budget, struct failure *failure);

/* Gives up the frames kept for the window beyond the first `count` runs: the view names them again. */
void machine_trim_retained(struct machine *machine, size_t count);

/* Gives up all of them; the window must be about to go. */
void machine_drop_retained(struct machine *machine);

/* From vCPU threads: the guest has ended; this vCPU has halted; it asks for a fork; there is a new mark. */
void machine_report_end(struct machine *machine, enum guest_end end, uint32_t exit_code, const char *reason,
                        const char *registers);
void machine_report_halt(struct machine *machine);
void machine_report_fork(struct machine *machine, unsigned vcpu, uint32_t count);
void machine_report_mark(struct machine *machine, uint32_t value);

/* A vCPU has reported the guest's end. With all vCPUs stopped that is the last word, be it taken up or not. */
bool machine_end_reported(struct machine *machine);

/* The guest has ended. It may still have its VM, for a reset: see host_end(). */
static inline bool machine_has_ended(const struct machine *machine)
{
    return machine->state == GUEST_EXITED || machine->state == GUEST_CRASHED;
}

/* The layers of all guests of the host. */
struct layers *host_layers(const struct host *host);

/* Hands the machine to the event loop, which looks at its report and marks; defined by the host. Any thread. */
void host_post(struct host *host, struct machine *machine);

#endif
