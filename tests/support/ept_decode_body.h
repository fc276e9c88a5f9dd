/* Every combination of properties at every level, for one format and number of levels: what hardware takes comes back
 * as it went in, through query, lookup and the software MMU, and everything else is refused. Follows ept_lookup_body.h.
 */

/* The bits of a leaf that hardware reads besides rights and memory type, from the processors' manuals. */
struct manual {
    uint64_t a, d, g;
};
static const struct manual manual_ept = {.a = 1ull << 8, .d = 1ull << 9, .g = 0};
static const struct manual manual_x86 = {.a = 1ull << 5, .d = 1ull << 6, .g = 1ull << 8};

static bool may_be(pt_prop prop)
{
    pt_prop type = prop & PT_MT_MASK;
    bool r = prop & PT_R, wr = prop & PT_W, x = prop & PT_X;

    if (prop & ~PT_ALL)
        return false;
    if (is_ept()) {
        if ((prop & (PT_U | PT_G)) ||
            !(type == PT_UC || type == PT_WC || type == PT_WT || type == PT_WP || type == PT_WB))
            return false;
        return (!wr || r) && (!x || r || (w.config.caps & PT_CAP_EXEC_ONLY));
    }
    if ((prop & PT_IPAT) || !(type == PT_UC || type == PT_WT || type == PT_WB || type == PT_UCMINUS))
        return false;
    return r || (!wr && !x);
}

/* Of the default PAT: which entry says this. */
static unsigned pat_index(pt_prop prop)
{
    switch (prop & PT_MT_MASK) {
    case PT_WB:
        return 0;
    case PT_WT:
        return 1;
    case PT_UCMINUS:
        return 2;
    default:
        return 3;
    }
}

static void seen_by_hardware(uint64_t address, unsigned level, pt_prop prop)
{
    const struct manual *manual = is_ept() ? &manual_ept : &manual_x86;
    pt_prop rights[3] = {PT_R, PT_W, PT_X};
    struct walk_answer answer;
    uint64_t entry;

    for (unsigned access = 0; access < 3; access++) {
        answer = walk(&w, address + 0x123, (enum walk_access)access);
        HOLDS(answer.result != WALK_MISCONFIG);
        HOLDS(answer.result != WALK_NO_MEMORY);
        EQ(answer.result == WALK_OK, (prop & rights[access]) != 0);
        if (answer.result != WALK_OK) {
            if (!is_ept()) /* not present, or no right; never a reserved bit */
                EQ(answer.error_code & 9, prop & PT_R ? 1 : 0);
            continue;
        }
        EQ(answer.pa, HPA + GIB1 + (address & (pt_slot_size(level) - 1)) + 0x123);
        EQ(answer.level, level);
        EQ(answer.r, (prop & PT_R) != 0);
        EQ(answer.w, (prop & PT_W) != 0);
        EQ(answer.x, (prop & PT_X) != 0);
        if (is_ept()) {
            EQ(answer.memory_type, (prop & PT_MT_MASK) >> 12);
            EQ(answer.ipat, (prop & PT_IPAT) != 0);
        } else {
            EQ(answer.pat_index, pat_index(prop));
            EQ(answer.u, (prop & PT_U) != 0);
        }
    }
    answer = raw(&w, address);
    EQ(answer.steps[answer.nsteps - 1].level, level);
    entry = raw_leaf(&w, address);
    EQ((entry & manual->a) != 0, (prop & PT_A) != 0);
    EQ((entry & manual->g) != 0, (prop & PT_G) != 0);
    /* x86: D without W would be a page of a shadow stack. */
    EQ((entry & manual->d) != 0, (prop & PT_D) && (is_ept() || (prop & PT_W)));
    if (prop & PT_RWX) {
        EQ(entry & 1ull << 52, 0);
        return;
    }
    /* What a processor with L1TF would look for in its cache is no address of memory. */
    HOLDS((entry & 0x000ffffffffff000ull) >= 1ull << 51);
    HOLDS(answer.result == (is_ept() ? WALK_VIOLATION : WALK_PAGE_FAULT));
}

static void seen_by_software(uint64_t address, unsigned level, pt_prop prop)
{
    struct pt_item item;

    OK(F(lookup)(&w.pt, address, &item));
    EQ(item.kind, PT_LEAF);
    EQ(item.level, level);
    EQ(item.hpa, HPA + GIB1);
    EQ(item.prop, prop);
    item = look(address);
    EQ(item.prop, prop);
    EQ(item.hpa, HPA + GIB1);
}

/* By map, and by protect from the properties that differ in all that may differ. */
static void decode_all(unsigned level)
{
    uint64_t address = GIB1, inside = address + pt_slot_size(level) - KIB4;
    unsigned accepted = 0;

    claim(0, 4 * GIB1);
    for (pt_prop prop = 0; prop <= 2 * PT_ALL + 1; prop++) {
        at(address);
        IS(F(cursor_map)(&c, HPA + GIB1, level, prop), may_be(prop) ? PT_OK : PT_EINVAL);
        if (!may_be(prop)) {
            EQ(F(cursor_at)(&c), address);
            continue;
        }
        accepted++;
        seen_by_software(inside, level, prop);
        seen_by_hardware(inside, level, prop);
        EQ(w.held[level], (prop & PT_TRACKED) != 0);
        at(address);
        OK(F(cursor_unmap_range)(&c, pt_slot_size(level)));
        F(gather_sync)(&w.gather);
    }
    /* Rights by what the format allows, three soft bits, A, D, tracked, writable, and the format's own. */
    EQ(accepted, is_ept() ? 6 * 5 * 2 * 128 : 5 * 4 * 4 * 128);
}

START_TEST(what_is_mapped_decodes_to_what_was_encoded)
{
    decode_all((unsigned)_i);
}
END_TEST

/* protect sets exactly what it is told, from any state to any other: here each from the one before it. */
START_TEST(what_is_protected_decodes_to_what_was_encoded)
{
    unsigned level = (unsigned)_i;
    uint64_t address = GIB1;

    claim(0, 4 * GIB1);
    for (unsigned tracked = 0; tracked < 2; tracked++) {
        pt_prop last = PT_WB | (tracked ? PT_TRACKED : 0);

        map_at(address, HPA + GIB1, level, last);
        for (pt_prop prop = 0; prop <= PT_ALL; prop++) {
            pt_prop all = PT_ALL & ~(PT_TRACKED | (is_ept() ? PT_U | PT_G : PT_IPAT));
            struct pt_change change = {prop & ~PT_TRACKED, all};

            if ((prop & PT_TRACKED) != (last & PT_TRACKED))
                continue;
            at(address);
            IS(F(cursor_protect_range)(&c, pt_slot_size(level), change), may_be(prop) ? PT_OK : PT_EINVAL);
            last = may_be(prop) ? prop : last;
            seen_by_software(address, level, last);
            seen_by_hardware(address, level, last);
        }
        at(address);
        OK(F(cursor_unmap_range)(&c, GIB1));
        F(gather_sync)(&w.gather);
    }
}
END_TEST

START_TEST(capabilities_change_what_is_allowed)
{
    F(destroy)(&w.pt);
    w.config.caps &= ~PT_CAP_EXEC_ONLY;
    w.config.frame_get = NULL;
    w.config.frame_put = NULL;
    OK(F(init)(&w.pt, &w.config));
    claim(0, GIB1);
    for (pt_prop prop = 0; prop <= PT_ALL; prop++) {
        bool good = may_be(prop) && !(prop & PT_TRACKED);

        at(0);
        IS(F(cursor_map)(&c, HPA, 1, prop), good ? PT_OK : PT_EINVAL);
        if (!good)
            continue;
        at(0);
        OK(F(cursor_unmap_range)(&c, KIB4));
        F(gather_sync)(&w.gather);
    }
}
END_TEST

/* Holes, leaves and tables, at every level that has them. */
START_TEST(every_kind_of_entry_is_told_apart)
{
    struct pt_item item;

    claim(0, w.pt.size);
    for (unsigned level = 1; level <= 3; level++) {
        for (unsigned above = level + 1; above <= w.config.levels; above++) {
            uint64_t start = pt_slot_size(above);

            map_at(start, HPA, level, PT_UC); /* without rights, so that only software can tell */
            EQ(look(start).level, level);
            EQ(look(start).kind, PT_LEAF);
            EQ(look(start + pt_slot_size(level)).kind, PT_HOLE);
            EQ(look(start + pt_slot_size(level)).level, level);
            at(start);
            OK(F(cursor_take_subtree)(&c, pt_slot_size(above), &item));
            EQ(item.kind, PT_TABLE);
            EQ(item.level, above);
            EQ(item.start, start);
            EQ(item.frames, pt_slot_size(level) / KIB4);
            EQ(look(start).kind, PT_HOLE);
            F(gather_sync)(&w.gather);
        }
        map_at(0, HPA, level, PT_UC);
        at(0);
        OK(F(cursor_take_subtree)(&c, pt_slot_size(level), &item));
        EQ(item.kind, PT_LEAF);
        EQ(item.level, level);
        F(gather_sync)(&w.gather);
    }
}
END_TEST

static void add_decode_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, what_is_mapped_decodes_to_what_was_encoded, 1, 4);
    tcase_add_loop_test(tcase, what_is_protected_decodes_to_what_was_encoded, 1, 4);
    tcase_add_test(tcase, capabilities_change_what_is_allowed);
    tcase_add_test(tcase, every_kind_of_entry_is_told_apart);
}

int main(void)
{
    Suite *suite = suite_create("leaves: " F_TEXT(PT_TEST_FORMAT) ", " F_TEXT(PT_TEST_LEVELS) " levels");

    add_leaf_tests(add_group(suite, "split and collapse", setup, teardown));
    add_harvest_tests(add_group(suite, "harvest", setup, teardown));
    add_lookup_tests(add_group(suite, "lookup", setup, teardown));
    add_decode_tests(add_group(suite, "decoding", setup, teardown));
    return run_suite(suite);
}
