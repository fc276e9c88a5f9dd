/* Whole trees: making one, taking it down, counting what it has. */

static bool config_allowed(const struct pt_config *config)
{
    return config->alloc_table && config->free_table && !config->frame_get == !config->frame_put && config->meta_base &&
           !config->read_begin == !config->read_end && !config->read_begin == !config->quiesce &&
           config->meta_stride >= sizeof(struct pt_table) && config->meta_stride % _Alignof(struct pt_table) == 0 &&
           (config->levels == 4 || config->levels == 5) && config->maxphyaddr >= 32 && config->maxphyaddr <= 52 &&
           (config->caps & ~PT_CAP_ALL) == 0 && ((config->caps & PT_CAP_1G) == 0 || (config->caps & PT_CAP_2M) != 0);
}

enum pt_status PT_FN(init)(struct pt *pt, const struct pt_config *config)
{
    struct pt_spares spare;
    enum pt_status status;

    if (!config_allowed(config))
        return PT_EINVAL;
    pt->config = *config;
    pt->config.table_ctx = config->table_ctx ? config->table_ctx : config->ctx;
    pt->config.frame_ctx = config->frame_ctx ? config->frame_ctx : config->ctx;
    pt->size = pt_slot_size(config->levels + 1);
    status = pt_spares_fill(pt, &spare, 1);
    if (status == PT_OK)
        pt->root = pt_spares_take(pt, &spare, config->levels);
    return status;
}

void PT_FN(destroy)(struct pt *pt)
{
    const struct pt_config *config = &pt->config;
    const struct pt_range all = {.start = 0, .length = pt->size};

    if (config->flush)
        config->flush(config->ctx, pt, PT_FLUSH_REMOVED | PT_FLUSH_TABLES, &all, 1);
    if (config->quiesce)
        config->quiesce(config->ctx);
    drop_table(pt, pt->root);
}

static void count_table(const struct pt *pt, uint64_t table, unsigned level, bool shared,
                        struct pt_statistics *statistics)
{
    pt_entry *entries = pt_entries(pt, table);
    uint64_t leaves = 0, tracked = 0;

    statistics->tables[level]++;
    statistics->shared += shared;
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t entry = pt_load(&entries[i]);

        if (!fmt_is_live(entry))
            continue;
        if (!fmt_is_leaf(entry, level)) {
            count_table(pt, fmt_child(entry), level - 1, shared || fmt_is_shared(entry), statistics);
            continue;
        }
        leaves++;
        tracked += fmt_is_tracked(entry);
    }
    statistics->leaves[level] += leaves;
    statistics->frames += leaves << (pt_slot_shift(level) - PT_PAGE_SHIFT);
    statistics->tracked += tracked << (pt_slot_shift(level) - PT_PAGE_SHIFT);
}

void PT_FN(count)(struct pt *pt, struct pt_statistics *statistics)
{
    struct pt_gather gather;
    struct pt_cursor cursor;
    struct operation op;

    *statistics = (struct pt_statistics){0};
    PT_FN(gather_init)(&gather, pt);
    /* The whole tree: neither can fail. */
    if (PT_FN(cursor_init)(&cursor, pt, 0, pt->size, PT_READ, &gather) == PT_OK) {
        if (settle(&op, &cursor, 0, pt->size) == PT_OK) {
            count_table(pt, pt->root, pt->config.levels, false, statistics);
            finish(&op);
        }
        PT_FN(cursor_end)(&cursor);
    }
    PT_FN(gather_sync)(&gather);
}
