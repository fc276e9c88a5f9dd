/* What a chain's memory is: as extents of its files to map, and read into memory. */
#include <stdlib.h>
#include <string.h>

#include "vmm/snapshot/cover.h"
#include "vmm/snapshot/runs.h"

static struct report report_of(const struct snapshot_chain *chain, unsigned file, struct snapshot_error *error)
{
    return (struct report){chain->files[file]->path, SNAPSHOT_INVALID, error};
}

static struct snapshot_extent extent_of(const struct snapshot_chain *chain, const struct cover *cover)
{
    struct snapshot_extent extent = {cover->gpa, cover->bytes, cover->file, 0};
    if (cover->run != COVER_ZERO) {
        const struct snapshot_run *run = &chain->files[cover->file]->runs[cover->run];
        extent.offset = run->offset + (cover->gpa - run->gpa);
    }
    return extent;
}

static bool continues(const struct snapshot_extent *before, const struct snapshot_extent *after)
{
    if (!before->offset || !after->offset)
        return !before->offset && !after->offset;
    return before->file == after->file && before->offset + before->bytes == after->offset;
}

int snapshot_chain_extents(const struct snapshot_chain *chain, struct snapshot_extent **extents, size_t *count,
                           struct snapshot_error *error)
{
    struct cover *covers;
    size_t cover_count;

    for (unsigned i = 0; i < chain->count; i++) {
        struct report report = report_of(chain, i, error);
        if (snapshot_compressed(chain->files[i]))
            return report_fail(&report, "is compressed and so cannot be mapped: load it instead");
    }
    struct report report = report_of(chain, chain->count - 1, error);
    if (cover_build(&report, chain, &covers, &cover_count) < 0)
        return -1;
    struct snapshot_extent *made = calloc(cover_count, sizeof *made);
    if (!made) {
        free(covers);
        return report_no_memory(&report);
    }
    *count = 0;
    for (size_t i = 0; i < cover_count; i++) {
        struct snapshot_extent extent = extent_of(chain, &covers[i]);
        if (*count && continues(&made[*count - 1], &extent))
            made[*count - 1].bytes += extent.bytes;
        else
            made[(*count)++] = extent;
    }
    free(covers);
    *extents = made;
    return 0;
}

/* Those parts of memory that show something of one run: covers[0] to covers[count - 1], others between them. */
struct showing {
    const struct cover *covers;
    size_t count;
    uint64_t bytes; /* of the run */
};

static struct showing find_showing(const struct cover *covers, size_t left, unsigned file, size_t run, uint64_t end)
{
    struct showing showing = {.covers = covers};
    for (size_t i = 0; i < left && covers[i].gpa < end; i++) {
        if (covers[i].file != file || covers[i].run != run)
            continue;
        showing.bytes += covers[i].bytes;
        showing.count = i + 1;
    }
    return showing;
}

/* A run of which all shows goes straight to its place, another by way of the reader's pages. */
static int load_run(const struct report *report, struct run_reader *reader, const struct snapshot *snapshot,
                    unsigned file, size_t index, const struct showing *showing, uint8_t *memory)
{
    const struct snapshot_run *run = &snapshot->runs[index];

    if (!showing->bytes)
        return 0;
    if (showing->bytes == run->bytes)
        return run_read(report, reader, snapshot, index, memory + run->gpa);
    uint8_t *pages = run_reader_pages(reader);
    if (!pages)
        return report_no_memory(report);
    if (run_read(report, reader, snapshot, index, pages) < 0)
        return -1;
    for (size_t i = 0; i < showing->count; i++) {
        const struct cover *cover = &showing->covers[i];
        if (cover->file == file && cover->run == index)
            memcpy(memory + cover->gpa, pages + (cover->gpa - run->gpa), cover->bytes);
    }
    return 0;
}

static int load_file(const struct snapshot_chain *chain, unsigned file, const struct cover *covers, size_t count,
                     uint8_t *memory, const atomic_bool *cancel, struct snapshot_error *error)
{
    const struct snapshot *snapshot = chain->files[file];
    struct report report = report_of(chain, file, error);
    struct run_reader reader = {0};
    size_t first = 0;
    int result = 0;

    for (size_t i = 0; i < snapshot->run_count && result == 0; i++) {
        const struct snapshot_run *run = &snapshot->runs[i];
        if (!run->offset)
            continue;
        if (cancel && atomic_load_explicit(cancel, memory_order_relaxed)) {
            result = report_as(&report, SNAPSHOT_CANCELLED, "loading has been cancelled");
            break;
        }
        while (first < count && covers[first].gpa + covers[first].bytes <= run->gpa)
            first++;
        struct showing showing = find_showing(covers + first, count - first, file, i, run->gpa + run->bytes);
        result = load_run(&report, &reader, snapshot, file, i, &showing, memory);
    }
    run_reader_close(&reader);
    return result;
}

int snapshot_chain_load(const struct snapshot_chain *chain, uint8_t *memory, const atomic_bool *cancel,
                        struct snapshot_error *error)
{
    struct report report = report_of(chain, chain->count - 1, error);
    struct cover *covers;
    size_t count;
    int result = 0;

    if (cover_build(&report, chain, &covers, &count) < 0)
        return -1;
    for (unsigned file = 0; file < chain->count && result == 0; file++)
        result = load_file(chain, file, covers, count, memory, cancel, error);
    free(covers);
    return result;
}
