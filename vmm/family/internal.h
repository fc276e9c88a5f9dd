/*
 * The family as the files of this room see it, each under the file that has it; README.md has their order. What others
 * may ask of a family is <cleave/cleave.h>. Everything belongs to the thread that owns the family.
 */
#ifndef VMM_FAMILY_INTERNAL_H
#define VMM_FAMILY_INTERNAL_H

#include "vmm/base/failure.h"
#include "vmm/kvm/pool.h"
#include "vmm/machine/machine.h"
#include "vmm/memory/store.h"

#include <cleave/cleave.h>

#include <time.h>

#define ENDED_KEPT 1024 /* ended guests that can still be queried; older ones are forgotten */

struct cleave_family {
    struct cleave_config config; /* memory and cpus of its snapshot filled in; `snapshot` and `console` are not kept */
    struct kvm kvm;
    struct background *reaper; /* frees VMs, unmaps windows, punches and prepares layers */
    struct store store;
    struct vm_windows windows;                        /* of the store */
    struct cleave_region regions[CLEAVE_REGIONS_MAX]; /* the configuration's */
    struct vm_config vms;                             /* what VMs of this family are like */
    struct pool *pool;
    struct save *saves; /* snapshots being written */
    struct load *loads; /* snapshots being read whole, `loading` of them: guests to be */
    size_t loading;
    struct snapshot_chain *snapshot; /* of the configuration, until a guest has been made from it; */
    char *snapshot_path;             /* or NULL */
    struct terminal *terminal;
    size_t map_limit; /* vm.max_map_count */

    struct machine **machines; /* by id, ascending */
    size_t count, room;
    size_t live, ended; /* with a VM, be it for a reset only; without */
    uint64_t next_id;
    bool over; /* cleave_family_end() was called */

    cleave_event_fn *on_event;
    void *event_context;
    void (*on_idle)(void *);
    void *idle_context;

    int bell; /* base/bell.h: threads have something for cleave_family_dispatch() */
    struct mailbox mailbox;
    atomic_bool interrupted; /* cleave_family_interrupt() was called, and nothing has come of it yet */
    timer_t timer;           /* kicks this thread at a run's deadline: */
    pid_t timer_thread;      /* or 0, and there is no timer */
};

/* ---- registry.c ---- */

/* Any guest, ended ones included; else NULL with GuestNotFound. */
struct machine *family_find(struct cleave_family *family, uint64_t id, struct cleave_failure *failure);

/* Room for `more` machines beside those there are, so that family_add() cannot fail. */
int family_reserve(struct cleave_family *family, size_t more, struct cleave_failure *failure);
void family_add(struct cleave_family *family, struct machine *machine);

/* Refuses `more` guests beyond limit_guests, and any after the end. Those that restores under way will make count as
 * there. */
int family_check_limit(const struct cleave_family *family, unsigned more, struct cleave_failure *failure);

/* How many mappings a window may have: what is allowed to all is shared out, within reason. */
size_t family_mapping_budget(const struct cleave_family *family);

/* From now on guests write to the console line by line, as there are several. */
void family_pass_lines(struct cleave_family *family);

void family_emit(struct cleave_family *family, const struct cleave_event *event);

/* The same for an event that says no more than which guest. */
void family_emit_plain(struct cleave_family *family, const struct machine *machine, enum cleave_event_kind kind);

/* ---- life.c ---- */

/* Lets the guest run for the first time or again, and reports STARTED at the first. */
void family_start(struct cleave_family *family, struct machine *machine);

/* STARTED, once, for a machine whose vCPUs have just been let run. */
void family_report_started(struct cleave_family *family, struct machine *machine);

/* Ends a guest that has not ended yet, and reports it. What it holds is freed, unless it ended by itself and has a
 * checkpoint: then it waits for a reset. `crash` where it has crashed. */
void family_end(struct cleave_family *family, struct machine *machine, enum cleave_end end, uint32_t exit_code,
                const struct cleave_crash *crash);

/* Stops a guest that runs, and tells so, PAUSED and the end of its run: what the guest itself has stopped at by then,
 * else `stop`, or INTERRUPT where that is NULL. */
void family_pause(struct cleave_family *family, struct machine *machine, const struct cleave_stop *stop);

/* Tells who waits for the machine's run, if anybody does, that it is over. */
void family_end_run(struct machine *machine, const struct cleave_stop *stop);

/* Frees what an ended guest holds; its record stays. */
void family_release(struct cleave_family *family, struct machine *machine);

/* Forgets the oldest ended guest beyond those that are kept, but never the root. */
void family_forget_oldest(struct cleave_family *family);

/* Tells who waits for it where no guest is left and no snapshot is being written or read. */
void family_check_idle(struct cleave_family *family);

/* ---- blame.c ---- */

/* An error of the snapshot library as the family's. Returns -1. */
int family_fail_snapshot(const struct snapshot_error *error, struct cleave_failure *failure);

/* Where a snapshot's file that the guest runs from has been truncated, that is the reason why something has failed.
 * Returns -1. */
int family_blame_lost_file(struct machine *machine, struct cleave_failure *failure);

/* ---- reports.c: all but the second look at every posted report first ---- */

/* Looks at every report that is posted now, once each. Safe to call any time. */
void family_take_reports(struct cleave_family *family);

/* family_pause() for who wants it from outside: where the guest ends by itself just then, it ends instead. */
void family_pause_or_end(struct cleave_family *family, struct machine *machine, const struct cleave_stop *stop);

/* The guest, if it still has its memory: live, or ended with a checkpoint; else NULL with GuestNotFound. */
struct machine *family_find_held(struct cleave_family *family, uint64_t id, struct cleave_failure *failure);

/* The guest, if it has not ended. */
struct machine *family_find_live(struct cleave_family *family, uint64_t id, struct cleave_failure *failure);

/* ---- save.c ---- */

/* As cleave_guest_save(). */
int family_save(struct cleave_family *family, struct machine *machine, const struct cleave_save_request *request,
                cleave_save_fn *done, void *context, struct cleave_failure *failure);

/* What a child takes over from its parent about snapshots: what it was last saved as, and what it has changed since. -1
 * with *failure. */
int family_inherit_saved(struct cleave_family *family, struct machine *child, const struct machine *parent,
                         struct cleave_failure *failure);

/* Cancels every snapshot being written; reports progress, and what has ended; waits for all, which are cancelled. */
void family_cancel_saves(struct cleave_family *family);
void family_take_saves(struct cleave_family *family);
void family_wait_saves(struct cleave_family *family);

/* ---- restore.c ---- */

/* Opens the configuration's snapshot, which says what machine this family's guests are; closes it. */
int family_open_snapshot(struct cleave_family *family, const char *path, struct cleave_failure *failure);
void family_close_snapshot(struct cleave_family *family);

/* A restore of an open chain. */
struct restoring {
    struct cleave_family *family;
    const struct snapshot_chain *chain;
    const struct cleave_restore_request *request;
    uint64_t command_ns;
    struct layer *memory; /* of the guest's own, with what the chain holds; NULL: the files are mapped */
};

/* What can be said against the restore before its memory is there. */
int family_check_restore(const struct restoring *restoring, struct cleave_failure *failure);

/* Makes the guest. */
int family_restore_chain(const struct restoring *restoring, struct cleave_restore_report *report,
                         struct cleave_failure *failure);

/* ---- load.c ---- */

/* Reads the chain by a thread into a new layer, and then makes the guest. The chain is taken over, unless -1 is
 * returned.
 */
int family_load_and_restore(const struct restoring *restoring, cleave_restore_fn *done, void *context,
                            struct cleave_failure *failure);

/* As for snapshots being written. */
void family_cancel_loads(struct cleave_family *family);
void family_take_loads(struct cleave_family *family);
void family_wait_loads(struct cleave_family *family);

/* ---- fork.c ---- */

/* The fork itself; `asker`: the vCPU that asked for it by port, whose answer in a child is the child's index, while the
 * others keep theirs; or -1. */
int family_fork(struct cleave_family *family, struct machine *parent, unsigned count, bool paused, int asker,
                struct cleave_fork_report *report, struct cleave_failure *failure);

#endif
