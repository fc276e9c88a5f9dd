/* What the library does: see snapshot_operations.h. */
#include "tests/support/snapshot_operations.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct snapshot_case operations_case;
static struct snapshot_result base, top;
static struct snapshot_chain chain, base_chain;
static struct forge old; /* of the target */
static char base_path[CASE_PATH * 2], top_path[CASE_PATH * 2], target[CASE_PATH * 2], sub[CASE_PATH * 2];
static char link_path[CASE_PATH * 2];
static uint8_t *memory;

/* base in one folder, top in another: the diff that is saved builds on both. */
void operations_setup(void)
{
    uint8_t *dirty;
    case_open(&operations_case, 4 * CASE_MIB, 1);
    dirty = calloc(operations_case.memory / SNAPSHOT_PAGE, 1);
    snprintf(sub, sizeof sub, "%s", case_path(&operations_case, "sub"));
    snprintf(base_path, sizeof base_path, "%s", case_path(&operations_case, "sub/base"));
    snprintf(top_path, sizeof top_path, "%s", case_path(&operations_case, "top"));
    snprintf(target, sizeof target, "%s", case_path(&operations_case, "target"));
    snprintf(link_path, sizeof link_path, "%s", case_path(&operations_case, "link"));
    ck_assert_int_eq(symlink("target", link_path), 0);
    ck_assert_int_eq(mkdir(sub, 0700), 0);
    case_fill(&operations_case, 0x3000, 5 * SNAPSHOT_PAGE);
    struct snapshot_job job = case_job(&operations_case, base_path);
    base = case_save(&job);
    job.path = case_path(&operations_case, "base"); /* another of that name, where base is looked for last */
    case_save(&job);
    case_fill(&operations_case, 0x5000, 2 * SNAPSHOT_PAGE);
    dirty[5] = dirty[6] = 1;
    top = case_save_diff(&operations_case, top_path, &base.lineage, base_path, dirty, true);
    free(dirty);
    job = case_job(&operations_case, target);
    case_save(&job);
    old = case_read(target);
    memory = calloc(1, operations_case.memory);
    chain = case_chain(top_path);
    base_chain = case_chain(base_path);
}

void operations_teardown(void)
{
    snapshot_chain_close(&chain);
    snapshot_chain_close(&base_chain);
    free(memory);
    free(old.data);
    unlink(base_path);
    ck_assert_int_eq(rmdir(sub), 0);
    case_close(&operations_case);
}

static int save(const char *path, bool diff, bool compress, struct snapshot_error *error)
{
    struct snapshot_job job = case_job(&operations_case, path);
    job.compress = compress;
    if (diff) {
        job.kind = SNAPSHOT_DIFF;
        job.parent = &top.lineage;
        job.parent_path = top_path;
    }
    return snapshot_save(&job, NULL, error);
}

static int replace_by_full(struct snapshot_error *error)
{
    return save(target, false, false, error);
}

static int replace_by_diff(struct snapshot_error *error)
{
    return save(target, true, true, error);
}

static int save_anew(struct snapshot_error *error)
{
    unlink(target);
    return save(target, false, true, error);
}

static int save_by_a_link(struct snapshot_error *error)
{
    return save(link_path, false, false, error);
}

static int save_elsewhere(struct snapshot_error *error) /* its parent's folder is another */
{
    char path[CASE_PATH * 3];
    snprintf(path, sizeof path, "%s/other", sub);
    int result = save(path, true, false, error);
    unlink(path);
    return result;
}

static int open_chain(struct snapshot_error *error)
{
    struct snapshot_chain opened;
    int result = snapshot_chain_open(&opened, top_path, error);
    if (result == 0)
        snapshot_chain_close(&opened);
    return result;
}

static int load(struct snapshot_error *error)
{
    return snapshot_chain_load(&chain, memory, NULL, error);
}

static int verify(struct snapshot_error *error)
{
    return snapshot_verify(chain.files[1], error) < 0 ? -1 : snapshot_verify(chain.files[0], error);
}

static int map(struct snapshot_error *error)
{
    struct snapshot_extent *extents;
    size_t count;
    if (snapshot_chain_extents(&base_chain, &extents, &count, error) < 0)
        return -1;
    free(extents);
    return 0;
}

static int verify_plain(struct snapshot_error *error)
{
    return snapshot_verify(base_chain.files[0], error);
}

const struct operation operations[OPERATIONS] = {
    {"replace by full", replace_by_full, true, false, false},
    {"replace by diff", replace_by_diff, true, true, false},
    {"save anew", save_anew, true, false, false},
    {"save by a link", save_by_a_link, true, false, false},
    {"save elsewhere", save_elsewhere, true, true, false},
    {"open a chain", open_chain, false, false, true},
    {"load", load, false, false, false},
    {"verify", verify, false, false, false},
    {"verify what is not compressed", verify_plain, false, false, false},
    {"map", map, false, false, false},
};

void operations_restore(void)
{
    case_write(target, &old);
}

void operations_check(void)
{
    struct snapshot_error why;
    unsigned hidden;
    if (access(target, F_OK) == 0) {
        struct snapshot *snapshot = snapshot_open(target, &why);
        ck_assert_msg(snapshot && snapshot_verify(snapshot, &why) == 0, "%s", why.text);
        snapshot_close(snapshot);
    }
    case_files(&operations_case, &hidden);
    ck_assert_uint_eq(hidden, 0);
}

unsigned operations_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 64; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}
