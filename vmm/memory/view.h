/*
 * Views: one guest's EPT, which says for every GPA which frame of which layer it is. The view is the authority; windows
 * are made to match it. All of a guest's RAM is mapped in it, always; leaves are
 *   W      writable in place: only the root before its first fork, whose window is shared with its own layer
 *   no W   frozen: the frame belongs to a layer that may be shared; a write goes to the guest's overlay
 *   D      frozen, and the guest has written it since it was last published: the page is in the overlay
 *
 * Locking: the owner's thread only.
 */
#ifndef VMM_MEMORY_VIEW_H
#define VMM_MEMORY_VIEW_H

#include "vmm/base/failure.h"
#include "vmm/memory/layer.h"

#include <cleave/guest.h>
#include <ept/ept.h>

/* What all views share: the memory their tables lie in. */
struct views;

struct views *views_new(struct layers *layers, struct cleave_failure *failure);
void views_free(struct views *views); /* every view must be gone */

struct view {
    struct pt pt;
    struct views *views;
    uint64_t memory; /* bytes: GPA [0, memory) */
};

/* An empty view. -1 with *failure. */
int view_init(struct view *view, struct views *views, uint64_t memory, struct cleave_failure *failure);

/* Drops every frame and table. */
void view_free(struct view *view);

/* Maps a run of a layer, writable in place or frozen, with the largest pages that fit; the range must be empty. */
int view_map(struct view *view, uint64_t gpa, uint64_t hpa, uint64_t bytes, bool writable,
             struct cleave_failure *failure);

/* Takes W from every leaf: from now on nothing writes the frames in place. */
int view_freeze(struct view *view, struct cleave_failure *failure);

/* Harvest: these pages are in the overlay now. */
int view_set_dirty(struct view *view, uint64_t gpa, uint64_t bytes, struct cleave_failure *failure);

/* The opposite, for pages that were set dirty as these very ranges or parts of them. */
void view_forget_dirty(struct view *view, uint64_t gpa, uint64_t bytes);

/* Publish: from now on these pages are the frozen ones at hpa; on failure nothing has changed. */
int view_publish(struct view *view, uint64_t gpa, uint64_t hpa, uint64_t bytes, struct cleave_failure *failure);

/* Makes an empty view an equal of the parent's, which must be frozen and have no dirty page. The two share their tables
 * copy-on-write, so this takes the same few microseconds whatever is mapped. */
int view_share(struct view *child, struct view *parent, struct cleave_failure *failure);

/* Each becomes the other. Nobody may be using either. */
void view_swap(struct view *a, struct view *b);

/* Calls fn for each longest run that is contiguous in GPA and HPA, in order; stops at the first that is not 0. The
 * second looks at the leaves of [gpa, gpa + bytes) only; its first and last run may reach beyond. fn must not change
 * the view. */
struct view_run {
    uint64_t gpa, hpa, bytes;
};
typedef int view_run_fn(void *context, const struct view_run *run);
int view_each_run(struct view *view, view_run_fn *fn, void *context);
int view_each_run_in(struct view *view, uint64_t gpa, uint64_t bytes, view_run_fn *fn, void *context);

/* The entries on the way to gpa and what the last of them means; gpa must be below the format's end. */
void view_translate(struct view *view, uint64_t gpa, struct cleave_translation *translation);

/* Runs of alike pages, as cleave_guest_mappings() has them. Returns how many; *next is 0 where nothing follows. */
size_t view_mappings(struct view *view, uint64_t gpa, struct cleave_mapping *list, size_t most, uint64_t *next);

void view_count(struct view *view, struct pt_statistics *statistics);

/* Bytes of tables of all views together. */
uint64_t views_table_bytes(struct views *views);

#endif
