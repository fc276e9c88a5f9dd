/*
 * Snapshots of guests whose pages lie scattered over many files and layers: a restore merges them into whole blocks
 * where there are too many to map, and later forks merge those again. The guest's window shows the pages that it was
 * mapped from on and on, so none of them may be given back too early.
 */
#include "tests/support/kvm_random.h"
#include "tests/support/kvm_snapshot.h"
#include "tests/support/rounds.h"

#include <stdio.h>

#define STEPS 3000

static void save_scattered(const char *path)
{
    struct rig rig = RIG("--memory", "64M", "@random", "pages=12000", "pace_us=10", "run=2", "seed=7", "fill=6000");
    random_wait_started(&rig, 0);
    rig_snapshot(&rig, 0, snapshot_place("base"));
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "link-%d", i);
        random_wait_steps(&rig, 0, STEPS);
        rig_diff(&rig, 0, i < 3 ? snapshot_place(name) : path);
    }
    rig_quit(&rig);
}

START_TEST(pages_merged_by_a_restore_and_again_by_forks_stay)
{
    const char *path = snapshot_place("scattered");
    save_scattered(path);
    struct rig rig = RESTORED(path);
    struct model *model = model_new();
    model_check_many(model, &rig, 0, 0);
    rig_do(&rig, "resume", 0);
    for (unsigned i = 0; i < rounds(4, 2); i++) {
        random_wait_steps(&rig, 0, STEPS);
        rig_do(&rig, "kill", rig_fork(&rig, 0, 1, true, NULL)); /* merges */
        rig_do(&rig, "checkpoint", 0);                          /* and nobody holds on to what was before it */
        rig_sleep_ms(200);                                      /* what nobody counts is freed in the background */
    }
    rig_do(&rig, "pause", 0);
    model_check_many(model, &rig, 0, 1);
    model_free(model);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_scatter");
    TCase *tests = tcase_create("scatter");
    tcase_set_timeout(tests, 2 * RIG_TIMEOUT_S);
    tcase_add_test(tests, pages_merged_by_a_restore_and_again_by_forks_stay);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
