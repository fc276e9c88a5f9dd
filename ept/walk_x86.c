/* What an x86-64 processor in long mode (or the nested walker of SVM) does with one linear access through raw tables:
 * Intel SDM, volume 3, "4-level paging and 5-level paging". Shares nothing with the code that builds tables, on
 * purpose. Protection keys are not modelled. */
#include <ept/walk.h>
#include <stdatomic.h>

#define PG_P   (1ull << 0)
#define PG_RW  (1ull << 1)
#define PG_US  (1ull << 2)
#define PG_PWT (1ull << 3)
#define PG_PCD (1ull << 4)
#define PG_A   (1ull << 5)
#define PG_D   (1ull << 6)
#define PG_PS  (1ull << 7)
#define PG_XD  (1ull << 63)

#define PF_PRESENT  (1u << 0)
#define PF_WRITE    (1u << 1)
#define PF_USER     (1u << 2)
#define PF_RESERVED (1u << 3)
#define PF_FETCH    (1u << 4)

#define ADDRESS_BITS 0x000ffffffffff000ull

static _Atomic uint64_t *entry_at(const struct walk_memory *memory, uint64_t pa)
{
    if (pa < memory->pa || memory->length < 8 || pa - memory->pa > memory->length - 8)
        return NULL;
    return (_Atomic uint64_t *)(uintptr_t)(pa + memory->offset);
}

static bool is_canonical(uint64_t address, unsigned levels)
{
    unsigned shift = 64 - (12 + 9 * levels);

    return (uint64_t)((int64_t)(address << shift) >> shift) == address;
}

static bool is_leaf(uint64_t entry, unsigned level)
{
    return level == 1 || (level <= 3 && (entry & PG_PS));
}

static bool has_reserved(const struct walk_x86_mode *mode, uint64_t entry, unsigned level)
{
    uint64_t reserved = ((1ull << 52) - 1) & ~((1ull << mode->maxphyaddr) - 1);

    if (!mode->nxe)
        reserved |= PG_XD;
    if (level >= 4 || (level == 3 && !mode->pages_1g))
        reserved |= PG_PS;
    else if (level == 3 && (entry & PG_PS))
        reserved |= 0x3fffe000ull; /* bits 29:13; bit 12 is PAT */
    else if (level == 2 && (entry & PG_PS))
        reserved |= 0x1fe000ull;
    return (entry & reserved) != 0;
}

static void fault(const struct walk_x86_mode *mode, enum walk_access access, uint32_t why, struct walk_answer *answer)
{
    answer->result = WALK_PAGE_FAULT;
    answer->error_code = why | (access == WALK_WRITE ? PF_WRITE : 0) | (mode->user ? PF_USER : 0) |
                         (access == WALK_FETCH && (mode->nxe || mode->smep) ? PF_FETCH : 0);
}

/* May this access use a page that the whole path makes writable, executable, for users, or not? */
static bool is_permitted(const struct walk_x86_mode *mode, enum walk_access access, bool w, bool x, bool u)
{
    if (mode->user && !u)
        return false;
    if (access == WALK_FETCH)
        return x && !(!mode->user && u && mode->smep);
    if (!mode->user && u && mode->smap)
        return false;
    return access == WALK_READ || w || (!mode->user && !mode->wp);
}

/* Sets A along the path and, for a write, D in the leaf. False: an entry changed under us, walk again. */
static bool set_flags(const struct walk_memory *memory, const struct walk_answer *answer, bool write)
{
    for (unsigned i = 0; i < answer->nsteps; i++) {
        _Atomic uint64_t *entry = entry_at(memory, answer->steps[i].pa);
        uint64_t seen = answer->steps[i].entry, flags = PG_A;

        if (write && i + 1 == answer->nsteps)
            flags |= PG_D;
        if ((seen & flags) != flags && !atomic_compare_exchange_strong(entry, &seen, seen | flags))
            return false;
    }
    return true;
}

static void translate(uint64_t address, uint64_t entry, unsigned level, struct walk_answer *answer)
{
    uint64_t mask = (1ull << (12 + 9 * (level - 1))) - 1;
    uint64_t pat = level == 1 ? entry >> 7 & 1 : entry >> 12 & 1;

    answer->result = WALK_OK;
    answer->pa = (entry & ADDRESS_BITS & ~mask) | (address & mask);
    answer->level = level;
    answer->r = true;
    answer->pat_index = (unsigned)(pat * 4 + ((entry & PG_PCD) ? 2 : 0) + ((entry & PG_PWT) ? 1 : 0));
}

/* One attempt. False: the tables changed while A and D were being set. */
static bool walk_once(const struct walk_memory *memory, const struct walk_x86_mode *mode, uint64_t address,
                      enum walk_access access, struct walk_answer *answer)
{
    uint64_t table = mode->root & ADDRESS_BITS;
    bool w = true, x = true, u = true;

    *answer = (struct walk_answer){0};
    if (!is_canonical(address, mode->levels)) {
        answer->result = WALK_PAGE_FAULT;
        return true;
    }
    for (unsigned level = mode->levels;; level--) {
        uint64_t pa = table + ((address >> (12 + 9 * (level - 1))) & 511) * 8, entry;
        _Atomic uint64_t *slot = entry_at(memory, pa);

        if (!slot) {
            answer->result = WALK_NO_MEMORY;
            return true;
        }
        entry = atomic_load(slot);
        answer->steps[answer->nsteps++] = (struct walk_step){.level = level, .pa = pa, .entry = entry};
        if (!(entry & PG_P)) {
            fault(mode, access, 0, answer);
            return true;
        }
        if (has_reserved(mode, entry, level)) {
            fault(mode, access, PF_PRESENT | PF_RESERVED, answer);
            return true;
        }
        w = w && (entry & PG_RW);
        u = u && (entry & PG_US);
        x = x && !(entry & PG_XD);
        table = entry & ADDRESS_BITS;
        if (!is_leaf(entry, level))
            continue;
        if (!is_permitted(mode, access, w, x, u)) {
            fault(mode, access, PF_PRESENT, answer);
            return true;
        }
        translate(address, entry, level, answer);
        answer->w = w;
        answer->x = x;
        answer->u = u;
        return !mode->set_ad || set_flags(memory, answer, access == WALK_WRITE);
    }
}

void walk_x86(const struct walk_memory *memory, const struct walk_x86_mode *mode, uint64_t address,
              enum walk_access access, struct walk_answer *answer)
{
    while (!walk_once(memory, mode, address, access, answer))
        ;
}
