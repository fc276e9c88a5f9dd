/* A guest's file, opened and read. See layout.h. */
#include "vmm/boot/layout.h"

#include "vmm/base/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SHOWN 100

int boot_file_read(const struct boot_file *file, uint64_t offset, void *to, uint64_t length,
                   struct cleave_failure *failure)
{
    uint8_t *next = to;
    while (length > 0) {
        const size_t piece = length < BLOCK_BYTES ? (size_t)length : (size_t)BLOCK_BYTES;
        const ssize_t got = pread(file->fd, next, piece, (off_t)offset);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return fail_errno(failure, errno, "%s: cannot read the guest", file->path);
        }
        if (got == 0)
            return fail(failure, CLEAVE_IO_ERROR,
                        "%s: became shorter while it was read; launch it again when it is complete", file->path);
        next += got;
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return 0;
}

/* The end of a long path, so that a message has room for what is wrong. */
static const char *short_path(const char *path)
{
    const size_t length = strlen(path);
    return length > PATH_SHOWN ? path + length - PATH_SHOWN : path;
}

int boot_file_open(const char *path, struct boot_file *file, struct cleave_failure *failure)
{
    /* Non-blocking, so that a FIFO is refused below instead of waiting for a writer. */
    *file = (struct boot_file){
        .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
        .path = short_path(path),
    };
    if (file->fd < 0)
        return fail_errno(failure, errno, "%s: cannot open the guest; give a readable guest file", file->path);

    struct stat info;
    int result = -1;
    if (fstat(file->fd, &info) < 0)
        fail_errno(failure, errno, "%s: cannot examine the guest", file->path);
    else if (S_ISDIR(info.st_mode))
        fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: is a directory; give a guest file", file->path);
    else if (!S_ISREG(info.st_mode))
        fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: is not a regular file; give a guest file", file->path);
    else if (info.st_size == 0)
        fail(failure, CLEAVE_INVALID_ARGUMENT, "%s: is empty; give a flat binary or an ELF64 executable", file->path);
    else
        result = 0;
    if (result < 0) {
        close(file->fd);
        return result;
    }
    file->size = (uint64_t)info.st_size;
    return 0;
}
