/* A snapshot and all that it builds on: snapshot_chain_open() and its inverse. */
#include <string.h>

#include "vmm/snapshot/ancestry.h"
#include "vmm/snapshot/snapshot.h"

/* While the chain is opened it is in the order of opening: the child first. */
static int check_parent(const struct report *report, const struct snapshot_chain *chain, const struct snapshot *parent)
{
    const struct snapshot *child = chain->files[chain->count - 1];
    const struct snapshot_machine *ours = &child->state.machine, *theirs = &parent->state.machine;
    char shown[REPORT_PATH];
    const char *path = report_path(parent->path, shown);

    if (ours->memory != theirs->memory)
        return report_fail(report, "machine: memory is %llu, but %llu in its parent %s",
                           (unsigned long long)ours->memory, (unsigned long long)theirs->memory, path);
    if (ours->cpus != theirs->cpus)
        return report_fail(report, "machine: cpus is %u, but %u in its parent %s", ours->cpus, theirs->cpus, path);
    return 0;
}

/* A file that is its own ancestor names as its parent an identity that the chain has already. */
static int check_cycle(const struct report *report, const struct snapshot_chain *chain)
{
    const struct snapshot *child = chain->files[chain->count - 1];
    char shown[REPORT_PATH];

    for (unsigned i = 0; i < chain->count; i++)
        if (memcmp(chain->files[i]->name.id, child->parent.id, sizeof child->parent.id) == 0)
            return report_fail(report, "parent: it builds on %s, which builds on it: a cycle",
                               report_path(chain->files[i]->path, shown));
    return 0;
}

static int add_parent(struct snapshot_chain *chain, struct snapshot_error *error)
{
    const struct snapshot *child = chain->files[chain->count - 1];
    struct report report = {child->path, SNAPSHOT_INVALID, error};
    char shown[REPORT_PATH];

    if (check_cycle(&report, chain) < 0)
        return -1;
    if (chain->count == SNAPSHOT_CHAIN_MAX)
        return report_fail(&report, "parent: %s builds on more than %u files: restore it and save it in full",
                           report_path(chain->files[0]->path, shown), SNAPSHOT_CHAIN_MAX - 1);
    struct snapshot *parent = ancestry_open_parent(child, error);
    if (!parent)
        return -1;
    if (check_parent(&report, chain, parent) < 0) {
        snapshot_close(parent);
        return -1;
    }
    chain->files[chain->count++] = parent;
    return 0;
}

static void reverse(struct snapshot_chain *chain)
{
    for (unsigned i = 0; i < chain->count / 2; i++) {
        struct snapshot *file = chain->files[i];
        chain->files[i] = chain->files[chain->count - 1 - i];
        chain->files[chain->count - 1 - i] = file;
    }
}

int snapshot_chain_open(struct snapshot_chain *chain, const char *path, struct snapshot_error *error)
{
    chain->count = 0;
    chain->files[0] = snapshot_open(path, error);
    if (!chain->files[0])
        return -1;
    chain->count = 1;
    while (chain->files[chain->count - 1]->parent_path) {
        if (add_parent(chain, error) < 0) {
            snapshot_chain_close(chain);
            return -1;
        }
    }
    reverse(chain);
    return 0;
}

void snapshot_chain_close(struct snapshot_chain *chain)
{
    while (chain->count)
        snapshot_close(chain->files[--chain->count]);
}

void snapshot_chain_lineage(const struct snapshot_chain *chain, struct snapshot_lineage *lineage)
{
    lineage->count = chain->count;
    for (unsigned i = 0; i < chain->count; i++)
        lineage->names[i] = chain->files[i]->name;
}
