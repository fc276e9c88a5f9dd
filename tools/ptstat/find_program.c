/* See find_program.h. */
#include "tools/ptstat/find_program.h"
#include "tools/ptstat/terminal.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_program(const char *path)
{
    struct stat status;

    return !stat(path, &status) && S_ISREG(status.st_mode) && !access(path, X_OK);
}

/* "/a/b/ptstat" to "/a/b"; false where /proc does not tell. */
static bool own_folder(char folder[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    char *slash;

    if (length <= 0)
        return false;
    folder[length] = '\0';
    slash = strrchr(folder, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

bool find_in_path(const char *name, char *path, size_t size)
{
    const char *folders = getenv("PATH");

    while (folders && *folders) {
        const int length = (int)strcspn(folders, ":");

        snprintf(path, size, "%.*s/%s", length, folders, name);
        if (length > 0 && is_program(path))
            return true;
        folders += length + (folders[length] == ':');
    }
    return false;
}

void find_vmm(char *path, size_t size)
{
    char folder[PATH_MAX];

    if (own_folder(folder)) {
        snprintf(path, size, "%s/../vmm", folder);
        if (is_program(path))
            return;
    }
    if (!find_in_path("vmm", path, size))
        die(EXIT_RUNTIME, "cannot find vmm, neither above ptstat's folder nor in $PATH: run make, or use --socket");
}
