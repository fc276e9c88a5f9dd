/* The library in ring 0, as the memory manager of a tiny hypervisor, on every emulated processor: each scenario of
 * tests/hw/microvisor/ is one check. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hw/microvisor/scenarios.h"
#include "tests/hw/probe/judge.h"
#include "tests/hw/rom/machine.h"

#define CORE           "build/tests/hw/microvisor.rom"
#define NAME(scenario) #scenario,

static const char *const names[] = {MICROVISOR_SCENARIOS(NAME)};
#define NAMES ((int)(sizeof(names) / sizeof(names[0])))

/* VMX with EPT; SVM with NPT of four levels, in two emulators, and of five. */
static const enum judge_name at_work[] = {SKYLAKE, RYZEN, EPYC, EPYC5};
#define JUDGES_AT_WORK ((int)(sizeof(at_work) / sizeof(at_work[0])))

static struct judge_output outputs[JUDGES_AT_WORK];

/* The core at the end of an otherwise empty ROM. */
static uint8_t *read_rom(void)
{
    uint8_t *rom = calloc(1, ROM_SIZE);
    FILE *file = fopen(CORE, "re");

    if (!rom || !file || fread(rom + ROM_SIZE - CORE_SIZE, 1, CORE_SIZE, file) != CORE_SIZE) {
        fprintf(stderr, "cannot read all of " CORE "; 'make hw-programs' builds it\n");
        exit(2);
    }
    fclose(file);
    return rom;
}

/* All at once; each writes to a file of its own. */
static void run_all(void)
{
    static struct judge_run runs[JUDGES_AT_WORK];
    uint8_t *rom = read_rom();

    for (int i = 0; i < JUDGES_AT_WORK; i++)
        judge_start(&runs[i], &judges[at_work[i]], rom);
    for (int i = 0; i < JUDGES_AT_WORK; i++)
        judge_finish(&runs[i], &outputs[i]);
    free(rom);
}

static void forget_all(void)
{
    for (int i = 0; i < JUDGES_AT_WORK; i++)
        free(outputs[i].bytes);
}

START_TEST(scenario_holds)
{
    const struct judge *judge = &judges[at_work[_i / NAMES]];
    const char *said = (const char *)outputs[_i / NAMES].bytes, *failed = strstr(said, "\nnot ok ");
    char line[128];

    snprintf(line, sizeof(line), "\nok %s\n", names[_i % NAMES]);
    ck_assert_msg(strstr(said, line), "%s on %s: %s", names[_i % NAMES], judge->name,
                  failed  ? failed + 1
                  : *said ? said
                          : "it said nothing");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("microvisor");
    TCase *scenarios = tcase_create("scenarios");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(scenarios, scenario_holds, 0, JUDGES_AT_WORK * NAMES);
    suite_add_tcase(suite, scenarios);
    run_all();
    srunner_run_all(runner, CK_NORMAL);
    forget_all();
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
