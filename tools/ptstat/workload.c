/* See workload.h. */
#include "tools/ptstat/workload.h"
#include "tools/ptstat/terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void workload_arguments(struct workload *workload, uint64_t resident, const struct workload_rounds *rounds)
{
    snprintf(workload->text[0], WORKLOAD_ARGUMENT, "resident=%" PRIu64, resident);
    snprintf(workload->text[1], WORKLOAD_ARGUMENT, "dirty=%" PRIu64, rounds->dirty);
    snprintf(workload->text[2], WORKLOAD_ARGUMENT, "period_us=%" PRIu64, rounds->period_us);
    snprintf(workload->text[3], WORKLOAD_ARGUMENT, "marks=%d", rounds->marks);
}

int workload_file(char *path, size_t size)
{
    const size_t length = (size_t)(workload_end - workload_start);
    int fd = memfd_create("ptstat-workload", MFD_CLOEXEC);

    if (fd < 0 || write(fd, workload_start, length) != (ssize_t)length)
        die(EXIT_RUNTIME, "cannot write the workload guest to a memory file: %s", strerror(errno));
    snprintf(path, size, "/proc/%d/fd/%d", (int)getpid(), fd);
    return fd;
}
