/* Tests of resolving writes copy-on-write, for one format and number of levels: what is told, who gets a copy, and that
 * no processor writes to one while others may read the old frames. Follows ept_share_body.h. */

#define WRITER (COUNTED | PT_WRITABLE | PT_X)

/* Copies go one after the other to frames that nothing maps. */
struct copier {
    uint64_t next, from; /* where the next copy goes; what was copied last */
    unsigned level, calls, calls_left;
    uint64_t wrong; /* what is answered instead, unless 0 */
};
static struct copier copier;

static bool copy_frames_of(void *ctx, uint64_t hpa, unsigned level, uint64_t *copy)
{
    uint64_t size = pt_slot_size(level);

    HOLDS(ctx == &copier);
    if (copier.calls_left == 0)
        return false;
    copier.calls_left--;
    copier.calls++;
    copier.from = hpa;
    copier.level = level;
    copier.next = (copier.next + size - 1) & ~(size - 1);
    *copy = copier.wrong ? copier.wrong : copier.next;
    copier.next += size;
    return true;
}

/* While old translations may be in use nobody can write to the new frames, though they are there. */
static uint64_t watched_page, new_frames;

static void flush_and_look(void *ctx, const struct pt *pt, unsigned why, const struct pt_range *ranges, size_t count)
{
    struct world *tree = pt == &w.pt ? &w : &w2;

    if (watched_page != 0) {
        EQ(walk(tree, watched_page, WALK_READ).pa, new_frames);
        HOLDS(walk(tree, watched_page, WALK_WRITE).result != WALK_OK);
    }
    watched_page = 0;
    world_flush(ctx, pt, why, ranges, count);
}

static void setup_resolve(void)
{
    copier = (struct copier){.next = HPA + 5 * GIB1, .calls_left = 1000000};
    world_open(&w, PT_TEST_LEVELS);
    world_watch(&w);
    w.config.flush = flush_and_look;
    OK(F(init)(&w.pt, &w.config));
    F(gather_init)(&w.gather, &w.pt);
    open_tree(&w2);
    world_arm(&w);
}

static enum pt_status resolve(struct pt_cursor *cursor, unsigned level, enum pt_resolution *found, struct pt_item *item)
{
    return F(cursor_resolve)(cursor, level, copy_frames_of, &copier, found, item);
}

static void resolves(struct pt_cursor *cursor, unsigned level, enum pt_resolution expected, struct pt_item *item)
{
    enum pt_resolution found;
    uint64_t position = F(cursor_at)(cursor);

    OK(resolve(cursor, level, &found, item));
    EQ(found, expected);
    EQ(F(cursor_at)(cursor), position);
    EQ(item->at, position);
}

START_TEST(a_resolution_tells_what_is_there)
{
    struct pt_item item;
    enum pt_resolution found;

    claim(0, GIB1);
    OK(F(cursor_map)(&c, HPA, 1, WRITER & ~(PT_W | PT_WRITABLE)));
    OK(F(cursor_map)(&c, HPA, 1, WRITER));
    OK(F(cursor_map)(&c, HPA, 1, (WRITER & ~PT_RWX)));
    at(0);
    resolves(&c, 1, PT_RESOLVED_READ_ONLY, &item);
    EQ(item.kind, PT_LEAF);
    at(KIB4);
    resolves(&c, 1, PT_RESOLVED_ALREADY, &item);
    at(2 * KIB4);
    resolves(&c, 1, PT_RESOLVED_READ_ONLY, &item);
    at(3 * KIB4);
    resolves(&c, 1, PT_RESOLVED_HOLE, &item);
    EQ(item.kind, PT_HOLE);
    at(GIB1);
    IS(resolve(&c, 1, &found, &item), PT_END);
    at(0);
    IS(resolve(&c, 0, &found, &item), PT_EINVAL);
    IS(resolve(&c, 4, &found, &item), PT_EINVAL);
    IS(F(cursor_resolve)(&c, 1, NULL, NULL, &found, &item), PT_EINVAL);
    F(cursor_end)(&c);
    IS(resolve(&c, 1, &found, &item), PT_EMODE);
    OK(F(cursor_init)(&c, &w.pt, 0, GIB1, PT_READ, &w.gather));
    IS(resolve(&c, 1, &found, &item), PT_EMODE);
    EQ(copier.calls, 0);
    EQ(w.gather.nranges, 0);
}
END_TEST

START_TEST(who_alone_has_the_frames_gets_w_back_without_a_flush)
{
    unsigned level = (unsigned)_i;
    struct pt_item item;

    claim(0, 2 * GIB1);
    OK(F(cursor_map)(&c, HPA, level, WRITER | PT_D | PT_SOFT1));
    at(0);
    OK(F(cursor_protect_range)(&c, pt_slot_size(level), read_only));
    F(gather_sync)(&w.gather);
    at(pt_slot_size(level) - KIB4);
    resolves(&c, 1, PT_RESOLVED_SOLE, &item);
    EQ(item.level, level);
    EQ(item.prop, WRITER | PT_D | PT_SOFT1);
    EQ(w.gather.nranges, 0);
    EQ(copier.calls, 0);
    resolves(&c, 1, PT_RESOLVED_ALREADY, &item);
    /* Frames that nobody counts are nobody else's. */
    at(0);
    OK(F(cursor_unmap_range)(&c, GIB1));
    at(0);
    OK(F(cursor_map)(&c, HPA, level, (WRITER & ~(PT_W | PT_TRACKED))));
    at(0);
    resolves(&c, 1, PT_RESOLVED_SOLE, &item);
    HOLDS(walk(&w, KIB4 / 2, WALK_WRITE).result == WALK_OK);
}
END_TEST

/* Two trees share a page; whoever writes first gets the copy, the other one the page. */
START_TEST(the_first_writer_gets_the_copy_and_the_last_the_page)
{
    bool second_first = _i % 2;
    struct pt_cursor *first = second_first ? &c2 : &c, *last = second_first ? &c : &c2;
    struct world *writer = second_first ? &w2 : &w;
    struct pt_item item;

    map_small(0, MIB2, WRITER | PT_D);
    share(0, 0, 4 * MIB2);
    open_both(5 * KIB4, 5 * KIB4);
    world_arm(&w);
    world_arm(&w2);
    watched_page = 5 * KIB4;
    new_frames = copier.next;
    resolves(first, 1, PT_RESOLVED_COPY, &item);
    EQ(watched_page, 0);  /* there was a flush, */
    EQ(w.flushes, 1 + 1); /* one, besides that of the share */
    EQ(copier.from, HPA + 6 * KIB4);
    EQ(item.hpa, new_frames);
    EQ(item.prop, WRITER);
    EQ(walk(writer, 5 * KIB4, WALK_WRITE).pa, new_frames);
    resolves(last, 1, PT_RESOLVED_SOLE, &item);
    EQ(item.hpa, HPA + 6 * KIB4);
    EQ(item.prop, WRITER | PT_D);
    EQ(copier.calls, 1);
    done_two();
    both_add_up();
    EQ(w.held[1], 2 * 512); /* each tree has a table of its own by now */
}
END_TEST

/* A huge leaf that others have is split to `level` first, and no more of it is copied than that. */
START_TEST(a_huge_leaf_is_copied_in_pieces_or_whole)
{
    unsigned level = (unsigned)_i;
    struct pt_item item;

    claim(0, w.pt.size);
    OK(F(cursor_map)(&c, HPA, 3, WRITER));
    done();
    share(0, 0, 4 * GIB1);
    open_both(3 * MIB2 + KIB4, 3 * MIB2 + KIB4);
    resolves(&c2, level, PT_RESOLVED_COPY, &item);
    EQ(item.level, level);
    EQ(copier.level, level);
    EQ(copier.from, HPA + ((3 * MIB2 + KIB4) & ~(pt_slot_size(level) - 1)));
    EQ(look(0).level, 3);
    at(3 * MIB2 + KIB4);
    resolves(&c, level, PT_RESOLVED_SOLE, &item); /* of this piece */
    OK(F(cursor_jump)(&c2, 0));
    resolves(&c2, level, level == 3 ? PT_RESOLVED_ALREADY : PT_RESOLVED_COPY, &item);
    done_two();
    both_add_up();
}
END_TEST

START_TEST(a_leaf_beyond_the_claim_is_split)
{
    struct pt_item item;

    claim(0, GIB1);
    OK(F(cursor_map)(&c, HPA, 2, WRITER & ~PT_W));
    done();
    claim(4 * KIB4, 2 * KIB4);
    resolves(&c, 3, PT_RESOLVED_SOLE, &item);
    EQ(item.level, 1);
    EQ(item.hpa, HPA + 4 * KIB4);
    done();
    claim(0, GIB1);
    HOLDS((look(4 * KIB4).prop & PT_W) != 0);
    HOLDS((look(5 * KIB4).prop & PT_W) == 0);
    EQ(w.held[1], 512);
}
END_TEST

START_TEST(without_a_count_every_tracked_leaf_is_copied)
{
    struct pt_item item;

    F(destroy)(&w.pt);
    w.config.frame_shared = NULL;
    OK(F(init)(&w.pt, &w.config));
    claim(0, GIB1);
    OK(F(cursor_map)(&c, HPA, 1, WRITER & ~PT_W));
    at(0);
    resolves(&c, 1, PT_RESOLVED_COPY, &item);
    EQ(copier.from, HPA);
    EQ(w.held[1], 1);
    EQ(w.early, 0);
}
END_TEST

/* Tables, references and copies that fail one after the other: nothing has changed but page sizes, and in the end it
 * works. */
START_TEST(a_resolution_that_fails_changes_nothing)
{
    enum pt_status status = PT_ENOMEM;
    enum pt_resolution found;
    unsigned failures = 0;
    struct pt_item item;

    claim(0, w.pt.size);
    OK(F(cursor_map)(&c, HPA, 3, WRITER | PT_A));
    done();
    share(0, 0, 4 * GIB1);
    open_both(3 * MIB2 + KIB4, 3 * MIB2 + KIB4);
    for (unsigned k = 0; status != PT_OK; k++) {
        static const uint64_t wrong[2] = {HPA + 5 * GIB1 + 8, 1ull << 46};

        w.undoing = true;
        w2.undoing = true;
        w.allocations_left = w2.allocations_left = _i == 0 ? (long)k : -1;
        w.gets_left = w2.gets_left = _i == 1 ? (long)k : -1;
        copier.calls_left = _i == 2 ? k : 1000;
        copier.wrong = _i == 3 && k < 2 ? wrong[k] : 0;
        status = resolve(&c2, 1, &found, &item);
        w.allocations_left = w2.allocations_left = w.gets_left = w2.gets_left = -1;
        w.undoing = w2.undoing = false;
        if (status == PT_OK)
            break;
        failures++;
        IS(status, _i == 0 ? PT_ENOMEM : _i == 3 ? PT_EINVAL : PT_EFRAME);
        OK(F(cursor_query)(&c2, &item));
        EQ(item.prop, (WRITER | PT_A) & ~PT_W);
        EQ(item.hpa, HPA + ((3 * MIB2 + KIB4) & ~(item.length - 1)));
        EQ(F(cursor_at)(&c2), 3 * MIB2 + KIB4);
        EQ(look(0).level, 3);
        HOLDS(k < 100);
    }
    EQ(found, PT_RESOLVED_COPY);
    HOLDS(failures > 0);
    done_two();
    both_add_up();
}
END_TEST

/* A family of three, whose members write every page of a range in turns: in the end each has frames of its own. */
START_TEST(a_family_that_writes_everything_shares_nothing)
{
    struct world third;
    struct world *family[3] = {&w, &w2, &third};
    uint64_t random = 7;
    struct pt_item item;

    open_tree(&third);
    map_small(MIB2 - 8 * KIB4, 16 * KIB4, WRITER);
    share(0, 0, 4 * MIB2);
    claim(0, GIB1);
    OK(F(cursor_init)(&c2, &third.pt, 0, GIB1, PT_WRITE, &third.gather));
    OK(F(cursor_share_from)(&c2, &c, 4 * MIB2));
    F(cursor_end)(&c2);
    done();
    for (unsigned i = 0; i < 3 * 16 * 8; i++) {
        struct world *member;
        struct pt_cursor cursor;
        enum pt_resolution found;

        random = random * 6364136223846793005u + 1442695040888963407u;
        member = family[(random >> 40) % 3];
        OK(F(cursor_init)(&cursor, &member->pt, MIB2 - 8 * KIB4 + (random >> 33) % 16 * KIB4, KIB4, PT_WRITE,
                          &member->gather));
        OK(resolve(&cursor, 1, &found, &item));
        EQ(item.prop, WRITER);
        F(cursor_end)(&cursor);
        if (i % 5 == 0)
            F(gather_sync)(&member->gather);
    }
    for (unsigned i = 0; i < 3; i++) {
        OK(F(cursor_init)(&c, &family[i]->pt, MIB2 - 8 * KIB4, 16 * KIB4, PT_WRITE, &family[i]->gather));
        for (unsigned page = 0; page < 16; page++) {
            enum pt_resolution found;

            OK(resolve(&c, 1, &found, &item));
            OK(F(cursor_next)(&c));
            F(gather_sync)(&family[i]->gather);
            EQ(pt_frames_references(&w.frames, item.hpa), 1);
        }
        F(cursor_end)(&c);
        F(gather_sync)(&family[i]->gather);
    }
    for (unsigned i = 0; i < 3; i++)
        F(gather_sync)(&family[i]->gather);
    EQ(w.held[1], 3 * 16);
    HOLDS(copier.calls >= 2 * 16);
    adds_up(family, 3);
    close_tree(&third);
}
END_TEST

static void add_resolve_tests(TCase *tcase)
{
    tcase_add_test(tcase, a_resolution_tells_what_is_there);
    tcase_add_loop_test(tcase, who_alone_has_the_frames_gets_w_back_without_a_flush, 1, 4);
    tcase_add_loop_test(tcase, the_first_writer_gets_the_copy_and_the_last_the_page, 0, 2);
    tcase_add_loop_test(tcase, a_huge_leaf_is_copied_in_pieces_or_whole, 1, 3);
    tcase_add_test(tcase, a_leaf_beyond_the_claim_is_split);
    tcase_add_test(tcase, without_a_count_every_tracked_leaf_is_copied);
    tcase_add_loop_test(tcase, a_resolution_that_fails_changes_nothing, 0, 4);
    tcase_add_test(tcase, a_family_that_writes_everything_shares_nothing);
}
