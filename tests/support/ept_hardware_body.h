/* A processor that writes through the tables while they change: it walks raw entries from the root, needs W on the
 * whole way, and sets A and D as hardware does, by compare and swap. From the processors' manuals, not from the
 * library. Follows ept_threads_body.h. */

struct entry_bits {
    uint64_t present, w, large, a, d;
};

static const struct entry_bits bits_ept = {7, 1u << 1, 1u << 7, 1u << 8, 1u << 9};
static const struct entry_bits bits_x86 = {1, 1u << 1, 1u << 7, 1u << 5, 1u << 6};

enum store {
    STORE_FAULTS,
    STORE_FINDS_D, /* the leaf was dirty already */
    STORE_SETS_D,
};

static inline _Atomic uint64_t *hardware_entry(uint64_t table, uint64_t address, unsigned level)
{
    uint64_t index = address >> (12 + 9 * (level - 1)) & 511;

    return (_Atomic uint64_t *)(uintptr_t)(table + index * 8 + w.config.entries_offset);
}

/* Whatever was seen on the way may be old by the time it is used. */
static inline void hesitate(bool leaf, uint64_t *random)
{
    unsigned wanted = STALL_WANTED;

    if (random)
        dawdle(random);
    if (leaf && atomic_compare_exchange_strong(&stall, &wanted, STALL_REACHED))
        while (atomic_load(&stall) != STALL_OVER)
            sched_yield();
}

/* One walk. False: an entry changed before A or D was set in it, so walk again. */
static inline bool walk_to_store(uint64_t root, uint64_t address, uint64_t *random, enum store *answer)
{
    const struct entry_bits *bits = is_ept() ? &bits_ept : &bits_x86;
    uint64_t table = root;

    *answer = STORE_FAULTS;
    for (unsigned level = PT_TEST_LEVELS;; level--) {
        _Atomic uint64_t *slot = hardware_entry(table, address, level);
        uint64_t entry = atomic_load(slot), marked;
        bool leaf = level == 1 || (entry & bits->large) != 0;

        if ((entry & bits->present) == 0 || (entry & bits->w) == 0)
            return true;
        hesitate(leaf, random);
        marked = entry | bits->a | (leaf ? bits->d : 0);
        if (marked != entry && !atomic_compare_exchange_strong(slot, &entry, marked))
            return false;
        if (leaf) {
            *answer = (entry & bits->d) ? STORE_FINDS_D : STORE_SETS_D;
            return true;
        }
        table = entry & 0x000ffffffffff000ull;
    }
}

/* Without `random` it is as fast as it can be. */
static inline enum store hardware_store(unsigned processor, uint64_t root, uint64_t address, uint64_t *random)
{
    enum store answer;
    bool over;

    do {
        atomic_fetch_add(&walks[processor], 1);
        over = walk_to_store(root, address, random, &answer);
        atomic_fetch_add(&walks[processor], 1);
    } while (!over);
    return answer;
}
