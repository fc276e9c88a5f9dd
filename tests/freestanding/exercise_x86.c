/* The exercise on x86-64 tables, seen by the software MMU as user mode sees them. */
#include <ept/x86.h>

#include "tests/freestanding/exercise.h"
#include "tests/freestanding/expect.h"
#include "tests/freestanding/world.h"

#define FN(name) x86_##name
#define EXERCISE exercise_x86
#define RIGHTS   (PT_RWX | PT_U)

static struct walk_answer look(const struct world *world, const struct pt *pt, uint64_t address,
                               enum walk_access access)
{
    struct walk_x86_mode mode = {.root = pt->root,
                                 .levels = pt->config.levels,
                                 .maxphyaddr = 40,
                                 .user = true,
                                 .wp = true,
                                 .nxe = true,
                                 .set_ad = true};
    struct walk_answer answer;

    walk_x86(&world->memory, &mode, address, access, &answer);
    return answer;
}

#include "tests/freestanding/exercise_body.h"
