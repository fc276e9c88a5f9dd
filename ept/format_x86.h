/* The x86-64 long-mode format, which is also AMD NPT's: what the bits of an entry mean. Generic code includes one
 * format header and uses only the fmt_ names below. Bit numbers are those of the Intel SDM, volume 3, "4-level paging".
 */
#ifndef EPT_FORMAT_X86_H
#define EPT_FORMAT_X86_H

#include <ept/image.h>
#include <ept/types.h>

#define FMT_BIT(n)  ((uint64_t)1 << (n))
#define FMT_P       FMT_BIT(0)
#define FMT_W       FMT_BIT(1)
#define FMT_U       FMT_BIT(2)
#define FMT_PWT     FMT_BIT(3)
#define FMT_PCD     FMT_BIT(4)
#define FMT_A       FMT_BIT(5)
#define FMT_D_BIT   6u
#define FMT_D       FMT_BIT(FMT_D_BIT)
#define FMT_LARGE   FMT_BIT(7) /* the PAT bit at level 1, where it stays clear: see fmt_cache */
#define FMT_G       FMT_BIT(8)
#define FMT_NX      FMT_BIT(63)
#define FMT_ADDRESS (FMT_BIT(52) - FMT_BIT(12))

/* Software bits, all in 52 to 58, which hardware ignores. A mapping without rights has P clear and FMT_BLANK set, which
 * tells it from a hole. Its address is stored inverted: a processor with the L1 terminal fault would otherwise go on
 * with it for a while, and find in its cache what nobody may see. D is in FMT_SAVED_D where W is clear: a page with D
 * and without W is one of a shadow stack, where the processor has these. */
#define FMT_BLANK     FMT_BIT(52)
#define FMT_TRACKED   FMT_BIT(53)
#define FMT_SOFT_BIT  54u
#define FMT_SOFT      (FMT_BIT(54) | FMT_BIT(55) | FMT_BIT(56))
#define FMT_SAVED_BIT 58u
#define FMT_SAVED_D   FMT_BIT(FMT_SAVED_BIT)

#define FMT_WRITABLE FMT_BIT(57)

#define FMT_SOFTWARE (FMT_BLANK | FMT_TRACKED | FMT_SOFT | FMT_WRITABLE | FMT_SAVED_D)
#define FMT_HARDWARE                                                                                                   \
    (FMT_P | FMT_W | FMT_U | FMT_PWT | FMT_PCD | FMT_A | FMT_D | FMT_LARGE | FMT_G | FMT_NX | FMT_ADDRESS)
/* Bits with a meaning in some setting of the CPU: protection keys 59 to 62, HLAT restart 11. */
#define FMT_AVOIDED (FMT_BIT(11) | FMT_BIT(59) | FMT_BIT(60) | FMT_BIT(61) | FMT_BIT(62))
_Static_assert((FMT_SOFTWARE & (FMT_HARDWARE | FMT_AVOIDED)) == 0, "software bits must be free of meaning");
_Static_assert((FMT_BLANK & (FMT_TRACKED | FMT_SOFT)) == 0 && (FMT_TRACKED & FMT_SOFT) == 0, "software bits overlap");

/* Where a leaf's D is. */
#define FMT_DIRTY (FMT_D | FMT_SAVED_D)

/* Properties that have no bit here. */
#define FMT_ABSENT PT_IPAT

/* What a change may do beyond clearing and setting bits. */
enum fmt_effect {
    FMT_PLAIN,
    FMT_TAKES_W, /* D moves */
    FMT_GIVES_W, /* D moves back */
    FMT_ANY      /* either, and a leaf may get or lose its last right */
};
struct fmt_change {
    uint64_t clear, set;
    enum fmt_effect effect;
};
static const struct fmt_change fmt_lose_write = {.clear = FMT_W, .effect = FMT_TAKES_W};

static inline bool fmt_is_live(uint64_t entry)
{
    return (entry & (FMT_P | FMT_BLANK)) != 0;
}

/* Of a live entry: does it map memory, rather than point at a table? */
static inline bool fmt_is_leaf(uint64_t entry, unsigned level)
{
    return level == 1 || (entry & FMT_LARGE) != 0;
}

/* Where a leaf leads to. */
static inline uint64_t fmt_address(uint64_t entry)
{
    return (entry ^ -(entry / FMT_BLANK & 1)) & FMT_ADDRESS;
}

/* Of an entry that points at a table: its pa. */
static inline uint64_t fmt_child(uint64_t entry)
{
    return entry & FMT_ADDRESS;
}

/* What is added to a leaf's entry to lead so much further. */
static inline uint64_t fmt_step(uint64_t entry, uint64_t bytes)
{
    return entry & FMT_BLANK ? -bytes : bytes;
}

static inline bool fmt_is_tracked(uint64_t entry)
{
    return (entry & FMT_TRACKED) != 0;
}

/* Can hardware no longer change this entry? Not present it never does; else A and, where writable, D are set. */
static inline bool fmt_is_quiet(uint64_t entry)
{
    return (entry & FMT_P) == 0 || ((entry & FMT_A) != 0 && (entry & (FMT_W | FMT_D)) != FMT_W);
}

/* The entry that points at a table: all rights, because rights are ANDed along the walk. */
static inline uint64_t fmt_table(uint64_t pa)
{
    return pa | FMT_P | FMT_W | FMT_U;
}

/* Of an entry that points at a table: may others own the table too? Then nothing below may be written through it. */
static inline bool fmt_is_shared(uint64_t entry)
{
    return (entry & FMT_W) == 0;
}

/* Above level 1: does it point at a table? */
static inline bool fmt_is_table(uint64_t entry)
{
    return (entry & (FMT_P | FMT_LARGE)) == FMT_P;
}

/* Above level 1: does it point at a table that may be written through, and so is the tree's own? */
static inline bool fmt_is_own_table(uint64_t entry)
{
    return (entry & (FMT_LARGE | FMT_W)) == FMT_W;
}

static inline bool fmt_is_good_table(uint64_t entry)
{
    return (entry & ~(FMT_A | FMT_W)) == (fmt_table(fmt_child(entry)) & ~FMT_W);
}

/* W and X need R, because a present entry can always be read. */
static inline bool fmt_rights_allowed(uint64_t entry, unsigned caps)
{
    (void)caps;
    return (entry & FMT_P) != 0 || ((entry & FMT_W) == 0 && (entry & FMT_NX) != 0);
}

/* The default PAT, by PCD and PWT: 0 WB, 1 WT, 2 UC-, 3 UC; the PAT bit only repeats these, so it is never set and the
 * same bits serve leaves of every size. WC and WP are not in it. */
static inline bool fmt_memory_type_exists(pt_prop prop)
{
    pt_prop type = prop & PT_MT_MASK;

    return type == PT_WB || type == PT_WT || type == PT_UCMINUS || type == PT_UC;
}

static inline uint64_t fmt_cache(pt_prop prop)
{
    switch (prop & PT_MT_MASK) {
    case PT_WT:
        return FMT_PWT;
    case PT_UCMINUS:
        return FMT_PCD;
    case PT_UC:
        return FMT_PCD | FMT_PWT;
    default:
        return 0;
    }
}

/* Bits of the properties but X and the memory type, which are not stored as they come. */
static inline uint64_t fmt_bits(pt_prop prop)
{
    uint64_t bits = 0;

    bits |= (prop & PT_R) ? FMT_P : 0;
    bits |= (prop & PT_W) ? FMT_W : 0;
    bits |= (prop & PT_U) ? FMT_U : 0;
    bits |= (prop & PT_A) ? FMT_A : 0;
    bits |= (prop & PT_D) ? FMT_D : 0;
    bits |= (prop & PT_G) ? FMT_G : 0;
    bits |= (prop & PT_TRACKED) ? FMT_TRACKED : 0;
    bits |= (prop & PT_WRITABLE) ? FMT_WRITABLE : 0;
    bits |= (uint64_t)((prop & (PT_SOFT0 | PT_SOFT1 | PT_SOFT2)) >> 9) << FMT_SOFT_BIT;
    return bits;
}

/* The same entry as it is stored: D where it belongs, and inverted where it has no rights. `blank`: as which it is
 * given. */
static inline uint64_t fmt_settled(uint64_t entry, bool blank)
{
    uint64_t dirty = (entry | entry >> (FMT_SAVED_BIT - FMT_D_BIT)) & FMT_D;

    entry &= ~FMT_DIRTY;
    entry |= entry & FMT_W ? dirty : dirty << (FMT_SAVED_BIT - FMT_D_BIT);
    return ((entry & FMT_P) == 0) == blank ? entry : entry ^ (FMT_BLANK | FMT_ADDRESS);
}

static inline uint64_t fmt_leaf(uint64_t hpa, unsigned level, pt_prop prop)
{
    uint64_t entry = hpa | (level > 1 ? FMT_LARGE : 0) | fmt_cache(prop) | fmt_bits(prop);

    return fmt_settled(entry | ((prop & PT_X) ? 0 : FMT_NX), false);
}

static inline pt_prop fmt_prop(uint64_t entry)
{
    static const pt_prop types[4] = {PT_WB, PT_WT, PT_UCMINUS, PT_UC};
    pt_prop prop = types[(entry & (FMT_PWT | FMT_PCD)) >> 3];

    prop |= (entry & FMT_P) ? PT_R : 0;
    prop |= (entry & FMT_W) ? PT_W : 0;
    prop |= (entry & FMT_NX) ? 0 : PT_X;
    prop |= (entry & FMT_U) ? PT_U : 0;
    prop |= (entry & FMT_A) ? PT_A : 0;
    prop |= (entry & FMT_DIRTY) ? PT_D : 0;
    prop |= (entry & FMT_G) ? PT_G : 0;
    prop |= (entry & FMT_TRACKED) ? PT_TRACKED : 0;
    prop |= (entry & FMT_WRITABLE) ? PT_WRITABLE : 0;
    prop |= (pt_prop)((entry & FMT_SOFT) >> FMT_SOFT_BIT) << 9;
    return prop;
}

/* Has the leaf no bits but those of its properties, each where it belongs? Without CR0.WP hardware may set D although W
 * is clear. */
static inline bool fmt_is_good_leaf(uint64_t entry, unsigned level)
{
    uint64_t wrong = fmt_leaf(fmt_address(entry), level, fmt_prop(entry)) ^ entry;

    return (wrong & ~(entry & FMT_W ? 0 : FMT_DIRTY)) == 0;
}

/* A change of properties as masks over the raw entry; the generic code has checked its form. */
static inline struct fmt_change fmt_change(struct pt_change change)
{
    struct fmt_change raw = {.clear = fmt_bits(change.clear), .set = fmt_bits(change.set)};

    if (change.clear & PT_D)
        raw.clear |= FMT_SAVED_D;
    if (((change.clear | change.set) & PT_R) || (change.set & PT_D))
        raw.effect = FMT_ANY;
    else if ((change.clear | change.set) & PT_W)
        raw.effect = change.set & PT_W ? FMT_GIVES_W : FMT_TAKES_W;
    if (change.clear & PT_MT_MASK) {
        raw.clear |= FMT_PWT | FMT_PCD;
        raw.set |= fmt_cache(change.set);
    }
    if (change.set & PT_X)
        raw.clear |= FMT_NX;
    else if (change.clear & PT_X)
        raw.set |= FMT_NX;
    return raw;
}

/* Any entry without W. */
static inline uint64_t fmt_without_write(uint64_t entry)
{
    return (entry & ~(FMT_W | FMT_D)) | (entry & FMT_D) << (FMT_SAVED_BIT - FMT_D_BIT);
}

/* The same with it. */
static inline uint64_t fmt_with_write(uint64_t entry)
{
    return ((entry | FMT_W) & ~FMT_SAVED_D) | (entry & FMT_SAVED_D) >> (FMT_SAVED_BIT - FMT_D_BIT);
}

/* Why hardware that has used a leaf must be flushed when the leaf is changed so: PT_FLUSH_*, 0 where it need not be. */
static inline unsigned fmt_flush(uint64_t entry, uint64_t after)
{
    const uint64_t rights = FMT_P | FMT_W | FMT_U | FMT_G, types = FMT_PWT | FMT_PCD;
    bool dirty = (entry & FMT_DIRTY) != 0 && (after & FMT_DIRTY) == 0;

    if ((entry & FMT_P) == 0)
        return 0;
    return ((entry & ~after & rights) | (after & ~entry & FMT_NX) | ((entry ^ after) & types) ? PT_FLUSH_RIGHTS : 0) |
           (dirty || (entry & ~after & FMT_A) ? PT_FLUSH_MARKS : 0);
}

/* A leaf's entry after a change. */
static inline uint64_t fmt_changed(uint64_t entry, struct fmt_change change)
{
    uint64_t after = (entry & ~change.clear) | change.set;

    switch (change.effect) {
    case FMT_PLAIN:
        return after;
    case FMT_TAKES_W:
        return fmt_without_write(after);
    case FMT_GIVES_W:
        return fmt_with_write(after);
    case FMT_ANY:
        break;
    }
    return fmt_settled(after, (entry & FMT_BLANK) != 0);
}

/* The entry of one smaller leaf, `offset` bytes into a leaf: everything but address and size stays. */
static inline uint64_t fmt_piece(uint64_t entry, uint64_t offset, unsigned to)
{
    return (entry + fmt_step(entry, offset)) & ~(to == 1 ? FMT_LARGE : 0);
}

/* The entry as it stands in an image: PT_IMAGE_LIVE where it is no hole, D in its own place, and addresses as they are.
 */
static inline uint64_t fmt_plain(uint64_t entry)
{
    if (!fmt_is_live(entry))
        return entry;
    if (entry & FMT_SAVED_D)
        entry ^= FMT_DIRTY;
    return entry & FMT_BLANK ? entry ^ FMT_ADDRESS : entry | PT_IMAGE_LIVE;
}
_Static_assert(FMT_BLANK == PT_IMAGE_LIVE && FMT_WRITABLE == PT_IMAGE_WRITABLE_X86 && FMT_TRACKED == PT_IMAGE_TRACKED &&
                   FMT_SOFT_BIT == PT_IMAGE_SOFT_SHIFT,
               "software bits of an image are where <ept/image.h> says");

#endif
