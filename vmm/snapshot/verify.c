/* snapshot_verify(): reads a file from its first byte to its last. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "vmm/snapshot/file.h"
#include "vmm/snapshot/parts.h"
#include "vmm/snapshot/runs.h"

/* What lies between two parts belongs to none; it is shorter than a block. */
static int verify_gap(const struct report *report, const struct snapshot *snapshot, uint64_t from, uint64_t to,
                      uint8_t *pages)
{
    if (file_read_all(report, snapshot->fd, pages, to - from, from) < 0)
        return -1;
    for (uint64_t i = 0; i < to - from; i++)
        if (pages[i])
            return report_fail(report, "the byte at %" PRIu64 " belongs to nothing and is not zero", from + i);
    return 0;
}

static int verify_header(const struct report *report, const struct snapshot *snapshot, uint8_t *pages)
{
    if (file_read_all(report, snapshot->fd, pages, LAYOUT_HEADER, 0) < 0)
        return -1;
    if (memcmp(pages, &snapshot->header, LAYOUT_HEADER) != 0)
        return report_fail(report, "header: it has been changed since the file was opened");
    return 0;
}

static int verify_section(const struct report *report, const struct snapshot *snapshot, unsigned index, uint8_t *pages)
{
    const struct layout_section *section = &snapshot->header.sections[index];
    XXH3_state_t *state = XXH3_createState();
    char text[SECTION_TEXT];

    if (!state)
        return report_no_memory(report);
    XXH3_64bits_reset(state);
    for (uint64_t done = 0, n; done < section->bytes; done += n) {
        n = section->bytes - done < SNAPSHOT_BLOCK ? section->bytes - done : SNAPSHOT_BLOCK;
        if (file_read_all(report, snapshot->fd, pages, n, section->offset + done) < 0) {
            XXH3_freeState(state);
            return -1;
        }
        XXH3_64bits_update(state, pages, n);
    }
    bool same = XXH3_64bits_digest(state) == section->checksum;
    XXH3_freeState(state);
    if (!same)
        return report_fail(report, "%s: its checksum is wrong", section_text(&snapshot->header, index, text));
    return 0;
}

int snapshot_verify(const struct snapshot *snapshot, struct snapshot_error *error)
{
    struct report report = {snapshot->path, SNAPSHOT_INVALID, error};
    struct run_reader reader = {0};
    uint8_t *pages = run_reader_pages(&reader);
    struct parts parts;
    struct part part;
    uint64_t end = LAYOUT_HEADER;
    int result = pages ? verify_header(&report, snapshot, pages) : report_no_memory(&report);

    parts_start(&parts, snapshot);
    while (result == 0 && parts_next(&parts, &part)) {
        result = verify_gap(&report, snapshot, end, part.offset, pages);
        if (result == 0)
            result = part.is_run ? run_read(&report, &reader, snapshot, part.index, pages)
                                 : verify_section(&report, snapshot, (unsigned)part.index, pages);
        end = part.offset + part.bytes;
    }
    run_reader_close(&reader);
    return result;
}
