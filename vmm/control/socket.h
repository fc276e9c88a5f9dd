/* The socket file: made without stealing a live one, removed without removing another's. */
#ifndef VMM_CONTROL_SOCKET_H
#define VMM_CONTROL_SOCKET_H

#include "vmm/base/failure.h"

#include <stdbool.h>
#include <sys/stat.h>

/* Clients that may wait to be accepted at once. */
#define SOCKET_BACKLOG 1024

/* A listening socket and the file it is bound to. */
struct socket_file {
    int fd; /* non-blocking, close-on-exec; the caller's */
    char path[108];
    dev_t device; /* which file it is, so that only this one is removed */
    ino_t inode;
};

/*
 * Binds a socket of mode 0600 to `path` and listens. A stale socket there is replaced. Two processes that start on the
 * same path at once do not take it from each other. Where another process keeps the folder locked (flock(2)) for two
 * seconds, a stale socket stays. 0, or -1 with *failure.
 */
int socket_file_listen(struct socket_file *file, const char *path, struct cleave_failure *failure);

/* Removes the file if it is still the one that was made. */
void socket_file_remove(const struct socket_file *file);

/* The process at the other end belongs to the same user as this one. */
bool socket_peer_is_same_user(int fd);

#endif
