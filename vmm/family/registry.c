/* The registry of a family's guests: finding and adding them, limits, telling what happens to them. See internal.h. */
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"

#include <inttypes.h>
#include <stdlib.h>

#define WINDOW_MAPPINGS_LEAST 64
#define WINDOW_MAPPINGS_MOST  4096

void family_emit(struct cleave_family *family, const struct cleave_event *event)
{
    if (family->on_event)
        family->on_event(family->event_context, event);
}

void family_emit_plain(struct cleave_family *family, const struct machine *machine, enum cleave_event_kind kind)
{
    const struct cleave_event event = {.kind = kind, .guest = machine->id, .timestamp_ns = clock_ns()};
    family_emit(family, &event);
}

struct machine *family_find(struct cleave_family *family, uint64_t id, struct cleave_failure *failure)
{
    size_t low = 0, high = family->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (family->machines[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < family->count && family->machines[low]->id == id)
        return family->machines[low];
    fail(failure, CLEAVE_GUEST_NOT_FOUND, "there is no guest %" PRIu64 "; see query-guests", id);
    return NULL;
}

int family_reserve(struct cleave_family *family, size_t more, struct cleave_failure *failure)
{
    if (family->count + more <= family->room)
        return 0;
    size_t room = 2 * (family->count + more);
    struct machine **grown = realloc(family->machines, room * sizeof(struct machine *));
    if (!grown)
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for the list of guests");
    family->machines = grown;
    family->room = room;
    return 0;
}

void family_add(struct cleave_family *family, struct machine *machine)
{
    family->machines[family->count++] = machine;
    family->live++;
}

int family_check_limit(const struct cleave_family *family, unsigned more, struct cleave_failure *failure)
{
    uint64_t limit = family->config.limit_guests;
    const size_t taken = family->live + family->loading;
    if (family->over)
        return fail(failure, CLEAVE_IO_ERROR, "the VMM has ended");
    if (!limit || taken + more <= limit)
        return 0;
    return fail(failure, CLEAVE_LIMIT_EXCEEDED, "%zu guests and %u more would exceed --limit-guests %" PRIu64, taken,
                more, limit);
}

size_t family_mapping_budget(const struct cleave_family *family)
{
    size_t share = family->map_limit / 2 / (family->live + 1);
    return share < WINDOW_MAPPINGS_LEAST  ? WINDOW_MAPPINGS_LEAST
           : share > WINDOW_MAPPINGS_MOST ? WINDOW_MAPPINGS_MOST
                                          : share;
}

void family_pass_lines(struct cleave_family *family)
{
    for (size_t i = 0; i < family->count; i++)
        if (family->machines[i]->vm)
            console_pass_lines(&family->machines[i]->console);
}

bool cleave_family_is_busy(const struct cleave_family *family)
{
    return family->saves || family->loading;
}
