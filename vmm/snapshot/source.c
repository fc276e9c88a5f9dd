/* Reading what is saved: see source.h. Memory is read with pread: a file that is cut off meanwhile gives an error,
 * where a mapping of it would give a signal. */
#include "vmm/snapshot/source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/snapshot/file.h"
#include "vmm/snapshot/layout.h"

int source_check(const struct report *report, const struct snapshot_source *sources, size_t count, uint64_t memory,
                 uint64_t *total)
{
    uint64_t end = 0;
    *total = 0;
    for (size_t i = 0; i < count; i++) {
        const struct snapshot_source *source = &sources[i];
        if ((source->gpa | source->bytes | source->offset) % SNAPSHOT_PAGE)
            return report_fail(report, "source %zu: its address, length and offset must be multiples of 4096", i);
        if (!source->bytes || !layout_within(source->gpa, source->bytes, memory))
            return report_fail(report, "source %zu: %" PRIu64 " bytes at %#" PRIx64 " are not inside of memory", i,
                               source->bytes, source->gpa);
        if (!layout_within(source->offset, source->bytes, INT64_MAX))
            return report_fail(report, "source %zu: offset %" PRIu64 " is too large", i, source->offset);
        if (source->gpa < end)
            return report_fail(report, "source %zu: address %#" PRIx64 " is not above the one before it", i,
                               source->gpa);
        end = source->gpa + source->bytes;
        *total += source->bytes;
    }
    return 0;
}

void source_start(struct source_reader *reader, const struct report *report, const struct snapshot_source *sources,
                  size_t count)
{
    *reader = (struct source_reader){.report = report, .sources = sources, .count = count, .part = {.fd = -1}};
}

static int cut_off(const struct source_reader *reader, uint64_t gpa, uint64_t offset)
{
    return report_as(reader->report, SNAPSHOT_IO,
                     "cannot read the memory at %#" PRIx64 ": the file behind it ends before %" PRIu64, gpa, offset);
}

/* Behind the last data of a file there is a hole, up to its end. */
static int hole_to_end(struct source_reader *reader, uint64_t gpa, uint64_t offset)
{
    struct source_part *part = &reader->part;
    struct stat status;
    if (fstat(part->fd, &status) < 0)
        return report_errno(reader->report, errno, "cannot read the memory at %#" PRIx64, gpa);
    if ((uint64_t)status.st_size < offset + SNAPSHOT_PAGE)
        return cut_off(reader, gpa, offset + SNAPSHOT_PAGE);
    part->hole = true;
    part->until = (uint64_t)status.st_size / SNAPSHOT_PAGE * SNAPSHOT_PAGE;
    return 0;
}

/* Whether there is data at `offset`, and how far that goes. A page that is a hole in part is data. */
static int look(struct source_reader *reader, int fd, uint64_t gpa, uint64_t offset)
{
    struct source_part *part = &reader->part;
    if (part->fd == fd && offset >= part->from && offset < part->until)
        return 0;
    *part = (struct source_part){.fd = fd, .from = offset};
    if (fd < 0) {
        part->hole = true;
        part->until = INT64_MAX;
        return 0;
    }
    off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
        return hole_to_end(reader, gpa, offset);
    if (data < 0)
        return report_errno(reader->report, errno, "cannot read the memory at %#" PRIx64, gpa);
    part->until = (uint64_t)data / SNAPSHOT_PAGE * SNAPSHOT_PAGE;
    part->hole = part->until > offset;
    if (part->hole)
        return 0;
    off_t hole = lseek(fd, data, SEEK_HOLE);
    if (hole < 0)
        return report_errno(reader->report, errno, "cannot read the memory at %#" PRIx64, gpa);
    part->until = layout_align((uint64_t)hole, SNAPSHOT_PAGE);
    return 0;
}

static void mark(struct block *block, uint64_t from, uint64_t bytes)
{
    static const uint8_t zeros[SNAPSHOT_PAGE];
    for (uint64_t at = from; at < from + bytes; at += SNAPSHOT_PAGE)
        block->kinds[at / SNAPSHOT_PAGE] = memcmp(block->data + at, zeros, SNAPSHOT_PAGE) == 0 ? PAGE_ZERO : PAGE_DATA;
}

static int read_data(const struct source_reader *reader, struct block *block, uint64_t gpa, uint64_t bytes, int fd,
                     uint64_t offset)
{
    uint64_t at = gpa - block->gpa;
    ssize_t n = file_read(fd, block->data + at, bytes, offset);
    if (n < 0)
        return report_errno(reader->report, errno, "cannot read the memory at %#" PRIx64, gpa);
    if ((uint64_t)n < bytes)
        return cut_off(reader, gpa, offset + bytes);
    mark(block, at, bytes);
    return 0;
}

/* Takes `bytes` of the source that is next, from the position there, into the block. */
static int take(struct source_reader *reader, struct block *block, uint64_t bytes)
{
    const struct snapshot_source *source = &reader->sources[reader->next];
    while (bytes) {
        uint64_t gpa = source->gpa + reader->position, offset = source->offset + reader->position;
        if (look(reader, source->fd, gpa, offset) < 0)
            return -1;
        uint64_t here = reader->part.until - offset < bytes ? reader->part.until - offset : bytes;
        if (reader->part.hole)
            memset(block->kinds + (gpa - block->gpa) / SNAPSHOT_PAGE, PAGE_ZERO, here / SNAPSHOT_PAGE);
        else if (read_data(reader, block, gpa, here, source->fd, offset) < 0)
            return -1;
        reader->position += here;
        reader->done += here;
        bytes -= here;
    }
    return 0;
}

int source_next(struct source_reader *reader, struct block *block)
{
    if (reader->next == reader->count)
        return 0;
    uint64_t gpa = reader->sources[reader->next].gpa + reader->position;
    block->gpa = gpa / SNAPSHOT_BLOCK * SNAPSHOT_BLOCK;
    memset(block->kinds, PAGE_ABSENT, sizeof block->kinds);
    while (reader->next < reader->count) {
        const struct snapshot_source *source = &reader->sources[reader->next];
        uint64_t from = source->gpa + reader->position, left = source->bytes - reader->position;
        uint64_t end = block->gpa + SNAPSHOT_BLOCK;
        if (from >= end)
            break;
        if (take(reader, block, left < end - from ? left : end - from) < 0)
            return -1;
        if (reader->position < source->bytes)
            break;
        reader->next++;
        reader->position = 0;
    }
    return 1;
}
