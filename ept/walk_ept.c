/* What a VMX processor does with one guest-physical access through raw EPT tables: Intel SDM, volume 3, "EPT
 * translation mechanism" and "EPT-induced VM exits". Shares nothing with the code that builds tables, on purpose. */
#include <ept/walk.h>
#include <stdatomic.h>

#define EPT_READ     (1ull << 0)
#define EPT_WRITE    (1ull << 1)
#define EPT_EXECUTE  (1ull << 2)
#define EPT_PAGE     (1ull << 7)
#define EPT_ACCESSED (1ull << 8)
#define EPT_DIRTY    (1ull << 9)

/* Exit qualification of an EPT violation. */
#define QUAL_READ        (1ull << 0)
#define QUAL_WRITE       (1ull << 1)
#define QUAL_FETCH       (1ull << 2)
#define QUAL_READABLE    (1ull << 3)
#define QUAL_WRITABLE    (1ull << 4)
#define QUAL_EXECUTABLE  (1ull << 5)
#define QUAL_LINEAR      (1ull << 7) /* guest linear address valid */
#define QUAL_TRANSLATION (1ull << 8) /* the access was the final one, not to a guest paging-structure entry */

static _Atomic uint64_t *entry_at(const struct walk_memory *memory, uint64_t pa)
{
    if (pa < memory->pa || memory->length < 8 || pa - memory->pa > memory->length - 8)
        return NULL;
    return (_Atomic uint64_t *)(uintptr_t)(pa + memory->offset);
}

/* Bits between maxphyaddr and 51, which must be zero. */
static uint64_t reserved_high(unsigned maxphyaddr)
{
    return ((1ull << 52) - 1) & ~((1ull << maxphyaddr) - 1);
}

static bool is_leaf(uint64_t entry, unsigned level)
{
    return level == 1 || (level <= 3 && (entry & EPT_PAGE));
}

/* Does this present entry raise an EPT misconfiguration? */
static bool is_misconfigured(const struct walk_ept_mode *mode, uint64_t entry, unsigned level)
{
    unsigned rights = entry & 7, type = (unsigned)(entry >> 3) & 7;

    if (rights == 2 || rights == 6 || (rights == 4 && !mode->exec_only))
        return true;
    if (entry & reserved_high(mode->maxphyaddr))
        return true;
    if (!is_leaf(entry, level)) /* bits 6:3 are reserved, and bit 7 where no large page can be */
        return (entry & 0x78) != 0 || (entry & EPT_PAGE) != 0;
    if (type == 2 || type == 3 || type == 7)
        return true;
    if (level == 3)
        return !mode->pages_1g || (entry & 0x3ffff000ull) != 0;
    return level == 2 && (entry & 0x1ff000ull) != 0;
}

static void violate(const struct walk_ept_mode *mode, enum walk_access access, uint64_t rights,
                    struct walk_answer *answer)
{
    answer->result = WALK_VIOLATION;
    answer->qualification = access == WALK_READ ? QUAL_READ : access == WALK_WRITE ? QUAL_WRITE : QUAL_FETCH;
    if (mode->paging_access && mode->ad)
        answer->qualification |= QUAL_READ | QUAL_WRITE;
    answer->qualification |= (rights & EPT_READ ? QUAL_READABLE : 0) | (rights & EPT_WRITE ? QUAL_WRITABLE : 0) |
                             (rights & EPT_EXECUTE ? QUAL_EXECUTABLE : 0) | QUAL_LINEAR |
                             (mode->paging_access ? 0 : QUAL_TRANSLATION);
}

/* Sets A along the path and, for a write, D in the leaf. False: an entry changed under us, walk again. */
static bool set_flags(const struct walk_memory *memory, const struct walk_answer *answer, bool write)
{
    for (unsigned i = 0; i < answer->nsteps; i++) {
        _Atomic uint64_t *entry = entry_at(memory, answer->steps[i].pa);
        uint64_t seen = answer->steps[i].entry, flags = EPT_ACCESSED;

        if (write && i + 1 == answer->nsteps)
            flags |= EPT_DIRTY;
        if ((seen & flags) != flags && !atomic_compare_exchange_strong(entry, &seen, seen | flags))
            return false;
    }
    return true;
}

static void translate(uint64_t gpa, uint64_t entry, unsigned level, uint64_t rights, struct walk_answer *answer)
{
    uint64_t mask = (1ull << (12 + 9 * (level - 1))) - 1;

    answer->result = WALK_OK;
    answer->pa = (entry & 0x000ffffffffff000ull & ~mask) | (gpa & mask);
    answer->level = level;
    answer->r = rights & EPT_READ;
    answer->w = rights & EPT_WRITE;
    answer->x = rights & EPT_EXECUTE;
    answer->memory_type = (unsigned)(entry >> 3) & 7;
    answer->ipat = (entry >> 6) & 1;
}

/* One attempt. False: the tables changed while A and D were being set. */
static bool walk_once(const struct walk_memory *memory, const struct walk_ept_mode *mode, uint64_t gpa,
                      enum walk_access access, struct walk_answer *answer)
{
    uint64_t rights = EPT_READ | EPT_WRITE | EPT_EXECUTE, table = mode->root & 0x000ffffffffff000ull, needed;
    bool write = access == WALK_WRITE || (mode->paging_access && mode->ad);

    *answer = (struct walk_answer){0};
    needed = access == WALK_FETCH ? EPT_EXECUTE : EPT_READ;
    if (write)
        needed = access == WALK_WRITE ? EPT_WRITE : EPT_READ | EPT_WRITE;
    if (gpa >> (12 + 9 * mode->levels)) {
        violate(mode, access, 0, answer);
        return true;
    }
    for (unsigned level = mode->levels;; level--) {
        uint64_t pa = table + ((gpa >> (12 + 9 * (level - 1))) & 511) * 8, entry;
        _Atomic uint64_t *slot = entry_at(memory, pa);

        if (!slot) {
            answer->result = WALK_NO_MEMORY;
            return true;
        }
        entry = atomic_load(slot);
        answer->steps[answer->nsteps++] = (struct walk_step){.level = level, .pa = pa, .entry = entry};
        if ((entry & 7) == 0) {
            violate(mode, access, 0, answer);
            return true;
        }
        if (is_misconfigured(mode, entry, level)) {
            answer->result = WALK_MISCONFIG;
            return true;
        }
        rights &= entry;
        table = entry & 0x000ffffffffff000ull;
        if (!is_leaf(entry, level))
            continue;
        if ((rights & needed) != needed) {
            violate(mode, access, rights, answer);
            return true;
        }
        translate(gpa, entry, level, rights, answer);
        return !mode->ad || set_flags(memory, answer, write);
    }
}

void walk_ept(const struct walk_memory *memory, const struct walk_ept_mode *mode, uint64_t gpa, enum walk_access access,
              struct walk_answer *answer)
{
    while (!walk_once(memory, mode, gpa, access, answer))
        ;
}
