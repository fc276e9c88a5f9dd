/* What the random tests need of one format: define PT_TEST_FORMAT, include the format's own header and this, and make a
 * model_format of FORMAT_OF(levels). The walk reads raw entries and shares no code with the cursors. */
#include "ept/table.h"
#include "tests/support/ept_format.h"
#include "tests/support/model_format.h"

/* Of a live leaf: does a processor find in it nothing but what it says? From the manuals: a page with D and without W
 * is one of a shadow stack in x86-64 tables; an entry that is not present must not lead to memory, of which there is
 * none as far up as 2^51, because of L1TF; and nothing but a leaf without rights has bit 52. */
static bool is_safe(uint64_t entry)
{
    bool present = (entry & (is_ept() ? 7 : 1)) != 0, w = entry & 2, d = entry & 1ull << 6;

    if (!present)
        return (entry & 0x000ffffffffff000ull) >= 1ull << 51;
    return (entry & 1ull << 52) == 0 && (is_ept() || w || !d);
}

/* One table, `start` being the address of its first entry; rights are those of the path so far. */
static bool walk_table(const struct pt *pt, struct raw_visit *visit, uint64_t pa, unsigned level, uint64_t start,
                       pt_prop rights)
{
    uint64_t size = pt_slot_size(level);
    pt_entry *entries = pt_entries(pt, pa);
    unsigned i = visit->start > start ? pt_index(visit->start, level) : 0, count;
    unsigned last = visit->end - start < size * PT_ENTRIES ? (unsigned)((visit->end - start + size - 1) / size) : 512;

    for (; i < last; i += count) {
        uint64_t entry = pt_load(&entries[i]), at = start + i * size;

        count = 1;
        if (!fmt_is_live(entry))
            continue;
        if (fmt_is_leaf(entry, level) && !is_safe(entry))
            visit->unsafe = entry;
        if (!fmt_is_leaf(entry, level)) {
            if (visit->table(visit->ctx, fmt_address(entry), level - 1, at) &&
                !walk_table(pt, visit, fmt_address(entry), level - 1, at, rights & fmt_prop(entry)))
                return false;
            continue;
        }
        while (i + count < last && pt_load(&entries[i + count]) == fmt_piece(entry, count * size, level))
            count++;
        if (!visit->leaves(visit->ctx, &(struct raw_run){.start = at,
                                                         .end = at + count * size,
                                                         .hpa = fmt_address(entry),
                                                         .prop = fmt_prop(entry) & (rights | ~(PT_RWX | PT_U)),
                                                         .level = level}))
            return false;
    }
    return true;
}

static void raw_walk(const struct pt *pt, struct raw_visit *visit)
{
    if (visit->table(visit->ctx, pt->root, pt->config.levels, 0))
        walk_table(pt, visit, pt->root, pt->config.levels, 0, PT_RWX | PT_U);
}

#define FORMAT_CALLS                                                                                                   \
    {                                                                                                                  \
        .init = F(init), .destroy = F(destroy), .gather_init = F(gather_init), .gather_sync = F(gather_sync),          \
        .cursor_init = F(cursor_init), .cursor_init_inside = F(cursor_init_inside), .cursor_end = F(cursor_end),       \
        .cursor_at = F(cursor_at), .cursor_query = F(cursor_query), .cursor_next = F(cursor_next),                     \
        .cursor_find_next = F(cursor_find_next), .cursor_jump = F(cursor_jump), .cursor_map = F(cursor_map),           \
        .cursor_map_range = F(cursor_map_range), .cursor_protect_range = F(cursor_protect_range),                      \
        .cursor_protect_next = F(cursor_protect_next), .cursor_take_next = F(cursor_take_next),                        \
        .cursor_take_subtree = F(cursor_take_subtree), .cursor_unmap_range = F(cursor_unmap_range),                    \
        .cursor_copy_from = F(cursor_copy_from), .cursor_share_from = F(cursor_share_from),                            \
        .cursor_split = F(cursor_split), .cursor_collapse = F(cursor_collapse), .cursor_harvest = F(cursor_harvest),   \
        .lookup = F(lookup), .count = F(count), .check = F(check)                                                      \
    }
