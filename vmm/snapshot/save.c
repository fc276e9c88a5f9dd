/* snapshot_save(): the order in which a snapshot file is written. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "vmm/snapshot/ancestry.h"
#include "vmm/snapshot/file.h"
#include "vmm/snapshot/layout.h"
#include "vmm/snapshot/pack.h"
#include "vmm/snapshot/state.h"

struct save {
    struct report report;
    const struct snapshot_job *job;
    struct target target;
    struct source_reader reader;
    struct block block;
    struct pack pack;
    uint64_t total; /* bytes of sources */
    uint64_t end;   /* of what has been written */
    struct layout_header header;
};

static int check_job(const struct save *save, uint64_t *total)
{
    const struct snapshot_job *job = save->job;
    const struct report *report = &save->report;

    if (job->kind != SNAPSHOT_FULL && job->kind != SNAPSHOT_DIFF)
        return report_fail(report, "kind is %u: must be full or diff", (unsigned)job->kind);
    if ((job->kind == SNAPSHOT_DIFF) != (job->parent && job->parent_path))
        return report_fail(report, "a diff has a parent, a full snapshot has none");
    if (job->parent && (!job->parent->count || job->parent->count >= SNAPSHOT_CHAIN_MAX))
        return report_fail(report, "it would build on %u files: must be 1 to %u: make a full snapshot",
                           job->parent->count, SNAPSHOT_CHAIN_MAX - 1);
    if (state_check(report, job->state) < 0)
        return -1;
    return source_check(report, job->sources, job->source_count, job->state->machine.memory, total);
}

static int save_pages(struct save *save)
{
    const struct snapshot_job *job = save->job;
    int more;

    while ((more = source_next(&save->reader, &save->block)) > 0) {
        if (pack_block(&save->pack, &save->block) < 0)
            return -1;
        if (job->progress)
            job->progress(job->context, save->reader.done, save->total);
        if (job->cancel && atomic_load_explicit(job->cancel, memory_order_relaxed))
            return report_as(&save->report, SNAPSHOT_CANCELLED, "saving has been cancelled");
    }
    return more;
}

static int add_section(struct save *save, enum layout_type type, const void *data, uint64_t bytes)
{
    uint64_t offset = layout_align(save->end, LAYOUT_ALIGN);
    struct layout_section *section = &save->header.sections[save->header.section_count++];

    *section = (struct layout_section){type, 0, offset, bytes, XXH3_64bits(data, bytes)};
    save->end = offset + bytes;
    return pack_write(&save->pack, data, bytes, offset);
}

static int add_records(struct save *save, enum layout_type type, const struct snapshot_records *records)
{
    uint64_t bytes;
    void *data = state_encode(records, &bytes);
    int result = data ? add_section(save, type, data, bytes) : report_no_memory(&save->report);
    free(data);
    return result;
}

static int add_parent(struct save *save)
{
    const struct snapshot_job *job = save->job;
    char data[sizeof(struct layout_parent) + PATH_MAX];
    const struct snapshot_name *parent = &job->parent->names[job->parent->count - 1];
    struct layout_parent name = {.header_checksum = parent->header_checksum};

    memcpy(name.id, parent->id, sizeof name.id);
    memcpy(data, &name, sizeof name);
    if (ancestry_path(&save->target, job->parent_path, data + sizeof name) < 0)
        return -1;
    return add_section(save, LAYOUT_PARENT, data, sizeof name + strlen(data + sizeof name));
}

static int add_sections(struct save *save)
{
    const struct snapshot_state *state = save->job->state;

    save->end = pack_end(&save->pack);
    if (add_section(save, LAYOUT_MACHINE, &state->machine, sizeof state->machine) < 0 ||
        add_section(save, LAYOUT_CPUID, state->cpuid, state->cpuid_count * sizeof *state->cpuid) < 0)
        return -1;
    for (unsigned i = 0; i < state->machine.cpus; i++)
        if (add_records(save, LAYOUT_VCPU, &state->vcpus[i]) < 0)
            return -1;
    if (add_records(save, LAYOUT_DEVICES, &state->devices) < 0 ||
        (save->job->kind == SNAPSHOT_DIFF && add_parent(save) < 0) ||
        add_section(save, LAYOUT_RUNS, save->pack.runs, save->pack.run_count * sizeof *save->pack.runs) < 0)
        return -1;
    return pack_flush(&save->pack);
}

static int write_header(struct save *save)
{
    struct layout_header *header = &save->header;

    memcpy(header->magic, LAYOUT_MAGIC, sizeof header->magic);
    header->version = SNAPSHOT_VERSION;
    header->page_bytes = SNAPSHOT_PAGE;
    header->kind = save->job->kind;
    header->flags = save->job->compress ? LAYOUT_COMPRESSED : 0;
    header->file_bytes = save->end;
    if (getrandom(header->id, sizeof header->id, 0) != sizeof header->id)
        return report_errno(&save->report, errno, "cannot draw an identity");
    header->checksum = XXH3_64bits(header, offsetof(struct layout_header, checksum));
    /* The last section may be empty and the data before it end early: the length is what the header says. */
    if (ftruncate(save->target.fd, (off_t)save->end) < 0)
        return report_errno(&save->report, errno, "cannot size the new file");
    return file_write_all(&save->report, save->target.fd, header, sizeof *header, 0);
}

/* The target and the pack are closed by the caller, whatever happens here. */
static int save_file(struct save *save)
{
    const struct snapshot_job *job = save->job;
    bool diff = job->kind == SNAPSHOT_DIFF;

    if (target_find(&save->target, &save->report, job->path) < 0 ||
        (diff && (ancestry_check_target(&save->target, job->parent) < 0 ||
                  ancestry_check_places(&save->target, job->parent, job->parent_path) < 0)) ||
        target_create(&save->target) < 0)
        return -1;
    if (pack_open(&save->pack, &save->report, save->target.fd, diff, job->compress) < 0 || save_pages(save) < 0 ||
        add_sections(save) < 0 || write_header(save) < 0 || target_sync(&save->target) < 0)
        return -1;
    if (diff && ancestry_check_target(&save->target, job->parent) < 0) /* writing took its time */
        return -1;
    return target_publish(&save->target);
}

static void fill_result(const struct save *save, struct snapshot_result *result)
{
    struct snapshot_lineage *lineage = &result->lineage;

    lineage->count = 0;
    if (save->job->parent)
        *lineage = *save->job->parent;
    struct snapshot_name *name = &lineage->names[lineage->count++];
    memcpy(name->id, save->header.id, sizeof name->id);
    name->header_checksum = save->header.checksum;
    result->bytes = save->end;
    result->pages = save->pack.pages;
    result->zero_pages = save->pack.zero_pages;
}

int snapshot_save(const struct snapshot_job *job, struct snapshot_result *result, struct snapshot_error *error)
{
    struct report report = {job->path, SNAPSHOT_ARGUMENT, error};
    struct save *save = calloc(1, sizeof *save);
    int done = -1;

    if (!save)
        return report_no_memory(&report);
    save->report = report;
    save->job = job;
    save->target.fd = save->target.directory = -1;
    source_start(&save->reader, &save->report, job->sources, job->source_count);
    save->block.data = aligned_alloc(SNAPSHOT_PAGE, SNAPSHOT_BLOCK);
    if (!save->block.data)
        report_no_memory(&report);
    else if (check_job(save, &save->total) == 0)
        done = save_file(save);
    if (done == 0 && result)
        fill_result(save, result);
    target_close(&save->target);
    pack_close(&save->pack);
    free(save->block.data);
    free(save);
    return done;
}
