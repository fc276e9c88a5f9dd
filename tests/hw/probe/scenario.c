/* See scenario.h. */
#include "tests/hw/probe/scenario.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hw/probe/batch.h"

#define VECTOR_PROTECTION  13
#define VECTOR_PAGE_FAULT  14
#define FAULT_RESERVED     8u
#define WHAT_QUIRKS_HIDE   1u /* P of reserved-bit faults, R of violations by a guest's walk */
#define QUALIFICATION_BITS 0x1bfull

void scenario_map(struct scenario *scenario, uint64_t at, uint64_t hpa, unsigned level, pt_prop prop)
{
    struct tree *tree = scenario->image->subject;

    ck_assert_int_eq(tree->operations->map_leaf(tree, at, hpa, level, prop), PT_OK);
}

void scenario_edit(struct scenario *scenario, uint64_t at, unsigned level, uint64_t clear, uint64_t set)
{
    uint64_t *entry = image_entry(scenario->image, at, level);

    ck_assert_ptr_nonnull(entry);
    *entry = (*entry & ~clear) | set;
    scenario->image->damaged = true;
}

static void state(struct scenario *scenario, uint64_t at, enum probe_access access, struct statement statement)
{
    struct image *image = scenario->image;

    ck_assert_uint_lt(image->nprobes, SCENARIO_STATEMENTS);
    scenario->statements[image->nprobes] = statement;
    ck_assert_msg(image_probe(image, at, access, scenario->flags), "%s: %#" PRIx64 " cannot be probed",
                  scenario->judge->name, at);
}

void state_frame(struct scenario *scenario, uint64_t at, enum probe_access access, uint64_t frame)
{
    state(scenario, at, access,
          (struct statement){.outcome = PROBE_OK, .code = access == PROBE_WALK ? PROBE_STUB_MARKER : frame});
}

void state_fault(struct scenario *scenario, uint64_t at, enum probe_access access, uint64_t code)
{
    struct statement statement = {.code = code};

    if (scenario->image->header.subject == PROBE_GUEST) {
        statement.outcome = PROBE_EXCEPTION;
        statement.vector = VECTOR_PAGE_FAULT;
    } else {
        statement.outcome = scenario->judge->nested == PROBE_EPT ? PROBE_VIOLATION : PROBE_NESTED_FAULT;
    }
    state(scenario, at, access, statement);
}

void state_misconfig(struct scenario *scenario, uint64_t at, enum probe_access access)
{
    state(scenario, at, access, (struct statement){.outcome = PROBE_MISCONFIG});
}

void state_protection(struct scenario *scenario, uint64_t at, enum probe_access access)
{
    state(scenario, at, access, (struct statement){.outcome = PROBE_EXCEPTION, .vector = VECTOR_PROTECTION});
}

void state_marks(struct scenario *scenario, const char *marks)
{
    scenario->statements[scenario->image->nprobes - 1].marks = marks;
}

static uint64_t told_code(const struct probe_result *result)
{
    switch (result->outcome) {
    case PROBE_EXCEPTION:
        return result->error_code;
    case PROBE_VIOLATION:
        return result->code & QUALIFICATION_BITS;
    default:
        return result->code;
    }
}

/* Known differences are counted and taken out where the processor is compared with the walk; here only their bit is. */
static bool has_told(const struct judge *judge, const struct statement *statement, const struct probe_result *result)
{
    uint64_t hidden = 0;

    if ((judge->quirks & QUIRK_RESERVED_NO_P) && (statement->code & FAULT_RESERVED))
        hidden = WHAT_QUIRKS_HIDE;
    if ((judge->quirks & QUIRK_WALK_WRITE_ONLY) && statement->outcome == PROBE_VIOLATION && (statement->code & 3) == 3)
        hidden = WHAT_QUIRKS_HIDE;
    return statement->outcome == result->outcome && statement->vector == result->vector &&
           ((statement->code ^ told_code(result)) & ~hidden) == 0;
}

static bool has_marks(const struct image *image, const char *marks, const struct image_result *answer)
{
    uint64_t accessed = image->header.format == PROBE_EPT ? 0x100 : 0x20, dirty = accessed << 1;

    if (strlen(marks) != answer->result.entries)
        return false;
    for (size_t i = 0; marks[i]; i++) {
        uint64_t wanted = marks[i] == '-' ? 0 : marks[i] == 'A' ? accessed : accessed | dirty;

        if ((answer->entries[i] & (accessed | dirty)) != wanted)
            return false;
    }
    return true;
}

static void verify(const struct scenario *scenario, const struct tally *tally)
{
    const struct image *image = scenario->image;

    ck_assert_msg(tally->differences == 0, "%s: walk and processor differ: %s", scenario->name, tally->kept[0].text);
    ck_assert_uint_eq(tally->elsewhere, 0);
    ck_assert_uint_ne(image->nprobes, 0);
    for (size_t i = 0; i < image->nprobes; i++) {
        const struct statement *statement = &scenario->statements[i];
        const struct image_result *answer = &image->results[i];

        ck_assert_msg(has_told(scenario->judge, statement, &answer->result),
                      "%s on %s, probe %zu of %#" PRIx64 ": stated outcome %d, vector %u, code %#" PRIx64
                      "; was %d, %u, %#" PRIx64,
                      scenario->name, scenario->judge->name, i, image->probes[i].address, statement->outcome,
                      statement->vector, statement->code, answer->result.outcome, answer->result.vector,
                      told_code(&answer->result));
        ck_assert_msg(!statement->marks || has_marks(image, statement->marks, answer),
                      "%s on %s, probe %zu of %#" PRIx64 ": stated %s, was %#" PRIx64 " %#" PRIx64 " %#" PRIx64
                      " %#" PRIx64 " %#" PRIx64,
                      scenario->name, scenario->judge->name, i, image->probes[i].address, statement->marks,
                      answer->entries[0], answer->entries[1], answer->entries[2], answer->entries[3],
                      answer->entries[4]);
    }
}

static void run_on(const struct judge *judge, const struct scenario_row *row)
{
    struct image_setting setting = row->setting;
    struct scenario *scenario = calloc(1, sizeof(*scenario));
    struct tally *tally = calloc(1, sizeof(*tally));
    struct batch batch;

    ck_assert(scenario && tally);
    if (!setting.levels)
        setting.levels = setting.subject == PROBE_NESTED ? judge->nested_levels : judge->guest_levels;
    *scenario = (struct scenario){.name = row->name,
                                  .judge = judge,
                                  .image = image_open(judge, &setting),
                                  .flags = PROBE_WP | PROBE_NXE | PROBE_CLEAR};
    row->build(scenario);
    batch_open(&batch, judge);
    ck_assert(batch_add(&batch, scenario->image));
    batch_start(&batch);
    batch_finish(&batch, tally);
    verify(scenario, tally);
    batch_close(&batch);
    free(scenario);
    free(tally);
}

static const struct scenario_row *all_rows; /* for Check's loop, which has only an index */

START_TEST(processors_do_as_stated)
{
    for (unsigned i = 0; i < JUDGES; i++)
        if (all_rows[_i].judge_set >> i & 1)
            run_on(&judges[i], &all_rows[_i]);
}
END_TEST

int scenario_main(const char *suite_name, const struct scenario_row *rows, size_t count)
{
    Suite *suite = suite_create(suite_name);
    TCase *tcase = tcase_create("scenarios");
    SRunner *runner;
    int failed;

    all_rows = rows;
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, processors_do_as_stated, 0, (int)count);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
