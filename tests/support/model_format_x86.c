/* x86-64 long mode, which is also AMD NPT, for the random tests. */
#include "ept/format_x86.h"

#define PT_TEST_FORMAT x86
#include "tests/support/model_format_body.h"

/* Addresses of the upper half are made canonical. */
static void access_x86(const struct pt *pt, const struct walk_memory *memory, uint64_t address, enum walk_access access,
                       bool set, struct walk_answer *answer)
{
    unsigned shift = 64 - (12 + 9 * pt->config.levels);
    struct walk_x86_mode mode = {.root = pt->root,
                                 .levels = pt->config.levels,
                                 .maxphyaddr = pt->config.maxphyaddr,
                                 .pages_1g = (pt->config.caps & PT_CAP_1G) != 0,
                                 .wp = true,
                                 .nxe = true,
                                 .set_ad = set};

    walk_x86(memory, &mode, (uint64_t)((int64_t)(address << shift) >> shift), access, answer);
}

#define X86_FORMAT(level_count, format_name)                                                                           \
    {                                                                                                                  \
        .name = format_name, .levels = level_count, .absent = FMT_ABSENT, .call = FORMAT_CALLS, .raw_walk = raw_walk,  \
        .access = access_x86                                                                                           \
    }

const struct model_format model_x86 = X86_FORMAT(4, "x86");
const struct model_format model_x86_5 = X86_FORMAT(5, "x86 with 5 levels");
