/* See embedded.h. */
#include "tools/ptstat/embedded.h"
#include "tools/ptstat/guest_image.h"
#include "tools/ptstat/target.h"
#include "tools/ptstat/terminal.h"

#include <cleave/cleave.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct embedded {
    struct cleave_family *family;
    uint64_t guest;
    struct cleave_failure failure;
};

static void must(const struct embedded *embedded, int result, const char *what)
{
    if (result < 0)
        die(EXIT_RUNTIME, "libcleave: %s: %s", what, embedded->failure.text);
}

static void launch(struct embedded *embedded, unsigned pages)
{
    char path[IMAGE_PATH], words[WORKLOAD_ARGUMENTS * WORKLOAD_ARGUMENT] = "";
    const int image = guest_image_file(IMAGE_TARGET, path, sizeof(path));
    const struct cleave_launch what = {.path = path, .args = words, .paused = true};
    struct workload arguments;

    target_arguments(&arguments, pages);
    for (unsigned i = 0; i < arguments.count; i++) {
        strcat(words, i ? " " : "");
        strcat(words, arguments.text[i]);
    }
    must(embedded, cleave_guest_launch(embedded->family, &what, &embedded->guest, &embedded->failure), "launch");
    close(image);
}

static void run_until(struct embedded *embedded, unsigned until, enum cleave_stop_reason reason)
{
    struct cleave_stop stop;

    must(embedded, cleave_guest_run(embedded->family, embedded->guest, until, 0, &stop, &embedded->failure), "run");
    if (stop.reason != reason)
        die(EXIT_RUNTIME, "libcleave: the guest stopped for another reason than it should (%d): %s", (int)stop.reason,
            stop.crash.reason);
}

struct embedded *embedded_start(unsigned pages)
{
    const struct cleave_config config = {.memory = TARGET_MEMORY, .cpus = 1};
    struct embedded *embedded = calloc(1, sizeof(*embedded));
    struct cleave_checkpoint_report report;

    if (!embedded)
        die(EXIT_RUNTIME, "out of memory");
    embedded->family = cleave_family_new(&config, &embedded->failure);
    if (!embedded->family)
        die(EXIT_RUNTIME, "libcleave: %s", embedded->failure.text);
    launch(embedded, pages);
    run_until(embedded, CLEAVE_UNTIL_READY, CLEAVE_STOP_READY);
    must(embedded, cleave_guest_checkpoint(embedded->family, embedded->guest, &report, &embedded->failure),
         "checkpoint");
    return embedded;
}

uint64_t embedded_round(struct embedded *embedded, const struct target_input *input)
{
    struct cleave_family *family = embedded->family;
    struct cleave_reset_report report;
    const uint64_t guest = embedded->guest, start = now_ns();
    uint64_t end;
    uint32_t sum;

    must(embedded, cleave_guest_reset(family, guest, CLEAVE_RESET_PAUSED, &report, &embedded->failure), "reset");
    must(embedded, cleave_guest_write(family, guest, TARGET_INPUT, TARGET_BYTES, input->bytes, &embedded->failure),
         "write");
    run_until(embedded, 0, CLEAVE_STOP_EXIT);
    end = now_ns();
    must(embedded, cleave_guest_read(family, guest, TARGET_RESULT, sizeof(sum), &sum, &embedded->failure), "read");
    target_check(input, sum, "libcleave");
    return end - start;
}

void embedded_end(struct embedded *embedded)
{
    cleave_family_free(embedded->family);
    free(embedded);
}
