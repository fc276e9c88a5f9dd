/* See resolve.h. The order matters: only when the way to a leaf is the guest's own do frames' counts tell who else uses
 * them, as a shared table holds one reference however many owners it has. */
#include "tests/hw/microvisor/resolve.h"

#include "tests/hw/microvisor/expect.h"
#include "tests/hw/rom/memory.h"

static bool is_fillable(uint64_t gpa)
{
    return gpa >= page_gpa(FILLED_PAGES) && gpa < page_gpa(SMALL_PAGES);
}

static void fill(struct work *work)
{
    const pt_prop prop = world.format->rights | PROP_MAY_WRITE | PT_WB | PT_TRACKED;
    uint64_t frame = world_frame();

    memset((void *)frame, 0, PT_PAGE_SIZE);
    EXPECT(world.format->map(&work->cursor, frame, 1, prop) == PT_OK);
}

static void protect(struct work *work, const struct pt_item *leaf, struct pt_change change)
{
    work_jump(work, leaf->start);
    EXPECT(world.format->protect_range(&work->cursor, leaf->length, change) == PT_OK);
}

/* The leaf at the cursor. */
static struct pt_item leaf_at(struct work *work, uint64_t gpa)
{
    struct pt_item leaf;

    work_jump(work, gpa);
    EXPECT(world.format->query(&work->cursor, &leaf) == PT_OK && leaf.kind == PT_LEAF);
    return leaf;
}

/* Changing anything in a leaf makes the tables on the way to it this guest's own. A bit that means nothing else changes
 * what nobody sees. The references that went to the gather are put. */
static void own(struct work *work, const struct pt_item *leaf)
{
    protect(work, leaf, (struct pt_change){.set = ~leaf->prop & PROP_TOUCH, .clear = leaf->prop & PROP_TOUCH});
    world.format->gather_sync(&work->gather);
}

static void copy(struct work *work, const struct pt_item *leaf)
{
    uint64_t frame = world_frame();

    memcpy((void *)frame, (const void *)leaf->hpa, PT_PAGE_SIZE);
    work_jump(work, leaf->start);
    EXPECT(world.format->unmap_range(&work->cursor, leaf->length) == PT_OK);
    work_jump(work, leaf->start);
    EXPECT(world.format->map(&work->cursor, frame, 1, leaf->prop | PT_W) == PT_OK);
    world.frames_copied++;
}

/* Of a huge page only the one page in question is copied, but if nobody else has any of it, it is kept whole. */
static void give_write(struct work *work, uint64_t gpa)
{
    struct pt_item leaf = leaf_at(work, gpa);

    own(work, &leaf);
    leaf = leaf_at(work, gpa);
    EXPECT(!(leaf.prop & PT_W)); /* tables that become one's own give no rights */
    if (leaf.level > 1 && !world_is_alone(leaf.hpa, leaf.length)) {
        work_jump(work, gpa);
        EXPECT(world.format->split(&work->cursor, 1) == PT_OK);
        world.format->gather_sync(&work->gather);
        leaf = leaf_at(work, gpa);
    }
    if (world_is_alone(leaf.hpa, leaf.length))
        protect(work, &leaf, (struct pt_change){.set = PT_W});
    else
        copy(work, &leaf);
}

bool resolve(struct vm *vm, uint64_t gpa, bool is_write)
{
    uint64_t page = gpa & ~(PT_PAGE_SIZE - 1);
    struct work work;
    struct pt_item item;
    bool done = true;

    work_open(&work, vm, gpa & ~(BLOCK - 1), BLOCK);
    work_jump(&work, page);
    EXPECT(world.format->query(&work.cursor, &item) == PT_OK);
    if (item.kind == PT_HOLE && is_fillable(gpa)) {
        fill(&work);
    } else if (item.kind == PT_LEAF && is_write && (item.prop & PROP_MAY_WRITE)) {
        EXPECT(!(item.prop & PT_W)); /* or the processor went by an older entry */
        give_write(&work, page);
    } else {
        done = false;
    }
    work_close(&work);
    return done;
}
