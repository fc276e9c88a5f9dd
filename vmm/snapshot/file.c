/* Whole reads and writes: see file.h. */
#include "vmm/snapshot/file.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

ssize_t file_read(int fd, void *to, uint64_t bytes, uint64_t offset)
{
    uint64_t done = 0;
    while (done < bytes) {
        ssize_t n = pread(fd, (char *)to + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (uint64_t)n;
    }
    return (ssize_t)done;
}

int file_read_all(const struct report *report, int fd, void *to, uint64_t bytes, uint64_t offset)
{
    ssize_t n = file_read(fd, to, bytes, offset);
    if (n < 0)
        return report_errno(report, errno, "cannot read %" PRIu64 " bytes at %" PRIu64, bytes, offset);
    if ((uint64_t)n < bytes)
        return report_as(report, SNAPSHOT_IO,
                         "the file ends at %" PRIu64 " and was longer when it was opened: it has been cut off",
                         offset + (uint64_t)n);
    return 0;
}

int file_write_all(const struct report *report, int fd, const void *from, uint64_t bytes, uint64_t offset)
{
    uint64_t done = 0;
    while (done < bytes) {
        ssize_t n = pwrite(fd, (const char *)from + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return report_errno(report, n < 0 ? errno : EIO, "cannot write %" PRIu64 " bytes at %" PRIu64, bytes - done,
                                offset + done);
        done += (uint64_t)n;
    }
    return 0;
}
