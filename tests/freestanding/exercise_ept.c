/* The exercise on Intel EPT tables, seen by the software EPT walker. */
#include <ept/ept.h>

#include "tests/freestanding/exercise.h"
#include "tests/freestanding/expect.h"
#include "tests/freestanding/world.h"

#define FN(name) ept_##name
#define EXERCISE exercise_ept
#define RIGHTS   PT_RWX

static struct walk_answer look(const struct world *world, const struct pt *pt, uint64_t address,
                               enum walk_access access)
{
    struct walk_ept_mode mode = {.root = pt->root, .levels = pt->config.levels, .maxphyaddr = 40, .ad = true};
    struct walk_answer answer;

    walk_ept(&world->memory, &mode, address, access, &answer);
    return answer;
}

#include "tests/freestanding/exercise_body.h"
