/* Failures of other rooms in the family's words: snapshot files, and memory that one has taken along. See internal.h.
 */
#include "vmm/family/internal.h"

#include <inttypes.h>

int family_fail_snapshot(const struct snapshot_error *error, struct cleave_failure *failure)
{
    static const enum cleave_failure_kind classes[] = {
        [SNAPSHOT_INVALID] = CLEAVE_SNAPSHOT_INVALID,
        [SNAPSHOT_ARGUMENT] = CLEAVE_INVALID_ARGUMENT,
        [SNAPSHOT_IO] = CLEAVE_IO_ERROR,
        [SNAPSHOT_NO_MEMORY] = CLEAVE_NO_MEMORY,
        [SNAPSHOT_CANCELLED] = CLEAVE_IO_ERROR,
    };
    return fail(failure, classes[error->class], "%s", error->text);
}

int family_blame_lost_file(struct machine *machine, struct cleave_failure *failure)
{
    char text[CLEAVE_REASON];
    if (memory_lost_file(&machine->memory, text, sizeof text))
        fail(failure, CLEAVE_IO_ERROR, "guest %" PRIu64 ": %s", machine->id, text);
    return -1;
}
