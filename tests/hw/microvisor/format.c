/* See format.h. */
#include "tests/hw/microvisor/format.h"

#include <ept/ept.h>
#include <ept/x86.h>

#define FORMAT(prefix, all_rights)                                                                                     \
    {                                                                                                                  \
        .rights = (all_rights), .init = prefix##_init, .destroy = prefix##_destroy,                                    \
        .gather_init = prefix##_gather_init, .gather_sync = prefix##_gather_sync, .cursor_init = prefix##_cursor_init, \
        .cursor_end = prefix##_cursor_end, .query = prefix##_cursor_query, .next = prefix##_cursor_next,               \
        .find_next = prefix##_cursor_find_next, .jump = prefix##_cursor_jump, .map = prefix##_cursor_map,              \
        .protect_range = prefix##_cursor_protect_range, .unmap_range = prefix##_cursor_unmap_range,                    \
        .share_from = prefix##_cursor_share_from, .split = prefix##_cursor_split,                                      \
        .collapse = prefix##_cursor_collapse, .harvest = prefix##_cursor_harvest, .lookup = prefix##_lookup,           \
        .count = prefix##_count, .check = prefix##_check,                                                              \
    }

const struct format format_ept = FORMAT(ept, PT_RWX);
const struct format format_x86 = FORMAT(x86, PT_RWX | PT_U);
