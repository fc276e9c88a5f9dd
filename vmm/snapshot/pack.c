/* Placing and writing page data: see pack.h. */
#include "vmm/snapshot/pack.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd_errors.h>

#include "vmm/snapshot/file.h"
#include "vmm/snapshot/layout.h"

#define STAGE       (UINT64_C(1) << 20)
#define STAGE_LEAST (UINT64_C(128) << 10) /* from here on a write of its own costs less than a copy */
#define PUSH        (UINT64_C(8) << 20)
#define ZSTD_LEVEL  1

int pack_open(struct pack *pack, const struct report *report, int fd, bool diff, bool compress)
{
    *pack = (struct pack){.report = report, .fd = fd, .diff = diff};
    pack->at = LAYOUT_HEADER;
    pack->end = compress ? UINT64_MAX : SNAPSHOT_BLOCK;
    pack->next_unit = SNAPSHOT_BLOCK;
    pack->staged = malloc(STAGE);
    if (compress) {
        pack->zstd = ZSTD_createCCtx();
        pack->frame_room = ZSTD_compressBound(SNAPSHOT_BLOCK);
        pack->frame = malloc(pack->frame_room);
    }
    if (!pack->staged || (compress && (!pack->zstd || !pack->frame)))
        return report_no_memory(report);
    return 0;
}

void pack_close(struct pack *pack)
{
    ZSTD_freeCCtx(pack->zstd);
    free(pack->frame);
    free(pack->staged);
    free(pack->runs);
}

/* Writing back while more is prepared leaves less for fsync to wait for. That it fails is no matter: fsync will say. */
static void push(struct pack *pack, uint64_t offset, uint64_t bytes)
{
    pack->written += bytes;
    if (pack->written - pack->pushed < PUSH)
        return;
    pack->pushed = pack->written;
    sync_file_range(pack->fd, 0, (off_t)(offset + bytes), SYNC_FILE_RANGE_WRITE);
}

int pack_flush(struct pack *pack)
{
    uint64_t bytes = pack->staged_bytes;
    pack->staged_bytes = 0;
    if (!bytes)
        return 0;
    if (file_write_all(pack->report, pack->fd, pack->staged, bytes, pack->staged_at) < 0)
        return -1;
    push(pack, pack->staged_at, bytes);
    return 0;
}

int pack_write(struct pack *pack, const void *data, uint64_t bytes, uint64_t offset)
{
    bool follows = offset == pack->staged_at + pack->staged_bytes;
    if (!bytes)
        return 0;
    if ((!follows || bytes > STAGE - pack->staged_bytes) && pack_flush(pack) < 0)
        return -1;
    if (bytes >= STAGE_LEAST && !pack->staged_bytes) {
        if (file_write_all(pack->report, pack->fd, data, bytes, offset) < 0)
            return -1;
        push(pack, offset, bytes);
        return 0;
    }
    if (!pack->staged_bytes)
        pack->staged_at = offset;
    memcpy(pack->staged + pack->staged_bytes, data, bytes);
    pack->staged_bytes += bytes;
    return 0;
}

static int add_run(struct pack *pack, struct snapshot_run run)
{
    if (pack->run_count == pack->run_room) {
        size_t room = pack->run_room ? 2 * pack->run_room : 256;
        struct snapshot_run *grown = realloc(pack->runs, room * sizeof *grown);
        if (!grown)
            return report_no_memory(pack->report);
        pack->runs = grown;
        pack->run_room = room;
    }
    pack->runs[pack->run_count++] = run;
    return 0;
}

static int store(struct pack *pack, uint64_t gpa, uint64_t bytes, const void *stored, uint64_t length, uint64_t offset)
{
    struct snapshot_run run = {gpa, bytes, offset, length, XXH3_64bits(stored, length)};
    if (add_run(pack, run) < 0)
        return -1;
    return pack_write(pack, stored, length, offset);
}

/* A frame, or the run as it is where a frame would be no shorter. */
static int store_compressed(struct pack *pack, uint64_t gpa, const uint8_t *data, uint64_t bytes)
{
    size_t length = ZSTD_compressCCtx(pack->zstd, pack->frame, pack->frame_room, data, bytes, ZSTD_LEVEL);
    if (ZSTD_getErrorCode(length) == ZSTD_error_memory_allocation)
        return report_no_memory(pack->report);
    if (ZSTD_isError(length))
        return report_as(pack->report, SNAPSHOT_IO, "cannot compress: %s", ZSTD_getErrorName(length));
    bool shorter = length < bytes;
    uint64_t offset = pack->at;
    pack->at += shorter ? length : bytes;
    return store(pack, gpa, bytes, shorter ? pack->frame : data, shorter ? length : bytes, offset);
}

/* Adjacent pages, in as many runs as there are units that they come to lie in. */
static int store_pages(struct pack *pack, uint64_t gpa, const uint8_t *data, uint64_t bytes)
{
    if (pack->zstd)
        return store_compressed(pack, gpa, data, bytes);
    while (bytes) {
        if (pack->at == pack->end) {
            pack->at = pack->next_unit;
            pack->end = pack->next_unit += SNAPSHOT_BLOCK;
        }
        uint64_t here = pack->end - pack->at < bytes ? pack->end - pack->at : bytes, offset = pack->at;
        pack->at += here;
        if (store(pack, gpa, here, data, here, offset) < 0)
            return -1;
        gpa += here;
        data += here;
        bytes -= here;
    }
    return 0;
}

static int store_whole(struct pack *pack, const struct block *block)
{
    uint64_t offset = pack->next_unit;
    if (pack->zstd)
        return store_compressed(pack, block->gpa, block->data, SNAPSHOT_BLOCK);
    pack->next_unit += SNAPSHOT_BLOCK;
    return store(pack, block->gpa, SNAPSHOT_BLOCK, block->data, SNAPSHOT_BLOCK, offset);
}

static int pack_run(struct pack *pack, const struct block *block, unsigned first, unsigned end)
{
    uint64_t at = first * SNAPSHOT_PAGE, bytes = (end - first) * SNAPSHOT_PAGE;
    if (block->kinds[first] == PAGE_DATA) {
        pack->pages += end - first;
        return end - first == BLOCK_PAGES ? store_whole(pack, block)
                                          : store_pages(pack, block->gpa + at, block->data + at, bytes);
    }
    if (block->kinds[first] == PAGE_ABSENT)
        return 0;
    pack->zero_pages += end - first;
    return pack->diff ? add_run(pack, (struct snapshot_run){.gpa = block->gpa + at, .bytes = bytes}) : 0;
}

int pack_block(struct pack *pack, const struct block *block)
{
    for (unsigned first = 0, end; first < BLOCK_PAGES; first = end) {
        for (end = first + 1; end < BLOCK_PAGES && block->kinds[end] == block->kinds[first];)
            end++;
        if (pack_run(pack, block, first, end) < 0)
            return -1;
    }
    return 0;
}

uint64_t pack_end(const struct pack *pack)
{
    if (pack->end == pack->next_unit || pack->zstd)
        return pack->at;
    return pack->next_unit;
}
