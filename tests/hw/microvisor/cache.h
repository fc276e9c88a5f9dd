/* What a processor may have cached of a guest's nested tables, going by the manuals (SDM volume 3, "Caching Translation
 * Information"; APM volume 2, "TLB Management"): a translation of every page whose leaf had A set, with the rights and
 * the D bit it had. Emulators forget far more than a processor may; with this, a flush that is missing is found
 * nevertheless. */
#ifndef TESTS_HW_MICROVISOR_CACHE_H
#define TESTS_HW_MICROVISOR_CACHE_H

#include <ept/types.h>

#include "tests/hw/microvisor/world.h"

#define CACHE_PAGES (8 * MIB / PT_PAGE_SIZE) /* of the guest's memory, from 0 */

struct cache {
    uint64_t pages[CACHE_PAGES]; /* hpa, and CACHED_* in its lower bits; 0: nothing */
    bool has_run;                /* since the last note: there may be new translations */
    bool is_suspect;             /* tables may have changed since the last time the guest ran */
};

void cache_clear(struct cache *cache);

/* Before tables change: everything the processor can have cached until now. */
void cache_note(struct cache *cache, struct pt *pt);

void cache_forget(struct cache *cache, const struct pt_range *range);

/* Before the guest runs: nothing cached says another thing than the tables, or allows more, or would keep the processor
 * from setting D. */
void cache_verify(struct cache *cache, const struct pt *pt);

#endif
