/* Makes the scenes of ept_edges_body.h, runs each operation on each of them, and compares all there is afterwards. */

static void (*const edge_operations[])(void) = {
    edge_unmap,        edge_protect,         edge_protect_next,    edge_take_next,  edge_take_subtree,
    edge_find,         edge_query,           edge_map_range,       edge_map,        edge_split,
    edge_harvest_look, edge_harvest_clear,   edge_harvest_both,    edge_copy_alike, edge_copy_a_page_off,
    edge_share_alike,  edge_share_elsewhere, edge_share_a_page_off};
#define EDGE_OPERATIONS (int)(sizeof(edge_operations) / sizeof(*edge_operations))

/* All slots, holes in front, behind, between, on both sides; single leaves; none. */
static const unsigned patterns[] = {0xf, 0xe, 0x7, 0x9, 0x6, 0x2, 0x5, 0x0};

/* A tree that shares with the scene's: none, or it is the source, or the destination. */
enum sharer { NO_SHARER, SHARED_OUT, SHARED_IN, SHARERS };

/* Where every access is checked, a part of the cases must do: what a sanitizer finds does not need them all. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define THINNED 7u
#else
#define THINNED 1u
#endif

static unsigned cases, turns;

static void make_scene(enum sharer sharer)
{
    uint64_t size = pt_slot_size(s.level);

    for (unsigned i = 0; i < 4; i++) {
        uint64_t hpa = HPA + i * size;

        if (!(s.pattern & 1u << i))
            continue;
        OK(F(cursor_init)(&c, &w.pt, s.base + i * size, size, PT_WRITE, &w.gather));
        OK(F(cursor_map)(&c, hpa, s.level, slot_props[i]));
        F(cursor_end)(&c);
        spans_append(&s.is, (struct span){s.base + i * size, s.base + (i + 1) * size, hpa, slot_props[i]});
    }
    s.tree = sharer == SHARED_IN ? &w2 : &w;
    if (sharer == NO_SHARER)
        return;
    open_both(0, 0);
    OK(F(cursor_share_from)(&c2, &c, w.pt.size));
    F(cursor_end)(&c2);
    F(cursor_end)(&c);
    spans_protect(&s.is, 0, UINT64_MAX, read_only);
}

/* Empties a tree and checks that this frees all it used. */
static void clear_tree(struct world *tree)
{
    OK(F(cursor_init)(&c, &tree->pt, 0, tree->pt.size, PT_WRITE, &tree->gather));
    OK(F(cursor_unmap_range)(&c, tree->pt.size));
    F(cursor_end)(&c);
    F(gather_sync)(&tree->gather);
}

static void verify_scene(enum sharer sharer, const struct spans *other)
{
    struct world *const all[3] = {&w, &w2, &w3};

    for (unsigned i = 0; i < 3; i++) {
        F(gather_sync)(&all[i]->gather);
        sound(all[i]);
    }
    same_picture(picture(s.tree, false), &s.is, "the tree");
    same_picture(picture(&w3, false), &s.far, "where the copies went");
    same_picture(picture(s.tree == &w ? &w2 : &w, false), other, "the other side");
    if (sharer != NO_SHARER || s.far.count > 0 || cases % 16 == 0)
        adds_up(all, 3);
    EQ(w.early, 0);
    EQ(w.underflows, 0);
}

static void run_case(void (*operation)(void), enum sharer sharer)
{
    struct spans none = {0}, shared;

    cases++;
    world_arm(&w);
    w.undoing = true;
    make_scene(sharer);
    F(gather_sync)(&w.gather);
    F(gather_sync)(&w2.gather);
    w.undoing = false;
    shared = sharer == NO_SHARER ? none : spans_slice(&s.is, 0, UINT64_MAX);
    world_arm(&w);
    open_scene(&c);
    operation();
    F(cursor_end)(&c);
    verify_scene(sharer, &shared);
    clear_tree(&w3);
    clear_tree(&w);
    clear_tree(&w2);
    EQ(tables(), 3);
    for (unsigned level = 1; level <= 3; level++)
        EQ(w.held[level], 0);
    spans_free(&shared);
    spans_free(&s.is);
    spans_free(&s.far);
}

/* All ranges between these points, which are near the edges of the scene's slots. */
static void run_ranges(void (*operation)(void), enum sharer sharer)
{
    uint64_t size = pt_slot_size(s.level);
    uint64_t points[7] = {
        0, KIB4, size - KIB4, size, 2 * size + pt_slot_size(s.level > 1 ? s.level - 1 : 1), 4 * size - KIB4, 4 * size};

    for (unsigned i = 0; i < 7; i++)
        for (unsigned j = i + 1; j < 7; j++)
            for (unsigned wide = 0; wide < 2; wide++) {
                if (points[j] <= points[i] || (sharer != NO_SHARER && (i + j) % 2 != wide) || turns++ % THINNED != 0)
                    continue;
                s.from = s.base + points[i];
                s.length = points[j] - points[i];
                s.wide = wide;
                run_case(operation, sharer);
            }
}

START_TEST(every_operation_at_every_edge)
{
    void (*operation)(void) = edge_operations[_i];

    w.light = true;
    for (s.level = 1; s.level <= 3; s.level++) {
        uint64_t size = pt_slot_size(s.level), edges[4] = {0, GIB1, 512 * GIB1, w.pt.size};

        for (unsigned place = 0; place < 4; place++) {
            if (edges[place] > 0 && edges[place] < 2 * size)
                continue;
            s.base = place == 0 ? 0 : place == 3 ? edges[3] - 4 * size : edges[place] - 2 * size;
            for (unsigned p = 0; p < sizeof(patterns) / sizeof(*patterns); p++)
                for (unsigned sharer = 0; sharer < SHARERS; sharer++) {
                    /* With a sharer every second pattern does; without leaves there is nothing to share. */
                    s.pattern = patterns[p];
                    if (sharer == NO_SHARER || (p % 2 == place % 2 && s.pattern))
                        run_ranges(operation, (enum sharer)sharer);
                }
        }
    }
    HOLDS(cases > 300);
}
END_TEST
