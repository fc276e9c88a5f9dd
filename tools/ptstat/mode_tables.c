/*
 * The mode `tables`: what the page-table library alone takes for a whole guest's memory, beside what the host's own
 * ways of copying that memory cost. No guest is started and no hardware walks these tables.
 */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/baseline.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/terminal.h"

#include <ept/ept.h>

#define MOST_BYTES (UINT64_C(1) << 42) /* far below the frames that a tree can map */

__attribute__((noreturn)) static void give_up(const char *what, const char *why)
{
    die(EXIT_RUNTIME, "%s: %s", what, why);
}

#define PT_FORMAT ept
#include "tools/ptstat/tables_operations.h"

/* Each on the whole resident set in 4 KiB pages, all of which are counted, as a guest's are. */
static const struct {
    const char *name;
    uint64_t (*run)(struct world *world);
} operations[] = {
    {"share_from", run_share}, {"copy_from", run_copy},  {"unshare_one", run_unshare_one}, {"map", run_map},
    {"query", run_query},      {"protect", run_protect}, {"harvest", run_harvest},         {"unmap", run_unmap},
};

static void measure(struct world *world, struct report *report)
{
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        figure_add(&report->figures, operations[i].name, operations[i].run(world));
}

void mode_tables(const struct arguments *arguments, struct report *report)
{
    struct baseline *baseline = baseline_start(arguments);
    struct pt_config config;
    struct world world;

    if (arguments->resident > MOST_BYTES)
        die(EXIT_USAGE, "--resident is too large for mode tables");
    world_start(&world, arguments->resident, arguments->dirty, &config);
    trees_start(&world, &config);
    world.prop |= PT_TRACKED;
    run_copy(&world); /* the first touch of the tables' memory */
    for (unsigned round = 0; round < arguments->rounds; round++) {
        progress("tables: round %u of %u", round + 1, arguments->rounds);
        measure(&world, report);
        figure_add(&report->baselines, "fork2", baseline_fork(baseline));
        figure_add(&report->baselines, "full_copy", baseline_copy(baseline));
        exit_if_interrupted();
    }
    trees_end(&world);
    world_end(&world);
    baseline_end(baseline);
}
