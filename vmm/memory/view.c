/* Views over the page-table library: see view.h. */
#include "vmm/memory/view.h"

#include <ept/arena.h>
#include <ept/walk.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* HPA space: layers come first (layer.c), then the tables. */
#define TABLES_PA    (UINT64_C(1) << 46)
#define TABLES_BYTES (UINT64_C(16) << 30)
#define TABLES       (TABLES_BYTES / PT_PAGE_SIZE)
#define MAXPHYADDR   47

#define FROZEN   (PT_RX | PT_WB | PT_TRACKED)
#define WRITABLE (PT_RWX | PT_WB | PT_TRACKED)

/* Most tables that unmapping and mapping a range can need, for ranges below 512 GiB: those for its leaves, and at each
 * end of it three levels of splits or of shared tables that are copied. */
#define TABLES_FOR(bytes) ((bytes) / BLOCK_BYTES + 16)

struct views {
    struct layers *layers;
    struct pt_arena arena;
    char *memory;          /* the tables */
    struct pt_table *meta; /* their bookkeeping */
};

static bool alloc_table(void *context, uint64_t *pa)
{
    return pt_arena_alloc(&((struct views *)context)->arena, pa);
}

static void free_table(void *context, uint64_t pa)
{
    pt_arena_free(&((struct views *)context)->arena, pa);
}

static bool frame_get(void *context, uint64_t hpa, unsigned level, uint64_t count)
{
    return layers_get(((struct views *)context)->layers, hpa, level, count);
}

static void frame_put(void *context, uint64_t hpa, unsigned level, uint64_t count)
{
    layers_put(((struct views *)context)->layers, hpa, level, count);
}

/* Address space only: the kernel gives memory as tables are used. */
static void *reserve(uint64_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

struct views *views_new(struct layers *layers, struct cleave_failure *failure)
{
    struct views *views = calloc(1, sizeof *views);
    if (views) {
        views->layers = layers;
        views->memory = reserve(TABLES_BYTES);
        views->meta = reserve(TABLES * sizeof(struct pt_table));
        if (views->memory && views->meta) {
            pt_arena_init(&views->arena, views->memory, TABLES_PA, TABLES);
            return views;
        }
    }
    fail_errno(failure, errno, "cannot reserve %llu bytes of address space for page tables",
               (unsigned long long)TABLES_BYTES);
    views_free(views);
    return NULL;
}

void views_free(struct views *views)
{
    if (!views)
        return;
    if (views->memory)
        munmap(views->memory, TABLES_BYTES);
    if (views->meta)
        munmap(views->meta, TABLES * sizeof(struct pt_table));
    free(views);
}

uint64_t views_table_bytes(struct views *views)
{
    return pt_arena_used(&views->arena) * PT_PAGE_SIZE;
}

static int fail_status(struct cleave_failure *failure, enum pt_status status, const char *what)
{
    enum cleave_failure_kind class = status == PT_ENOMEM ? CLEAVE_NO_MEMORY : CLEAVE_INTERNAL;
    return fail(failure, class, "view: %s: %s", what, pt_status_name(status));
}

int view_init(struct view *view, struct views *views, uint64_t memory, struct cleave_failure *failure)
{
    struct pt_config config = {.levels = 4, .maxphyaddr = MAXPHYADDR, .caps = PT_CAP_2M | PT_CAP_1G};
    pt_arena_configure(&views->arena, views->meta, &config);
    config.ctx = views;
    config.alloc_table = alloc_table;
    config.free_table = free_table;
    config.frame_get = frame_get;
    config.frame_put = frame_put;
    view->views = views;
    view->memory = memory;
    enum pt_status status = ept_init(&view->pt, &config);
    return status == PT_OK ? 0 : fail_status(failure, status, "cannot make a page table");
}

void view_free(struct view *view)
{
    ept_destroy(&view->pt);
}

/* One claim on a range, for one change or one look. The gather's frames and tables go as soon as it ends, since no
 * processor walks these tables: what a guest still sees of an old frame is a page of its window, and that is the
 * caller's to keep. */
struct claim {
    struct pt_gather gather;
    struct pt_cursor cursor;
};

static enum pt_status claim_begin(struct claim *claim, struct view *view, uint64_t gpa, uint64_t bytes,
                                  enum pt_mode mode)
{
    ept_gather_init(&claim->gather, &view->pt);
    return ept_cursor_init(&claim->cursor, &view->pt, gpa, bytes, mode, &claim->gather);
}

static void claim_end(struct claim *claim)
{
    ept_cursor_end(&claim->cursor);
    ept_gather_sync(&claim->gather);
}

int view_map(struct view *view, uint64_t gpa, uint64_t hpa, uint64_t bytes, bool writable,
             struct cleave_failure *failure)
{
    struct claim claim;
    enum pt_status status = claim_begin(&claim, view, gpa, bytes, PT_WRITE);
    if (status == PT_OK) {
        status = ept_cursor_map_range(&claim.cursor, hpa, bytes, writable ? WRITABLE : FROZEN);
        claim_end(&claim);
    }
    return status == PT_OK ? 0 : fail_status(failure, status, "cannot map guest memory");
}

static int protect(struct view *view, uint64_t gpa, uint64_t bytes, struct pt_change what, const char *name,
                   struct cleave_failure *failure)
{
    struct claim claim;
    enum pt_status status = claim_begin(&claim, view, gpa, bytes, PT_WRITE);
    if (status == PT_OK) {
        status = ept_cursor_protect_range(&claim.cursor, bytes, what);
        claim_end(&claim);
    }
    return status == PT_OK ? 0 : fail_status(failure, status, name);
}

int view_freeze(struct view *view, struct cleave_failure *failure)
{
    return protect(view, 0, view->memory, (struct pt_change){.clear = PT_W}, "cannot freeze guest memory", failure);
}

int view_set_dirty(struct view *view, uint64_t gpa, uint64_t bytes, struct cleave_failure *failure)
{
    return protect(view, gpa, bytes, (struct pt_change){.set = PT_A | PT_D}, "cannot record written pages", failure);
}

void view_forget_dirty(struct view *view, uint64_t gpa, uint64_t bytes)
{
    /* Where that should fail for want of a table, a page shows as written that is not: nothing else depends on D. */
    (void)protect(view, gpa, bytes, (struct pt_change){.clear = PT_A | PT_D}, "cannot forget written pages", NULL);
}

int view_publish(struct view *view, uint64_t gpa, uint64_t hpa, uint64_t bytes, struct cleave_failure *failure)
{
    /* Room for the second half first, so that the first is never left alone. */
    if (pt_arena_used(&view->views->arena) + TABLES_FOR(bytes) > TABLES)
        return fail_status(failure, PT_ENOMEM, "cannot publish");
    struct claim claim;
    enum pt_status status = claim_begin(&claim, view, gpa, bytes, PT_WRITE);
    if (status != PT_OK)
        return fail_status(failure, status, "cannot publish");
    status = ept_cursor_unmap_range(&claim.cursor, bytes);
    if (status == PT_OK) {
        enum pt_status mapped = ept_cursor_jump(&claim.cursor, gpa);
        if (mapped == PT_OK)
            mapped = ept_cursor_map_range(&claim.cursor, hpa, bytes, FROZEN);
        assert(mapped == PT_OK);
        (void)mapped;
    }
    claim_end(&claim);
    return status == PT_OK ? 0 : fail_status(failure, status, "cannot publish");
}

int view_share(struct view *child, struct view *parent, struct cleave_failure *failure)
{
    struct claim from, to;
    enum pt_status status = claim_begin(&from, parent, 0, parent->memory, PT_WRITE);
    if (status != PT_OK)
        return fail_status(failure, status, "cannot share a view");
    status = claim_begin(&to, child, 0, child->memory, PT_WRITE);
    if (status == PT_OK) {
        status = ept_cursor_share_from(&to.cursor, &from.cursor, parent->memory);
        claim_end(&to);
    }
    claim_end(&from);
    return status == PT_OK ? 0 : fail_status(failure, status, "cannot share a view");
}

void view_swap(struct view *a, struct view *b)
{
    struct view other = *a;
    *a = *b;
    *b = other;
}

int view_each_run_in(struct view *view, uint64_t gpa, uint64_t bytes, view_run_fn *fn, void *context)
{
    struct claim claim;
    enum pt_status status = claim_begin(&claim, view, gpa, bytes, PT_READ);
    assert(status == PT_OK);
    struct view_run run = {0};
    struct pt_item item;
    uint64_t end = gpa + bytes;
    int result = 0;
    while (!result && ept_cursor_find_next(&claim.cursor, end - ept_cursor_at(&claim.cursor), &item) == PT_OK) {
        if (run.bytes && item.start == run.gpa + run.bytes && item.hpa == run.hpa + run.bytes) {
            run.bytes += item.length;
        } else {
            if (run.bytes)
                result = fn(context, &run);
            run = (struct view_run){item.start, item.hpa, item.length};
        }
        status = ept_cursor_next(&claim.cursor);
        if (status != PT_OK || ept_cursor_at(&claim.cursor) == end)
            break;
    }
    if (!result && run.bytes)
        result = fn(context, &run);
    claim_end(&claim);
    return result;
}

int view_each_run(struct view *view, view_run_fn *fn, void *context)
{
    return view_each_run_in(view, 0, view->memory, fn, context);
}

static const char *memory_type_name(unsigned type)
{
    static const char *const names[] = {"UC", "WC", NULL, NULL, "WT", "WP", "WB"};
    return type < sizeof names / sizeof *names && names[type] ? names[type] : "reserved";
}

void view_translate(struct view *view, uint64_t gpa, struct cleave_translation *translation)
{
    struct views *views = view->views;
    struct walk_memory memory = {TABLES_PA, TABLES_BYTES, (uintptr_t)views->memory - TABLES_PA};
    struct walk_ept_mode mode = {.root = view->pt.root, .levels = 4, .maxphyaddr = MAXPHYADDR, .pages_1g = true};
    struct walk_answer answer;
    walk_ept(&memory, &mode, gpa, WALK_READ, &answer);
    *translation = (struct cleave_translation){.step_count = answer.nsteps};
    for (unsigned i = 0; i < answer.nsteps; i++)
        translation->steps[i] = (struct cleave_translation_step){answer.steps[i].level, answer.steps[i].entry};
    if (answer.result != WALK_OK)
        return;
    uint64_t leaf = answer.steps[answer.nsteps - 1].entry;
    translation->mapped = true;
    translation->hpa = answer.pa;
    translation->page_size = pt_slot_size(answer.level);
    translation->page_start = gpa & ~(translation->page_size - 1);
    translation->read = answer.r;
    translation->write = answer.w;
    translation->execute = answer.x;
    translation->accessed = leaf & (1u << 8); /* SDM volume 3, 29.3.2: EPT accessed and dirty flags */
    translation->dirty = leaf & (1u << 9);
    translation->memory_type = memory_type_name(answer.memory_type);
    translation->backing = translation->dirty && !translation->write ? "overlay" : "layer";
}

static struct cleave_mapping mapping_of(const struct pt_item *leaf)
{
    return (struct cleave_mapping){
        .gpa = leaf->start,
        .bytes = leaf->length,
        .hpa = leaf->hpa,
        .page_size = leaf->length,
        .read = leaf->prop & PT_R,
        .write = leaf->prop & PT_W,
        .execute = leaf->prop & PT_X,
        .accessed = leaf->prop & PT_A,
        .dirty = leaf->prop & PT_D,
        .memory_type = memory_type_name((leaf->prop & PT_MT_MASK) / PT_WC), /* PT_WC is type 1 */
    };
}

/* Does the second continue the first, and say the same of its pages? */
static bool continues(const struct cleave_mapping *run, const struct cleave_mapping *page)
{
    return run->gpa + run->bytes == page->gpa && run->hpa + run->bytes == page->hpa &&
           run->page_size == page->page_size && run->read == page->read && run->write == page->write &&
           run->execute == page->execute && run->accessed == page->accessed && run->dirty == page->dirty &&
           run->memory_type == page->memory_type;
}

size_t view_mappings(struct view *view, uint64_t gpa, struct cleave_mapping *list, size_t most, uint64_t *next)
{
    size_t count = 0;
    *next = 0;
    if (gpa >= view->memory)
        return 0;
    gpa &= ~(PT_PAGE_SIZE - 1);
    struct claim claim;
    enum pt_status status = claim_begin(&claim, view, gpa, view->memory - gpa, PT_READ);
    assert(status == PT_OK);
    struct pt_item leaf;
    while (ept_cursor_at(&claim.cursor) < view->memory &&
           ept_cursor_find_next(&claim.cursor, view->memory - ept_cursor_at(&claim.cursor), &leaf) == PT_OK) {
        struct cleave_mapping page = mapping_of(&leaf);
        if (count > 0 && continues(&list[count - 1], &page)) {
            list[count - 1].bytes += page.bytes;
        } else if (count < most) {
            list[count++] = page;
        } else {
            *next = page.gpa;
            break;
        }
        status = ept_cursor_next(&claim.cursor);
        assert(status == PT_OK);
    }
    (void)status;
    claim_end(&claim);
    return count;
}

void view_count(struct view *view, struct pt_statistics *statistics)
{
    ept_count(&view->pt, statistics);
}
