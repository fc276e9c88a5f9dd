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
 * Addresses and lengths are in bytes, times in nanoseconds. Guests' ABI: <cleave/guest_abi.h>.
 */
#ifndef CLEAVE_CLEAVE_H
#define CLEAVE_CLEAVE_H

#include <cleave/failure.h>
#include <cleave/guest.h>
#include <cleave/log.h>

#ifdef __cplusplus
extern "C" {
#endif

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
    uint64_t ready_ns; /* from the command to the child's first entry into the guest; 0 for a paused child */
};

struct cleave_fork_report {
    struct cleave_fork_child *children; /* `count` of them; freed by cleave_fork_report_free */
    unsigned count;
    uint64_t pause_ns;
    uint64_t phases_ns[CLEAVE_FORK_PHASES];
    uint64_t published_pages; /* of 4 KiB */
};

void cleave_fork_report_free(struct cleave_fork_report *report);

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

struct cleave_reset_report {
    uint64_t dropped_pages; /* of 4 KiB: what the guest had written since */
    uint64_t total_ns;
    uint64_t phases_ns[CLEAVE_RESET_PHASES];
};

enum cleave_event_kind {
    CLEAVE_EVENT_STARTED, /* the guest entered for the first time; timestamp is the entry itself */
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

typedef void cleave_event_fn(void *context, const struct cleave_event *event);

/* One named counter of query-stats. Names are snake_case, stable, and documented in cleave-control(7). */
struct cleave_counter {
    const char *name;
    uint64_t value;
};

#define CLEAVE_COUNTERS_MAX 64

struct cleave_stats {
    struct cleave_counter counters[CLEAVE_COUNTERS_MAX];
    size_t count;
};

/* What a family is made for. All zero but for memory and cpus is a good start. */
struct cleave_config {
    uint64_t memory;        /* bytes of RAM of each guest: a multiple of 4 KiB, 4 MiB to 64 GiB */
    unsigned cpus;          /* vCPUs of each guest: 1 to 8 */
    const char *snapshot;   /* a file whose machine all guests are, in place of memory and cpus; NULL: none. A first
                               cleave_guest_restore() of this path finds it open already */
    uint64_t limit_guests;  /* live guests at once; 0: no limit */
    uint64_t limit_overlay; /* bytes a guest may have written since it was last forked, see cleave_family_look(); 0: no
                               limit */
    int console;            /* descriptor that the guests' console bytes go to, the caller's; 0: nowhere */
    const struct cleave_region *regions; /* `region_count` of them, which do not overlap; copied */
    unsigned region_count;               /* at most CLEAVE_REGIONS_MAX */
    bool ready_vms; /* make VMs ahead, in the background: forks and restores then take a tenth of the time */
};

#define CLEAVE_MEMORY_MIN (UINT64_C(4) << 20)
#define CLEAVE_MEMORY_MAX (UINT64_C(64) << 30)
#define CLEAVE_CPUS_MAX   8

/* Makes a family without guests. NULL with *failure, which says what is missing and the remedy. */
struct cleave_family *cleave_family_new(const struct cleave_config *config, struct cleave_failure *failure);

/* Ends every guest, joins every thread, frees everything; calls done() of what is under way, with a failure. Waits for
 * what a thread reads or writes just then. NULL is allowed. */
void cleave_family_free(struct cleave_family *family);

/* A descriptor that is readable when cleave_family_dispatch() has something to do; it stays the family's. For poll(2)
 * or an event loop. */
int cleave_family_descriptor(const struct cleave_family *family);

/* Takes up what guests have reported and what background work has come to its end: events and done() come out of this.
 */
void cleave_family_dispatch(struct cleave_family *family);

/* One receiver of events, called from within the functions here; NULL takes it away. */
void cleave_family_on_event(struct cleave_family *family, cleave_event_fn *fn, void *context);

/* Called, from within the functions here, when no guest is left (one that has ended and can be reset does not count)
 * and nothing is being saved or read. */
void cleave_family_on_idle(struct cleave_family *family, void (*fn)(void *context), void *context);

/* Snapshots are being written or read. */
bool cleave_family_is_busy(const struct cleave_family *family);

/* Takes the dirty log of each running guest and pauses those that have written more than config.limit_overlay. For the
 * caller to call every so often. */
void cleave_family_look(struct cleave_family *family);

/* Ends every guest with CLEAVE_END_KILLED and cancels all that is being saved and read. No guest can be made any more.
 */
void cleave_family_end(struct cleave_family *family);

struct cleave_launch {
    const char *path; /* of the guest's file: a flat binary or a static ELF64 executable */
    const char *args; /* for boot_info; NULL: none */
    unsigned cpl;     /* privilege level it starts at: 0 or 3 */
    bool paused;      /* it does not run yet */
};

/* Loads a guest and starts it: the root of a new family tree. *guest is its id. 0, or -1 with *failure: there is no new
 * guest. Errors: InvalidArgument, Unsupported (the file), LimitExceeded, NoMemory, IOError, Internal. */
int cleave_guest_launch(struct cleave_family *family, const struct cleave_launch *launch, uint64_t *guest,
                        struct cleave_failure *failure);

/* Fills *guests with an array of *count, by id, ended guests included; the caller frees it. 0, or -1 with *failure. */
int cleave_family_guests(struct cleave_family *family, struct cleave_guest_info **guests, size_t *count,
                         struct cleave_failure *failure);

/*
 * Forks `guest` into `count` children (1..CLEAVE_FORK_MAX), which run at once unless `paused`. All or none: on failure
 * no child exists and the parent runs on. A paused parent stays paused. Errors: GuestNotFound (none, or ended),
 * InvalidArgument (count), LimitExceeded (--limit-guests), NoMemory (names what ran out), Internal (a KVM call failed).
 */
int cleave_guest_fork(struct cleave_family *family, uint64_t guest, unsigned count, bool paused,
                      struct cleave_fork_report *report, struct cleave_failure *failure);

/*
 * Makes the present the instant that a reset returns the guest to, in place of the one there was. A running guest runs
 * on, a paused one stays paused. On failure the old instant stays. Errors as for cleave_guest_fork().
 */
int cleave_guest_checkpoint(struct cleave_family *family, uint64_t guest, struct cleave_checkpoint_report *report,
                            struct cleave_failure *failure);

/*
 * Returns the guest to its last checkpoint, or where it has none to the fork that made it: memory, vCPUs, devices. Its
 * clocks run on; its console, marks and counters, which are the host's record of it, stay; its children live on. `then`
 * says whether it runs on from there; one that exited or crashed with a checkpoint lives again either way. Errors:
 * GuestNotFound (none, or ended without a checkpoint), Unsupported (nothing to return to), Internal (it is left paused
 * then).
 */
enum cleave_reset_then {
    CLEAVE_RESET_AS_IT_WAS, /* a running guest runs on, a paused one stays paused, an ended one runs again */
    CLEAVE_RESET_PAUSED,
    CLEAVE_RESET_RUNNING,
};
int cleave_guest_reset(struct cleave_family *family, uint64_t guest, enum cleave_reset_then then,
                       struct cleave_reset_report *report, struct cleave_failure *failure);

/* A snapshot to be made: of which guest, to which file, and how. */
struct cleave_save_request {
    uint64_t guest;
    const char *path; /* valid during the call; relative to the working directory */
    bool diff;        /* only what has changed since the guest's last snapshot or restore, which becomes the parent */
    bool compress;    /* zstd; such a file cannot be mapped, and is read whole when it is restored */
};

struct cleave_save_report {
    uint64_t bytes;    /* of the file */
    uint64_t pages;    /* of 4 KiB, whose data is in it */
    uint64_t pause_ns; /* the guest's */
    uint64_t total_ns; /* from the command until the file was safe on disk */
};

/* What became of it: *report, or with report NULL *failure. */
typedef void cleave_save_fn(void *context, const struct cleave_save_report *report,
                            const struct cleave_failure *failure);

/*
 * Saves the guest as it is now. It is paused as for a checkpoint, and 0 is returned; then the file is written while it
 * runs on, with SNAPSHOT_PROGRESS events, and at last done() is called from the event loop, also where the guest has
 * ended meanwhile, and by cleave_family_quit() and cleave_family_free(), which cancel what is under way. -1 with
 * *failure: nothing has been started, and done() is not called. At the path is always either what was there before or
 * the whole new file. Errors as for cleave_guest_fork(), and InvalidArgument (the path; or the guest runs from that
 * very file), Busy (another snapshot of this guest is being written), Unsupported (a diff without anything to build
 * on); through done(): IOError, NoMemory.
 */
int cleave_guest_save(struct cleave_family *family, const struct cleave_save_request *request, cleave_save_fn *done,
                      void *context, struct cleave_failure *failure);

struct cleave_restore_request {
    const char *path; /* valid during the call; relative to the working directory */
    bool paused;
    bool eager; /* read and check all of it first; otherwise the file is mapped and read as the guest needs it */
};

struct cleave_restore_report {
    uint64_t id;
    uint64_t ready_ns; /* from the command to the first entry into the guest; 0 for a paused one */
};

/* What became of it: *report, or with report NULL *failure. */
typedef void cleave_restore_fn(void *context, const struct cleave_restore_report *report,
                               const struct cleave_failure *failure);

/*
 * Makes a new guest that continues from a snapshot, with an identity of its own. 0 is returned and done() called:
 * before that where the file is mapped, else from the event loop when it has been read; the guest counts for
 * --limit-guests from the start. cleave_family_quit() cancels what is under way, and done() says so. -1 with *failure:
 * nothing has been started, and done() is not called. Errors, either way: SnapshotInvalid (the content, naming the
 * field; or its parents), InvalidArgument (the path), Unsupported (the guest has seen a CPU feature that this host
 * lacks; or its memory or vCPUs are not those of this VMM's machines), LimitExceeded, NoMemory, IOError.
 */
int cleave_guest_restore(struct cleave_family *family, const struct cleave_restore_request *request,
                         cleave_restore_fn *done, void *context, struct cleave_failure *failure);

/*
 * Runs a paused guest until it stops, on the caller's thread: vCPU 0, and the others on threads of the library's own.
 * *stop says why it has; after MARK, READY, TIME and INTERRUPT the guest is paused and can be run on. `until` is
 * CLEAVE_UNTIL_ bits; `timeout_ns` counts from the call, 0 is no limit. Forks that the guest asks for by port are made
 * meanwhile, and events come out. 0, or -1 with *failure: it has not run. Errors: GuestNotFound, Busy (it runs already;
 * pause it first), NoMemory.
 *
 * While it runs, CLEAVE_KICK_SIGNAL is blocked in the caller's thread; it must not be used for anything else.
 */
int cleave_guest_run(struct cleave_family *family, uint64_t guest, unsigned until, uint64_t timeout_ns,
                     struct cleave_stop *stop, struct cleave_failure *failure);

/* Makes the cleave_guest_run() under way, or else the next one, return with INTERRUPT. Any thread, and signal handlers.
 */
void cleave_family_interrupt(struct cleave_family *family);

/*
 * Lets a guest run, on threads of the library's own, until it stops; then it is paused (or has ended) and done()
 * called, by cleave_family_dispatch() or from within another function here. A guest that runs already goes on. Whatever
 * else pauses, resets, or ends it ends the run too: INTERRUPT or KILLED. -1 with *failure: done() is not called.
 * Errors: GuestNotFound, Busy (another run of it is under way).
 */
int cleave_guest_begin_run(struct cleave_family *family, uint64_t guest, unsigned until, cleave_stop_fn *done,
                           void *context, struct cleave_failure *failure);

/* Ends that run with this reason (TIME or INTERRUPT): the guest is paused. Nothing where there is none. */
void cleave_guest_end_run(struct cleave_family *family, uint64_t guest, enum cleave_stop_reason reason);

/* Pausing a paused guest and resuming a running one change nothing and succeed. GuestNotFound for none or an ended one.
 */
int cleave_guest_pause(struct cleave_family *family, uint64_t guest, struct cleave_failure *failure);
int cleave_guest_resume(struct cleave_family *family, uint64_t guest, struct cleave_failure *failure);

/* Ends the guest for good. One that has ended with a checkpoint gives that up, and with it all it holds. */
int cleave_guest_kill(struct cleave_family *family, uint64_t guest, struct cleave_failure *failure);

/* Counters of a guest. An ended guest keeps those that outlive its machine. */
int cleave_guest_stats(struct cleave_family *family, uint64_t guest, struct cleave_stats *stats,
                       struct cleave_failure *failure);

/* Walks the guest's view at `gpa`. InvalidArgument where gpa is no guest-physical address at all. */
int cleave_guest_translate(struct cleave_family *family, uint64_t guest, uint64_t gpa,
                           struct cleave_translation *translation, struct cleave_failure *failure);

/*
 * The first runs of the guest's view from the page that holds `gpa` on, in order: *count of them in list[], at most
 * `most`. *next is where to go on, or 0 where nothing follows. InvalidArgument where gpa is no guest-physical address.
 */
#define CLEAVE_MAPPINGS_MAX 4096
int cleave_guest_mappings(struct cleave_family *family, uint64_t guest, uint64_t gpa, struct cleave_mapping *list,
                          size_t most, size_t *count, uint64_t *next, struct cleave_failure *failure);

/* Copies guest RAM [gpa, gpa + length) to buffer. InvalidArgument where any of it is not RAM. Works on a running guest,
 * and on one that has ended and can be reset, as do cleave_guest_translate() and cleave_guest_mappings(). */
#define CLEAVE_READ_MAX 65536
int cleave_guest_read(struct cleave_family *family, uint64_t guest, uint64_t gpa, size_t length, void *buffer,
                      struct cleave_failure *failure);

/* Copies buffer to guest RAM [gpa, gpa + length), tracked like a write of the guest's own. For a running guest it is
 * not one step. Works where cleave_guest_read() does, but on ended guests. */
int cleave_guest_write(struct cleave_family *family, uint64_t guest, uint64_t gpa, size_t length, const void *buffer,
                       struct cleave_failure *failure);

/* The registers of its vCPUs: *count of them, in registers[CLEAVE_CPUS_MAX]. A running guest is stopped for it, and
 * runs on. */
int cleave_guest_registers(struct cleave_family *family, uint64_t guest, struct cleave_registers *registers,
                           unsigned *count, struct cleave_failure *failure);

/* The last bytes the guest wrote to its console, at most CLEAVE_CONSOLE_MAX, in order. Works for ended guests too. */
#define CLEAVE_CONSOLE_MAX 65536
int cleave_guest_console(struct cleave_family *family, uint64_t guest, char *text, size_t *length,
                         struct cleave_failure *failure);

/*
 * Gives the guest's UART `length` bytes to receive, which a driver finds in its receive buffer one after the other; no
 * interrupt is raised. They are part of the guest's state: a fork's child has its own copy of what is unread. All or
 * none: Busy where those that are unread leave no room for all of them; InvalidArgument where length is 0 or more than
 * CLEAVE_CONSOLE_INPUT_MAX. Works on a running and on a paused guest.
 */
#define CLEAVE_CONSOLE_INPUT_MAX 4096
int cleave_guest_console_write(struct cleave_family *family, uint64_t guest, const void *bytes, size_t length,
                               struct cleave_failure *failure);

/* The guest's marks in order (the last CLEAVE_MARKS_MAX of them); the caller frees *marks. Works for ended guests too.
 */
#define CLEAVE_MARKS_MAX 65536
int cleave_guest_marks(struct cleave_family *family, uint64_t guest, struct cleave_mark **marks, size_t *count,
                       struct cleave_failure *failure);

/* KVM and host facts for query-version, as named strings and numbers. */
struct cleave_facts {
    int kvm_api_version;
    char kernel[65];
    char cpu[64];
    uint64_t page_size;
    uint64_t memory; /* bytes of RAM of each guest */
    unsigned vcpus;
    unsigned pool_ready; /* VMs ready in the pool now */
};
void cleave_family_facts(const struct cleave_family *family, struct cleave_facts *facts);

#ifdef __cplusplus
}
#endif

#endif
