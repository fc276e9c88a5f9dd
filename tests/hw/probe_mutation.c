/* Can the probes find a wrong entry at all? Bits of single entries are flipped in what the processor gets, behind the
 * back of the side that works out what it should answer. Each must be reported at its address and level, with what the
 * processor then does; and nothing else may be. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#include "tests/hw/probe/batch.h"
#include "tests/hw/probe/random.h"

#define PER_IMAGE   300u
#define MOST_IMAGES 16u
#define ROUNDS      4u

/* Each format, as nested tables and as a guest's own. */
static const struct row {
    enum judge_name judge;
    struct image_setting setting;
} rows[] = {
    {SKYLAKE, {.subject = PROBE_NESTED, .levels = 4, .nested_ad = true}},
    {RYZEN, {.subject = PROBE_NESTED, .levels = 4}},
    {EPYC, {.subject = PROBE_NESTED, .levels = 4}},
    {SKYLAKE, {.subject = PROBE_GUEST, .levels = 4, .nested_ad = true}},
    {EPYC, {.subject = PROBE_GUEST, .levels = 4}},
    {EPYC5, {.subject = PROBE_GUEST, .levels = 5}},
};
#define ROWS ((int)(sizeof(rows) / sizeof(rows[0])))

/* One flipped bit, and the probe that must tell. */
struct mutation {
    const struct image *image; /* NULL: there is none in this image */
    const struct probe *probe;
    uint64_t *entry, bit;
    unsigned level;
};

/* A bit without which this access, which comes through, would not, or would come to another frame. */
static uint64_t draw_bit(struct draw *random, const struct image *image, const struct probe *probe, unsigned level,
                         bool is_leaf)
{
    bool is_ept = image->header.format == PROBE_EPT;

    switch (draw(random, 4)) {
    case 0: /* beyond the machine's memory */
        return 1ull << (JUDGE_MAXPHYADDR + draw(random, 52 - JUDGE_MAXPHYADDR));
    case 1: /* another frame nearby; not of a large page of 1 GiB, whose neighbour need not be RAM */
        return is_leaf && level <= 2 ? pt_slot_size(level) << draw(random, 3) : 0;
    case 2: /* the right to do this */
        if (probe->access == PROBE_FETCH)
            return is_ept ? 4 : 1ull << 63;
        if (probe->access == PROBE_WRITE)
            return 2;
        return 1;
    default: /* all of it, or a table's at least: W and X without R are not allowed in EPT */
        return 1;
    }
}

static bool comes_through(const struct image *image, const struct probe *probe, uint64_t *hpa)
{
    return (probe->access == PROBE_READ || probe->access == PROBE_WRITE || probe->access == PROBE_FETCH) &&
           oracle_target(image, probe, hpa);
}

/* Would the walk notice? It looks at the entry as it would be, and then that is undone. */
static bool matters(const struct mutation *mutation, uint64_t before)
{
    uint64_t after = before;
    bool through;

    *mutation->entry ^= mutation->bit;
    through = comes_through(mutation->image, mutation->probe, &after);
    *mutation->entry ^= mutation->bit;
    return !through || (after != before && image_is_ram(mutation->image, after));
}

static struct mutation draw_mutation(struct draw *random, const struct image *image)
{
    for (unsigned attempt = 0; attempt < 100000; attempt++) {
        const struct probe *probe = &image->probes[draw(random, image->nprobes)];
        struct mutation mutation = {.image = image, .probe = probe, .level = 1 + (unsigned)draw(random, 4)};
        uint64_t *path[5], hpa;
        unsigned count = image_path(image, probe->address, path);

        mutation.entry = image_entry(image, probe->address, mutation.level);
        if (!mutation.entry || image_is_vital(image, mutation.entry) || !comes_through(image, probe, &hpa))
            continue;
        mutation.bit = draw_bit(random, image, probe, mutation.level, mutation.entry == path[count - 1]);
        if (mutation.bit && matters(&mutation, hpa))
            return mutation;
    }
    ck_abort_msg("no entry of image %" PRIu64 " is fit for a mutation", image->seed);
}

/* What was reported of an image: only entries that are wrong, and the probe that was chosen. */
static void verify(const struct mutation *mutation, const struct image *image, const struct tally *tally)
{
    bool found = false;

    for (uint64_t i = 0; i < tally->differences; i++) {
        const struct difference *difference = &tally->kept[i];

        if (difference->image != image)
            continue;
        ck_assert_msg(mutation->image != NULL, "a difference without a mutation: %s", difference->text);
        ck_assert_msg(difference->level == mutation->level &&
                          image_entry(image, difference->probe.address, difference->level) == mutation->entry,
                      "bit %#" PRIx64 " of level %u was changed, and not reported there: %s", mutation->bit,
                      mutation->level, difference->text);
        if (difference->probe.address == mutation->probe->address &&
            difference->probe.access == mutation->probe->access)
            found = found || (difference->what & DIFFERS_BEHAVIOR);
    }
    ck_assert_msg(found || !mutation->image,
                  "image %" PRIu64 ": bit %#" PRIx64 " at level %u on the way to %#" PRIx64 " was not found",
                  image->seed, mutation->bit, mutation->level, mutation->probe->address);
}

/* Every image of the ROM but the first has one wrong entry. */
static void run(const struct row *row, uint64_t *seed)
{
    static struct tally tally;
    struct mutation mutations[MOST_IMAGES] = {0};
    struct draw random = draw_from(*seed);
    struct batch batch;

    batch_open(&batch, &judges[row->judge]);
    for (;;) {
        struct image *image;

        *seed += (*seed + 1) % RANDOM_DAMAGED == 0 ? 2 : 1; /* none that is wrong from the beginning */
        image = random_image(&judges[row->judge], &row->setting, *seed, PER_IMAGE);
        if (batch.count == MOST_IMAGES || !batch_add(&batch, image)) {
            image_close(image);
            break;
        }
        if (batch.count > 1) {
            struct mutation *mutation = &mutations[batch.count - 1];

            *mutation = draw_mutation(&random, image);
            batch_mutate(&batch, batch.count - 1, mutation->entry, mutation->bit);
        }
    }
    tally = (struct tally){0};
    batch_start(&batch);
    batch_finish(&batch, &tally);
    ck_assert_uint_lt(tally.differences, DIFFERENCES_KEPT);
    for (size_t i = 0; i < batch.count; i++)
        verify(&mutations[i], batch.images[i], &tally);
    ck_assert_uint_gt(batch.count, 1);
    batch_close(&batch);
}

START_TEST(wrong_entries_are_found)
{
    uint64_t seed = 1000;

    for (unsigned i = 0; i < ROUNDS; i++)
        run(&rows[_i], &seed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probes of wrong entries");
    TCase *tcase = tcase_create("mutation");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, wrong_entries_are_found, 0, ROWS);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
