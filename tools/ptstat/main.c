/* ptstat: measures how long a VMM's forks take, beside baselines taken in the same run. See ptstat.1. */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/plot.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/sweep.h"
#include "tools/ptstat/terminal.h"

#include <stdlib.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

#define BY_SIZES (PLOT_DIRTY | PLOT_RESIDENT)

const struct mode modes[] = {
    {"fork", "the parent's pause, and the time to a child's first results", MIB, false, mode_fork,
     "live forks of a running guest", BY_SIZES, 64 * MIB, 4},
    {"snapshot", "a guest's pause at a checkpoint and a snapshot, and writing it to a file", MIB, false, mode_snapshot,
     "snapshots of a running guest, in memory and to a file", BY_SIZES, 64 * MIB, 4},
    {"restore", "the time to a restored guest's first results, beside a fork's", MIB, false, mode_restore,
     "guests restored from a file, beside forks", BY_SIZES, 64 * MIB, 16},
    {"reset", "a guest's way back to a checkpoint, and what the kernel alone needs for it", 64 * KIB, false, mode_reset,
     "a guest's way back to its checkpoint", BY_SIZES, 16 * MIB, 4},
    {"run", "a run from a checkpoint to its end, through libcleave and the socket", MIB, true, mode_run, NULL, 0, 0, 0},
    {"start", "from a vmm's start to its guest's first byte, and to its own end", MIB, true, mode_start, NULL, 0, 0, 0},
    {"fault", "a child's copy-on-write fault, and the same under bare KVM", 16 * MIB, false, mode_fault,
     "a copy-on-write fault", BY_SIZES, 64 * MIB, 4},
    {"density", "what each further child takes, and forks beside so many (-n: how many)", MIB, false, mode_density,
     "many children of one guest", PLOT_CHILDREN | PLOT_MEMORY, 16 * MIB, 0},
    {"tables", "the page-table library's operations on that much memory, without a guest", MIB, false, mode_tables,
     "the page-table library on all of a guest's memory", PLOT_RESIDENT, 0, 16},
    {0},
};

int main(int argc, char **argv)
{
    struct arguments arguments;
    struct report report = {0};

    arguments_parse(&arguments, argc, argv);
    if (arguments.plot)
        plot_open(arguments.plot);
    report.mode = arguments.mode->name;
    catch_signals();
    environment_read(&report.environment);
    report.environment.memory = arguments.memory;
    report.environment.resident = arguments.resident;
    report.environment.dirty = arguments.dirty;
    report.environment.scattered = arguments.scatter;
    arguments.mode->run(&arguments, &report);
    if (arguments.plot)
        sweep_draw(&arguments, &report);
    progress_clear();
    if (arguments.json)
        report_print_json(&report, stdout);
    else
        report_print_table(&report, stdout);
    report_free(&report);
    if (fflush(stdout))
        die(EXIT_RUNTIME, "cannot write the report");
    return EXIT_SUCCESS;
}
