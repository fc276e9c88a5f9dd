/* ptstat: measures how long a VMM's forks take, beside baselines taken in the same run. See ptstat.1. */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/terminal.h"

#include <stdlib.h>

const struct mode modes[] = {
    {"fork", "the parent's pause, and the time to a child's first results", UINT64_C(1) << 20, mode_fork},
    {"snapshot", "a guest's pause at a checkpoint and a snapshot, and writing it to a file", UINT64_C(1) << 20,
     mode_snapshot},
    {"restore", "the time to a restored guest's first results, beside a fork's", UINT64_C(1) << 20, mode_restore},
    {"reset", "a guest's way back to a checkpoint, and what the kernel alone needs for it", UINT64_C(64) << 10,
     mode_reset},
    {"fault", "a child's copy-on-write fault, and the same under bare KVM", UINT64_C(16) << 20, mode_fault},
    {"density", "what each further child takes, and forks beside so many (-n: how many)", UINT64_C(1) << 20,
     mode_density},
    {"tables", "the page-table library's operations on that much memory, without a guest", UINT64_C(1) << 20,
     mode_tables},
    {0},
};

int main(int argc, char **argv)
{
    struct arguments arguments;
    struct report report = {0};

    arguments_parse(&arguments, argc, argv);
    report.mode = arguments.mode->name;
    catch_signals();
    environment_read(&report.environment);
    report.environment.memory = arguments.memory;
    report.environment.resident = arguments.resident;
    report.environment.dirty = arguments.dirty;
    report.environment.scattered = arguments.scatter;
    arguments.mode->run(&arguments, &report);
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
