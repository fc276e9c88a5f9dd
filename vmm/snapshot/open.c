/* Opening: see open.h. snapshot_open() reads and checks all of a file but its page data. What is checked is a copy in
 * memory, so that a file that changes meanwhile changes nothing. */
#include "vmm/snapshot/open.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "vmm/snapshot/contents.h"
#include "vmm/snapshot/file.h"
#include "vmm/snapshot/parts.h"

/* Anything but a regular file is refused before it is opened: opening a device can set something off. */
static int open_file(const struct report *report, struct snapshot *snapshot)
{
    struct stat status;

    if (!*snapshot->path)
        return report_as(report, SNAPSHOT_ARGUMENT, "the path is empty");
    if (stat(snapshot->path, &status) < 0)
        return report_path_errno(report, errno, NULL);
    if (S_ISDIR(status.st_mode))
        return report_as(report, SNAPSHOT_ARGUMENT, "is a directory, not a snapshot file");
    if (!S_ISREG(status.st_mode))
        return report_as(report, SNAPSHOT_ARGUMENT, "is not a regular file");
    snapshot->fd = open(snapshot->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (snapshot->fd < 0)
        return report_path_errno(report, errno, NULL);
    if (fstat(snapshot->fd, &status) < 0)
        return report_errno(report, errno, "cannot look at it");
    if (!S_ISREG(status.st_mode))
        return report_as(report, SNAPSHOT_ARGUMENT, "is not a regular file");
    if (status.st_size == 0)
        return report_as(report, SNAPSHOT_ARGUMENT, "is empty");
    snapshot->bytes = (uint64_t)status.st_size;
    return 0;
}

static bool all_zero(const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++)
        if (at[i])
            return false;
    return true;
}

static int check_header(const struct report *report, const struct layout_header *header, uint64_t bytes)
{
    if (memcmp(header->magic, LAYOUT_MAGIC, sizeof header->magic) != 0)
        return report_fail(report, "magic: it is not a snapshot file");
    if (header->version != SNAPSHOT_VERSION)
        return report_fail(report, "version is %u: this program reads version %u", header->version, SNAPSHOT_VERSION);
    if (header->checksum != XXH3_64bits(header, offsetof(struct layout_header, checksum)))
        return report_fail(report, "header: its checksum is wrong");
    if (header->file_bytes != bytes)
        return report_fail(report, "file size is %" PRIu64 ", but the header says %" PRIu64, bytes, header->file_bytes);
    if (header->page_bytes != SNAPSHOT_PAGE)
        return report_fail(report, "page size is %u: must be 4096", header->page_bytes);
    if (header->kind != SNAPSHOT_FULL && header->kind != SNAPSHOT_DIFF)
        return report_fail(report, "kind is %u: must be 1 (full) or 2 (diff)", header->kind);
    if (header->flags & ~LAYOUT_COMPRESSED)
        return report_fail(report, "flags are %#x: not known", header->flags);
    if (header->section_count > LAYOUT_SECTIONS_MAX)
        return report_fail(report, "section count is %u: must be at most %u", header->section_count,
                           LAYOUT_SECTIONS_MAX);
    const struct layout_section *unused = header->sections + header->section_count;
    if (header->reserved || !all_zero(unused, (size_t)((const uint8_t *)&header->checksum - (const uint8_t *)unused)))
        return report_fail(report, "header: what is reserved is not zero");
    return 0;
}

static int read_header(const struct report *report, struct snapshot *snapshot)
{
    if (snapshot->bytes < LAYOUT_HEADER) {
        char magic[8] = {0};
        if (file_read(snapshot->fd, magic, sizeof magic, 0) >= 0 && memcmp(magic, LAYOUT_MAGIC, sizeof magic) != 0)
            return report_fail(report, "magic: it is not a snapshot file");
        return report_fail(report, "header: the file has only %" PRIu64 " bytes", snapshot->bytes);
    }
    if (file_read_all(report, snapshot->fd, &snapshot->header, LAYOUT_HEADER, 0) < 0 ||
        check_header(report, &snapshot->header, snapshot->bytes) < 0)
        return -1;
    memcpy(snapshot->name.id, snapshot->header.id, sizeof snapshot->name.id);
    snapshot->name.header_checksum = snapshot->header.checksum;
    return 0;
}

/* Its place in the table is checked; what is in it comes later. */
static int check_section(const struct report *report, const struct snapshot *snapshot, unsigned index)
{
    const struct layout_section *section = &snapshot->header.sections[index];
    uint64_t before = index ? section[-1].offset + section[-1].bytes : LAYOUT_HEADER;
    uint64_t most = section->type == LAYOUT_RUNS ? CONTENTS_RUNS_MAX : LAYOUT_SECTION_MAX;
    char text[SECTION_TEXT];
    const char *name = section_text(&snapshot->header, index, text);

    if (section->flags & ~LAYOUT_OPTIONAL)
        return report_fail(report, "%s: flags are %#x: not known", name, section->flags);
    if (!section_known(section->type) && !(section->flags & LAYOUT_OPTIONAL))
        return report_fail(report, "%s: type %u is not known", name, section->type);
    if (section->offset > snapshot->bytes)
        return report_fail(report, "%s: offset %" PRIu64 " lies beyond the end of the file (%" PRIu64 ")", name,
                           section->offset, snapshot->bytes);
    if (section->bytes > snapshot->bytes - section->offset)
        return report_fail(report,
                           "%s: %" PRIu64 " bytes at %" PRIu64 " reach beyond the end of the file (%" PRIu64 ")", name,
                           section->bytes, section->offset, snapshot->bytes);
    if (section->bytes > most)
        return report_fail(report, "%s: %" PRIu64 " bytes: must be at most %" PRIu64, name, section->bytes, most);
    if (section->offset % LAYOUT_ALIGN)
        return report_fail(report, "%s: offset %" PRIu64 " is not a multiple of 8", name, section->offset);
    if (section->offset < before)
        return report_fail(report, "%s: offset %" PRIu64 " overlaps what ends at %" PRIu64 ", or is out of order", name,
                           section->offset, before);
    return 0;
}

static int read_section(const struct report *report, struct snapshot *snapshot, unsigned index)
{
    const struct layout_section *section = &snapshot->header.sections[index];
    char text[SECTION_TEXT];

    /* A path that ends the section gets its terminator from the byte more. */
    uint8_t *data = malloc(section->bytes + 1);
    if (!data)
        return report_no_memory(report);
    snapshot->sections[index] = data;
    data[section->bytes] = 0;
    if (file_read_all(report, snapshot->fd, data, section->bytes, section->offset) < 0)
        return -1;
    if (XXH3_64bits(data, section->bytes) != section->checksum)
        return report_fail(report, "%s: its checksum is wrong", section_text(&snapshot->header, index, text));
    if (!section_known(section->type)) {
        free(data);
        snapshot->sections[index] = NULL;
    }
    return 0;
}

static int check_sections(const struct report *report, const struct snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->header.section_count; i++)
        if (check_section(report, snapshot, i) < 0)
            return -1;
    return 0;
}

static int read_all(const struct report *report, struct snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->header.section_count; i++)
        if (read_section(report, snapshot, i) < 0)
            return -1;
    if (contents_parse(report, snapshot) < 0)
        return -1;
    return parts_check(report, snapshot);
}

static int read_parent(const struct report *report, struct snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->header.section_count; i++)
        if (snapshot->header.sections[i].type == LAYOUT_PARENT && read_section(report, snapshot, i) < 0)
            return -1;
    return contents_parse_parent(report, snapshot);
}

static struct snapshot *open_and(int (*read)(const struct report *report, struct snapshot *snapshot), const char *path,
                                 struct snapshot_error *error)
{
    struct report report = {path, SNAPSHOT_INVALID, error};
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);

    if (snapshot) {
        snapshot->fd = -1;
        snapshot->path = strdup(path);
    }
    if (!snapshot || !snapshot->path)
        report_no_memory(&report);
    else if (open_file(&report, snapshot) == 0 && read_header(&report, snapshot) == 0 &&
             check_sections(&report, snapshot) == 0 && read(&report, snapshot) == 0)
        return snapshot;
    snapshot_close(snapshot);
    return NULL;
}

struct snapshot *snapshot_open(const char *path, struct snapshot_error *error)
{
    return open_and(read_all, path, error);
}

struct snapshot *open_names(const char *path, struct snapshot_error *error)
{
    return open_and(read_parent, path, error);
}
