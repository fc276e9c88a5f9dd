/* Random tables and random probes on every emulated processor, at least 100,000 a format. An image of which a
 * difference is reported is made again, alone, by SEED=its number; PROBES sets how many probes each test does. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/hw/probe/batch.h"
#include "tests/hw/probe/random.h"

#define PER_IMAGE 1600u
#define MOST_JOBS 16u

/* Nested tables under test, or a guest's own, at CPL 0 and 3. */
static const struct row {
    enum judge_name judge;
    enum probe_subject subject;
    unsigned levels;
    uint64_t probes;
} rows[] = {
    {SKYLAKE, PROBE_NESTED, 4, 100000}, {RYZEN, PROBE_NESTED, 4, 50000},  {EPYC, PROBE_NESTED, 4, 50000},
    {EPYC5, PROBE_NESTED, 5, 25000},    {SKYLAKE, PROBE_GUEST, 4, 25000}, {RYZEN, PROBE_GUEST, 4, 25000},
    {EPYC, PROBE_GUEST, 4, 50000},      {EPYC5, PROBE_GUEST, 5, 25000},
};
#define ROWS ((int)(sizeof(rows) / sizeof(rows[0])))

/* How far a row has come. */
struct campaign {
    const struct row *row;
    uint64_t seed, wanted, added;
    struct image *next; /* made, but the last ROM was full */
};

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 0) : otherwise;
}

static struct image *make(struct campaign *campaign)
{
    struct image_setting setting = {.subject = campaign->row->subject,
                                    .levels = campaign->row->levels,
                                    .nested_ad = campaign->seed % 3 != 0}; /* EPT without A and D bits now and then */
    struct image *image = campaign->next;

    campaign->next = NULL;
    return image ? image : random_image(&judges[campaign->row->judge], &setting, campaign->seed++, PER_IMAGE);
}

/* A ROM as full as it gets. False: enough probes already. */
static bool fill(struct campaign *campaign, struct batch *batch)
{
    if (campaign->added >= campaign->wanted)
        return false;
    batch_open(batch, &judges[campaign->row->judge]);
    while (campaign->added < campaign->wanted) {
        struct image *image = make(campaign);

        if (!batch_add(batch, image)) {
            campaign->next = image;
            break;
        }
        campaign->added += image->nprobes;
    }
    return true;
}

/* As many emulators at a time as there are processors; while they run, the next ROM is made. */
static void run(struct campaign *campaign, struct tally *tally)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned jobs = processors > 1 && processors < MOST_JOBS ? (unsigned)processors : 2;
    struct batch batches[MOST_JOBS];
    unsigned first = 0, running = 0;

    for (;;) {
        while (running < jobs && fill(campaign, &batches[(first + running) % jobs])) {
            batch_start(&batches[(first + running) % jobs]);
            running++;
        }
        if (!running)
            break;
        batch_finish(&batches[first], tally);
        batch_close(&batches[first]);
        first = (first + 1) % jobs;
        running--;
    }
    if (campaign->next)
        image_close(campaign->next);
}

START_TEST(processors_agree_with_the_walk)
{
    static struct tally tally;
    const struct row *row = &rows[_i];
    uint64_t seed = setting("SEED", 0);
    struct campaign campaign = {
        .row = row, .seed = seed ? seed : 1, .wanted = seed ? 1 : setting("PROBES", row->probes)};
    char title[128];

    snprintf(title, sizeof(title), "%s, %s, %u levels", judges[row->judge].name,
             row->subject == PROBE_NESTED ? "nested tables" : "guest's tables", row->levels);
    run(&campaign, &tally);
    tally_print(&tally, title);
    ck_assert_msg(tally.differences == 0, "%" PRIu64 " differences, the first ones above", tally.differences);
    ck_assert_msg(tally.elsewhere == 0, "%" PRIu64 " tables changed where no probe was", tally.elsewhere);
    ck_assert_msg(tally.refused == 0, "%" PRIu64 " entries of the library's are refused", tally.refused);
    ck_assert_uint_ge(tally.probes, campaign.wanted);
    ck_assert_uint_ne(tally.outcomes[PROBE_OK], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probes of random tables");
    TCase *tcase = tcase_create("random");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, processors_agree_with_the_walk, 0, ROWS);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
