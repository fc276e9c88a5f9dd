/* See snapshot_files.h. */
#include "tools/ptstat/snapshot_files.h"
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/terminal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES (256 << 10) /* at a time, about what cp takes */

static char folder[PATH_MAX + 16]; /* empty: there is none; exit() takes no argument to its handlers */

static void remove_folder(void)
{
    const struct dirent *entry;
    DIR *list = folder[0] ? opendir(folder) : NULL;

    while (list && (entry = readdir(list)))
        unlinkat(dirfd(list), entry->d_name, 0); /* fails for "." and ".." */
    if (list)
        closedir(list);
    if (folder[0])
        rmdir(folder);
    folder[0] = '\0';
}

static const char *wanted_place(const struct arguments *arguments)
{
    const char *temporary = getenv("TMPDIR");

    if (arguments->snapshot_dir)
        return arguments->snapshot_dir;
    return temporary && *temporary ? temporary : "/var/tmp";
}

void snapshot_files_start(const struct arguments *arguments)
{
    static bool is_registered;
    const char *wanted = wanted_place(arguments);
    char place[PATH_MAX];

    if (folder[0])
        return;
    if (!is_registered && atexit(remove_folder))
        die(EXIT_RUNTIME, "out of memory");
    is_registered = true;
    if (!realpath(wanted, place))
        die(EXIT_RUNTIME, "%s: %s: choose a folder for snapshots with --snapshot-dir", wanted, strerror(errno));
    snprintf(folder, sizeof(folder), "%s/ptstat-XXXXXX", place);
    if (!mkdtemp(folder)) {
        folder[0] = '\0';
        die(EXIT_RUNTIME, "%s: cannot make a folder there: %s: choose another with --snapshot-dir", place,
            strerror(errno));
    }
}

char *snapshot_file(char path[SNAPSHOT_PATH], const char *name)
{
    snprintf(path, SNAPSHOT_PATH, "%s/%s", folder, name);
    return path;
}

void snapshot_file_remove(const char *name)
{
    char path[SNAPSHOT_PATH];

    unlink(snapshot_file(path, name));
}

__attribute__((noreturn)) static void copy_failed(const char *path)
{
    die(EXIT_RUNTIME, "%s: cannot copy: %s", path, strerror(errno));
}

static void copy_bytes(int from, int to, const char *path)
{
    static char buffer[COPY_BYTES];
    ssize_t length;

    while ((length = read(from, buffer, sizeof(buffer))) > 0)
        for (ssize_t done = 0, n; done < length; done += n) {
            n = write(to, buffer + done, (size_t)(length - done));
            if (n < 0)
                copy_failed(path);
        }
    if (length < 0)
        copy_failed(path);
}

uint64_t snapshot_file_copy(const char *from, const char *to)
{
    char from_path[SNAPSHOT_PATH], to_path[SNAPSHOT_PATH];
    const uint64_t start = now_ns();
    const int source = open(snapshot_file(from_path, from), O_RDONLY | O_CLOEXEC);
    const int target = open(snapshot_file(to_path, to), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const int place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t end;

    if (source < 0 || target < 0 || place < 0)
        copy_failed(from_path);
    copy_bytes(source, target, to_path);
    if (fsync(target) || fsync(place))
        copy_failed(to_path);
    end = now_ns();
    close(source);
    close(target);
    close(place);
    return end - start;
}
