/* What lies in a snapshot file behind its header, in the order of offsets. */
#ifndef VMM_SNAPSHOT_PARTS_H
#define VMM_SNAPSHOT_PARTS_H

#include "vmm/snapshot/snapshot.h"

struct part {
    uint64_t offset, bytes;
    bool is_run;
    size_t index; /* of the run or section */
};

/* Sections ascend in the file; so do runs of a whole block, and so do shorter ones. These three are merged. */
struct parts {
    const struct snapshot *snapshot;
    size_t section, whole, shorter;
};

void parts_start(struct parts *parts, const struct snapshot *snapshot);

/* False: there are no more. */
bool parts_next(struct parts *parts, struct part *part);

/* That they neither overlap nor leave room for anything else, and end where the file ends. */
int parts_check(const struct report *report, const struct snapshot *snapshot);

#endif
