/* Intel EPT for the random tests. */
#include "ept/format_ept.h"

#define PT_TEST_FORMAT ept
#include "tests/support/model_format_body.h"

static void access_ept(const struct pt *pt, const struct walk_memory *memory, uint64_t address, enum walk_access access,
                       bool set, struct walk_answer *answer)
{
    struct walk_ept_mode mode = {.root = pt->root,
                                 .levels = pt->config.levels,
                                 .maxphyaddr = pt->config.maxphyaddr,
                                 .exec_only = (pt->config.caps & PT_CAP_EXEC_ONLY) != 0,
                                 .pages_1g = (pt->config.caps & PT_CAP_1G) != 0,
                                 .ad = set};

    walk_ept(memory, &mode, address, access, answer);
}

const struct model_format model_ept = {.name = "ept",
                                       .levels = 4,
                                       .is_ept = true,
                                       .absent = FMT_ABSENT,
                                       .call = FORMAT_CALLS,
                                       .raw_walk = raw_walk,
                                       .access = access_ept};
