/* See guest_image.h. */
#include "tools/ptstat/guest_image.h"
#include "tools/ptstat/terminal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern const unsigned char workload_start[], workload_end[], target_start[], target_end[], hello_start[], hello_end[];

static const struct {
    const char *name;
    const unsigned char *start, *end;
} images[] = {
    [IMAGE_WORKLOAD] = {"workload", workload_start, workload_end},
    [IMAGE_TARGET] = {"target", target_start, target_end},
    [IMAGE_HELLO] = {"hello", hello_start, hello_end},
};

int guest_image_file(enum guest_image image, char *path, size_t size)
{
    const size_t length = (size_t)(images[image].end - images[image].start);
    char name[32];
    int fd;

    snprintf(name, sizeof(name), "ptstat-%s", images[image].name);
    fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0 || write(fd, images[image].start, length) != (ssize_t)length)
        die(EXIT_RUNTIME, "cannot write the guest '%s' to a memory file: %s", images[image].name, strerror(errno));
    snprintf(path, size, "/proc/%d/fd/%d", (int)getpid(), fd);
    return fd;
}
