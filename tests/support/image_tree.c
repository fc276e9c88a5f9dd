/* Trees of every kind and their images: see image_tree.h. */
#include "tests/support/image_tree.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define KIND(name, n)                                                                                                  \
    {                                                                                                                  \
        .format = #name, .levels = (n), .init = name##_init, .destroy = name##_destroy,                                \
        .gather_init = name##_gather_init, .gather_sync = name##_gather_sync, .cursor_init = name##_cursor_init,       \
        .cursor_init_inside = name##_cursor_init_inside, .cursor_end = name##_cursor_end,                              \
        .cursor_jump = name##_cursor_jump, .cursor_query = name##_cursor_query, .cursor_map = name##_cursor_map,       \
        .cursor_share_from = name##_cursor_share_from, .count = name##_count, .dump = name##_dump,                     \
        .image = name##_image                                                                                          \
    }

const struct tree_kind tree_kinds[TREE_KINDS] = {KIND(ept, 4), KIND(ept, 5), KIND(x86, 4), KIND(x86, 5)};

void tree_open(struct tree *tree, const struct tree_kind *kind, uint64_t seed)
{
    struct world *world = &tree->world;

    tree->kind = kind;
    tree->random = seed * 2 + 1;
    world_open(world, kind->levels);
    ck_assert_int_eq(kind->init(&world->pt, &world->config), PT_OK);
    kind->gather_init(&world->gather, &world->pt);
    world->undoing = true; /* what is freed when is another test's matter */
}

void tree_close(struct tree *tree)
{
    tree->kind->gather_sync(&tree->world.gather);
    tree->kind->destroy(&tree->world.pt);
    ck_assert_uint_eq(pt_arena_used(&tree->world.arena), 0);
    world_close(&tree->world);
}

uint64_t tree_random(struct tree *tree, uint64_t limit)
{
    tree->random = tree->random * 6364136223846793005u + 1442695040888963407u;
    return ((tree->random >> 32) * limit) >> 32;
}

uint64_t tree_map(struct tree *tree, uint64_t address, uint64_t hpa, unsigned level, uint64_t count, pt_prop prop)
{
    const struct tree_kind *kind = tree->kind;
    struct world *world = &tree->world;
    uint64_t size = pt_slot_size(level), mapped = 0;
    struct pt_cursor cursor;

    ck_assert_int_eq(
        kind->cursor_init(&cursor, &world->pt, address, world->pt.size - address, PT_WRITE, &world->gather), PT_OK);
    while (mapped < count && world->pt.size - address > mapped * size) {
        enum pt_status status = kind->cursor_map(&cursor, hpa + mapped * size, level, prop);

        if (status == PT_EOCCUPIED)
            break;
        ck_assert_msg(status == PT_OK, "%s: properties %x", pt_status_name(status), prop);
        mapped++;
    }
    kind->cursor_end(&cursor);
    return mapped;
}

void tree_share(struct tree *tree, uint64_t to, uint64_t from, uint64_t length)
{
    const struct tree_kind *kind = tree->kind;
    struct world *world = &tree->world;
    struct pt_cursor outer, dst, src;

    ck_assert_int_eq(kind->cursor_init(&outer, &world->pt, 0, world->pt.size, PT_WRITE, &world->gather), PT_OK);
    ck_assert_int_eq(kind->cursor_init_inside(&dst, &outer, to, length), PT_OK);
    ck_assert_int_eq(kind->cursor_init_inside(&src, &outer, from, length), PT_OK);
    ck_assert_int_eq(kind->cursor_share_from(&dst, &src, length), PT_OK);
    kind->cursor_end(&src);
    kind->cursor_end(&dst);
    kind->cursor_end(&outer);
}

/* Where things are mapped, and then where they are shared. */
#define GIB       pt_slot_size(3)
#define FAR       (pt_slot_size(4) * 5)
#define SHARED    (pt_slot_size(4) * 9)
#define MISPLACED (pt_slot_size(4) * 11 + pt_slot_size(2))

/* A few places rather than all over the address space: the first five, or also those that are shared to. */
static uint64_t some_place(struct tree *tree, unsigned places)
{
    const uint64_t top = tree->world.pt.size - 4 * GIB;
    const uint64_t all[] = {0, 2 * GIB, FAR, top / 2, top, SHARED, MISPLACED};

    return all[tree_random(tree, places)] + tree_random(tree, 4) * GIB;
}

static pt_prop some_prop(struct tree *tree)
{
    static const pt_prop rights[] = {PT_RWX, PT_RX, PT_RW, PT_R, 0, PT_X};
    static const pt_prop ept_types[] = {PT_WB, PT_UC, PT_WC, PT_WT, PT_WP};
    static const pt_prop x86_types[] = {PT_WB, PT_UC, PT_UCMINUS, PT_WT};
    bool ept = tree_is_ept(tree->kind);
    pt_prop prop =
        rights[tree_random(tree, ept ? 6 : 5)] | (ept ? ept_types : x86_types)[tree_random(tree, ept ? 5 : 4)];
    pt_prop others =
        PT_A | PT_D | PT_TRACKED | PT_WRITABLE | PT_SOFT0 | PT_SOFT1 | PT_SOFT2 | (ept ? PT_IPAT : PT_U | PT_G);

    return prop | ((pt_prop)tree_random(tree, PT_ALL + 1u) & others);
}

void tree_fill(struct tree *tree)
{
    static const uint64_t most[] = {0, 700, 300, 3}; /* leaves in a run, by level */

    for (unsigned i = 0; i < 60; i++) {
        unsigned level = 1 + (unsigned)tree_random(tree, 3);
        uint64_t size = pt_slot_size(level), count = 1 + tree_random(tree, most[level]);
        uint64_t address = some_place(tree, 5) + tree_random(tree, pt_slot_size(3) / size) * size;
        uint64_t hpa = WORLD_HPA + tree_random(tree, pt_slot_size(3) / size) * size;
        pt_prop prop = some_prop(tree);

        /* A run may be followed by its continuation with other properties, or by the same with a gap in HPA. */
        address += size * tree_map(tree, address, hpa, level, count, prop);
        if (address < tree->world.pt.size)
            tree_map(tree, address, hpa + count * size, level, 3, i % 2 ? prop : some_prop(tree));
    }
    /* Whole tables of level 3, and, aligned otherwise, those of level 1 and pieces. */
    tree_share(tree, SHARED, FAR, pt_slot_size(4));
    tree_share(tree, MISPLACED, 0, GIB);
}

uint64_t tree_address(struct tree *tree)
{
    uint64_t address = some_place(tree, 7);

    switch (tree_random(tree, 4)) {
    case 0: /* just below or above something that tables begin and end at */
        address += (tree_random(tree, 512) << 21) - tree_random(tree, 2);
        break;
    case 1: /* anywhere */
        address = tree_random(tree, 1u << 31) << 31 | tree_random(tree, 1u << 31);
        break;
    default:
        address += tree_random(tree, pt_slot_size(3));
    }
    return address & (tree->world.pt.size - 1);
}

struct pt_item tree_look(struct tree *tree, uint64_t address)
{
    const struct tree_kind *kind = tree->kind;
    struct pt_cursor cursor;
    struct pt_item item;

    address &= ~(PT_PAGE_SIZE - 1);
    ck_assert_int_eq(kind->cursor_init(&cursor, &tree->world.pt, address, PT_PAGE_SIZE, PT_READ, &tree->world.gather),
                     PT_OK);
    ck_assert_int_eq(kind->cursor_query(&cursor, &item), PT_OK);
    kind->cursor_end(&cursor);
    return item;
}

void bytes_append(void *bytes, const char *text, size_t length)
{
    struct bytes *all = bytes;

    if (all->room <= all->length + length) {
        all->room = 2 * (all->length + length) + 64;
        all->data = realloc(all->data, all->room);
        ck_assert_ptr_nonnull(all->data);
    }
    memcpy(all->data + all->length, text, length);
    all->length += length;
    all->data[all->length] = 0;
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

struct bytes tree_image(struct tree *tree, uint64_t pa)
{
    struct bytes bytes = {0};

    ck_assert_int_eq(tree->kind->image(&tree->world.pt, pa, bytes_append, &bytes), PT_OK);
    return bytes;
}

struct bytes tree_dump(struct tree *tree, enum pt_dump_style style)
{
    struct bytes bytes = {0};

    bytes_append(&bytes, "", 0); /* nothing mapped is a text too */
    tree->kind->dump(&tree->world.pt, style, bytes_append, &bytes);
    return bytes;
}

struct walk_answer tree_walk(const struct pt_image *image, uint64_t address, enum walk_access access)
{
    unsigned shift = 64 - (12 + 9 * image->levels);
    struct walk_answer answer;

    if (image->format == PT_IMAGE_EPT)
        walk_ept(&image->memory, &image->ept, address, access, &answer);
    else
        walk_x86(&image->memory, &image->x86, (uint64_t)((int64_t)(address << shift) >> shift), access, &answer);
    return answer;
}
