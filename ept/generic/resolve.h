/* Resolving a write to a page that lost W, copy-on-write: W comes back, with frames of its own where others have them.
 */

/* One resolution, of the leaf in which the cursor's path ends. */
struct resolving {
    struct pt_cursor *cursor;
    unsigned level; /* to which a leaf that others have too is split */
    pt_copy_fn copy;
    void *ctx;
};

/* The largest piece around the cursor's position that is inside the claim, of a leaf of this level. */
static unsigned piece_inside(const struct pt_cursor *cursor, unsigned level)
{
    while (pt_slot_start(cursor->at, level) < cursor->start || pt_slot_end(cursor->at, level) > cursor->end)
        level--;
    return level;
}

static bool is_frame_shared(const struct pt *pt, uint64_t entry, unsigned level)
{
    const struct pt_config *config = &pt->config;

    return fmt_is_tracked(entry) &&
           (!config->frame_shared || config->frame_shared(config->frame_ctx, fmt_address(entry), level));
}

static void give_write(const struct pt_cursor *cursor)
{
    change_leaf(path_entry(cursor, cursor->at), fmt_change((struct pt_change){.set = PT_W}),
                hardware_writes(cursor->pt));
}

/* The leaf, which is alone in its tables by now, gets a copy of its frames. Between the exchange and the flush it has
 * no W, so that whoever still has the old translation finds there what the new one says. */
static enum pt_status copy_frames(const struct resolving *resolving, uint64_t entry)
{
    struct pt_cursor *cursor = resolving->cursor;
    const struct pt *pt = cursor->pt;
    unsigned level = cursor->level;
    uint64_t copy, start = pt_slot_start(cursor->at, level), end = pt_slot_end(cursor->at, level);

    if (!resolving->copy(resolving->ctx, fmt_address(entry), level, &copy))
        return PT_EFRAME;
    if (!pt_aligned(copy, level) || !hpa_allowed(pt, copy, end - start))
        return PT_EINVAL;
    if (!frame_get(pt, copy, level, 1))
        return PT_EFRAME;
    gather_range(cursor->gather, PT_FLUSH_REMOVED, start, end);
    entry = atomic_exchange_explicit(path_entry(cursor, cursor->at),
                                     fmt_leaf(copy, level, fmt_prop(entry) & ~(PT_W | PT_D)), memory_order_acq_rel);
    gather_frames(cursor->gather, fmt_address(entry), level, 1, start, end);
    PT_FN(gather_sync)(cursor->gather);
    give_write(cursor);
    return PT_OK;
}

/* The leaf has PT_WRITABLE and not W. */
static enum pt_status resolve_leaf(const struct resolving *resolving, enum pt_resolution *found)
{
    struct pt_cursor *cursor = resolving->cursor;
    unsigned level = piece_inside(cursor, cursor->level);
    enum pt_status status = isolate(cursor, cursor->at, level);
    uint64_t entry;

    if (status != PT_OK)
        return status;
    entry = pt_load(path_entry(cursor, cursor->at));
    if (level > resolving->level && is_frame_shared(cursor->pt, entry, level)) {
        status = isolate(cursor, cursor->at, resolving->level);
        if (status != PT_OK)
            return status;
        entry = pt_load(path_entry(cursor, cursor->at));
    }
    if (is_frame_shared(cursor->pt, entry, cursor->level)) {
        *found = PT_RESOLVED_COPY;
        return copy_frames(resolving, entry);
    }
    *found = PT_RESOLVED_SOLE;
    give_write(cursor);
    return PT_OK;
}

enum pt_status PT_FN(cursor_resolve)(struct pt_cursor *cursor, unsigned level, pt_copy_fn copy, void *ctx,
                                     enum pt_resolution *found, struct pt_item *item)
{
    const struct resolving resolving = {.cursor = cursor, .level = level, .copy = copy, .ctx = ctx};
    enum pt_status status = PT_OK;
    enum pt_resolution what;
    uint64_t entry;

    if (cursor->top == 0 || !cursor->writes)
        return PT_EMODE;
    if (level == 0 || level > PT_HUGE_LEVEL || !copy)
        return PT_EINVAL;
    if (cursor->at == cursor->end)
        return PT_END;
    leave_shared(cursor);
    entry = locate_entry(cursor, cursor->at);
    if (!fmt_is_live(entry))
        what = PT_RESOLVED_HOLE;
    else if ((fmt_prop(entry) & PT_W) != 0)
        what = PT_RESOLVED_ALREADY;
    else if ((fmt_prop(entry) & (PT_R | PT_WRITABLE)) != (PT_R | PT_WRITABLE))
        what = PT_RESOLVED_READ_ONLY;
    else
        status = resolve_leaf(&resolving, &what);
    if (status != PT_OK)
        return status;
    fill_item(cursor->at, locate_entry(cursor, cursor->at), cursor->level, cursor->at, item);
    *found = what;
    return PT_OK;
}
