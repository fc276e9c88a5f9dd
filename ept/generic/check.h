/* Verifies every invariant of a tree, for tests and for an embedder that suspects corruption. */

struct check {
    struct pt *pt;
    struct pt_fault *fault;
    pt_leaf_fn leaf;
    void *ctx;
    struct pt_item first; /* the run of leaves being put together */
    uint64_t entry;       /* of its first leaf */
    uint64_t run;         /* leaves in it; 0: none */
};

static enum pt_status check_fail(struct check *check, const char *what, uint64_t address, uint64_t table,
                                 uint64_t entry, unsigned level)
{
    *check->fault = (struct pt_fault){.what = what,
                                      .address = address,
                                      .table = table,
                                      .entry = entry,
                                      .level = level,
                                      .index = pt_index(address, level)};
    return PT_ECORRUPT;
}

static enum pt_status check_report_run(struct check *check)
{
    uint64_t run = check->run;

    check->run = 0;
    return run > 0 && check->leaf ? check->leaf(check->ctx, &check->first, run) : PT_OK;
}

/* Adds a leaf to the run, or reports the run and begins another. */
static enum pt_status check_collect(struct check *check, uint64_t entry, uint64_t address, unsigned level)
{
    uint64_t size = pt_slot_size(level), next = fmt_piece(check->entry, check->run * size, level);
    enum pt_status status = PT_OK;

    if (check->run > 0 && check->first.level == level && check->first.start + check->run * size == address &&
        ((next ^ entry) & ~(FMT_A | FMT_DIRTY)) == 0) {
        check->run++;
        return PT_OK;
    }
    status = check_report_run(check);
    check->first = (struct pt_item){.kind = PT_LEAF,
                                    .level = level,
                                    .start = address,
                                    .length = size,
                                    .at = address,
                                    .hpa = fmt_address(entry),
                                    .frames = size >> PT_PAGE_SHIFT,
                                    .prop = fmt_prop(entry)};
    check->entry = entry;
    check->run = 1;
    return status;
}

/* What is wrong with this leaf, or NULL. */
static const char *leaf_defect(const struct pt *pt, uint64_t entry, unsigned level)
{
    pt_prop prop = fmt_prop(entry);
    uint64_t hpa = fmt_address(entry);

    if (level > highest_leaf(pt))
        return "leaf of a size the CPU has not";
    if (!pt_aligned(hpa, level))
        return "leaf not aligned to its size";
    if (!hpa_allowed(pt, hpa, pt_slot_size(level)))
        return "leaf beyond maxphyaddr";
    if (!fmt_memory_type_exists(prop))
        return "reserved memory type";
    if (!fmt_rights_allowed(entry, pt->config.caps))
        return "combination of rights that hardware refuses";
    if ((prop & PT_TRACKED) && !pt->config.frame_get)
        return "tracked leaf in a tree that counts no frames";
    if (!fmt_is_good_leaf(entry, level))
        return "leaf with bits that mean nothing here";
    return NULL;
}

/* What is wrong with this entry that points at a table, or NULL. A shared table may get another owner, through another
 * tree, while this looks: the entry that loses W then does so before. */
static const char *table_defect(const struct pt *pt, pt_entry *slot, uint64_t entry, unsigned level)
{
    const struct pt_table *table;
    uint32_t owners;

    if (!fmt_is_good_table(entry) || !hpa_allowed(pt, fmt_child(entry), PT_PAGE_SIZE))
        return "malformed table entry";
    table = pt_meta(pt, fmt_child(entry));
    owners = atomic_load_explicit(&table->owners, memory_order_acquire);
    if (atomic_load_explicit(&table->holder, memory_order_acquire) != 0)
        return "table still locked";
    if (table->level != level - 1)
        return "table of another level than its place";
    if (owners == 0)
        return "table without an owner";
    if (owners > 1 && !fmt_is_shared(pt_load(slot)))
        return "shared table that may be written through";
    return NULL;
}

static enum pt_status check_table(struct check *check, uint64_t table, unsigned level, uint64_t start, bool shared)
{
    const struct pt *pt = check->pt;
    const struct pt_table *meta = pt_meta(pt, table);
    pt_entry *entries = pt_entries(pt, table);
    unsigned live = 0;

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t entry = pt_load(&entries[i]), address = start + i * pt_slot_size(level), child = fmt_child(entry);
        enum pt_status status;
        const char *defect;

        if (!fmt_is_live(entry)) {
            if (entry != 0)
                return check_fail(check, "hole with bits set", address, table, entry, level);
            continue;
        }
        live++;
        if (fmt_is_leaf(entry, level)) {
            defect = leaf_defect(pt, entry, level);
            if (defect)
                return check_fail(check, defect, address, table, entry, level);
            status = check_collect(check, effective(entry, shared), address, level);
        } else {
            defect = table_defect(pt, &entries[i], entry, level);
            if (defect)
                return check_fail(check, defect, address, table, entry, level);
            status = check_table(check, child, level - 1, address, shared || fmt_is_shared(entry));
        }
        if (status != PT_OK)
            return status;
    }
    if (live != meta->live)
        return check_fail(check, "count of entries is wrong", start, table, meta->live, level);
    if (live == 0 && table != pt->root)
        return check_fail(check, "empty table", start, table, 0, level);
    return PT_OK;
}

enum pt_status PT_FN(check)(struct pt *pt, pt_leaf_fn leaf, void *ctx, struct pt_fault *fault)
{
    struct check check = {.pt = pt, .fault = fault, .leaf = leaf, .ctx = ctx};
    struct pt_table *root = pt_meta(pt, pt->root);
    enum pt_status status;

    *fault = (struct pt_fault){0};
    if (root->level != pt->config.levels || root->owners != 1)
        return check_fail(&check, "root of another level, or shared", 0, pt->root, 0, pt->config.levels);
    pt_lock_root(pt, root, (uintptr_t)&check);
    status = check_table(&check, pt->root, pt->config.levels, 0, false);
    if (status == PT_OK)
        status = check_report_run(&check);
    pt_unlock(root);
    return status;
}
