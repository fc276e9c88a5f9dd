/* Saving and restoring guests of a VMM under test: see kvm_snapshot.h. */
#include "tests/support/kvm_snapshot.h"

#include "guest/lib/hash.h"

#include <cleave/snapshot.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PLACES 16

const char *snapshot_place(const char *name)
{
    static char paths[PLACES][512];
    static unsigned next;
    char *path = paths[next++ % PLACES];
    snprintf(path, sizeof paths[0], "%s/%s", getenv("TMPDIR"), name);
    return path;
}

static void save(struct rig *rig, uint64_t guest, const char *path, const char *kind)
{
    json_t *report =
        rig_call(rig, "snapshot", "{s:I, s:s, s:s}", "guest", (json_int_t)guest, "path", path, "kind", kind);
    ck_assert_int_eq(json_integer_value(json_object_get(report, "bytes")), snapshot_size(path));
    json_decref(report);
}

void rig_snapshot(struct rig *rig, uint64_t guest, const char *path)
{
    save(rig, guest, path, "full");
}

void rig_diff(struct rig *rig, uint64_t guest, const char *path)
{
    save(rig, guest, path, "diff");
}

uint64_t rig_restore(struct rig *rig, const char *path, unsigned how)
{
    json_t *report = rig_call(rig, "restore", "{s:s, s:b, s:b}", "path", path, "paused", (how & RESTORE_PAUSED) != 0,
                              "eager", (how & RESTORE_EAGER) != 0);
    const json_t *id = json_object_get(report, "id");
    ck_assert(json_is_integer(id));
    ck_assert_int_eq(json_integer_value(json_object_get(report, "ready_ns")) == 0, (how & RESTORE_PAUSED) != 0);
    uint64_t guest = (uint64_t)json_integer_value(id);
    json_decref(report);
    return guest;
}

struct rig rig_start_restored(const char *path, const char *const words[])
{
    const char *all[16] = {"--restore", path, "--paused"};
    size_t count = 3;
    for (size_t i = 0; words[i]; i++) {
        ck_assert_uint_lt(count + 1, sizeof all / sizeof *all);
        all[count++] = words[i];
    }
    return rig_start(all);
}

static bool is_whole(const char *path, struct snapshot_error *error)
{
    struct snapshot *snapshot = snapshot_open(path, error);
    bool whole = snapshot && snapshot_verify(snapshot, error) == 0;
    snapshot_close(snapshot);
    return whole;
}

bool snapshot_is_whole(const char *path)
{
    struct snapshot_error error;
    return is_whole(path, &error);
}

void snapshot_check_whole(const char *path)
{
    struct snapshot_error error;
    ck_assert_msg(is_whole(path, &error), "%s", error.text);
}

off_t snapshot_size(const char *path)
{
    struct stat status;
    ck_assert_msg(stat(path, &status) == 0, "%s: %s", path, strerror(errno));
    return status.st_size;
}

void snapshot_copy(const char *from, const char *to)
{
    static char buffer[1 << 16];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    ck_assert(in && out);
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, in)) > 0;)
        ck_assert_uint_eq(fwrite(buffer, 1, n, out), n);
    ck_assert(!ferror(in));
    fclose(in);
    ck_assert_int_eq(fclose(out), 0);
}

size_t snapshot_count_files(const char *folder)
{
    DIR *directory = opendir(folder);
    ck_assert_ptr_nonnull(directory);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(directory);
    return count;
}

uint8_t *rig_ram(struct rig *rig, uint64_t guest, size_t bytes)
{
    uint8_t *ram = malloc(bytes);
    ck_assert_ptr_nonnull(ram);
    rig_read(rig, guest, 0, bytes, ram);
    return ram;
}

/* boot_info tells a guest who it is, so it differs. Tests find it by its magic. */
static void mask_identity(uint8_t *ram)
{
    for (size_t at = 0; at < GUEST_RAM_START; at += 8)
        if (memcmp(ram + at, BOOT_INFO_MAGIC, 8) == 0)
            memset(ram + at + offsetof(struct boot_info, guest_id), 0,
                   offsetof(struct boot_info, args_length) - offsetof(struct boot_info, guest_id));
}

void rig_check_ram(struct rig *rig, uint64_t guest, const uint8_t *wanted, size_t bytes)
{
    uint8_t *found = rig_ram(rig, guest, bytes), *copy = malloc(bytes);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, wanted, bytes);
    mask_identity(found);
    mask_identity(copy);
    for (size_t at = 0; at < bytes; at += 4096)
        ck_assert_msg(memcmp(found + at, copy + at, 4096) == 0, "guest %llu: the page at %#zx differs",
                      (unsigned long long)guest, at);
    free(found);
    free(copy);
}

uint64_t rig_hash_ram(struct rig *rig, uint64_t guest, size_t bytes)
{
    uint8_t *ram = rig_ram(rig, guest, bytes);
    mask_identity(ram);
    uint64_t hash = 0, word;
    for (size_t at = 0; at < bytes; at += sizeof word) {
        memcpy(&word, ram + at, sizeof word);
        hash = (hash ^ word) * HASH_MULTIPLIER;
    }
    free(ram);
    return hash;
}
