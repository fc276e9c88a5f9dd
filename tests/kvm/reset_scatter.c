/*
 * Resets of a guest whose scattered pages were merged into whole blocks by forks, before or after the instant it
 * returns to: its window shows the old pages on, so none of them may be given back too early, nor kept for ever.
 */
#include "tests/support/kvm_random.h"
#include "tests/support/rounds.h"

#define STEPS  4000 /* between two forks: some 2,000 pages */
#define FORKS  4    /* by which there is too much to map, and blocks are merged; by 3, too */
#define CYCLES 3

struct held {
    uint64_t layers, tables;
};

static struct held held(struct rig *rig)
{
    return (struct held){rig_stat(rig, 0, "host_layer_bytes"), rig_stat(rig, 0, "host_table_bytes")};
}

static bool holds(struct rig *rig, const struct held *before)
{
    const struct held now = held(rig);
    return now.layers == before->layers && now.tables == before->tables;
}

static struct rig start_scattered(void)
{
    struct rig rig = RIG("--memory", "64M", "@random", "pages=12000", "pace_us=10", "run=2", "seed=7", "fill=6000");
    random_wait_started(&rig, 0);
    return rig;
}

/* Scatters what the guest writes over ever new frames, and kills the children, so that what the VMM has merged is
 * nobody's but the guest's. */
static void scatter(struct rig *rig)
{
    for (unsigned i = 0; i < rounds(FORKS, 3); i++) {
        random_wait_steps(rig, 0, STEPS);
        rig_do(rig, "kill", rig_fork(rig, 0, 1, true, NULL));
    }
}

/* From one instant, again and again; the guest is paused at it. */
static void return_and_check(struct rig *rig, bool forks)
{
    struct model *model = model_new();
    uint64_t step = random_step(rig, 0);
    model_check_many(model, rig, 0, 0);
    const struct held before = held(rig);
    for (int i = 0; i < (int)rounds(CYCLES, 1); i++) {
        rig_do(rig, "resume", 0);
        if (forks)
            scatter(rig);
        random_wait_steps(rig, 0, STEPS);
        rig_do(rig, "pause", 0);
        json_decref(rig_call(rig, "reset", "{s:i}", "guest", 0));
        RIG_UNTIL(holds(rig, &before)); /* frames that nobody counts are freed in the background */
        ck_assert_uint_eq(random_step(rig, 0), step);
        model_check_many(model, rig, 0, 1 + (uint64_t)i);
    }
    model_free(model);
}

START_TEST(guest_returns_to_before_its_pages_were_merged)
{
    struct rig rig = start_scattered();
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "checkpoint", 0);
    return_and_check(&rig, true);
    rig_quit(&rig);
}
END_TEST

START_TEST(guest_returns_to_after_its_pages_were_merged)
{
    struct rig rig = start_scattered();
    scatter(&rig);
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "checkpoint", 0);
    return_and_check(&rig, false);
    return_and_check(&rig, true);
    rig_do(&rig, "resume", 0);
    scatter(&rig);
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "checkpoint", 0); /* that leaves the other, with what it held, behind */
    rig_sleep_ms(200);
    return_and_check(&rig, true);
    rig_quit(&rig);
}
END_TEST

START_TEST(child_of_merged_pages_returns_to_its_birth)
{
    struct rig rig = start_scattered();
    scatter(&rig);
    uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
    rig_do(&rig, "kill", 0);
    struct model *model = model_new();
    model_check_many(model, &rig, child, 0);
    uint64_t step = random_step(&rig, child);
    for (int i = 0; i < (int)rounds(CYCLES, 1); i++) {
        rig_do(&rig, "resume", child);
        for (unsigned k = 0; k < rounds(FORKS, 3); k++) {
            random_wait_steps(&rig, child, STEPS);
            rig_do(&rig, "kill", rig_fork(&rig, child, 1, true, NULL));
        }
        rig_do(&rig, "pause", child);
        json_decref(rig_call(&rig, "reset", "{s:I}", "guest", (json_int_t)child));
        rig_sleep_ms(200);
        ck_assert_uint_eq(random_step(&rig, child), step);
        model_check_many(model, &rig, child, 1 + (uint64_t)i);
    }
    model_free(model);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reset_scatter");
    TCase *tests = tcase_create("scatter");
    tcase_set_timeout(tests, 2 * RIG_TIMEOUT_S);
    tcase_add_test(tests, guest_returns_to_before_its_pages_were_merged);
    tcase_add_test(tests, guest_returns_to_after_its_pages_were_merged);
    tcase_add_test(tests, child_of_merged_pages_returns_to_its_birth);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
