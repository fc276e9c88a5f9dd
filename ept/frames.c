/* Reference counts of frames. Whether a frame is free depends only on counts of its own 1 GiB unit, so each such unit
 * has one lock: a run costs one lock and plain additions, not a locked instruction for each frame. */
#include <ept/frames.h>

#define UNIT_SHIFT 30u               /* a unit: 1 GiB */
#define MAX_COUNT  (UINT32_MAX - 1u) /* one more than this is for put_unit alone */

static unsigned shift_of(unsigned level)
{
    return pt_slot_shift(level);
}

/* Counters of this level for so many frames; the last one may be of a unit that is not whole, and stays 0. */
static uint64_t counters_of(uint64_t frames, unsigned level)
{
    unsigned shift = shift_of(level) - PT_PAGE_SHIFT;

    return (frames + ((uint64_t)1 << shift) - 1) >> shift;
}

size_t pt_frames_bytes(uint64_t frames)
{
    return (size_t)PT_FRAMES_BYTES(frames);
}

bool pt_frames_init(struct pt_frames *frames, void *memory, uint64_t hpa, uint64_t count, pt_released_fn released,
                    void *ctx)
{
    _Atomic uint32_t *words = memory;

    if (count == 0 || (hpa & (((uint64_t)1 << UNIT_SHIFT) - 1)) != 0 || count > (UINT64_MAX - hpa) >> PT_PAGE_SHIFT)
        return false;
    *frames = (struct pt_frames){.hpa = hpa, .frames = count, .released = released, .ctx = ctx};
    for (unsigned level = 1; level <= PT_HUGE_LEVEL; level++) {
        frames->counts[level] = words;
        words += counters_of(count, level);
    }
    frames->locks = words;
    return true;
}

void pt_frames_supply(struct pt_frames *frames, struct pt_config *config)
{
    config->frame_ctx = frames;
    config->frame_get = pt_frames_get;
    config->frame_put = pt_frames_put;
    config->frame_shared = pt_frames_shared;
}

static uint32_t count_at(const struct pt_frames *frames, unsigned level, uint64_t offset)
{
    return atomic_load_explicit(&frames->counts[level][offset >> shift_of(level)], memory_order_relaxed);
}

static void set_count(struct pt_frames *frames, unsigned level, uint64_t offset, uint32_t count)
{
    atomic_store_explicit(&frames->counts[level][offset >> shift_of(level)], count, memory_order_relaxed);
}

static void lock_unit(struct pt_frames *frames, uint64_t offset)
{
    while (atomic_exchange_explicit(&frames->locks[offset >> UNIT_SHIFT], 1, memory_order_acquire))
        ;
}

static void unlock_unit(struct pt_frames *frames, uint64_t offset)
{
    atomic_store_explicit(&frames->locks[offset >> UNIT_SHIFT], 0, memory_order_release);
}

/* Where the part of [offset, end) that lies in offset's unit ends. */
static uint64_t unit_end(uint64_t offset, uint64_t end)
{
    uint64_t stop = ((offset >> UNIT_SHIFT) + 1) << UNIT_SHIFT;

    return stop < end ? stop : end;
}

/* Under the unit's lock. */
static void add_to(_Atomic uint32_t *counts, uint64_t count, uint32_t addend)
{
    for (uint64_t i = 0; i < count; i++)
        atomic_store_explicit(&counts[i], atomic_load_explicit(&counts[i], memory_order_relaxed) + addend,
                              memory_order_relaxed);
}

static bool get_in_unit(struct pt_frames *frames, unsigned level, uint64_t offset, uint64_t end)
{
    _Atomic uint32_t *counts = &frames->counts[level][offset >> shift_of(level)];
    uint64_t count = (end - offset) >> shift_of(level), got = 0;

    lock_unit(frames, offset);
    for (; got < count; got++) {
        uint32_t seen = atomic_load_explicit(&counts[got], memory_order_relaxed);

        if (seen >= MAX_COUNT)
            break;
        atomic_store_explicit(&counts[got], seen + 1, memory_order_relaxed);
    }
    if (got < count)
        add_to(counts, got, UINT32_MAX); /* minus one: as before */
    unlock_unit(frames, offset);
    return got == count;
}

static bool is_free(const struct pt_frames *frames, uint64_t offset)
{
    return count_at(frames, 1, offset) == 0 && count_at(frames, 2, offset) == 0 && count_at(frames, 3, offset) == 0;
}

/* Frames that became free and are not yet reported. Nobody else can have a reference to them. */
struct free_run {
    uint64_t offset, frames;
};

static void report(const struct pt_frames *frames, struct free_run *run)
{
    if (run->frames > 0 && frames->released)
        frames->released(frames->ctx, frames->hpa + run->offset, run->frames);
    run->frames = 0;
}

static bool extends(const struct free_run *run, uint64_t offset)
{
    return run->frames == 0 || run->offset + (run->frames << PT_PAGE_SHIFT) == offset;
}

/* Adds one frame; if it begins another run, the caller has reported the last one. */
static void extend(struct free_run *run, uint64_t offset)
{
    if (run->frames == 0)
        run->offset = offset;
    run->frames++;
}

/* The end of the 2 MiB block around the offset, or `end` if that comes first. */
static uint64_t block_end(uint64_t offset, uint64_t end)
{
    uint64_t stop = ((offset >> shift_of(2)) + 1) << shift_of(2);

    return stop < end ? stop : end;
}

/* Drops a reference on each of these frames, all in one 2 MiB block, up to the first that becomes free and does not
 * extend the run. Answers how far it came. */
static uint64_t put_in_block(struct pt_frames *frames, uint64_t offset, uint64_t end, struct free_run *run)
{
    bool held = count_at(frames, 2, offset) != 0 || count_at(frames, 3, offset) != 0;
    uint64_t at = offset;

    for (; at < end; at += PT_PAGE_SIZE) {
        uint32_t left = count_at(frames, 1, at) - 1;

        if (left == 0 && !held) {
            if (!extends(run, at))
                break;
            extend(run, at);
        }
        set_count(frames, 1, at, left);
    }
    return at;
}

/* Drops a reference on each of these frames, all in one unit. */
static void put_frames(struct pt_frames *frames, uint64_t offset, uint64_t end, struct free_run *run)
{
    lock_unit(frames, offset);
    for (uint64_t at = offset; at < end;) {
        uint64_t stop = block_end(at, end);

        at = put_in_block(frames, at, stop, run);
        if (at < stop) {
            unlock_unit(frames, at);
            report(frames, run);
            lock_unit(frames, at);
        }
    }
    unlock_unit(frames, offset);
}

/* Drops a reference on one 2 MiB block. Which of its frames are free is decided at one moment, under the lock: a moment
 * later another put may free, and report, a frame that this one must not report as well. */
static void put_block(struct pt_frames *frames, uint64_t offset, struct free_run *run)
{
    bool freed[PT_ENTRIES] = {false};

    lock_unit(frames, offset);
    set_count(frames, 2, offset, count_at(frames, 2, offset) - 1);
    for (unsigned i = 0; count_at(frames, 2, offset) == 0 && i < PT_ENTRIES; i++)
        freed[i] = is_free(frames, offset + i * PT_PAGE_SIZE);
    unlock_unit(frames, offset);
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        if (!freed[i])
            continue;
        if (!extends(run, offset + i * PT_PAGE_SIZE))
            report(frames, run);
        extend(run, offset + i * PT_PAGE_SIZE);
    }
}

/* Drops a reference on a whole unit. The last one is first turned into one on each of its blocks, then these go. */
static void put_unit(struct pt_frames *frames, uint64_t offset, struct free_run *run)
{
    uint64_t end = offset + ((uint64_t)1 << UNIT_SHIFT), block = (uint64_t)1 << shift_of(2);
    bool last;

    lock_unit(frames, offset);
    last = count_at(frames, 3, offset) == 1;
    for (uint64_t at = offset; last && at < end; at += block)
        set_count(frames, 2, at, count_at(frames, 2, at) + 1);
    set_count(frames, 3, offset, count_at(frames, 3, offset) - 1);
    unlock_unit(frames, offset);
    for (uint64_t at = offset; last && at < end; at += block)
        put_block(frames, at, run);
}

/* [hpa, + count leaves) as offsets; false: not wholly counted here. */
static bool locate_run(const struct pt_frames *frames, uint64_t hpa, unsigned level, uint64_t count, uint64_t *end)
{
    uint64_t bytes = frames->frames << PT_PAGE_SHIFT;

    if (level < 1 || level > PT_HUGE_LEVEL || hpa < frames->hpa || hpa - frames->hpa >= bytes)
        return false;
    if ((hpa & (((uint64_t)1 << shift_of(level)) - 1)) != 0 || count > (bytes - (hpa - frames->hpa)) >> shift_of(level))
        return false;
    *end = hpa - frames->hpa + (count << shift_of(level));
    return true;
}

bool pt_frames_get(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    struct pt_frames *frames = ctx;
    uint64_t end, at, start = hpa - frames->hpa;

    if (!locate_run(frames, hpa, level, count, &end))
        return false;
    for (at = start; at < end; at = unit_end(at, end)) {
        if (get_in_unit(frames, level, at, unit_end(at, end)))
            continue;
        if (at > start)
            pt_frames_put(frames, hpa, level, (at - start) >> shift_of(level));
        return false;
    }
    return true;
}

void pt_frames_put(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    struct pt_frames *frames = ctx;
    struct free_run run = {0};
    uint64_t end, step;

    if (!locate_run(frames, hpa, level, count, &end))
        return;
    for (uint64_t at = hpa - frames->hpa; at < end; at = step) {
        step = level == 1 ? unit_end(at, end) : at + ((uint64_t)1 << shift_of(level));
        if (level == 1)
            put_frames(frames, at, step, &run);
        else if (level == 2)
            put_block(frames, at, &run);
        else
            put_unit(frames, at, &run);
    }
    report(frames, &run);
}

/* Under the unit's lock: has anybody a reference on leaves of this level in [offset, end)? */
static bool is_held(const struct pt_frames *frames, unsigned level, uint64_t offset, uint64_t end)
{
    for (; offset < end; offset += (uint64_t)1 << shift_of(level))
        if (count_at(frames, level, offset) != 0)
            return true;
    return false;
}

bool pt_frames_shared(void *ctx, uint64_t hpa, unsigned level)
{
    struct pt_frames *frames = ctx;
    uint64_t offset = hpa - frames->hpa, end;
    bool shared;

    if (!locate_run(frames, hpa, level, 1, &end))
        return true;
    lock_unit(frames, offset);
    shared = count_at(frames, level, offset) > 1;
    for (unsigned other = 1; other <= PT_HUGE_LEVEL && !shared; other++)
        shared =
            other > level ? count_at(frames, other, offset) != 0 : other < level && is_held(frames, other, offset, end);
    unlock_unit(frames, offset);
    return shared;
}

uint64_t pt_frames_references(const struct pt_frames *frames, uint64_t hpa)
{
    uint64_t references = 0;

    /* From the largest down: a split counts the parts before it gives up the whole, at once, so that whoever does not find
     * the whole any more finds a part. */
    for (unsigned level = PT_HUGE_LEVEL; level >= 1; level--)
        references += pt_frames_count(frames, hpa, level);
    return references;
}

uint32_t pt_frames_count(const struct pt_frames *frames, uint64_t hpa, unsigned level)
{
    uint64_t end;

    return locate_run(frames, hpa & ~((pt_slot_size(level)) - 1), level, 0, &end)
               ? count_at(frames, level, hpa - frames->hpa)
               : 0;
}
