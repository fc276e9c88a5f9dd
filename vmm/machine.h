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
#include "vmm/view.h"
#include "vmm/vm.h"

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
    bool window_shared; /* the window is the guest's own layer, mapped shared: nothing is frozen yet */
    bool started;       /* has entered the guest */
    uint64_t *written;  /* bitmap of pages in the overlay that are not published, as far as harvested */
    uint64_t *log;      /* room for a dirty log of the same size */
    struct retained retained;
    uint64_t harvested_pages, published_pages, forks;

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

/* Writes guest_id, generation and fresh entropy into boot_info. */
int machine_refresh_identity(struct machine *machine, struct failure *failure);

/* Maps every run of the view privately into the VM's window, which must be unmapped. */
int machine_project(struct machine *machine, struct vm *vm, struct failure *failure);

/* Takes the dirty log into the view as D bits and into `written`. Nothing is lost on failure. */
int machine_harvest(struct machine *machine, struct failure *failure);

/* Bytes of pages written since they were last published, as far as harvested. */
uint64_t machine_overlay_bytes(const struct machine *machine);

/* Copies every harvested page into a frozen layer and maps it there in the view; the guest must be stopped. What was
 * published before a failure stays so, the rest stays harvested. Adds to *published. */
int machine_publish(struct machine *machine, struct layers *layers, uint64_t *published, struct failure *failure);

/* Merges the most scattered 2 MiB blocks of a view without dirty pages into whole ones, until projecting it takes at
 * most `budget` mappings or nothing is left to merge. The guest may run. */
int machine_coalesce(struct machine *machine, struct layers *layers, size_t budget, struct failure *failure);

/* Gives up the frames kept for the window; the window must be about to go. */
void machine_drop_retained(struct machine *machine, struct layers *layers);

/* From vCPU threads: the guest has ended; this vCPU has halted; it asks for a fork; there is a new mark. */
void machine_report_end(struct machine *machine, enum guest_end end, uint32_t exit_code, const char *reason,
                        const char *registers);
void machine_report_halt(struct machine *machine);
void machine_report_fork(struct machine *machine, unsigned vcpu, uint32_t count);
void machine_report_mark(struct machine *machine, uint32_t value);

/* The layers of all guests of the host. */
struct layers *host_layers(const struct host *host);

/* Hands the machine to the event loop, which looks at its report and marks; defined by the host. Any thread. */
void host_post(struct host *host, struct machine *machine);

#endif
