/* The socket file: see socket.h. */
#include "vmm/control/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* How long another VMM may take to set up a socket in the same folder. It takes microseconds. */
#define LOCK_WAIT_MS 2000

_Static_assert(sizeof((struct socket_file *)0)->path == sizeof((struct sockaddr_un *)0)->sun_path, "paths as long");

/*
 * Locks the folder that holds `path`, so that of several VMMs only one at a time looks at what is there and replaces
 * it. The lock ends with the descriptor. -1: the folder cannot be read or locked, and is used without a lock. -2:
 * another process keeps it locked, for longer than any VMM does. Then it is used without, too, but nothing in it is
 * replaced; binding itself never replaces anything.
 */
static int lock_folder(const char *path)
{
    char folder[sizeof((struct socket_file *)0)->path];
    memcpy(folder, path, strlen(path) + 1);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder ? 1 : 0] = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited++) {
        const bool is_locked = errno == EWOULDBLOCK;
        if ((!is_locked && errno != EINTR) || waited == LOCK_WAIT_MS) {
            close(fd);
            return is_locked ? -2 : -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return fd;
}

/* Removes a stale socket at the address, if it may. 0 where the path is free then, or -1 with *failure. */
static int remove_stale(const struct sockaddr_un *address, bool may, struct cleave_failure *failure)
{
    const char *path = address->sun_path;
    struct stat status;
    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0 : fail_errno(failure, errno, "--control %s", path);
    if (!S_ISSOCK(status.st_mode))
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "--control %s: there is a file that is no socket; name another path", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_errno(failure, errno, "--control %s: socket", path);
    int error = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? errno : 0;
    close(fd);
    if (error == 0 || error == EAGAIN)
        return fail(failure, CLEAVE_BUSY, "--control %s: the socket is in use by another process", path);
    if (error != ECONNREFUSED)
        return fail_errno(failure, error, "--control %s: there is a socket that cannot be tried", path);
    if (!may)
        return fail(
            failure, CLEAVE_BUSY,
            "--control %s: there is a stale socket, and another process keeps its folder locked; remove the socket",
            path);
    if (unlink(path) < 0)
        return fail_errno(failure, errno, "--control %s: cannot remove the stale socket", path);
    return 0;
}

/* Which file is at the path. 0 or an errno. */
static int look(const char *path, dev_t *device, ino_t *inode)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        return errno;
    *device = status.st_dev;
    *inode = status.st_ino;
    return 0;
}

/* Without a lock, another VMM may take the socket for stale before it listens, and put its own in its place. */
static int listen_at(struct socket_file *file)
{
    dev_t device = 0;
    ino_t inode = 0;
    int error = look(file->path, &file->device, &file->inode);
    if (error == 0 && listen(file->fd, SOCKET_BACKLOG) < 0)
        error = errno;
    if (error == 0)
        error = look(file->path, &device, &inode);
    if (error == 0 && (device != file->device || inode != file->inode))
        error = EADDRINUSE;
    return error;
}

static int bind_and_listen(struct socket_file *file, const struct sockaddr_un *address, struct cleave_failure *failure)
{
    file->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (file->fd < 0)
        return fail_errno(failure, errno, "--control %s: socket", file->path);
    mode_t mask = umask(0177);
    int error = bind(file->fd, (const struct sockaddr *)address, sizeof *address) < 0 ? errno : 0;
    umask(mask);
    if (error == 0)
        error = listen_at(file);
    if (error == 0)
        return 0;
    close(file->fd);
    return fail_errno(failure, error, "--control %s: cannot bind", file->path);
}

int socket_file_listen(struct socket_file *file, const char *path, struct cleave_failure *failure)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length == 0)
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "--control: the path is empty");
    if (length >= sizeof address.sun_path)
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "--control %.64s...: the path has %zu bytes, a socket's at most %zu", path, length,
                    sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, length + 1);
    memcpy(file->path, path, length + 1);
    const int lock = lock_folder(path);
    int result = remove_stale(&address, lock != -2, failure);
    if (result == 0)
        result = bind_and_listen(file, &address, failure);
    if (lock >= 0)
        close(lock);
    return result;
}

void socket_file_remove(const struct socket_file *file)
{
    struct stat status;
    if (lstat(file->path, &status) == 0 && status.st_dev == file->device && status.st_ino == file->inode)
        unlink(file->path);
}

bool socket_peer_is_same_user(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}
