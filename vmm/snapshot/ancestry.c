/* Finding parents: see ancestry.h. */
#include "vmm/snapshot/ancestry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/snapshot/file.h"
#include "vmm/snapshot/open.h"

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

/* False: the path cannot be, so there is nothing. True: it cannot be told, and the error says why. */
static bool is_unclear(const struct report *report, int number)
{
    report_path_errno(report, number, "cannot find the folder of what it builds on");
    return report->error->class != SNAPSHOT_ARGUMENT;
}

/* 1: the target's folder. 0: another, or none. -1: it cannot be told, and the error says why. */
static int is_folder_of(const struct target *target, const char *folder)
{
    struct stat theirs;
    if (stat(folder, &theirs) == 0)
        return theirs.st_dev == target->folder.st_dev && theirs.st_ino == target->folder.st_ino;
    return is_unclear(target->report, errno) ? -1 : 0;
}

int ancestry_path(const struct target *target, const char *parent_path, char stored[PATH_MAX])
{
    char folder[PATH_MAX], whole[PATH_MAX];
    const char *name = last_part(parent_path);

    if (!*name || strlen(parent_path) >= PATH_MAX)
        return report_as(target->report, SNAPSHOT_ARGUMENT, "the path of its parent, \"%.200s\", is not a file's",
                         parent_path);
    folder_of(parent_path, folder);
    int beside = is_folder_of(target, folder);
    if (beside < 0)
        return -1;
    int length;
    if (beside)
        length = snprintf(stored, PATH_MAX, "%s", name);
    else if (realpath(folder, whole))
        length = snprintf(stored, PATH_MAX, "%s/%s", whole[1] ? whole : "", name);
    else if (is_unclear(target->report, errno))
        return -1;
    else /* it is elsewhere for the time being */
        length = snprintf(stored, PATH_MAX, "%s", *parent_path == '/' ? parent_path : name);
    return length < PATH_MAX ? 0 : report_path_errno(target->report, ENAMETOOLONG, "the path of its parent");
}

/* ---- Where a parent may be ---- */

/* Where it was saved, if that is elsewhere, and beside its child. */
struct places {
    char *path[2];
    unsigned count;
};

static void places_free(struct places *places)
{
    while (places->count)
        free(places->path[--places->count]);
}

static int add_place(struct places *places, const struct report *report, const char *folder, const char *name)
{
    size_t length = strlen(folder);
    char *path = malloc(length + strlen(name) + 2);
    if (!path) {
        places_free(places);
        report_no_memory(report);
        return -1;
    }
    sprintf(path, "%s%s%s", folder, length && folder[length - 1] != '/' ? "/" : "", name);
    places->path[places->count++] = path;
    return 0;
}

static int places_of(const struct report *report, const struct snapshot *child, struct places *places)
{
    const char *stored = snapshot_parent_path(child);
    char folder[PATH_MAX], whole[PATH_MAX];

    *places = (struct places){.count = 0};
    if (realpath(snapshot_path(child), whole))
        folder_of(whole, folder);
    else if (is_unclear(report, errno))
        return -1;
    else
        folder_of(snapshot_path(child), folder);
    if (*stored == '/' && add_place(places, report, "", stored) < 0)
        return -1;
    return add_place(places, report, folder, last_part(stored));
}

static bool same(const struct snapshot_name *a, const struct snapshot_name *b)
{
    return memcmp(a->id, b->id, sizeof a->id) == 0 && a->header_checksum == b->header_checksum;
}

/* What a look at a place has found. */
enum found {
    FOUND_IT,
    FOUND_NOTHING,
    FOUND_ANOTHER, /* or what was it and is damaged: then `snapshot` is NULL, and `why` says what */
    FOUND_NO_WAY,  /* it cannot be told just now: `why` */
};

struct look {
    struct snapshot *snapshot;
    struct snapshot_error why;
};

typedef struct snapshot *open_fn(const char *path, struct snapshot_error *error);

static enum found look_at(const char *place, const struct snapshot_name *wanted, open_fn *open, struct look *look)
{
    look->snapshot = open(place, &look->why);
    if (look->snapshot)
        return same(snapshot_name(look->snapshot), wanted) ? FOUND_IT : FOUND_ANOTHER;
    switch (look->why.class) {
    case SNAPSHOT_ARGUMENT:
        return FOUND_NOTHING;
    case SNAPSHOT_INVALID:
        return FOUND_ANOTHER;
    default:
        return FOUND_NO_WAY;
    }
}

/* ---- A new diff ---- */

int ancestry_check_target(const struct target *target, const struct snapshot_lineage *parent)
{
    const struct report *report = target->report;
    struct layout_header header;
    int fd = openat(target->directory, target->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 && (errno == ENOENT || errno == ELOOP)) /* only the link would be replaced */
        return 0;
    if (fd < 0)
        return report_path_errno(report, errno, "cannot be read, but the new snapshot may build on it");
    ssize_t n = file_read(fd, &header, sizeof header, 0);
    int error = errno;
    close(fd);
    if (n < 0)
        return report_errno(report, error, "cannot be read, but the new snapshot may build on it");
    if (n < (ssize_t)sizeof header || memcmp(header.magic, LAYOUT_MAGIC, sizeof header.magic) != 0)
        return 0;
    /* The identity alone will do: a file that has been damaged may still be mended. */
    for (unsigned i = 0; i < parent->count; i++)
        if (memcmp(header.id, parent->names[i].id, sizeof header.id) == 0)
            return report_as(report, SNAPSHOT_ARGUMENT,
                             "the new snapshot builds on this file and so cannot replace it: choose another name");
    return 0;
}

/* As is_folder_of(). */
static int is_target(const struct target *target, const char *place)
{
    char folder[PATH_MAX];
    if (strcmp(last_part(place), target->name) != 0)
        return 0;
    folder_of(place, folder);
    return is_folder_of(target, folder);
}

/* Which of the places has the file: `found` is that, or NULL where it is elsewhere for the time being. */
static int find_ancestor(const struct target *target, const struct places *places, const struct snapshot_name *wanted,
                         struct snapshot **found)
{
    const struct report *report = target->report;
    char shown[REPORT_PATH];
    unsigned taken = 0;

    *found = NULL;
    for (unsigned i = 0; i < places->count; i++) {
        struct look look;
        enum found what = look_at(places->path[i], wanted, open_names, &look);
        if (what == FOUND_IT) {
            *found = look.snapshot;
            return 0;
        }
        snapshot_close(look.snapshot);
        if (what == FOUND_NO_WAY)
            return report_as(report, look.why.class, "it builds on a file that cannot be looked at: %s", look.why.text);
        taken += what == FOUND_ANOTHER;
    }
    if (taken == places->count)
        return report_as(report, SNAPSHOT_ARGUMENT,
                         "another file has taken the place of %s, which it builds on: make a full snapshot",
                         report_path(places->path[0], shown));
    for (unsigned i = 0; i < places->count; i++) {
        int here = is_target(target, places->path[i]);
        if (here)
            return here < 0 ? -1
                            : report_as(report, SNAPSHOT_ARGUMENT,
                                        "a snapshot that the new one builds on has its place here and is elsewhere "
                                        "just now: choose another name");
    }
    return 0;
}

int ancestry_check_places(const struct target *target, const struct snapshot_lineage *parent, const char *parent_path)
{
    struct snapshot *child = NULL;
    struct places places = {.count = 0};
    int result = add_place(&places, target->report, "", parent_path);

    for (unsigned i = parent->count; result == 0 && i-- > 0;) {
        struct snapshot *found;
        result = find_ancestor(target, &places, &parent->names[i], &found);
        places_free(&places);
        snapshot_close(child);
        child = found;
        if (!child || !snapshot_parent(child)) /* what it builds on is not known, or there is nothing */
            break;
        if (result == 0)
            result = places_of(target->report, child, &places);
    }
    places_free(&places);
    snapshot_close(child);
    return result;
}

/* ---- A chain ---- */

static void name_text(const struct snapshot_name *name, char text[33])
{
    for (unsigned i = 0; i < sizeof name->id; i++)
        snprintf(text + (size_t)2 * i, 3, "%02x", name->id[i]);
}

/* Says what is wrong at a place, other than that nothing is there. */
static void tell(const struct snapshot *child, const char *place, const struct look *look, struct snapshot_error *error)
{
    struct report report = {snapshot_path(child), SNAPSHOT_INVALID, error};
    char wanted[33], got[33], shown[REPORT_PATH];

    if (!look->snapshot) {
        report_as(&report, look->why.class, "its parent cannot be opened: %s", look->why.text);
        return;
    }
    name_text(snapshot_parent(child), wanted);
    name_text(snapshot_name(look->snapshot), got);
    if (strcmp(wanted, got) == 0)
        report_fail(&report, "its parent %s has the right identity, but its content has been changed",
                    report_path(place, shown));
    else
        report_fail(&report, "its parent %s is another snapshot (identity %s) than the one that it builds on (%s)",
                    report_path(place, shown), got, wanted);
}

struct snapshot *ancestry_open_parent(const struct snapshot *child, struct snapshot_error *error)
{
    struct report report = {snapshot_path(child), SNAPSHOT_INVALID, error};
    struct places places;
    enum found worst = FOUND_IT;

    if (places_of(&report, child, &places) < 0)
        return NULL;
    for (unsigned i = 0; i < places.count; i++) {
        struct look look;
        enum found what = look_at(places.path[i], snapshot_parent(child), snapshot_open, &look);
        if (what == FOUND_IT) {
            places_free(&places);
            return look.snapshot;
        }
        if (what == FOUND_NOTHING && worst == FOUND_IT)
            report_fail(&report, "its parent cannot be opened: %s", look.why.text);
        else if (what != FOUND_NOTHING && what >= worst) /* what may be right at the next try is said before all */
            tell(child, places.path[i], &look, error);
        worst = what > worst ? what : worst;
        snapshot_close(look.snapshot);
    }
    places_free(&places);
    return NULL;
}
