/*
 * A guest's memory: its view, the window that the view is projected into, and sets of pages that say where the content
 * of each page is. It knows nothing of machines and of KVM: who runs the guest hands it the window's address and the
 * dirty log.
 *
 * A page's private copy in the window, if it has one, holds what the guest sees; when it is dropped, the window shows
 * what it was mapped from. See README.md: "What holds a guest's page".
 *
 * Locking: the owner's thread only, but for memory_read(), which any thread may call while the window stays.
 */
#ifndef VMM_MEMORY_MEMORY_H
#define VMM_MEMORY_MEMORY_H

#include "vmm/memory/store.h"

struct frame_run {
    uint64_t hpa, pages;
};

/* Frames that are no longer in the view and that the window still shows; see coalesce.c. */
struct retained {
    struct frame_run *runs;
    size_t count, room;
    bool *detached; /* by 2 MiB block: the window shows none of the frames that the view names here */
};

/* Bitmaps of pages (base/bitmap.h). */
struct pages {
    uint64_t *written; /* in the overlay and not published, as far as harvested */
    uint64_t *log;     /* room for a dirty log */
    /* For reset, NULL before memory_track(): */
    uint64_t *published; /* since the instant to return to: the view has moved on */
    uint64_t *outdated;  /* published before it, after the window was mapped: the window must not be uncovered here */
    uint64_t *kept;      /* returned by a reset before, so likely to be written again: not worth dropping */
    uint64_t kept_count; /* pages */
    uint64_t *drop;      /* room for what a reset drops */
    uint64_t *unsaved;   /* published since the last snapshot or restore; NULL where there was none */
};

/*
 * What a reset returns the memory to. As long as nothing has been published since, that is the guest's own view, so an
 * instant is had for nothing. memory_preserve() gives it a view of its own just before that changes.
 */
struct instant_view {
    bool wanted; /* there is an instant to return to */
    bool has_view;
    struct view view;
    size_t retained; /* with a view: how many runs memory->retained had, */
    bool *detached;  /* and which of its blocks were detached; NULL: none */
};

struct memory {
    struct store *store;
    uint64_t bytes; /* of RAM: GPA [0, bytes) */
    uint64_t window;
    bool window_shared;  /* the window is the guest's own layer, mapped shared: nothing is frozen yet */
    bool window_fragile; /* it shows a snapshot's file: somebody may truncate that, and private copies go with it */
    bool has_view;
    struct view view; /* valid where has_view */
    struct pages pages;
    struct retained retained;
    struct instant_view instant;
    struct hot *hot;     /* hot.c; NULL: no page is hot */
    bool log_is_cleared; /* reading the dirty log clears it: whoever runs the guest cannot do so page by page */
    uint64_t harvested_pages, published_pages; /* ever */
};

/* ---- memory.c: making it and reaching it ---- */

/* No view and no window yet. -1 with *failure; memory_end() must follow all the same. */
int memory_init(struct memory *memory, struct store *store, struct cleave_failure *failure);

/* An empty view. -1 with *failure. */
int memory_make_view(struct memory *memory, struct cleave_failure *failure);

/* One layer for all of RAM, writable in place and mapped shared: nothing needs publishing before the first fork. The
 * window must be unmapped. -1 with *failure. */
int memory_make_own(struct memory *memory, struct cleave_failure *failure);

/* Gives up all of it but the window. Frames go back only by store_reclaim(), which must come after the window has been
 * queued for freeing. */
void memory_end(struct memory *memory);

/* The one way to guest memory: bounds-checked, faults come back as failures, writes are recorded as written pages. */
int memory_read(const struct memory *memory, uint64_t gpa, void *to, size_t length, struct cleave_failure *failure);
int memory_write(struct memory *memory, uint64_t gpa, const void *from, size_t length, struct cleave_failure *failure);

/* ---- pages.c: sets of pages ---- */

/* The two that every memory has. -1 with *failure. */
int memory_make_pages(struct memory *memory, struct cleave_failure *failure);
void memory_free_pages(struct memory *memory);

/* Makes room for the bitmaps that reset needs; before anything is published. -1 with *failure. */
int memory_track(struct memory *memory, struct cleave_failure *failure);

/* Makes the bitmap of what is unsaved, if there is none. -1 with *failure. */
int memory_track_unsaved(struct memory *memory, struct cleave_failure *failure);

/* ---- harvest.c, publish.c, coalesce.c, project.c: how it moves between overlay, layers and window ---- */

/* Takes the dirty log, which pages.log holds, into the view as D bits and into `written`. Nothing is lost on failure.
 * Where the log has been cleared, memory_forget_hot() belongs to it. */
int memory_harvest(struct memory *memory, struct cleave_failure *failure);

/* Takes the D bits that harvesting has set from the view again. */
void memory_forget_dirty(struct memory *memory);

/* Bytes of pages written since they were last published, as far as harvested. */
uint64_t memory_overlay_bytes(const struct memory *memory);

/* Copies every harvested page into a frozen layer and maps it there in the view. What a guest writes meanwhile is dirty
 * again. What was published before a failure stays so, the rest stays harvested. Adds to *published, in pages. */
int memory_publish(struct memory *memory, uint64_t *published, struct cleave_failure *failure);

/* Merges the most scattered 2 MiB blocks of a view without dirty pages into whole ones, until projecting it takes at
 * most `budget` mappings or nothing is left to merge. The guest may run. */
int memory_coalesce(struct memory *memory, size_t budget, struct cleave_failure *failure);

/* Gives up the frames kept for the window beyond the first `count` runs: the view names them again. */
void memory_trim_retained(struct memory *memory, size_t count);

/* Gives up all of them; the window must be about to go, or show what has been merged. */
void memory_drop_retained(struct memory *memory);

/* Maps every run of the view privately into `window`, which must be unmapped. */
int memory_project(struct memory *memory, uint64_t window, struct cleave_failure *failure);

/* ---- instant.c, drop.c: the way back ---- */

/* There is an instant to return to from now on: a birth, when the view is what the memory is. */
void memory_set_birth(struct memory *memory);

/* The same for a guest that has run: all is published now. It takes the place of the instant there was. */
void memory_set_instant(struct memory *memory);

/* The instant takes in what was published since. */
void memory_advance_instant(struct memory *memory);

/* To be called before anything is published, which may then fail half-way without harm. -1 with *failure. */
int memory_preserve(struct memory *memory, struct cleave_failure *failure);

/* Drops the instant. */
void memory_drop_instant(struct memory *memory);

/* Makes the view that of the instant again, without dirty pages; a part of memory_return(). The frames that come free
 * are due for store_settle(). True where anything had been published since. */
bool memory_return_view(struct memory *memory);

/* Makes memory and view those of the instant again. The dirty log is in pages.log; the guest is stopped. *returned says
 * how many pages that took. pages.log is then what is to be cleared in the dirty log: all but the hot pages. The
 * instant stays. -1 with *failure: the memory is neither what it was nor what it should be.
 */
int memory_return(struct memory *memory, uint64_t *returned, struct cleave_failure *failure);

/* ---- hot.c: parts of memory_return() ---- */

/* Every page of the dirty log is logged again, or all is thrown away. */
void memory_forget_hot(struct memory *memory);

/* Takes hot pages out of pages.log. */
void memory_leave_out_hot(struct memory *memory);

/* Bytes of their copies. */
uint64_t memory_hot_bytes(const struct memory *memory);

/* Takes hot pages that are as at the instant out of pages.log: the guest has not written them since. */
void memory_leave_out_unchanged(struct memory *memory);

/* Copies hot pages back that are in `written`, and takes them out of `written`. False: the window's memory is gone. */
bool memory_return_hot(struct memory *memory);

/* What is written and has been returned before becomes hot. */
void memory_add_hot(struct memory *memory);

/* ---- loss.c ---- */

/* True where a snapshot's file that the memory is mapped from has been truncated; `text` says so, `room` bytes of it.
 */
bool memory_lost_file(struct memory *memory, char *text, size_t room);

#endif
