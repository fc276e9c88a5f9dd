/* Finding parents: see ancestry.h. */
#include "vmm/snapshot/ancestry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* All of the path before its last part, as something to open. */
static void folder_of(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    snprintf(folder, PATH_MAX, "%.*s", slash ? (int)length : 1, slash ? path : ".");
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int ancestry_path(const struct target *target, const char *parent_path, char stored[PATH_MAX])
{
    char folder[PATH_MAX], whole[PATH_MAX];
    struct stat theirs, ours;
    const char *name = last_part(parent_path);

    if (!*name || strlen(parent_path) >= PATH_MAX)
        return report_as(target->report, SNAPSHOT_ARGUMENT, "the path of its parent, \"%.200s\", is not a file's",
                         parent_path);
    folder_of(parent_path, folder);
    if (stat(folder, &theirs) < 0 || fstat(target->directory, &ours) < 0 || !realpath(folder, whole) ||
        (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino) ||
        strlen(whole) + 1 + strlen(name) >= PATH_MAX) {
        strcpy(stored, name);
        return 0;
    }
    strcpy(stored, whole);
    if (whole[1])
        strcat(stored, "/");
    strcat(stored, name);
    return 0;
}

bool ancestry_same(const struct snapshot_name *a, const struct snapshot_name *b)
{
    return memcmp(a->id, b->id, sizeof a->id) == 0 && a->header_checksum == b->header_checksum;
}

static bool is_target(const struct target *target, const struct snapshot *snapshot)
{
    struct stat status;
    return fstat(snapshot_fd(snapshot), &status) == 0 && status.st_dev == target->old.st_dev &&
           status.st_ino == target->old.st_ino;
}

/* The parent may be elsewhere for the time being; but where another file has taken its place, it is lost. */
static int open_parent_of_new(const struct target *target, const struct snapshot_job *job, struct snapshot **parent)
{
    struct snapshot_error why;
    char shown[REPORT_PATH];
    *parent = snapshot_open(job->parent_path, &why);
    bool replaced = *parent ? !ancestry_same(snapshot_name(*parent), job->parent) : why.class == SNAPSHOT_INVALID;
    if (!replaced)
        return 0;
    snapshot_close(*parent);
    return report_as(target->report, SNAPSHOT_ARGUMENT,
                     "another file has taken the place of %s, which it builds on: make a full snapshot",
                     report_path(job->parent_path, shown));
}

int ancestry_check_target(const struct target *target, const struct snapshot_job *job)
{
    struct snapshot_error ignored;
    struct snapshot *at;
    bool hit = false;

    if (open_parent_of_new(target, job, &at) < 0)
        return -1;
    for (unsigned i = 0; at && i < SNAPSHOT_CHAIN_MAX && !hit; i++) {
        hit = target->exists && is_target(target, at);
        struct snapshot *next =
            hit || !target->exists || !snapshot_parent(at) ? NULL : ancestry_open_parent(at, &ignored);
        snapshot_close(at);
        at = next;
    }
    snapshot_close(at);
    if (hit)
        return report_as(target->report, SNAPSHOT_ARGUMENT,
                         "the new snapshot builds on this file and so cannot replace it: choose another name");
    return 0;
}

/* Where a parent may be: where it was saved, if that is elsewhere, and beside its child. */
struct places {
    char *path[2];
};

static void places_free(struct places *places)
{
    free(places->path[0]);
    free(places->path[1]);
}

static int places_of(const struct report *report, const struct snapshot *child, struct places *places)
{
    const char *stored = snapshot_parent_path(child), *name = last_part(stored);
    char folder[PATH_MAX];
    char *child_path = realpath(snapshot_path(child), NULL);

    folder_of(child_path ? child_path : snapshot_path(child), folder);
    free(child_path);
    places->path[0] = *stored == '/' ? strdup(stored) : NULL;
    places->path[1] = NULL;
    bool done = asprintf(&places->path[1], "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name) >= 0;
    if (!done)
        places->path[1] = NULL;
    if (!done || (*stored == '/' && !places->path[0])) {
        places_free(places);
        return report_no_memory(report);
    }
    return 0;
}

static void name_text(const struct snapshot_name *name, char text[33])
{
    for (unsigned i = 0; i < sizeof name->id; i++)
        snprintf(text + (size_t)2 * i, 3, "%02x", name->id[i]);
}

/* Tries one place. What is wrong there is told, unless it is only that nothing is there and another place has been. */
static struct snapshot *try_place(const struct snapshot *child, const char *place, bool *told,
                                  struct snapshot_error *error)
{
    struct report report = {snapshot_path(child), SNAPSHOT_INVALID, error};
    struct snapshot_error why;
    char wanted[33], got[33], shown[REPORT_PATH];
    struct snapshot *parent = snapshot_open(place, &why);

    if (parent && ancestry_same(snapshot_name(parent), snapshot_parent(child)))
        return parent;
    bool nothing = !parent && why.class == SNAPSHOT_ARGUMENT;
    if (!parent && (!nothing || !*told)) {
        report_as(&report, nothing ? SNAPSHOT_INVALID : why.class, "its parent cannot be opened: %s", why.text);
    } else if (parent) {
        name_text(snapshot_parent(child), wanted);
        name_text(snapshot_name(parent), got);
        report_fail(&report, "its parent %s is another snapshot (identity %s) than the one that it builds on (%s)",
                    report_path(place, shown), got, wanted);
        if (strcmp(wanted, got) == 0)
            report_fail(&report, "its parent %s has the right identity, but its content has been changed",
                        report_path(place, shown));
    }
    *told = true;
    snapshot_close(parent);
    return NULL;
}

struct snapshot *ancestry_open_parent(const struct snapshot *child, struct snapshot_error *error)
{
    struct report report = {snapshot_path(child), SNAPSHOT_INVALID, error};
    struct places places;
    struct snapshot *parent = NULL;
    bool told = false;

    if (places_of(&report, child, &places) < 0)
        return NULL;
    for (unsigned i = 0; i < 2 && !parent; i++)
        if (places.path[i])
            parent = try_place(child, places.path[i], &told, error);
    places_free(&places);
    return parent;
}
