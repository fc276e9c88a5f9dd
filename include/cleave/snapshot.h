/*
 * Snapshot files: writing one, reading one or a chain of them, checking every byte. cleave-snapshot(5) specifies the
 * format. The VMM saves and restores with this; vmctl inspects and verifies with it. It knows nothing of KVM: vCPU and
 * device state pass through as records of bytes. Link with what `pkg-config libsnapshot` says.
 *
 * A file is hostile until snapshot_open() has returned: every length, offset, count, address and enum is checked
 * there. Page data is not read by it; its checksums are compared by snapshot_chain_load() and snapshot_verify().
 *
 * Addresses, offsets and lengths are in bytes. Functions return 0, or -1 with *error filled in, unless they say
 * otherwise. Any thread; one snapshot by one thread at a time.
 */
#ifndef CLEAVE_SNAPSHOT_H
#define CLEAVE_SNAPSHOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNAPSHOT_VERSION     1
#define SNAPSHOT_PAGE        UINT64_C(4096)
#define SNAPSHOT_BLOCK       (UINT64_C(2) << 20) /* longest run of pages, and how whole blocks are aligned in a file */
#define SNAPSHOT_MEMORY_MAX  (UINT64_C(64) << 30)
#define SNAPSHOT_CPUS_MAX    8
#define SNAPSHOT_RECORDS_MAX 16
#define SNAPSHOT_CPUID_MAX   256
#define SNAPSHOT_CHAIN_MAX   64
#define SNAPSHOT_TEXT        512

enum snapshot_error_class {
    SNAPSHOT_INVALID,  /* the file's content; the text names the field */
    SNAPSHOT_ARGUMENT, /* what is asked for cannot be: the path is a directory, empty, forbidden, not there */
    SNAPSHOT_IO,       /* the host's kernel reported an error on a file; a disk is full; a file was cut off meanwhile */
    SNAPSHOT_NO_MEMORY, /* or no descriptors */
    SNAPSHOT_CANCELLED,
};

struct snapshot_error {
    enum snapshot_error_class class;
    char text[SNAPSHOT_TEXT]; /* one line that begins with the file's path */
};

enum snapshot_kind { SNAPSHOT_FULL = 1, SNAPSHOT_DIFF = 2 };

/* By which a diff knows its parent: the random identity drawn for that one file, and the checksum of its header, which
 * covers the checksums of all that is in it. */
struct snapshot_name {
    uint8_t id[16];
    uint64_t header_checksum;
};

/* The names of all files that a chain has: names[0] is a full one's, each other's file builds on the one before it. */
struct snapshot_lineage {
    struct snapshot_name names[SNAPSHOT_CHAIN_MAX];
    unsigned count;
};

/* What the machine is and was at the instant. */
struct snapshot_machine {
    uint64_t memory;      /* RAM is [0, memory); a multiple of 4096, 4 MiB to SNAPSHOT_MEMORY_MAX */
    uint32_t cpus;        /* 1 to SNAPSHOT_CPUS_MAX */
    uint32_t fork_result; /* what the fork port reads on vCPU 0: guest_abi.h */
    uint64_t guest_id;
    uint64_t generation;
    uint64_t clock_ns;      /* of the guest's paravirtual clock */
    uint64_t saved_unix_ns; /* CLOCK_REALTIME at the instant */
    uint32_t tsc_khz;       /* 0: not known */
    uint32_t reserved;      /* 0 */
};

/* One CPUID leaf as the guest sees it; the layout of struct kvm_cpuid_entry2. */
struct snapshot_cpuid {
    uint32_t function, index, flags, eax, ebx, ecx, edx, padding[3];
};

/* A part of a vCPU's or a device's state. Its type says what it is; cleave-snapshot(5) has each one's layout. */
enum snapshot_record_type {
    SNAPSHOT_VCPU_REGS = 1,      /* struct kvm_regs, 144 bytes; all of KVM's structs as on x86-64 */
    SNAPSHOT_VCPU_SREGS = 2,     /* struct kvm_sregs, 312 */
    SNAPSHOT_VCPU_XSAVE = 3,     /* the XSAVE image in standard format, 4096 or more */
    SNAPSHOT_VCPU_XCRS = 4,      /* struct kvm_xcrs, 392 */
    SNAPSHOT_VCPU_DEBUGREGS = 5, /* struct kvm_debugregs, 128 */
    SNAPSHOT_VCPU_EVENTS = 6,    /* struct kvm_vcpu_events, 64 */
    SNAPSHOT_VCPU_MP_STATE = 7,  /* struct kvm_mp_state, 4 */
    SNAPSHOT_VCPU_MSRS = 8,      /* struct kvm_msr_entry, 16 each, up to 256 of them */
    SNAPSHOT_VCPU_TSC = 9,       /* uint64_t: the guest's TSC at the instant */
    SNAPSHOT_VCPU_HALTED = 10,   /* uint8_t, 0 or 1: stopped in HLT for good */
    SNAPSHOT_VCPU_FORK_RESULT = 11, /* uint32_t: what the fork port reads on this vCPU; where it is missing, machine.fork_result */
    SNAPSHOT_DEVICE_UART = 1,    /* ier, fcr, lcr, mcr, scr, dll, dlm, looped, looped_ready (0 or 1): 9 bytes */
    SNAPSHOT_DEVICE_UART_INPUT =
        2, /* bytes it has received and that are not read: 1 to 4096; left out where none are */
};

struct snapshot_record {
    uint32_t type;
    uint32_t bytes;
    const void *data;
};

struct snapshot_records {
    struct snapshot_record list[SNAPSHOT_RECORDS_MAX];
    unsigned count;
};

/* All of a machine's state but its memory. */
struct snapshot_state {
    struct snapshot_machine machine;
    const struct snapshot_cpuid *cpuid;
    unsigned cpuid_count;
    struct snapshot_records vcpus[SNAPSHOT_CPUS_MAX]; /* machine.cpus of them */
    struct snapshot_records devices;
};

/* ---- Writing ---- */

/* Memory to save: guest addresses [gpa, gpa + bytes) are at `offset` of fd; -1: they are zero. Holes of the file are
 * zeros too. */
struct snapshot_source {
    uint64_t gpa, bytes;
    int fd;
    uint64_t offset;
};

struct snapshot_job {
    const char *path;
    enum snapshot_kind kind;
    bool compress;                         /* zstd; such a file cannot be mapped */
    const struct snapshot_lineage *parent; /* of a diff: its parent's, 1 to SNAPSHOT_CHAIN_MAX - 1; else NULL */
    const char *parent_path;               /* where the parent was saved or restored from */
    const struct snapshot_state *state;
    const struct snapshot_source *sources; /* ascending, not overlapping. Full: memory in no source is zero. Diff: it is
                                              as in the parent */
    size_t source_count;
    void (*progress)(void *context, uint64_t done, uint64_t total); /* bytes of sources; may be NULL */
    void *context;
    const atomic_bool *cancel; /* looked at now and then; may be NULL */
};

struct snapshot_result {
    struct snapshot_lineage lineage; /* the new file's name is the last */
    uint64_t bytes;                  /* of the file */
    uint64_t pages;                  /* whose data is in it */
    uint64_t zero_pages;             /* of the sources; they take no space */
};

/*
 * Writes the file: into one without a name, fsync, then under `path` in one step, then fsync of the directory. Whatever
 * happens, at `path` is either what was there or the whole new snapshot, and on failure nothing else is left.
 *
 * A diff is refused (SNAPSHOT_ARGUMENT) that could never be restored: where the file at `path` is one that it builds
 * on, by whatever name it went before; where one of these has been elsewhere when it was looked for, and `path` is the
 * place that it would be looked for again; where another file has taken the place of one.
 */
int snapshot_save(const struct snapshot_job *job, struct snapshot_result *result, struct snapshot_error *error);

/* ---- Reading ---- */

/* Guest addresses [gpa, gpa + bytes), at most SNAPSHOT_BLOCK of them. */
struct snapshot_run {
    uint64_t gpa, bytes;
    uint64_t offset;   /* in the file; a multiple of 4096 where the data is mappable; 0: all zero, nothing stored */
    uint64_t stored;   /* bytes in the file: `bytes`, or less where compressed, or 0 */
    uint64_t checksum; /* XXH3, 64 bits, of what is stored */
};

/* One open file. */
struct snapshot;

/* Opens `path` alone and checks everything but page data and parents. NULL with *error. The file stays open: it may be
 * renamed, replaced or deleted meanwhile. */
struct snapshot *snapshot_open(const char *path, struct snapshot_error *error);
void snapshot_close(struct snapshot *snapshot);

const char *snapshot_path(const struct snapshot *snapshot);
int snapshot_fd(const struct snapshot *snapshot); /* the snapshot's own */
uint64_t snapshot_bytes(const struct snapshot *snapshot);
enum snapshot_kind snapshot_kind(const struct snapshot *snapshot);
bool snapshot_compressed(const struct snapshot *snapshot);
const struct snapshot_name *snapshot_name(const struct snapshot *snapshot);
const struct snapshot_name *snapshot_parent(const struct snapshot *snapshot); /* NULL: full */
const char *
snapshot_parent_path(const struct snapshot *snapshot); /* as saved; where it is, see snapshot_chain_open() */
const struct snapshot_state *snapshot_state(const struct snapshot *snapshot);
const struct snapshot_run *snapshot_runs(const struct snapshot *snapshot, size_t *count); /* ascending */

/* A snapshot with all it builds on: files[0] is full, files[count - 1] is the one asked for. */
struct snapshot_chain {
    struct snapshot *files[SNAPSHOT_CHAIN_MAX];
    unsigned count;
};

/* Opens the file and its parents, each looked for where it was saved and then beside its child. A parent that is
 * missing, or another than the one meant, or whose machine differs, or a cycle: SNAPSHOT_INVALID, naming both. */
int snapshot_chain_open(struct snapshot_chain *chain, const char *path, struct snapshot_error *error);
void snapshot_chain_close(struct snapshot_chain *chain);

void snapshot_chain_lineage(const struct snapshot_chain *chain, struct snapshot_lineage *lineage);

/* What the memory of the chain is: ascending, whole of [0, memory), adjacent ones merged where they are adjacent in the
 * file too. */
struct snapshot_extent {
    uint64_t gpa, bytes;
    unsigned file;   /* of the chain */
    uint64_t offset; /* in that file; 0: all zero */
};

/* No file of the chain may be compressed. *extents is the caller's to free. */
int snapshot_chain_extents(const struct snapshot_chain *chain, struct snapshot_extent **extents, size_t *count,
                           struct snapshot_error *error);

/* Reads the memory of the chain into `memory`, machine.memory bytes of zeros, comparing every checksum of what it
 * reads. Pages that are zero are not written to. Looks at *cancel now and then, which may be NULL; any thread. */
int snapshot_chain_load(const struct snapshot_chain *chain, uint8_t *memory, const atomic_bool *cancel,
                        struct snapshot_error *error);

/* Reads all of one file and compares every checksum. */
int snapshot_verify(const struct snapshot *snapshot, struct snapshot_error *error);

#endif
