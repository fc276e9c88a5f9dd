/*
 * The mode `start`: how long it takes from the start of a vmm to the first byte that its guest writes, and to the end
 * of the process; of a guest that is launched, and of one that is restored from a file. Beside a process that does the
 * least.
 */
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/find_program.h"
#include "tools/ptstat/guest_image.h"
#include "tools/ptstat/mode.h"
#include "tools/ptstat/report.h"
#include "tools/ptstat/session.h"
#include "tools/ptstat/session_call.h"
#include "tools/ptstat/snapshot_files.h"
#include "tools/ptstat/started.h"
#include "tools/ptstat/terminal.h"

#include <limits.h>
#include <unistd.h>

#define SAVED   "hello.snap"
#define WARM_UP 3 /* until all files are in the page cache */

struct starts {
    char vmm[PATH_MAX], guest[IMAGE_PATH], saved[SNAPSHOT_PATH], memory[BYTES_TEXT];
    int image;
};

/* A guest that has not run yet, in a file. */
static void save(const struct starts *starts)
{
    struct session *session =
        session_start((const char *const[]){"--paused", "--memory", starts->memory, starts->guest, NULL});
    struct snapshot_times times;

    session_snapshot(session, starts->saved, &times);
    session_close(session);
}

static void measure(const struct starts *starts, struct report *report)
{
    struct start_times launched, restored, bare;

    started_vmm((const char *const[]){starts->vmm, "--memory", starts->memory, starts->guest, NULL}, &launched);
    started_bare(starts->image, &bare);
    started_vmm((const char *const[]){starts->vmm, "--restore", starts->saved, NULL}, &restored);
    if (!report)
        return;
    figure_add(&report->figures, "first_byte", launched.first_byte);
    figure_add(&report->figures, "end", launched.end);
    figure_add(&report->figures, "restore_first_byte", restored.first_byte);
    figure_add(&report->figures, "restore_end", restored.end);
    figure_add(&report->baselines, "bare_first_byte", bare.first_byte);
    figure_add(&report->baselines, "bare_end", bare.end);
}

static void compare(struct report *report)
{
    figure_compare(&report->figures, "first_byte", "bare_first_byte");
    figure_compare(&report->figures, "end", "bare_end");
    figure_compare(&report->figures, "restore_first_byte", "bare_first_byte");
    figure_compare(&report->figures, "restore_end", "bare_end");
    figure_compare(&report->baselines, "bare_end", "bare_end");
}

void mode_start(const struct arguments *arguments, struct report *report)
{
    struct starts starts;

    report->environment.memory = STARTED_MEMORY;
    report->environment.resident = report->environment.dirty = 0;
    find_vmm(starts.vmm, sizeof(starts.vmm));
    bytes_option(starts.memory, STARTED_MEMORY);
    starts.image = guest_image_file(IMAGE_HELLO, starts.guest, sizeof(starts.guest));
    snapshot_files_start(arguments);
    snapshot_file(starts.saved, SAVED);
    progress("start: saving a guest");
    save(&starts);
    for (unsigned round = 0; round < WARM_UP; round++)
        measure(&starts, NULL);
    for (unsigned round = 0; round < arguments->rounds; round++) {
        progress("start: round %u of %u", round + 1, arguments->rounds);
        measure(&starts, report);
    }
    compare(report);
    snapshot_file_remove(SAVED);
    close(starts.image);
}
