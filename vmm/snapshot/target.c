/* A file that appears whole or not at all: see target.h. */
#include "vmm/snapshot/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

/* While it has a name other than its own, a file is called .NAME.16 hexadecimal digits.saving, and is locked. */
#define HIDDEN_NAME 200 /* bytes of NAME */
#define HIDDEN_END  ".saving"
#define DIGITS      16

#define CANNOT_MAKE "cannot make a file in its directory"

/* Resolves the path where it is a link, so that not the link is replaced but what it leads to. */
static int follow(struct target *target, const char *path)
{
    struct stat status = {.st_mode = 0};
    if (!*path)
        return report_as(target->report, SNAPSHOT_ARGUMENT, "the path is empty");
    if (strlen(path) >= sizeof target->path)
        return report_path_errno(target->report, ENAMETOOLONG, "cannot save there");
    memcpy(target->path, path, strlen(path) + 1);
    if (lstat(path, &status) < 0 && errno != ENOENT && errno != ENOTDIR) /* these two, its directory will tell */
        return report_path_errno(target->report, errno, "cannot save there");
    if (S_ISLNK(status.st_mode) && !realpath(path, target->path))
        return report_path_errno(target->report, errno, "cannot follow the symbolic link");
    return 0;
}

static int open_directory(struct target *target)
{
    char *slash = strrchr(target->path, '/');
    target->name = slash ? slash + 1 : target->path;
    if (!*target->name || strcmp(target->name, ".") == 0 || strcmp(target->name, "..") == 0)
        return report_as(target->report, SNAPSHOT_ARGUMENT, "is a directory: name a file in it");
    if (strlen(target->name) > NAME_MAX)
        return report_path_errno(target->report, ENAMETOOLONG, "cannot save there");

    char folder[PATH_MAX] = ".";
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", slash == target->path ? 1 : (int)(slash - target->path), target->path);
    target->directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (target->directory < 0)
        return report_path_errno(target->report, errno, "cannot open its directory");
    if (fstat(target->directory, &target->folder) < 0)
        return report_errno(target->report, errno, "cannot look at its directory");
    return 0;
}

int target_find(struct target *target, const struct report *report, const char *path)
{
    target->report = report;
    target->fd = target->directory = -1;
    target->hidden[0] = '\0';
    if (follow(target, path) < 0 || open_directory(target) < 0)
        return -1;
    target->exists = fstatat(target->directory, target->name, &target->old, 0) == 0;
    if (!target->exists)
        return errno == ENOENT ? 0 : report_path_errno(report, errno, "cannot save there");
    if (S_ISDIR(target->old.st_mode))
        return report_as(report, SNAPSHOT_ARGUMENT, "is a directory: name a file in it");
    if (!S_ISREG(target->old.st_mode))
        return report_as(report, SNAPSHOT_ARGUMENT, "is not a regular file and so is not replaced");
    if (faccessat(target->directory, target->name, W_OK, AT_EACCESS) < 0)
        return report_path_errno(report, errno, "is there already and may not be replaced");
    return 0;
}

static int draw_name(struct target *target)
{
    uint64_t random;
    target->hidden[0] = '\0';
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return report_errno(target->report, errno, "cannot draw a name");
    snprintf(target->hidden, sizeof target->hidden, ".%.*s.%016llx" HIDDEN_END, HIDDEN_NAME, target->name,
             (unsigned long long)random);
    return 0;
}

static bool is_hidden_name(const struct target *target, const char *name)
{
    char prefix[HIDDEN_NAME + 3];
    size_t length = (size_t)snprintf(prefix, sizeof prefix, ".%.*s.", HIDDEN_NAME, target->name);
    return strncmp(name, prefix, length) == 0 && strspn(name + length, "0123456789abcdef") == DIGITS &&
           strcmp(name + length + DIGITS, HIDDEN_END) == 0;
}

/* A file that its saver no longer locks was left by one that was killed. */
static void remove_leftover(const struct target *target, const char *name)
{
    struct stat status;
    int fd = openat(target->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(target->directory, name, 0);
    close(fd);
}

static void remove_leftovers(const struct target *target)
{
    int fd = openat(target->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(list));)
        if (is_hidden_name(target, entry->d_name))
            remove_leftover(target, entry->d_name);
    closedir(list);
}

/* Locks the new file. False: another saver has taken it for a leftover. Where there are no locks, nobody takes any. */
static bool lock(const struct target *target)
{
    struct stat status;
    if (flock(target->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return false;
    return fstat(target->fd, &status) < 0 || status.st_nlink > 0;
}

/* Where the file system has no files without names. Between making the file and locking it, another saver may take it
 * for a leftover: then it is made again. */
static int create_hidden(struct target *target)
{
    for (;;) {
        if (draw_name(target) < 0)
            return -1;
        target->fd = openat(target->directory, target->hidden, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (target->fd < 0) {
            target->hidden[0] = '\0';
            if (errno == EEXIST)
                continue;
            return report_path_errno(target->report, errno, CANNOT_MAKE);
        }
        if (lock(target))
            return 0;
        close(target->fd);
        target->fd = -1;
        target->hidden[0] = '\0';
    }
}

int target_create(struct target *target)
{
    remove_leftovers(target);
    target->fd = openat(target->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (target->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL)) {
        if (create_hidden(target) < 0)
            return -1;
    } else if (target->fd < 0) {
        return report_path_errno(target->report, errno, CANNOT_MAKE);
    } else {
        flock(target->fd, LOCK_EX | LOCK_NB); /* nobody else knows it yet */
    }
    if (target->exists && fchmod(target->fd, target->old.st_mode & 0777) < 0)
        return report_errno(target->report, errno, "cannot give the new file the mode of the old one");
    return 0;
}

/* Names the file that has no name yet. */
static int link_as(const struct target *target, const char *name)
{
    char self[32];
    snprintf(self, sizeof self, "/proc/self/fd/%d", target->fd);
    if (linkat(AT_FDCWD, self, target->directory, name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != ENOENT)
        return -1;
    return linkat(target->fd, "", target->directory, name, AT_EMPTY_PATH); /* where /proc is not mounted */
}

static int cannot_name(struct target *target)
{
    target->hidden[0] = '\0';
    return report_path_errno(target->report, errno, "cannot name the new file");
}

/* Gives the file its own name if that is free: `published`; else a hidden one. */
static int give_name(struct target *target, bool *published)
{
    *published = !target->exists && link_as(target, target->name) == 0;
    if (*published)
        return 0;
    if (!target->exists && errno != EEXIST)
        return cannot_name(target);
    do {
        if (draw_name(target) < 0)
            return -1;
        if (link_as(target, target->hidden) == 0)
            return 0;
    } while (errno == EEXIST);
    return cannot_name(target);
}

static int sync_directory(const struct target *target)
{
    if (fsync(target->directory) == 0 || errno == EINVAL) /* EINVAL: nothing to sync on this file system */
        return 0;
    return report_errno(target->report, errno, "the snapshot is there, but its directory cannot be synced");
}

int target_sync(struct target *target)
{
    return fsync(target->fd) == 0 ? 0 : report_errno(target->report, errno, "cannot sync the new file");
}

int target_publish(struct target *target)
{
    bool published = false;
    if (!target->hidden[0] && give_name(target, &published) < 0)
        return -1;
    if (!published && renameat(target->directory, target->hidden, target->directory, target->name) < 0)
        return report_path_errno(target->report, errno, "cannot rename the new file");
    target->hidden[0] = '\0';
    return sync_directory(target);
}

void target_close(struct target *target)
{
    if (target->hidden[0])
        unlinkat(target->directory, target->hidden, 0);
    if (target->fd >= 0)
        close(target->fd);
    if (target->directory >= 0)
        close(target->directory);
}
