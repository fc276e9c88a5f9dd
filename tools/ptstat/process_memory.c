/* See process_memory.h. */
#include "tools/ptstat/process_memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIB          1024
#define BLOCK_BYTES  512 /* of st_blocks */
#define MEMFD_PREFIX "/memfd:"

/* Adds up the lines "KEY: N kB" of a file whose keys are among `keys`, which ends with NULL. */
static int add_lines(const char *path, const char *const keys[], uint64_t *bytes)
{
    FILE *file = fopen(path, "re");
    char line[256];
    int error;

    if (!file)
        return -errno;
    while (fgets(line, sizeof(line), file)) {
        const size_t length = strcspn(line, ":");

        for (size_t i = 0; keys[i]; i++)
            if (strlen(keys[i]) == length && !strncmp(line, keys[i], length))
                *bytes += KIB * strtoull(line + length + 1, NULL, 10);
    }
    error = ferror(file) ? -EIO : 0;
    fclose(file);
    return error;
}

static int add_tables(pid_t pid, uint64_t *bytes)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    return add_lines(path, (const char *const[]){"VmPTE", NULL}, bytes);
}

static int add_mapped(pid_t pid, const char *const keys[], uint64_t *bytes)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    return add_lines(path, keys, bytes);
}

int process_memory_own(pid_t pid, uint64_t *bytes)
{
    int error;

    *bytes = 0;
    error = add_mapped(pid, (const char *const[]){"Private_Clean", "Private_Dirty", NULL}, bytes);
    return error ? error : add_tables(pid, bytes);
}

/* The memory files seen so far: a process may hold several descriptors of one. */
struct files {
    ino_t *list;
    size_t count;
};

static int see(struct files *files, ino_t inode, bool *is_new)
{
    ino_t *list;

    *is_new = false;
    for (size_t i = 0; i < files->count; i++)
        if (files->list[i] == inode)
            return 0;
    list = reallocarray(files->list, files->count + 1, sizeof(*list));
    if (!list)
        return -ENOMEM;
    files->list = list;
    files->list[files->count++] = inode;
    *is_new = true;
    return 0;
}

static int add_descriptor(int folder, const char *name, struct files *files, uint64_t *bytes)
{
    char target[sizeof(MEMFD_PREFIX)];
    struct stat status;
    bool is_new;
    int error;

    if (readlinkat(folder, name, target, sizeof(target)) < (ssize_t)sizeof(MEMFD_PREFIX) - 1 ||
        memcmp(target, MEMFD_PREFIX, sizeof(MEMFD_PREFIX) - 1) != 0 || fstatat(folder, name, &status, 0))
        return 0; /* something else, or closed meanwhile */
    error = see(files, status.st_ino, &is_new);
    if (is_new)
        *bytes += (uint64_t)status.st_blocks * BLOCK_BYTES;
    return error;
}

static int add_memory_files(pid_t pid, uint64_t *bytes)
{
    struct files files = {0};
    const struct dirent *entry;
    char path[64];
    int error = 0;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    folder = opendir(path);
    if (!folder)
        return -errno;
    while (!error && (entry = readdir(folder)))
        error = add_descriptor(dirfd(folder), entry->d_name, &files, bytes);
    free(files.list);
    closedir(folder);
    return error;
}

int process_memory_whole(pid_t pid, uint64_t *bytes)
{
    int error;

    *bytes = 0;
    error = add_mapped(pid, (const char *const[]){"Pss_Anon", NULL}, bytes);
    if (!error)
        error = add_memory_files(pid, bytes);
    return error ? error : add_tables(pid, bytes);
}

int kernel_memory(uint64_t *bytes)
{
    *bytes = 0;
    return add_lines("/proc/meminfo",
                     (const char *const[]){"SUnreclaim", "VmallocUsed", "SecPageTables", "Percpu", NULL}, bytes);
}
