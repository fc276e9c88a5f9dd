/* Page data: see runs.h. */
#include "vmm/snapshot/runs.h"

#include <stdlib.h>
#include <xxhash.h>
#include <zstd_errors.h>

#include "vmm/snapshot/file.h"

void run_reader_close(struct run_reader *reader)
{
    free(reader->frame);
    free(reader->pages);
    ZSTD_freeDCtx(reader->zstd);
}

uint8_t *run_reader_pages(struct run_reader *reader)
{
    if (!reader->pages)
        reader->pages = aligned_alloc(SNAPSHOT_PAGE, SNAPSHOT_BLOCK);
    return reader->pages;
}

static int prepare_zstd(const struct report *report, struct run_reader *reader)
{
    if (!reader->frame)
        reader->frame = malloc(SNAPSHOT_BLOCK);
    if (!reader->zstd)
        reader->zstd = ZSTD_createDCtx();
    return reader->frame && reader->zstd ? 0 : report_no_memory(report);
}

int run_read(const struct report *report, struct run_reader *reader, const struct snapshot *snapshot, size_t index,
             uint8_t *to)
{
    const struct snapshot_run *run = &snapshot->runs[index];
    bool frame = run->stored < run->bytes;

    if (frame && prepare_zstd(report, reader) < 0)
        return -1;
    uint8_t *stored = frame ? reader->frame : to;
    if (file_read_all(report, snapshot->fd, stored, run->stored, run->offset) < 0)
        return -1;
    if (XXH3_64bits(stored, run->stored) != run->checksum)
        return report_fail(report, "run %zu: its checksum is wrong: the page data has been changed", index);
    if (!frame)
        return 0;
    size_t bytes = ZSTD_decompressDCtx(reader->zstd, to, run->bytes, stored, run->stored);
    if (ZSTD_getErrorCode(bytes) == ZSTD_error_memory_allocation)
        return report_no_memory(report);
    if (ZSTD_isError(bytes))
        return report_fail(report, "run %zu: cannot be decompressed: %s", index, ZSTD_getErrorName(bytes));
    if (bytes != run->bytes)
        return report_fail(report, "run %zu: decompresses to %zu bytes instead of %llu", index, bytes,
                           (unsigned long long)run->bytes);
    return 0;
}
