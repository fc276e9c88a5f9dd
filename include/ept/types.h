/* Types shared by every page-table format of the library: trees, cursors, gathers, properties and results.
 * For embedders, who fill in a pt_config, and for the library itself. Functions are in <ept/ept.h> and <ept/x86.h>.
 *
 * Vocabulary: a table is 512 entries of 64 bits; a slot is the address range one entry covers; level 1 is 4 KiB slots,
 * 2 is 2 MiB, 3 is 1 GiB; a leaf is an entry that maps memory; a frame is a 4 KiB unit of the space leaves point into
 * (HPA); pa is the address of a table as the hardware's walker sees it. */
#ifndef EPT_TYPES_H
#define EPT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of this library. PT_VERSION_NUMBER grows with every release: 10000 * major + 100 * minor + patch. */
#define PT_VERSION        "0.1.0"
#define PT_VERSION_NUMBER 100

/* These headers are C11 and C++17. Atomic members are the library's own: in both languages they are as large. */
#ifdef __cplusplus
#include <atomic>
#define PT_ATOMIC(type) std::atomic<type>
#define PT_START        extern "C" {
#define PT_FINISH       }
#else
#include <stdatomic.h>
#define PT_ATOMIC(type) _Atomic type
#define PT_START
#define PT_FINISH
#endif

PT_START

#define PT_PAGE_SHIFT 12u
#define PT_PAGE_SIZE  ((uint64_t)1 << PT_PAGE_SHIFT)
#define PT_ENTRIES    512u
#define PT_MAX_LEVEL  5u
#define PT_HUGE_LEVEL 3u /* no format has leaves above this level */

#define PT_CHECKED __attribute__((warn_unused_result))

/* log2 and size of one slot of a table of this level. */
static inline unsigned pt_slot_shift(unsigned level)
{
    return PT_PAGE_SHIFT + 9u * (level - 1u);
}
static inline uint64_t pt_slot_size(unsigned level)
{
    return (uint64_t)1 << pt_slot_shift(level);
}

/* What an operation answers. Whatever is not PT_OK or PT_END left mappings and cursor as they were. */
enum pt_status {
    PT_OK = 0,
    PT_END,       /* nothing (more) in the range */
    PT_EINVAL,    /* misaligned, zero-sized or unknown argument; properties or page size the format or CPU has not */
    PT_ERANGE,    /* outside the cursor's range or the tree's address space, or wraps around */
    PT_ENOMEM,    /* alloc_table had no page */
    PT_ETABLE,    /* alloc_table gave a page that is not aligned, beyond maxphyaddr or below pa_base: it got it back */
    PT_EOCCUPIED, /* the destination holds a mapping */
    PT_EFRAME,    /* frame_get refused */
    PT_EMODE,     /* the cursor is for reading only, or it has ended */
    PT_EUNEQUAL,  /* collapse: the leaves are not the pieces of one */
    PT_ECORRUPT,  /* check: an invariant does not hold */
};

/* What a leaf allows and is. R, W, X, U, A, D, G and the memory type go to the hardware; the rest is software's. */
typedef uint32_t pt_prop;
#define PT_R       ((pt_prop)1 << 0)
#define PT_W       ((pt_prop)1 << 1)
#define PT_X       ((pt_prop)1 << 2)
#define PT_U       ((pt_prop)1 << 3) /* user mode may use it; x86 only (NPT needs it on every leaf) */
#define PT_A       ((pt_prop)1 << 4) /* accessed */
#define PT_D       ((pt_prop)1 << 5) /* dirty; in x86-64 leaves without PT_W it is where hardware does not look */
#define PT_G       ((pt_prop)1 << 6) /* global; x86 only */
#define PT_IPAT    ((pt_prop)1 << 7) /* ignore the guest's PAT; EPT only */
#define PT_TRACKED ((pt_prop)1 << 8) /* frames are reference counted through frame_get and frame_put */
#define PT_SOFT0   ((pt_prop)1 << 9) /* three bits for the embedder, kept by every operation */
#define PT_SOFT1   ((pt_prop)1 << 10)
#define PT_SOFT2   ((pt_prop)1 << 11)
#define PT_MT_MASK ((pt_prop)7 << 12) /* memory type: a field, always one of the following */
#define PT_UC      ((pt_prop)0 << 12)
#define PT_WC      ((pt_prop)1 << 12) /* EPT only: the default PAT has no write-combining entry */
#define PT_WT      ((pt_prop)4 << 12)
#define PT_WP      ((pt_prop)5 << 12) /* EPT only, likewise */
#define PT_WB      ((pt_prop)6 << 12)
#define PT_UCMINUS ((pt_prop)7 << 12) /* x86 only */
/* W may come back: software's memory of it, kept by every operation. Map what its owner may write with it, and when W
 * goes, for a share, a copy or a log of what is written, cursor_resolve knows whether and how to give it back. */
#define PT_WRITABLE ((pt_prop)1 << 15)
#define PT_ALL      (((pt_prop)1 << 16) - 1u)

#define PT_RW  (PT_R | PT_W)
#define PT_RX  (PT_R | PT_X)
#define PT_RWX (PT_R | PT_W | PT_X)

/* A change of properties: new = (old & ~clear) | set. The memory type changes as a whole: clear all of PT_MT_MASK or
 * none of it. PT_TRACKED cannot change. A and D are kept unless named here. */
struct pt_change {
    pt_prop set, clear;
};

/* As a length: as far as the claim reaches. See <ept/api.h>. */
#define PT_TO_END UINT64_MAX

struct pt_range {
    uint64_t start, length; /* bytes; multiples of 4 KiB */
};

/* Bookkeeping for one table, at a constant stride from the metadata base (or inside a kernel's page struct). */
struct pt_table {
    PT_ATOMIC(uintptr_t) holder; /* who holds the lock; 0: nobody */
    uint64_t next;               /* pa of the next table while on a list of the library's; by the list */
    PT_ATOMIC(uint32_t) owners;  /* entries that point at it, and ownerships in gathers; above 1: shared */
    uint16_t depth;              /* how often the holder holds it; by the holder */
    uint16_t live;               /* entries that are leaves or tables; by whoever holds the table */
    uint8_t level;
    PT_ATOMIC(uint8_t) lender; /* somebody who holds the parent waits for this table */
};

/* What the hardware and the embedder allow. */
#define PT_CAP_2M        1u  /* 2 MiB leaves */
#define PT_CAP_1G        2u  /* 1 GiB leaves; only with PT_CAP_2M */
#define PT_CAP_EXEC_ONLY 4u  /* EPT: leaves with X alone; of no effect in x86-64 tables */
#define PT_CAP_AD        8u  /* hardware sets A and D bits in these tables while the library changes them */
#define PT_CAP_ALL       15u /* other bits are refused */

/* Why hardware needs a flush. It needs none, and gets none, where leaves get rights, soft bits, A or D, where a hole is
 * filled, where a leaf is split (its pieces translate as it did), or where shared tables become the tree's own again.
 */
#define PT_FLUSH_RIGHTS  1u /* leaves lost rights, among them W by sharing, or have another memory type */
#define PT_FLUSH_REMOVED 2u /* leaves are gone */
#define PT_FLUSH_TABLES  4u /* tables are gone, or others are in their place */
#define PT_FLUSH_MARKS   8u /* A or D were cleared: hardware may not set them until it is flushed */

struct pt;

/* What the embedder supplies. Hooks may be called with tables locked: they must not use a cursor of the same tree. */
struct pt_config {
    void *ctx;       /* first argument of every hook, */
    void *table_ctx; /* but, unless NULL, of alloc_table and free_table, */
    void *frame_ctx; /* and of frame_get, frame_put and frame_shared */

    /* The page of a new table: zeroed, 4 KiB aligned, below 2^maxphyaddr; false: none left. */
    bool (*alloc_table)(void *ctx, uint64_t *pa);
    /* Takes a page back, contents arbitrary. */
    void (*free_table)(void *ctx, uint64_t pa);

    /* Take or drop one reference on each of `count` contiguous leaves of `level` from `hpa` (one call a run of
     * PT_TRACKED leaves). A get that answers false took none. Splitting a tracked leaf takes 512 references of the
     * level below, then drops the one above. Both may be NULL: then PT_TRACKED is refused. */
    bool (*frame_get)(void *ctx, uint64_t hpa, unsigned level, uint64_t count);
    void (*frame_put)(void *ctx, uint64_t hpa, unsigned level, uint64_t count);

    /* Has somebody else a reference on any of the frames of this leaf, which has one? NULL: nobody can tell, so that
     * cursor_resolve takes every PT_TRACKED leaf for shared. */
    bool (*frame_shared)(void *ctx, uint64_t hpa, unsigned level);

    /* Called by gather_sync for what has changed in the tree: when it returns, no CPU uses a translation of these
     * ranges older than the call. `why` is PT_FLUSH_*, all that there is to any of them. Without PT_FLUSH_REMOVED and
     * PT_FLUSH_TABLES nothing is released when it returns, so an embedder that can bear with old rights, or with marks
     * that come later, may leave the flush to another time. NULL: no hardware walks these tables. */
    void (*flush)(void *ctx, const struct pt *pt, unsigned why, const struct pt_range *ranges, size_t count);

    /* Called in a loop while waiting for another thread's cursor; NULL: just spin. */
    void (*relax)(void *ctx);

    /* Read-side sections, as of RCU: quiesce returns when every section that was in progress when it was called has
     * ended; sections nest, are short, and nothing in them waits. Claims and lookups look at tables without locks
     * inside one. Hosted: rcu_read_lock, rcu_read_unlock and synchronize_rcu of liburcu. All three or none; with
     * none, only one thread at a time may use the tree. */
    void (*read_begin)(void *ctx);
    void (*read_end)(void *ctx);
    void (*quiesce)(void *ctx);

    /* pa + entries_offset (modulo 2^64) is the virtual address of a table's entries. */
    uint64_t entries_offset;
    /* The pt_table of the table at pa is at meta_base + (pa - pa_base) / 4096 * meta_stride. Zeroed at first. No table
     * is below pa_base. */
    void *meta_base;
    uint64_t pa_base;
    size_t meta_stride;

    unsigned levels;     /* 4 or 5 */
    unsigned maxphyaddr; /* bits of a physical address, for HPAs and tables: 32 to 52 */
    unsigned caps;       /* PT_CAP_*; what is not named is not there */
};

/* One tree. Fields are the library's; root may be read (it never changes): it is what CR3, nCR3 or EPTP points at. */
struct pt {
    struct pt_config config;
    uint64_t root; /* pa */
    uint64_t size; /* bytes of address space: 2^48 or 2^57; addresses run from 0 and are not sign-extended */
};

#define PT_GATHER_RANGES 32u
#define PT_GATHER_RUNS   64u
#define PT_GATHER_SHARED 32u

struct pt_run {
    uint64_t hpa, count; /* count leaves of this level */
    unsigned level;
};

/* What left the tree and may still be in use by hardware or by a lookup: ranges to flush, frames to put, tables to free
 * or, where they are shared, to give up. Nothing of it is released before gather_sync has called the flush and quiesce
 * hooks. All cursors that share a gather belong to one thread and count as one holder of locks: they may work side by
 * side on disjoint ranges of one tree. */
struct pt_gather {
    struct pt *pt;
    uint64_t tables; /* pa of the first removed table, each with all below it; linked through pt_table.next */
    size_t ntables, nranges, nruns, nshared;
    struct pt_range ranges[PT_GATHER_RANGES];
    struct pt_run runs[PT_GATHER_RUNS];
    unsigned why;                      /* PT_FLUSH_*, of the ranges */
    uint64_t shared[PT_GATHER_SHARED]; /* pa of tables of which the tree gave up its ownership */
};

enum pt_mode { PT_READ, PT_WRITE };

/* A claim on a range and a position in it. Fields are the library's. */
struct pt_cursor {
    struct pt *pt;
    struct pt_gather *gather;
    uintptr_t holder;                 /* identity for the locks */
    uint64_t start, end, at;          /* the claimed range and the position; end is exclusive and fits: size <= 2^57 */
    uint64_t path[PT_MAX_LEVEL + 1u]; /* [level]: pa of the table on the path; locked from `top` down to `level` */
    uint64_t where;                   /* an address inside the lowest table of the path */
    uint64_t husk;                    /* pa of a removed table kept as a lock, when has_husk */
    uint8_t top, level;               /* top 0: the cursor has ended */
    uint8_t shared;                   /* level of the table whose entry leads into shared ones, unlocked; 0: none */
    bool writes, has_husk;
};

enum pt_kind {
    PT_HOLE, /* nothing is mapped in the slot */
    PT_LEAF,
    PT_TABLE, /* only from take_subtree: a whole table with all below it */
};

/* What an operation found: the whole slot, not clipped to any range. Rights are those of the whole walk: a leaf below a
 * shared table has no W. */
struct pt_item {
    enum pt_kind kind;
    unsigned level;  /* of the slot */
    uint64_t start;  /* of the slot */
    uint64_t length; /* of the slot */
    uint64_t at;     /* where the cursor stands (stood, for take and protect) */
    uint64_t hpa;    /* PT_LEAF: what `start` maps to */
    uint64_t frames; /* 4 KiB units mapped in the slot */
    pt_prop prop;    /* PT_LEAF: properties, before the change for take and protect */
};

/* How a write to an address was found, and what was done about it: see cursor_resolve. */
enum pt_resolution {
    PT_RESOLVED_HOLE,      /* nothing is mapped there; nothing was done */
    PT_RESOLVED_READ_ONLY, /* the leaf has no PT_WRITABLE (or no PT_R); nothing was done */
    PT_RESOLVED_ALREADY,   /* it has W: another thread was first, or the processor had an old translation */
    PT_RESOLVED_SOLE,      /* nobody else had its frames: it has W again */
    PT_RESOLVED_COPY,      /* others had: it has W, and frames of its own */
};

/* Copies what is at `hpa`, a leaf of `level`, to frames that are as aligned, and says where; false: there are none. */
typedef bool (*pt_copy_fn)(void *ctx, uint64_t hpa, unsigned level, uint64_t *copy);

/* Tables and leaves by level, [1] to [levels]. */
struct pt_statistics {
    uint64_t tables[PT_MAX_LEVEL + 1u];
    uint64_t leaves[PT_MAX_LEVEL + 1u];
    uint64_t shared;  /* of the tables, those that others may own too */
    uint64_t tracked; /* 4 KiB units mapped by tracked leaves */
    uint64_t frames;  /* 4 KiB units mapped */
};

/* The first broken invariant that check met. */
struct pt_fault {
    const char *what; /* one phrase */
    uint64_t address; /* start of the slot */
    uint64_t table;   /* pa of the table that holds the entry */
    uint64_t entry;   /* raw */
    unsigned level, index;
};

/* Called by check for each run of leaves: contiguous in address and HPA, of one level and one set of properties (A and
 * D apart). Answering anything but PT_OK stops the check with that answer. */
typedef enum pt_status (*pt_leaf_fn)(void *ctx, const struct pt_item *first, uint64_t count);

/* Where dump writes; text is not terminated by a zero. */
typedef void (*pt_write_fn)(void *ctx, const char *text, size_t length);
enum pt_dump_style { PT_DUMP_TEXT, PT_DUMP_JSON };

/* The name of a status, for messages. */
const char *pt_status_name(enum pt_status status);

PT_FINISH

#endif
