/* The Intel EPT format: what the bits of an entry mean. Generic code includes one format header and uses only the fmt_
 * names below. Bit numbers are those of the Intel SDM, volume 3, "EPT translation mechanism". */
#ifndef EPT_FORMAT_EPT_H
#define EPT_FORMAT_EPT_H

#include <ept/image.h>
#include <ept/types.h>

#define FMT_BIT(n)  ((uint64_t)1 << (n))
#define FMT_R       FMT_BIT(0)
#define FMT_W       FMT_BIT(1)
#define FMT_X       FMT_BIT(2)
#define FMT_RWX     (FMT_R | FMT_W | FMT_X)
#define FMT_MT_BIT  3u
#define FMT_MT      (FMT_BIT(3) | FMT_BIT(4) | FMT_BIT(5))
#define FMT_IPAT    FMT_BIT(6)
#define FMT_LARGE   FMT_BIT(7)
#define FMT_A       FMT_BIT(8)
#define FMT_D       FMT_BIT(9)
#define FMT_ADDRESS (FMT_BIT(52) - FMT_BIT(12))

/* Software bits, all in 52 to 56 and 59, which hardware ignores in every entry. EPT has no present bit, and an entry
 * without rights is still a mapping: FMT_BLANK tells it from a hole. Its address is stored inverted: a processor with
 * the L1 terminal fault would otherwise go on with it for a while, and find in its cache what nobody may see. */
#define FMT_BLANK    FMT_BIT(52)
#define FMT_TRACKED  FMT_BIT(53)
#define FMT_SOFT_BIT 54u
#define FMT_SOFT     (FMT_BIT(54) | FMT_BIT(55) | FMT_BIT(56))

#define FMT_WRITABLE FMT_BIT(59)

#define FMT_SOFTWARE (FMT_BLANK | FMT_TRACKED | FMT_SOFT | FMT_WRITABLE)
#define FMT_HARDWARE (FMT_RWX | FMT_MT | FMT_IPAT | FMT_LARGE | FMT_A | FMT_D | FMT_ADDRESS)
/* Bits with a meaning in some setting of the CPU that the library does not use: mode-based execute 10, 11, guest-paging
 * verification 57, paging-write 58, shadow stack 60, sub-page 61, suppress #VE 63. */
#define FMT_AVOIDED (FMT_BIT(10) | FMT_BIT(11) | FMT_BIT(57) | FMT_BIT(58) | FMT_BIT(60) | FMT_BIT(61) | FMT_BIT(63))
_Static_assert((FMT_SOFTWARE & (FMT_HARDWARE | FMT_AVOIDED)) == 0, "software bits must be free of meaning");
_Static_assert((FMT_BLANK & (FMT_TRACKED | FMT_SOFT)) == 0 && (FMT_TRACKED & FMT_SOFT) == 0, "software bits overlap");
_Static_assert((PT_SOFT0 >> 9) == 1 && (PT_MT_MASK >> 12) == 7, "conversions below shift by these");

/* Where a leaf's D is. */
#define FMT_DIRTY FMT_D

/* Properties that have no bit here. */
#define FMT_ABSENT (PT_U | PT_G)

struct fmt_change {
    uint64_t clear, set;
    bool any; /* a leaf may get or lose its last right */
};
static const struct fmt_change fmt_lose_write = {.clear = FMT_W}; /* there is R where W is */

static inline bool fmt_is_live(uint64_t entry)
{
    return (entry & (FMT_RWX | FMT_BLANK)) != 0;
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

/* Can hardware no longer change this entry? Without rights it never does; else A and, where writable, D are set. */
static inline bool fmt_is_quiet(uint64_t entry)
{
    return (entry & FMT_RWX) == 0 || ((entry & FMT_A) != 0 && (entry & (FMT_W | FMT_D)) != FMT_W);
}

/* The entry that points at a table: all rights, because rights are ANDed along the walk. */
static inline uint64_t fmt_table(uint64_t pa)
{
    return pa | FMT_RWX;
}

/* Of an entry that points at a table: may others own the table too? Then nothing below may be written through it. */
static inline bool fmt_is_shared(uint64_t entry)
{
    return (entry & FMT_W) == 0;
}

/* Above level 1: does it point at a table? */
static inline bool fmt_is_table(uint64_t entry)
{
    return (entry & (FMT_R | FMT_LARGE)) == FMT_R;
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

/* Would hardware take this combination of rights? Writing needs R; X alone needs a capability. */
static inline bool fmt_rights_allowed(uint64_t entry, unsigned caps)
{
    switch (entry & FMT_RWX) {
    case FMT_W:
    case FMT_W | FMT_X:
        return false;
    case FMT_X:
        return (caps & PT_CAP_EXEC_ONLY) != 0;
    default:
        return true;
    }
}

static inline bool fmt_memory_type_exists(pt_prop prop)
{
    pt_prop type = prop & PT_MT_MASK;

    return type == PT_UC || type == PT_WC || type == PT_WT || type == PT_WP || type == PT_WB;
}

/* Bits of the properties, without BLANK, LARGE and address. */
static inline uint64_t fmt_bits(pt_prop prop)
{
    uint64_t bits = prop & PT_RWX; /* R, W and X are the same three bits in both */

    bits |= (uint64_t)((prop & PT_MT_MASK) >> 12) << FMT_MT_BIT;
    bits |= (prop & PT_IPAT) ? FMT_IPAT : 0;
    bits |= (prop & PT_A) ? FMT_A : 0;
    bits |= (prop & PT_D) ? FMT_D : 0;
    bits |= (prop & PT_TRACKED) ? FMT_TRACKED : 0;
    bits |= (prop & PT_WRITABLE) ? FMT_WRITABLE : 0;
    bits |= (uint64_t)((prop & (PT_SOFT0 | PT_SOFT1 | PT_SOFT2)) >> 9) << FMT_SOFT_BIT;
    return bits;
}
_Static_assert(FMT_R == PT_R && FMT_W == PT_W && FMT_X == PT_X, "fmt_bits copies the rights as they are");

/* The same entry as it is stored: inverted where it has no rights. `blank`: as which it is given. */
static inline uint64_t fmt_settled(uint64_t entry, bool blank)
{
    return ((entry & FMT_RWX) == 0) == blank ? entry : entry ^ (FMT_BLANK | FMT_ADDRESS);
}

static inline uint64_t fmt_leaf(uint64_t hpa, unsigned level, pt_prop prop)
{
    return fmt_settled(hpa | (level > 1 ? FMT_LARGE : 0) | fmt_bits(prop), false);
}

static inline pt_prop fmt_prop(uint64_t entry)
{
    pt_prop prop = (pt_prop)(entry & FMT_RWX);

    prop |= (pt_prop)((entry & FMT_MT) >> FMT_MT_BIT) << 12;
    prop |= (entry & FMT_IPAT) ? PT_IPAT : 0;
    prop |= (entry & FMT_A) ? PT_A : 0;
    prop |= (entry & FMT_D) ? PT_D : 0;
    prop |= (entry & FMT_TRACKED) ? PT_TRACKED : 0;
    prop |= (entry & FMT_WRITABLE) ? PT_WRITABLE : 0;
    prop |= (pt_prop)((entry & FMT_SOFT) >> FMT_SOFT_BIT) << 9;
    return prop;
}

/* Has the leaf no bits but those of its properties, each where it belongs? */
static inline bool fmt_is_good_leaf(uint64_t entry, unsigned level)
{
    return fmt_leaf(fmt_address(entry), level, fmt_prop(entry)) == entry;
}

/* A change of properties as masks over the raw entry; the generic code has checked its form. */
static inline struct fmt_change fmt_change(struct pt_change change)
{
    return (struct fmt_change){.clear = fmt_bits(change.clear),
                               .set = fmt_bits(change.set),
                               .any = ((change.clear | change.set) & PT_RX) != 0};
}

/* A leaf's entry after a change. */
static inline uint64_t fmt_changed(uint64_t entry, struct fmt_change change)
{
    uint64_t after = (entry & ~change.clear) | change.set;

    return change.any ? fmt_settled(after, (entry & FMT_BLANK) != 0) : after;
}

/* Why hardware that has used a leaf must be flushed when the leaf is changed so: PT_FLUSH_*, 0 where it need not be. */
static inline unsigned fmt_flush(uint64_t entry, uint64_t after)
{
    if ((entry & FMT_RWX) == 0)
        return 0;
    return ((entry & ~after & FMT_RWX) | ((entry ^ after) & (FMT_MT | FMT_IPAT)) ? PT_FLUSH_RIGHTS : 0) |
           (entry & ~after & (FMT_A | FMT_D) ? PT_FLUSH_MARKS : 0);
}

/* Any entry without W. */
static inline uint64_t fmt_without_write(uint64_t entry)
{
    return entry & ~FMT_W;
}

/* The entry of one smaller leaf, `offset` bytes into a leaf: everything but address and size stays. */
static inline uint64_t fmt_piece(uint64_t entry, uint64_t offset, unsigned to)
{
    return (entry + fmt_step(entry, offset)) & ~(to == 1 ? FMT_LARGE : 0);
}

/* The entry as it stands in an image: PT_IMAGE_LIVE where it is no hole, and addresses as they are. */
static inline uint64_t fmt_plain(uint64_t entry)
{
    if (!fmt_is_live(entry))
        return entry;
    return entry & FMT_BLANK ? entry ^ FMT_ADDRESS : entry | PT_IMAGE_LIVE;
}
_Static_assert(FMT_BLANK == PT_IMAGE_LIVE && FMT_WRITABLE == PT_IMAGE_WRITABLE_EPT && FMT_TRACKED == PT_IMAGE_TRACKED &&
                   FMT_SOFT_BIT == PT_IMAGE_SOFT_SHIFT,
               "software bits of an image are where <ept/image.h> says");

#endif
