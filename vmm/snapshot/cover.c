/* The memory of a chain: see cover.h. Each file's runs are laid over what the files before it say. */
#include "vmm/snapshot/cover.h"

#include <stdlib.h>

/* Copies one list while parts of it are replaced. */
struct overlay {
    const struct cover *old;
    size_t next; /* of old */
    uint64_t at; /* address up to which all is said */
    struct cover *made;
    size_t count;
};

/* What the old list says from here to `end`. */
static void keep_until(struct overlay *overlay, uint64_t end)
{
    while (overlay->at < end) {
        struct cover part = overlay->old[overlay->next];
        uint64_t part_end = part.gpa + part.bytes;
        if (part_end <= overlay->at) {
            overlay->next++;
            continue;
        }
        part.gpa = overlay->at;
        part.bytes = (part_end < end ? part_end : end) - overlay->at;
        overlay->made[overlay->count++] = part;
        overlay->at += part.bytes;
    }
}

static void lay_runs(struct overlay *overlay, const struct snapshot *snapshot, unsigned file)
{
    for (size_t i = 0; i < snapshot->run_count; i++) {
        const struct snapshot_run *run = &snapshot->runs[i];
        keep_until(overlay, run->gpa);
        overlay->made[overlay->count++] = (struct cover){run->gpa, run->bytes, file, run->offset ? i : COVER_ZERO};
        overlay->at = run->gpa + run->bytes;
    }
    keep_until(overlay, snapshot->state.machine.memory);
}

int cover_build(const struct report *report, const struct snapshot_chain *chain, struct cover **covers, size_t *count)
{
    struct cover *list = malloc(sizeof *list);
    if (!list)
        return report_no_memory(report);
    list[0] = (struct cover){0, chain->files[0]->state.machine.memory, 0, COVER_ZERO};
    *count = 1;
    for (unsigned file = 0; file < chain->count; file++) {
        /* A run adds itself, and cuts what is below it into two. */
        struct overlay overlay = {.old = list};
        overlay.made = calloc(*count + 2 * chain->files[file]->run_count, sizeof *overlay.made);
        if (overlay.made) {
            lay_runs(&overlay, chain->files[file], file);
            *count = overlay.count;
        }
        free(list);
        list = overlay.made;
        if (!list)
            return report_no_memory(report);
    }
    *covers = list;
    return 0;
}
