/* What a VMM holds: see kvm_held.h. */
#include "tests/support/kvm_held.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static FILE *open_proc(struct rig *rig, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)vmm_process_pid(rig->process), name);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    return file;
}

/* Those with a file behind them. Of the others many are stacks of threads that have ended, which libc keeps for the
 * next ones. */
static uint64_t count_mappings(struct rig *rig)
{
    FILE *file = open_proc(rig, "maps");
    char line[512];
    uint64_t count = 0;
    while (fgets(line, sizeof line, file))
        count += strchr(line, '/') != NULL;
    fclose(file);
    return count;
}

static uint64_t count_entries(struct rig *rig, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)vmm_process_pid(rig->process), name);
    DIR *directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    uint64_t count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static uint64_t anonymous_kib(struct rig *rig)
{
    FILE *file = open_proc(rig, "status");
    char line[256];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %llu", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

struct held rig_held(struct rig *rig)
{
    return (struct held){
        .layers = rig_stat(rig, 0, "host_layer_bytes"),
        .tables = rig_stat(rig, 0, "host_table_bytes"),
        .mappings = count_mappings(rig),
        .threads = count_entries(rig, "task"),
        .descriptors = count_entries(rig, "fd"),
        .anonymous_kib = anonymous_kib(rig),
    };
}

/* The pool of VMs may have been filling itself before. */
static bool no_more(const struct held *a, const struct held *b)
{
    return a->layers == b->layers && a->tables == b->tables && a->threads <= b->threads + 4 &&
           a->descriptors <= b->descriptors + 16 && a->mappings <= b->mappings + 8 &&
           a->anonymous_kib <= b->anonymous_kib + 4096;
}

void rig_check_held(struct rig *rig, const struct held *before)
{
    struct held now;
    for (uint64_t until = rig_now_ms() + RIG_PATIENCE_MS; now = rig_held(rig), !no_more(&now, before);) {
        ck_assert_msg(rig_now_ms() < until,
                      "layers %llu tables %llu mappings %llu threads %llu descriptors %llu anonymous %llu KiB, "
                      "before: %llu %llu %llu %llu %llu %llu KiB",
                      (unsigned long long)now.layers, (unsigned long long)now.tables, (unsigned long long)now.mappings,
                      (unsigned long long)now.threads, (unsigned long long)now.descriptors,
                      (unsigned long long)now.anonymous_kib, (unsigned long long)before->layers,
                      (unsigned long long)before->tables, (unsigned long long)before->mappings,
                      (unsigned long long)before->threads, (unsigned long long)before->descriptors,
                      (unsigned long long)before->anonymous_kib);
        rig_sleep_ms(50);
    }
}
