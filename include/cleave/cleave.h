/*
 * libcleave: running virtual machines that can be forked, reset, saved and restored. vmm(1) is one program on top of
 * it.
 *
 * A *family* is all guests of one VMM: they have the same machine, share memory copy-on-write, and are one trust
 * domain. Guests are named by their ids, which are never used again: 0 for the first, then counting up. A function that
 * is asked for a guest that is not there, or has ended, fails with GuestNotFound.
 *
 * Threads: one thread owns a family and calls everything here, unless a function says otherwise. Guests run on threads
 * of the library's own, but for cleave_guest_run(). Nothing here calls exit(3), writes to a standard descriptor that it
 * was not given, or installs a signal handler. What is to be said to people: <cleave/log.h>. Errors are values:
 * functions return 0, or -1 with *failure filled in.
 *
 * Addresses and lengths are in bytes, times in nanoseconds. Guests' ABI: <cleave/guest_abi.h>. For C and C++.
 *
 * What holds for every function here, unless it says otherwise:
 * - no pointer is NULL, but for `context`, which is the caller's and only passed on;
 * - what a function fills in is valid where it has returned 0, and *failure where it has not;
 * - GuestNotFound means that there is no such guest, or that it has ended;
 * - NoMemory means memory, descriptors, threads or address space, and says what has run out; nothing has changed then;
 * - Internal means that a call of KVM failed which does not fail on a sound host.
 *
 * What the library calls back (events, done(), on_idle) it calls on the owner's thread, from within a function here. Of
 * these functions it may call cleave_family_interrupt() and cleave_family_is_busy() only: it takes note, and acts when
 * that function has returned.
 */
#ifndef CLEAVE_CLEAVE_H
#define CLEAVE_CLEAVE_H

#include <cleave/failure.h>
#include <cleave/guest.h>
#include <cleave/log.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All guests of one VMM, and what they share. Made by cleave_family_new(). */
struct cleave_family;

enum cleave_fork_phase {                      /* of the pause, in this order; they add up to pause_ns, rounding aside */
                         CLEAVE_FORK_STOP,    /* until every vCPU has stopped */
                         CLEAVE_FORK_SAVE,    /* vCPU and device state */
                         CLEAVE_FORK_HARVEST, /* the dirty log, into the view */
                         CLEAVE_FORK_PUBLISH, /* dirty pages, into a frozen layer */
                         CLEAVE_FORK_MOVE, /* first fork only: the parent goes on in a fresh VM and a private window */
                         CLEAVE_FORK_RESUME, /* until the parent's vCPUs may run again */
                         CLEAVE_FORK_PHASES,
};

/* The phases' names in the control protocol: stop, save, harvest, publish, move, resume. */
extern const char *const cleave_fork_phase_names[CLEAVE_FORK_PHASES];

struct cleave_fork_child {
    uint64_t id;
    uint64_t ready_ns; /* from the call to the child's first entry into the guest; 0 for a paused child */
};

/* What a fork was. */
struct cleave_fork_report {
    struct cleave_fork_child *children; /* `count` of them; freed by cleave_fork_report_free */
    unsigned count;
    uint64_t pause_ns; /* the parent stood still */
    uint64_t phases_ns[CLEAVE_FORK_PHASES];
    uint64_t published_pages; /* of 4 KiB: copied out of what was written since the last fork or checkpoint */
};

/* Frees the list of children. Any thread. */
void cleave_fork_report_free(struct cleave_fork_report *report);

/* What a checkpoint was; fields as for a fork. */
struct cleave_checkpoint_report {
    uint64_t pause_ns;
    uint64_t published_pages; /* of 4 KiB */
};

enum cleave_reset_phase {                      /* in this order; they add up to total_ns, rounding aside */
                          CLEAVE_RESET_STOP,   /* until every vCPU has stopped */
                          CLEAVE_RESET_MEMORY, /* the dirty log, and what it names */
                          CLEAVE_RESET_STATE,  /* vCPUs and devices */
                          CLEAVE_RESET_RESUME, /* until the vCPUs are in the guest again */
                          CLEAVE_RESET_PHASES,
};

/* The phases' names in the control protocol: stop, memory, state, resume. */
extern const char *const cleave_reset_phase_names[CLEAVE_RESET_PHASES];

/* What a reset was. */
struct cleave_reset_report {
    uint64_t dropped_pages; /* of 4 KiB: what the guest had written since */
    uint64_t total_ns;
    uint64_t phases_ns[CLEAVE_RESET_PHASES];
};

enum cleave_event_kind {
    CLEAVE_EVENT_STARTED, /* the guest was entered for the first time; timestamp is the entry itself */
    CLEAVE_EVENT_PAUSED,
    CLEAVE_EVENT_RESUMED,
    CLEAVE_EVENT_FORKED,        /* guest = the parent; children, child_count */
    CLEAVE_EVENT_MARK,          /* mark */
    CLEAVE_EVENT_READY,         /* mark: what the guest wrote to its ready port, last where several times; not where a
                                   run ends there */
    CLEAVE_EVENT_EXITED,        /* end, exit_code */
    CLEAVE_EVENT_CRASHED,       /* reason */
    CLEAVE_EVENT_OVERLAY_LIMIT, /* overlay_bytes: the guest has been paused */
    CLEAVE_EVENT_RESET,         /* the guest has returned to its last checkpoint, or to the fork that made it */
    CLEAVE_EVENT_SNAPSHOT_PROGRESS, /* path, bytes_done, bytes_total */
    CLEAVE_EVENT_SNAPSHOT_DONE,     /* path, and reason where it failed */
};

/* Something that has happened to a guest. Of the fields after the timestamp only those that the kind names have a
 * meaning. */
struct cleave_event {
    enum cleave_event_kind kind;
    uint64_t guest;
    uint64_t timestamp_ns; /* CLOCK_MONOTONIC */
    uint32_t mark;
    uint64_t overlay_bytes;
    enum cleave_end end;
    uint32_t exit_code;
    const char *reason;               /* one line; valid during the call */
    const struct cleave_crash *crash; /* CRASHED; valid during the call */
    const char *path;                 /* valid during the call */
    uint64_t bytes_done, bytes_total;
    const uint64_t *children; /* valid during the call */
    unsigned child_count;
};

/* Takes an event, which is valid during the call. */
typedef void cleave_event_fn(void *context, const struct cleave_event *event);

/* One named counter. Names are those of query-stats in cleave-control(7), which says what they count; they are stable,
 * and live as long as the program. */
struct cleave_counter {
    const char *name;
    uint64_t value;
};

#define CLEAVE_COUNTERS_MAX 64

/* Counters of one guest: `count` of them. */
struct cleave_stats {
    struct cleave_counter counters[CLEAVE_COUNTERS_MAX];
    size_t count;
};

/* What a family is made for. All zero but for memory and cpus is a good start. */
struct cleave_config {
    uint64_t memory;        /* bytes of RAM of each guest: a multiple of 4 KiB, 4 MiB to 64 GiB */
    unsigned cpus;          /* vCPUs of each guest: 1 to 8 */
    const char *snapshot;   /* a file whose machine all guests are, in place of memory and cpus; NULL: none. Copied. A
                               first cleave_guest_restore() of this path finds it open already */
    uint64_t limit_guests;  /* live guests at once; 0: no limit */
    uint64_t limit_overlay; /* bytes a guest may have written since it was last forked, see cleave_family_look(); 0: no
                               limit */
    int console; /* descriptor that the guests' console bytes go to, the caller's, open for as long as there is
                    the family; 0: nowhere */
    const struct cleave_region *regions; /* `region_count` of them, which do not overlap; copied */
    unsigned region_count;               /* at most CLEAVE_REGIONS_MAX, or 0: regions may be NULL then */
    bool ready_vms; /* make VMs ahead, in the background: forks and restores then take a tenth of the time */
};

#define CLEAVE_MEMORY_MIN (UINT64_C(4) << 20)  /* bytes */
#define CLEAVE_MEMORY_MAX (UINT64_C(64) << 30) /* bytes */
#define CLEAVE_CPUS_MAX   8

/*
 * Makes a family without guests. The calling thread owns it from then on; a process may have several families, with a
 * thread each. NULL with *failure, which says what is missing and the remedy: InvalidArgument (the configuration),
 * Unsupported (no KVM, one that may not be opened, or that lacks something; or the snapshot's guest needs what this
 * host has not), SnapshotInvalid, IOError (the snapshot cannot be read), NoMemory, Internal.
 */
struct cleave_family *cleave_family_new(const struct cleave_config *config, struct cleave_failure *failure);

/* Ends every guest, joins every thread, frees everything; calls done() of saves and restores under way, with a failure.
 * Waits for what a thread reads or writes just then. Not from within a function that the library has called. NULL is
 * allowed. */
void cleave_family_free(struct cleave_family *family);

/* A descriptor that is readable (POLLIN) when cleave_family_dispatch() has something to do. It stays the family's and
 * the same for all its life: neither read nor close it. For poll(2) or an event loop. Never fails. */
int cleave_family_descriptor(const struct cleave_family *family);

/* Takes up what guests have reported and what background work has come to its end: events and done() come out of this.
 * Does not wait, and never fails. Every function that is asked about a guest takes up reports, too. */
void cleave_family_dispatch(struct cleave_family *family);

/* Sets the one receiver of events, in place of the one there was; fn NULL: none. Marks of a guest that nobody receives
 * can still be had by cleave_guest_marks(). */
void cleave_family_on_event(struct cleave_family *family, cleave_event_fn *fn, void *context);

/* Sets what is called each time when no guest is left (one that has ended and can be reset counts as left) and nothing
 * is being saved or read; fn NULL: nothing. */
void cleave_family_on_idle(struct cleave_family *family, void (*fn)(void *context), void *context);

/* Whether snapshots are being written or read just now. */
bool cleave_family_is_busy(const struct cleave_family *family);

/* Takes the dirty log of each running guest, and pauses those that have written more than config.limit_overlay, with
 * the event OVERLAY_LIMIT. For the caller to call every so often, as every 50 ms; does nothing where there is no limit.
 */
void cleave_family_look(struct cleave_family *family);

/* Ends every guest with CLEAVE_END_KILLED and cancels all that is being saved and read, which ends soon, by
 * cleave_family_dispatch() with a failure. No guest can be made any more (IOError); all else can still be asked. */
void cleave_family_end(struct cleave_family *family);

/* A guest to be launched. */
struct cleave_launch {
    const char *path; /* of the guest's file: a flat binary or a static ELF64 executable; valid during the call */
    const char *args; /* for boot_info, joined by spaces; valid during the call; NULL: none */
    unsigned cpl;     /* privilege level it starts at: 0 or 3 */
    bool paused;      /* it does not run yet */
};

/*
 * Loads a guest and starts it on a thread of the library's own for each vCPU, or leaves it paused: the root of a new
 * family tree. *guest is its id. 0, or -1 with *failure: there is no new guest. Errors: InvalidArgument (the file is no
 * guest or does not fit into RAM; the arguments are too long), Unsupported (a kind of file that is not run),
 * LimitExceeded (config.limit_guests), NoMemory, IOError (the file), Internal.
 */
int cleave_guest_launch(struct cleave_family *family, const struct cleave_launch *launch, uint64_t *guest,
                        struct cleave_failure *failure);

/* Fills *guests with an array of *count, by id, ended guests included; the caller frees it by free(3). The last 1024
 * ended ones are remembered, and guest 0. 0, or -1 with *failure: NoMemory. */
int cleave_family_guests(struct cleave_family *family, struct cleave_guest_info **guests, size_t *count,
                         struct cleave_failure *failure);

/*
 * Forks `guest` into `count` children (1..CLEAVE_FORK_MAX), which run at once unless `paused`. All or none: on failure
 * no child exists and the parent runs on. A paused parent stays paused. The report is the caller's to free, by
 * cleave_fork_report_free(). Errors: GuestNotFound, InvalidArgument (count), LimitExceeded (config.limit_guests),
 * NoMemory, Internal.
 */
int cleave_guest_fork(struct cleave_family *family, uint64_t guest, unsigned count, bool paused,
                      struct cleave_fork_report *report, struct cleave_failure *failure);

/*
 * Makes the present the instant that a reset returns the guest to, in place of the one there was. A running guest runs
 * on, a paused one stays paused. On failure the old instant stays. Errors: GuestNotFound, NoMemory, Internal.
 */
int cleave_guest_checkpoint(struct cleave_family *family, uint64_t guest, struct cleave_checkpoint_report *report,
                            struct cleave_failure *failure);

/* Whether a guest runs on after a reset. */
enum cleave_reset_then {
    CLEAVE_RESET_AS_IT_WAS, /* a running guest runs on, a paused one stays paused, an ended one runs again */
    CLEAVE_RESET_PAUSED,
    CLEAVE_RESET_RUNNING,
};

/*
 * Returns the guest to its last checkpoint, or where it has none to the fork that made it: memory, vCPUs, devices. Its
 * clocks run on; its console, marks and counters, which are the host's record of it, stay; its children live on. `then`
 * says whether it runs on from there; one that exited or crashed with a checkpoint lives again either way. A run of it
 * that is under way ends with INTERRUPT. Errors: GuestNotFound (none, or ended without a checkpoint), Unsupported
 * (nothing to return to), NoMemory, IOError (the snapshot's file that it runs from has been truncated), Internal; it is
 * left paused where it was stopped already.
 */
int cleave_guest_reset(struct cleave_family *family, uint64_t guest, enum cleave_reset_then then,
                       struct cleave_reset_report *report, struct cleave_failure *failure);

/* A snapshot to be made: of which guest, to which file, and how. */
struct cleave_save_request {
    uint64_t guest;
    const char *path; /* valid during the call; relative to the working directory */
    bool diff;        /* only what has changed since the guest's last snapshot or restore, which becomes the parent */
    bool compress;    /* zstd; such a file cannot be mapped, and is read whole when it is restored */
};

/* What a snapshot was. */
struct cleave_save_report {
    uint64_t bytes;    /* of the file */
    uint64_t pages;    /* of 4 KiB, whose data is in it */
    uint64_t pause_ns; /* the guest's */
    uint64_t total_ns; /* from the call until the file was safe on disk */
};

/* What became of it: *report, or with report NULL *failure. */
typedef void cleave_save_fn(void *context, const struct cleave_save_report *report,
                            const struct cleave_failure *failure);

/*
 * Saves the guest as it is now. It stands still as for a checkpoint, and 0 is returned; then the file is written by a
 * thread of the library's own while the guest runs on, with SNAPSHOT_PROGRESS events. At last comes SNAPSHOT_DONE, and
 * done() is called by cleave_family_dispatch(), also where the guest has ended meanwhile; cleave_family_end() and
 * cleave_family_free() cancel what is under way, and done() says so. -1 with *failure: nothing has been started, and
 * done() is not called. At the path is always either what was there before or the whole new file. Errors:
 * GuestNotFound, InvalidArgument (the path; or the guest runs from that very file), Busy (another snapshot of this
 * guest is being written), Unsupported (a diff without anything to build on), NoMemory, IOError, Internal; through
 * done(): IOError, NoMemory.
 */
int cleave_guest_save(struct cleave_family *family, const struct cleave_save_request *request, cleave_save_fn *done,
                      void *context, struct cleave_failure *failure);

/* A guest to be made from a snapshot. */
struct cleave_restore_request {
    const char *path; /* valid during the call; relative to the working directory */
    bool paused;
    bool eager; /* read and check all of it first; otherwise the file is mapped and read as the guest needs it */
};

/* The new guest. */
struct cleave_restore_report {
    uint64_t id;
    uint64_t ready_ns; /* from the call to the first entry into the guest; 0 for a paused one */
};

/* What became of it: *report, or with report NULL *failure. */
typedef void cleave_restore_fn(void *context, const struct cleave_restore_report *report,
                               const struct cleave_failure *failure);

/*
 * Makes a new guest that continues from a snapshot, with an identity of its own. 0 is returned and done() called:
 * before that where the file is mapped, else (`eager`, or a compressed file) by cleave_family_dispatch() when it has
 * been read; the guest counts for config.limit_guests from the start. cleave_family_end() and cleave_family_free()
 * cancel what is under way, and done() says so. -1 with *failure: nothing has been started, and done() is not called.
 * Errors, either way: SnapshotInvalid (the content, naming the field; or its parents), InvalidArgument (the path),
 * Unsupported (the guest has seen a CPU feature that this host lacks; or its memory or vCPUs are not those of this
 * family), LimitExceeded, NoMemory, IOError, Internal.
 */
int cleave_guest_restore(struct cleave_family *family, const struct cleave_restore_request *request,
                         cleave_restore_fn *done, void *context, struct cleave_failure *failure);

/*
 * Runs a paused guest until it stops, on the caller's thread: vCPU 0, and the others on threads of the library's own.
 * *stop says why it has; after MARK, READY, TIME and INTERRUPT the guest is paused and can be run on. `until` is
 * CLEAVE_UNTIL_ bits, or 0; `timeout_ns` counts from the call, 0 is no limit, and what does not fit into 63 bits is as
 * long as it gets. Other guests that run go on; forks that the guest asks for by port are made, and events and done()
 * come out. 0, or -1 with *failure: it has not run. Errors: GuestNotFound, Busy (it runs already; pause it first),
 * NoMemory.
 *
 * While it runs, CLEAVE_KICK_SIGNAL is blocked in the caller's thread, and afterwards as it was before; it must not be
 * used for anything else. A signal of the program's own does not end a run by itself: its handler calls
 * cleave_family_interrupt().
 */
int cleave_guest_run(struct cleave_family *family, uint64_t guest, unsigned until, uint64_t timeout_ns,
                     struct cleave_stop *stop, struct cleave_failure *failure);

/* Makes the cleave_guest_run() under way, or else the next one, return with INTERRUPT. Any thread, and signal handlers;
 * the family must be there. Never fails. */
void cleave_family_interrupt(struct cleave_family *family);

/*
 * Lets a guest run, on threads of the library's own, until it stops; then it is paused (or has ended) and done()
 * called, by cleave_family_dispatch() or from within another function here. A guest that runs already goes on. `until`
 * as for cleave_guest_run(). Whatever else pauses, resets, or ends it ends the run too: INTERRUPT or KILLED. -1 with
 * *failure: done() is not called. Errors: GuestNotFound, Busy (another run of it is under way).
 */
int cleave_guest_begin_run(struct cleave_family *family, uint64_t guest, unsigned until, cleave_stop_fn *done,
                           void *context, struct cleave_failure *failure);

/* Ends that run with this reason (TIME or INTERRUPT), or with what the guest itself has stopped at just then: the guest
 * is paused or has ended, and done() called before this returns. Does nothing where there is no such guest or run. */
void cleave_guest_end_run(struct cleave_family *family, uint64_t guest, enum cleave_stop_reason reason);

/* Returns when every vCPU has stopped. Pausing a paused guest and resuming a running one change nothing and succeed.
 * Errors: GuestNotFound. */
int cleave_guest_pause(struct cleave_family *family, uint64_t guest, struct cleave_failure *failure);
int cleave_guest_resume(struct cleave_family *family, uint64_t guest, struct cleave_failure *failure);

/* Ends the guest for good. One that has ended with a checkpoint gives that up, and with it all it holds. Errors:
 * GuestNotFound (none, or ended without a checkpoint). */
int cleave_guest_kill(struct cleave_family *family, uint64_t guest, struct cleave_failure *failure);

/* Counters of a guest, as they are now. An ended guest keeps those that outlive its machine. Errors: GuestNotFound
 * (none), Internal. */
int cleave_guest_stats(struct cleave_family *family, uint64_t guest, struct cleave_stats *stats,
                       struct cleave_failure *failure);

/* Walks the guest's view at `gpa`, any byte of 48 bits of address; a hole is an answer, too. Errors: GuestNotFound
 * (none, or ended without a checkpoint), InvalidArgument (no guest-physical address at all), Internal. */
int cleave_guest_translate(struct cleave_family *family, uint64_t guest, uint64_t gpa,
                           struct cleave_translation *translation, struct cleave_failure *failure);

/*
 * The first runs of the guest's view from the page that holds `gpa` on, in order: *count of them in list[], at most
 * `most` (1..CLEAVE_MAPPINGS_MAX). *next is where to go on, or 0 where nothing follows. Errors as for
 * cleave_guest_translate().
 */
#define CLEAVE_MAPPINGS_MAX 4096
int cleave_guest_mappings(struct cleave_family *family, uint64_t guest, uint64_t gpa, struct cleave_mapping *list,
                          size_t most, size_t *count, uint64_t *next, struct cleave_failure *failure);

/* Copies guest RAM [gpa, gpa + length) to buffer, at most CLEAVE_READ_MAX bytes. Works on a running guest, of which it
 * is no single instant, and on one that has ended and can be reset, as do cleave_guest_translate() and
 * cleave_guest_mappings(). Errors: GuestNotFound (none, or ended without a checkpoint), InvalidArgument (length; not
 * all of it is RAM), IOError (the snapshot's file that the guest runs from has been truncated). */
#define CLEAVE_READ_MAX 65536
int cleave_guest_read(struct cleave_family *family, uint64_t guest, uint64_t gpa, size_t length, void *buffer,
                      struct cleave_failure *failure);

/* Copies buffer to guest RAM [gpa, gpa + length), of any length, tracked like a write of the guest's own: a reset takes
 * it back. For a running guest it is not one step. Errors: GuestNotFound, InvalidArgument (not all of it is RAM),
 * NoMemory or IOError, and part of it may have been written then. */
int cleave_guest_write(struct cleave_family *family, uint64_t guest, uint64_t gpa, size_t length, const void *buffer,
                       struct cleave_failure *failure);

/* The registers of its vCPUs: *count of them, in registers[], which has room for CLEAVE_CPUS_MAX. A running guest is
 * stopped for it, and runs on. Errors: GuestNotFound, Internal. */
int cleave_guest_registers(struct cleave_family *family, uint64_t guest, struct cleave_registers *registers,
                           unsigned *count, struct cleave_failure *failure);

/* The last bytes the guest wrote to its console, in order: *length of them in text[], which has room for
 * CLEAVE_CONSOLE_MAX; no zero ends them. Works for ended guests too. Errors: GuestNotFound (none). */
#define CLEAVE_CONSOLE_MAX 65536
int cleave_guest_console(struct cleave_family *family, uint64_t guest, char *text, size_t *length,
                         struct cleave_failure *failure);

/*
 * Gives the guest's UART `length` bytes to receive, which a driver finds in its receive buffer one after the other; no
 * interrupt is raised. They are part of the guest's state: a fork's child has its own copy of what is unread. All or
 * none. Works on a running and on a paused guest. Errors: GuestNotFound, InvalidArgument (length is 0 or more than
 * CLEAVE_CONSOLE_INPUT_MAX), Busy (those that are unread leave no room for all of them).
 */
#define CLEAVE_CONSOLE_INPUT_MAX 4096
int cleave_guest_console_write(struct cleave_family *family, uint64_t guest, const void *bytes, size_t length,
                               struct cleave_failure *failure);

/* The guest's marks in order (the last CLEAVE_MARKS_MAX of them); the caller frees *marks by free(3). Where there are
 * none, *marks is NULL and *count 0. Works for ended guests too. Errors: GuestNotFound (none), NoMemory.
 */
#define CLEAVE_MARKS_MAX 65536
int cleave_guest_marks(struct cleave_family *family, uint64_t guest, struct cleave_mark **marks, size_t *count,
                       struct cleave_failure *failure);

/* About the host, and the machines of a family. */
struct cleave_facts {
    int kvm_api_version;
    char kernel[65];     /* release, zero-ended */
    char cpu[64];        /* model name, zero-ended; "unknown" where the host does not tell */
    uint64_t page_size;  /* bytes: 4096 */
    uint64_t memory;     /* bytes of RAM of each guest */
    unsigned vcpus;      /* of each guest */
    unsigned pool_ready; /* VMs that have been made ahead (config.ready_vms), now */
};

/* Fills in *facts. Never fails. */
void cleave_family_facts(const struct cleave_family *family, struct cleave_facts *facts);

#ifdef __cplusplus
}
#endif

#endif
