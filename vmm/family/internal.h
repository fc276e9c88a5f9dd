/* What the files that implement host.h share: host.c (the guests' registry), launch.c (the root), fork.c, save.c,
 * restore.c and load.c (snapshots), reports.c (what guests report), query.c. Everything belongs to the event-loop
 * thread unless it says otherwise. */
#ifndef VMM_FAMILY_INTERNAL_H
#define VMM_FAMILY_INTERNAL_H

#include "vmm/family/family.h"
#include "vmm/machine/machine.h"
#include "vmm/options.h"
#include "vmm/kvm/pool.h"
#include "vmm/memory/window.h"

#define ENDED_KEPT 1024 /* ended guests that can still be queried; older ones are forgotten */

struct host {
    uv_loop_t *loop;
    struct options own_options;
    const struct options *options; /* those; memory and cpus of --restore filled in */
    struct kvm kvm;
    struct windows *windows;
    struct background *reaper; /* frees VMs, unmaps windows, punches and prepares layers */
    struct layers *layers;
    struct views *views;
    struct pool *pool;
    struct layer *zeros;   /* memory that restored guests have never touched; NULL before the first of them */
    struct save *saves;    /* snapshots being written */
    uv_timer_t save_timer; /* runs while there are any: progress */
    struct load *loads;    /* snapshots being read whole, `loading` of them: guests to be */
    size_t loading;
    uv_async_t load_ended;           /* rung by the thread of one of them; keeps the event loop while there are any */
    struct snapshot_chain *restored; /* of --restore, until it has been launched */
    struct terminal *terminal;
    int console_file; /* open for --console file:PATH, else -1 */
    size_t map_limit; /* vm.max_map_count */

    struct machine **machines; /* by id, ascending */
    size_t count, room;
    size_t live, ended; /* with a VM, be it for a reset only; without */
    uint64_t next_id;

    bool done;
    int exit_status;

    host_event_fn *on_event;
    void *event_context;
    void (*on_done)(void *);
    void *done_context;

    uv_timer_t overlay_timer; /* runs where the options limit overlays */
    uv_async_t wake;          /* host_post() rings it */
    pthread_mutex_t lock;     /* of the list of machines with reports, linked by report.next; any thread */
    struct machine *posted;
};

/* The guest, if it is there and has not ended; else NULL with GuestNotFound. */
struct machine *host_find_live(struct host *host, uint64_t id, struct failure *failure);

/* The guest, if it still has its memory: live, or ended with a checkpoint. */
struct machine *host_find_held(struct host *host, uint64_t id, struct failure *failure);

/* Any guest, ended ones included. */
struct machine *host_find(struct host *host, uint64_t id, struct failure *failure);

/* Room for `more` machines beside those there are, so that host_add() cannot fail. */
int host_reserve(struct host *host, size_t more, struct failure *failure);
void host_add(struct host *host, struct machine *machine);

void host_emit(struct host *host, const struct host_event *event);

/* Lets the guest run for the first time or again, and reports STARTED at the first. */
void host_start(struct host *host, struct machine *machine);

/* STARTED, once, for a machine whose vCPUs have just been let run. */
void host_report_started(struct host *host, struct machine *machine);

/* Ends a guest that has not ended yet, reports it, and finishes the host with its last guest. What it holds is freed,
 * unless it ended by itself and has a checkpoint: then it waits for a reset. */
void host_end(struct host *host, struct machine *machine, enum guest_end end, uint32_t exit_code, const char *reason);

/* Starts looking at the guests' overlays, where the options limit them. */
void host_watch_overlays(struct host *host);

/* Looks at every posted report now. Safe to call any time from the event loop. */
void host_take_reports(struct host *host);

/* How many mappings a window may have: what is allowed to all is shared out, within reason. */
size_t host_mapping_budget(const struct host *host);

/* Refuses `more` guests beyond --limit-guests. Those that restores under way will make count as there. */
int host_check_limit(const struct host *host, unsigned more, struct failure *failure);

/* The host ends where no guest is left and no snapshot is being written or read, unless it lingers. */
void host_finish_without_guests(struct host *host);

/* What a child takes over from its parent about snapshots: what it was last saved as, and what it has changed since. -1
 * with *failure. */
int host_inherit_saved(struct host *host, struct machine *child, const struct machine *parent, struct failure *failure);

/* True where a snapshot's file that the guest runs from has been truncated; `text` says so, `room` bytes of it. */
bool host_lost_file(struct host *host, struct machine *machine, char *text, size_t room);

/* The same for something that has failed, as its reason. Returns -1. */
int host_blame_lost_file(struct host *host, struct machine *machine, struct failure *failure);

/* Cancels every snapshot being written; they end from the event loop. */
void host_cancel_saves(struct host *host);

/* Closes the snapshot of --restore. */
void host_close_restored(struct host *host);

/* A restore of an open chain. */
struct restoring {
    struct host *host;
    const struct snapshot_chain *chain;
    const struct restore_request *request;
    uint64_t command_ns;
    struct layer *memory; /* of the guest's own, with what the chain holds; NULL: the files are mapped */
};

/* Whether the memory has to be read whole, because that is asked for or the files cannot be mapped. */
bool host_must_load(const struct snapshot_chain *chain, const struct restore_request *request);

/* What can be said against the restore before its memory is there. */
int host_check_restore(const struct restoring *restoring, struct failure *failure);

/* Makes the guest. */
int host_restore_chain(const struct restoring *restoring, struct restore_report *report, struct failure *failure);

/* Reads the chain into a new layer, for the caller to close. */
int host_load(struct host *host, const struct snapshot_chain *chain, struct layer **layer, struct failure *failure);

/* The same by a thread, and then makes the guest; done() is called from the event loop. The chain is taken over, unless
 * -1 is returned. */
int host_load_and_restore(const struct restoring *restoring, host_restore_fn *done, void *context,
                          struct failure *failure);

/* Cancels every snapshot being read; they end from the event loop. */
void host_cancel_loads(struct host *host);
void host_end_loads(uv_async_t *load_ended);

/* An error of the snapshot library as the VMM's. Returns -1. */
int host_fail_snapshot(const struct snapshot_error *error, struct failure *failure);

/* The fork itself; `child_reads_index`: it was asked for by port, whose answer in a child is the child's index. */
int host_fork_machine(struct host *host, struct machine *parent, unsigned count, bool paused, bool child_reads_index,
                      struct fork_report *report, struct failure *failure);

#endif
