/*
 * The host: all guests of this process, their family tree, and what can be asked of them. The control protocol and
 * main() use this and nothing below it.
 *
 * Locking: every function here runs on the event-loop thread only. vCPU threads report to the host through its mailbox;
 * events come out on the event-loop thread. Addresses and lengths are in bytes, times in nanoseconds.
 */
#ifndef VMM_FAMILY_FAMILY_H
#define VMM_FAMILY_FAMILY_H

#include "vmm/base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct host;
struct options;

enum guest_state {
    GUEST_RUNNING,
    GUEST_PAUSED,
    GUEST_EXITED,
    GUEST_CRASHED,
};

/* How a guest ended; meaningful in GUEST_EXITED and GUEST_CRASHED. */
enum guest_end {
    END_NONE,
    END_EXIT,   /* by the exit port, or every vCPU halted (exit code 0) */
    END_KILLED, /* by `kill` or `quit` */
    END_CRASH,  /* triple fault, unhandled exception, internal error */
};

/* What a reset returns a guest to. */
enum reset_target {
    RESET_NOWHERE,
    RESET_TO_FORK, /* the one that made it */
    RESET_TO_CHECKPOINT,
    RESET_TO_RESTORE, /* the snapshot it was restored from */
};

struct guest_info {
    uint64_t id;
    uint64_t parent; /* valid where has_parent */
    bool has_parent; /* false for the root */
    enum guest_state state;
    enum guest_end end;
    uint64_t generation;
    unsigned vcpus;
    uint64_t memory;    /* bytes of RAM */
    size_t children;    /* made so far, ended ones included */
    uint32_t exit_code; /* valid where end == END_EXIT */
    enum reset_target reset_to;
};

enum fork_phase {               /* of the pause, in this order; they add up to pause_ns, rounding aside */
                  FORK_STOP,    /* until every vCPU has stopped */
                  FORK_SAVE,    /* vCPU and device state */
                  FORK_HARVEST, /* the dirty log, into the view */
                  FORK_PUBLISH, /* dirty pages, into a frozen layer */
                  FORK_MOVE,    /* first fork only: the parent goes on in a fresh VM and a private window */
                  FORK_RESUME,  /* until the parent's vCPUs may run again */
                  FORK_PHASES,
};

/* The phases' names in the control protocol: stop, save, harvest, publish, move, resume. */
extern const char *const fork_phase_names[FORK_PHASES];

struct fork_child {
    uint64_t id;
    uint64_t ready_ns; /* from the command to the child's first entry into the guest; 0 for a paused child */
};

struct fork_report {
    struct fork_child *children; /* `count` of them; freed by fork_report_free */
    unsigned count;
    uint64_t pause_ns;
    uint64_t phases_ns[FORK_PHASES];
    uint64_t published_pages; /* of 4 KiB */
};

void fork_report_free(struct fork_report *report);

struct checkpoint_report {
    uint64_t pause_ns;
    uint64_t published_pages; /* of 4 KiB */
};

enum reset_phase {               /* in this order; they add up to total_ns, rounding aside */
                   RESET_STOP,   /* until every vCPU has stopped */
                   RESET_MEMORY, /* the dirty log, and what it names */
                   RESET_STATE,  /* vCPUs and devices */
                   RESET_RESUME, /* until the vCPUs are in the guest again */
                   RESET_PHASES,
};

/* The phases' names in the control protocol: stop, memory, state, resume. */
extern const char *const reset_phase_names[RESET_PHASES];

struct reset_report {
    uint64_t dropped_pages; /* of 4 KiB: what the guest had written since */
    uint64_t total_ns;
    uint64_t phases_ns[RESET_PHASES];
};

struct mark {
    uint32_t value;
    uint64_t timestamp_ns; /* CLOCK_MONOTONIC */
};

enum host_event_kind {
    EVENT_STARTED, /* the guest entered for the first time; timestamp is the entry itself */
    EVENT_PAUSED,
    EVENT_RESUMED,
    EVENT_FORKED,            /* guest = the parent; children, child_count */
    EVENT_MARK,              /* mark */
    EVENT_EXITED,            /* end, exit_code */
    EVENT_CRASHED,           /* reason */
    EVENT_OVERLAY_LIMIT,     /* overlay_bytes: the guest has been paused */
    EVENT_RESET,             /* the guest has returned to its last checkpoint, or to the fork that made it */
    EVENT_SNAPSHOT_PROGRESS, /* path, bytes_done, bytes_total */
    EVENT_SNAPSHOT_DONE,     /* path, and reason where it failed */
};

struct host_event {
    enum host_event_kind kind;
    uint64_t guest;
    uint64_t timestamp_ns; /* CLOCK_MONOTONIC */
    uint32_t mark;
    uint64_t overlay_bytes;
    enum guest_end end;
    uint32_t exit_code;
    const char *reason; /* one line; valid during the call */
    const char *path;   /* valid during the call */
    uint64_t bytes_done, bytes_total;
    const uint64_t *children; /* valid during the call */
    unsigned child_count;
};

typedef void host_event_fn(void *context, const struct host_event *event);

/* One named counter of query-stats. Names are snake_case, stable, and documented in include/cleave/control.md. */
struct guest_counter {
    const char *name;
    uint64_t value;
};

#define GUEST_COUNTERS_MAX 64

struct guest_stats {
    struct guest_counter counters[GUEST_COUNTERS_MAX];
    size_t count;
};

/* One level of a walk, from the top. */
struct translation_step {
    unsigned level;
    uint64_t entry; /* raw */
};

struct translation {
    struct translation_step steps[5];
    unsigned step_count;
    bool mapped;
    uint64_t hpa;        /* of the byte asked for; valid where mapped, as are the following */
    uint64_t page_start; /* the GPA range of the leaf that holds it */
    uint64_t page_size;
    bool read, write, execute, accessed, dirty;
    const char *memory_type;
    const char *backing; /* where the page's bytes are: "overlay" or "layer" */
};

/* A run of a guest's pages that are adjacent in GPA and HPA, of one size, and alike. */
struct mapping {
    uint64_t gpa, bytes;
    uint64_t hpa;       /* of its first byte */
    uint64_t page_size; /* bytes */
    bool read, write, execute, accessed, dirty;
    const char *memory_type;
};

/* Makes a host on `loop` for machines as `options` say; no guest yet. Returns NULL with *failure filled in. */
struct host *host_new(uv_loop_t *loop, const struct options *options, struct failure *failure);

/* Ends every guest, joins every thread, frees everything; the loop must still be there, and may no longer be running.
 */
void host_free(struct host *host);

/* Loads and starts the root guest (or leaves it paused, as the options say). 0, or -1 with *failure. */
int host_launch(struct host *host, struct failure *failure);

/* One receiver of events; NULL takes it away. */
void host_on_event(struct host *host, host_event_fn *fn, void *context);

/* Called once when no guest is left (and the options do not say --linger), or when host_quit has ended every guest. A
 * guest that has ended and can be reset is left. */
void host_on_done(struct host *host, void (*fn)(void *context), void *context);

/* The process's exit status as vmm(1) defines it, once done. */
int host_exit_status(const struct host *host);

/* Fills *guests with an array of *count, by id, ended guests included; the caller frees it. 0, or -1 with *failure. */
int host_guests(struct host *host, struct guest_info **guests, size_t *count, struct failure *failure);

/*
 * Forks `guest` into `count` children (1..HOST_FORK_MAX), which run at once unless `paused`. All or none: on failure no
 * child exists and the parent runs on. A paused parent stays paused. Errors: GuestNotFound (none, or ended),
 * InvalidArgument (count), LimitExceeded (--limit-guests), NoMemory (names what ran out), Internal (a KVM call failed).
 */
#define HOST_FORK_MAX 1024
int host_fork(struct host *host, uint64_t guest, unsigned count, bool paused, struct fork_report *report,
              struct failure *failure);

/*
 * Makes the present the instant that a reset returns the guest to, in place of the one there was. A running guest runs
 * on, a paused one stays paused. On failure the old instant stays. Errors as for host_fork().
 */
int host_checkpoint(struct host *host, uint64_t guest, struct checkpoint_report *report, struct failure *failure);

/*
 * Returns the guest to its last checkpoint, or where it has none to the fork that made it: memory, vCPUs, devices. Its
 * clocks run on; its console, marks and counters, which are the host's record of it, stay; its children live on. A
 * running guest runs on from there and a paused one stays paused. One that exited or crashed with a checkpoint runs
 * again. Errors: GuestNotFound (none, or ended without a checkpoint), Unsupported (nothing to return to), Internal (it
 * is left paused then).
 */
int host_reset(struct host *host, uint64_t guest, struct reset_report *report, struct failure *failure);

/* A snapshot to be made: of which guest, to which file, and how. */
struct snapshot_request {
    uint64_t guest;
    const char *path; /* valid during the call; relative to the working directory */
    bool diff;        /* only what has changed since the guest's last snapshot or restore, which becomes the parent */
    bool compress;    /* zstd; such a file cannot be mapped, and is read whole when it is restored */
};

struct snapshot_report {
    uint64_t bytes;    /* of the file */
    uint64_t pages;    /* of 4 KiB, whose data is in it */
    uint64_t pause_ns; /* the guest's */
    uint64_t total_ns; /* from the command until the file was safe on disk */
};

/* What became of it: *report, or with report NULL *failure. */
typedef void host_snapshot_fn(void *context, const struct snapshot_report *report, const struct failure *failure);

/*
 * Saves the guest as it is now. It is paused as for a checkpoint, and 0 is returned; then the file is written while it
 * runs on, with SNAPSHOT_PROGRESS events, and at last done() is called from the event loop, also where the guest has
 * ended meanwhile, and by host_quit() and host_free(), which cancel what is under way. -1 with *failure: nothing has
 * been started, and done() is not called. At the path is always either what was there before or the whole new file.
 * Errors as for host_fork(), and InvalidArgument (the path; or the guest runs from that very file), Busy (another
 * snapshot of this guest is being written), Unsupported (a diff without anything to build on); through done(): IOError,
 * NoMemory.
 */
int host_snapshot(struct host *host, const struct snapshot_request *request, host_snapshot_fn *done, void *context,
                  struct failure *failure);

struct restore_request {
    const char *path; /* valid during the call; relative to the working directory */
    bool paused;
    bool eager; /* read and check all of it first; otherwise the file is mapped and read as the guest needs it */
};

struct restore_report {
    uint64_t id;
    uint64_t ready_ns; /* from the command to the first entry into the guest; 0 for a paused one */
};

/* What became of it: *report, or with report NULL *failure. */
typedef void host_restore_fn(void *context, const struct restore_report *report, const struct failure *failure);

/*
 * Makes a new guest that continues from a snapshot, with an identity of its own. 0 is returned and done() called:
 * before that where the file is mapped, else from the event loop when it has been read; the guest counts for
 * --limit-guests from the start. host_quit() cancels what is under way, and done() says so. -1 with *failure: nothing
 * has been started, and done() is not called. Errors, either way: SnapshotInvalid (the content, naming the field; or
 * its parents), InvalidArgument (the path), Unsupported (the guest has seen a CPU feature that this host lacks; or its
 * memory or vCPUs are not those of this VMM's machines), LimitExceeded, NoMemory, IOError.
 */
int host_restore(struct host *host, const struct restore_request *request, host_restore_fn *done, void *context,
                 struct failure *failure);

/* Pausing a paused guest and resuming a running one change nothing and succeed. GuestNotFound for none or an ended one.
 */
int host_pause(struct host *host, uint64_t guest, struct failure *failure);
int host_resume(struct host *host, uint64_t guest, struct failure *failure);

/* Ends the guest for good. One that has ended with a checkpoint gives that up, and with it all it holds. */
int host_kill(struct host *host, uint64_t guest, struct failure *failure);

/* Ends every guest with END_KILLED; the exit status becomes 124. */
void host_quit(struct host *host);

/* Counters of a guest. An ended guest keeps those that outlive its machine. */
int host_stats(struct host *host, uint64_t guest, struct guest_stats *stats, struct failure *failure);

/* Walks the guest's view at `gpa`. InvalidArgument where gpa is no guest-physical address at all. */
int host_translate(struct host *host, uint64_t guest, uint64_t gpa, struct translation *translation,
                   struct failure *failure);

/*
 * The first runs of the guest's view from the page that holds `gpa` on, in order: *count of them in list[], at most
 * `most`. *next is where to go on, or 0 where nothing follows. InvalidArgument where gpa is no guest-physical address.
 */
#define HOST_MAPPINGS_MAX 4096
int host_mappings(struct host *host, uint64_t guest, uint64_t gpa, struct mapping *list, size_t most, size_t *count,
                  uint64_t *next, struct failure *failure);

/* Copies guest RAM [gpa, gpa + length) to buffer. InvalidArgument where any of it is not RAM. Works on a running guest,
 * and on one that has ended and can be reset, as do host_translate() and host_mappings(). */
#define HOST_READ_MAX 65536
int host_read_memory(struct host *host, uint64_t guest, uint64_t gpa, size_t length, void *buffer,
                     struct failure *failure);

/* The last bytes the guest wrote to its console, at most HOST_CONSOLE_MAX, in order. Works for ended guests too. */
#define HOST_CONSOLE_MAX 65536
int host_console(struct host *host, uint64_t guest, char *text, size_t *length, struct failure *failure);

/* The guest's marks in order (the last HOST_MARKS_MAX of them); the caller frees *marks. Works for ended guests too. */
#define HOST_MARKS_MAX 65536
int host_marks(struct host *host, uint64_t guest, struct mark **marks, size_t *count, struct failure *failure);

/* KVM and host facts for query-version, as named strings and numbers. */
struct host_facts {
    int kvm_api_version;
    char kernel[65];
    char cpu[64];
    uint64_t page_size;
    uint64_t memory; /* bytes of RAM of each guest */
    unsigned vcpus;
    unsigned pool_ready; /* VMs ready in the pool now */
};
void host_facts(const struct host *host, struct host_facts *facts);

#endif
