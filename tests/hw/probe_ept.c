/* What EPT gives on emulated processors, stated by hand from the SDM, volume 3, "EPT Translation Mechanism",
 * "EPT-Induced VM Exits" and "Exit Qualification for EPT Violations"; on tables of the library and on broken ones. */
#include <check.h>

#include "tests/hw/probe/scenario.h"

#define INTEL (1u << SKYLAKE | 1u << HASWELL | 1u << BROADWELL)

/* Bits of the qualification: the access in 0 to 2, the rights of the walk in 3 to 5, and these. */
#define LINEAR       0x180u /* the linear address is valid, and the access was the translation of it */
#define WALKING      0x80u  /* the access was to an entry of the guest's own tables */
#define RIGHTS(prop) ((uint64_t)(prop) << 3)

/* Where the guest's own code and tables share no entry, so that only the access itself leaves marks. */
#define FAR (520 * GIB1)

static const enum probe_access accesses[3] = {PROBE_READ, PROBE_WRITE, PROBE_FETCH};

/* One leaf each of 4 KiB, 2 MiB and 1 GiB, and a page in it that lies in RAM: [level]. */
static const uint64_t leaf_hpa[4] = {0, 0x6001000, 0x6200000, 0}, page_in[4] = {0, 0, 0x5000, 0x6400000};

static void rights_of_leaves(struct scenario *s)
{
    static const pt_prop rights[6] = {PT_RWX, PT_RW, PT_RX, PT_R, PT_X, 0};

    for (unsigned level = 1; level <= 3; level++) {
        for (unsigned i = 0; i < 6; i++) {
            uint64_t at = (level * 8 + i) * GIB1, page = at + page_in[level];

            scenario_map(s, at, leaf_hpa[level], level, rights[i] | PT_WB);
            for (unsigned a = 0; a < 3; a++) {
                if (rights[i] & (1u << a))
                    state_frame(s, page, accesses[a], leaf_hpa[level] + page_in[level]);
                else
                    state_fault(s, page, accesses[a], 1u << a | RIGHTS(rights[i]) * (rights[i] != 0) | LINEAR);
            }
        }
    }
}

static void holes(struct scenario *s)
{
    scenario_map(s, 4 * GIB1, leaf_hpa[1], 1, PT_RWX | PT_WB);
    for (unsigned a = 0; a < 3; a++) {
        state_fault(s, 4 * GIB1 + KIB4, accesses[a], 1u << a | LINEAR);
        state_fault(s, 4 * GIB1 + MIB2, accesses[a], 1u << a | LINEAR);
        state_fault(s, 5 * GIB1, accesses[a], 1u << a | LINEAR);
        state_fault(s, 600 * GIB1, accesses[a], 1u << a | LINEAR);
    }
}

/* Rights of the entries above count as much as the leaf's: shared tables rest on that. */
static void rights_are_anded(struct scenario *s)
{
    for (unsigned level = 2; level <= 3; level++) {
        for (pt_prop without = PT_W; without <= PT_X; without <<= 1) {
            uint64_t at = (level * 8 + without) * GIB1;

            scenario_map(s, at, leaf_hpa[1], 1, PT_RWX | PT_WB);
            scenario_edit(s, at, level, without, 0);
            for (unsigned a = 0; a < 3; a++) {
                if (without & (1u << a))
                    state_fault(s, at, accesses[a], 1u << a | RIGHTS(PT_RWX & ~without) | LINEAR);
                else
                    state_frame(s, at, accesses[a], leaf_hpa[1]);
            }
        }
    }
}

static void marks(struct scenario *s)
{
    for (unsigned level = 1; level <= 3; level++) {
        static const char *const read[4] = {"", "AAAA", "AAA", "AA"}, *const written[4] = {"", "AAAD", "AAD", "AD"};
        static const char *const none[4] = {"", "----", "---", "--"};
        uint64_t at = FAR + level * 8 * GIB1, page = at + page_in[level], frame = leaf_hpa[level] + page_in[level];

        scenario_map(s, at, leaf_hpa[level], level, PT_RWX | PT_WB);
        for (unsigned a = 0; a < 3; a++) {
            state_frame(s, page, accesses[a], frame);
            state_marks(s, !s->image->header.nested_ad ? none[level] : a == 1 ? written[level] : read[level]);
        }
        scenario_map(s, at + 4 * GIB1, leaf_hpa[level], level, PT_R | PT_WB);
        state_fault(s, page + 4 * GIB1, PROBE_WRITE, 2 | RIGHTS(PT_R) | LINEAR);
        state_marks(s, none[level]);
    }
}

/* The walk of the guest's own tables reads entries there; with A and D on it counts as a write (SDM, "Accessed and
 * Dirty Flags for EPT"). */
static void guest_walks_with_ad(struct scenario *s)
{
    scenario_map(s, FAR, leaf_hpa[1], 1, PT_RW | PT_WB);
    state_frame(s, FAR, PROBE_WALK, 0);
    state_marks(s, "AAAD");
    scenario_map(s, FAR + KIB4, leaf_hpa[1], 1, PT_RX | PT_WB);
    state_fault(s, FAR + KIB4, PROBE_WALK, 3 | RIGHTS(PT_RX) | WALKING);
    state_fault(s, FAR + 2 * KIB4, PROBE_WALK, 3 | WALKING);
    state_marks(s, "----");
}

static void guest_walks_without_ad(struct scenario *s)
{
    scenario_map(s, FAR, leaf_hpa[1], 1, PT_R | PT_WB);
    state_frame(s, FAR, PROBE_WALK, 0);
    state_marks(s, "----");
    scenario_map(s, FAR + KIB4, leaf_hpa[1], 1, PT_X | PT_WB);
    state_fault(s, FAR + KIB4, PROBE_WALK, 1 | RIGHTS(PT_X) | WALKING);
}

static void memory_types(struct scenario *s)
{
    static const pt_prop types[5] = {PT_UC, PT_WC, PT_WT, PT_WP, PT_WB};

    for (unsigned level = 1; level <= 3; level++) {
        for (unsigned i = 0; i < 5; i++) {
            uint64_t at = (level * 8 + i) * GIB1;

            scenario_map(s, at, leaf_hpa[level], level, PT_RWX | types[i] | (i % 2 ? PT_IPAT : 0));
            state_frame(s, at + page_in[level], PROBE_READ, leaf_hpa[level] + page_in[level]);
        }
        for (uint64_t type = 2; type <= 7; type++) {
            uint64_t at = (level * 8 + 5 + (type == 7 ? 2 : type - 2)) * GIB1 + 64 * GIB1;

            if (type >= 4 && type <= 6)
                continue;
            scenario_map(s, at, leaf_hpa[level], level, PT_RWX | PT_UC);
            scenario_edit(s, at, level, 0, type << 3);
            state_misconfig(s, at + page_in[level], PROBE_READ);
        }
    }
}

/* Each in a leaf or table of its own; what the library refuses to make. */
static void misconfigurations(struct scenario *s)
{
    uint64_t at = 4 * GIB1;

    for (unsigned level = 1; level <= 3; level++) {
        static const uint64_t rights[2] = {2, 6}; /* write alone, write and execute */

        for (unsigned i = 0; i < 2; i++, at += GIB1) {
            scenario_map(s, at, leaf_hpa[level], level, PT_RWX | PT_WB);
            scenario_edit(s, at, level, 7, rights[i]);
            for (unsigned a = 0; a < 3; a++)
                state_misconfig(s, at + page_in[level], accesses[a]);
        }
        for (unsigned bit = JUDGE_MAXPHYADDR; bit < 52; bit++, at += GIB1) {
            scenario_map(s, at, leaf_hpa[level], level, PT_RWX | PT_WB);
            scenario_edit(s, at, level, 0, 1ull << bit);
            state_misconfig(s, at + page_in[level], PROBE_READ);
        }
    }
    for (unsigned level = 2; level <= 3; level++) {
        for (unsigned bit = 3; bit <= 6; bit++, at += GIB1) { /* reserved in an entry that points at a table */
            scenario_map(s, at, leaf_hpa[1], 1, PT_RWX | PT_WB);
            scenario_edit(s, at, level, 0, 1ull << bit);
            state_misconfig(s, at, PROBE_READ);
        }
        for (unsigned bit = 12; bit < 12 + 9 * (level - 1); bit++, at += GIB1) { /* alignment of a large page */
            scenario_map(s, at, leaf_hpa[level], level, PT_RWX | PT_WB);
            scenario_edit(s, at, level, 0, 1ull << bit);
            if (bit == 12 && (s->judge->quirks & QUIRK_EPT_BIT12))
                state_frame(s, at + page_in[level], PROBE_READ, leaf_hpa[level] + page_in[level]);
            else
                state_misconfig(s, at + page_in[level], PROBE_READ);
        }
    }
    scenario_map(s, 600 * GIB1, leaf_hpa[1], 1, PT_RWX | PT_WB);
    scenario_edit(s, 600 * GIB1, 4, 0, 1u << 7); /* no page is that large */
    state_misconfig(s, 600 * GIB1, PROBE_READ);
}

/* What hardware ignores is the library's to use. */
static void ignored_bits(struct scenario *s)
{
    scenario_map(s, 4 * GIB1, leaf_hpa[1], 1, PT_RWX | PT_WB | PT_SOFT0 | PT_SOFT1 | PT_SOFT2);
    for (unsigned level = 1; level <= 3; level++)
        scenario_edit(s, 4 * GIB1, level, 0, 0x1full << 52);
    scenario_edit(s, 4 * GIB1, 1, 0, 1u << 7); /* a leaf of level 1 needs no bit that says so */
    for (unsigned a = 0; a < 3; a++)
        state_frame(s, 4 * GIB1, accesses[a], leaf_hpa[1]);
}

/* Beyond RAM: the local APIC is moved there, and must answer. */
static void high_frames(struct scenario *s)
{
    for (unsigned bit = 32; bit < JUDGE_MAXPHYADDR; bit++) {
        uint64_t at = (uint64_t)bit * GIB1, hpa = 1ull << bit | 0x7000;

        scenario_map(s, at, hpa, 1, PT_RWX | PT_UC);
        scenario_map(s, at + MIB2, 1ull << bit, 2, PT_RWX | PT_UC);
        scenario_map(s, at + 64 * GIB1, 1ull << bit, 3, PT_RWX | PT_UC);
        state_frame(s, at, PROBE_READ, PROBE_DEVICE_VALUE);
        state_frame(s, at, PROBE_WRITE, PROBE_DEVICE_VALUE);
        state_frame(s, at + MIB2 + 0x9000, PROBE_READ, PROBE_DEVICE_VALUE);
        state_frame(s, at + 64 * GIB1 + 0x3456000, PROBE_WRITE, PROBE_DEVICE_VALUE);
    }
}

/* A fork shares tables by taking W from the entries above: both sides violate until they have their own. */
static void fork_shares(struct scenario *s, bool child)
{
    struct image *image = s->image;
    struct tree *tree;
    uint64_t at = 4 * GIB1;

    for (unsigned i = 0; i < 4; i++)
        scenario_map(s, at + i * KIB4, leaf_hpa[1] + i * KIB4, 1, PT_RWX | PT_WB);
    scenario_map(s, at + GIB1, leaf_hpa[2], 2, PT_RW | PT_WB);
    ck_assert(image_fork(image));
    /* The other side resolves its violation of the second page; this one that of the third. */
    tree = child ? image->subject : &image->child;
    ck_assert_int_eq(tree->operations->unmap(tree, at + KIB4, KIB4), PT_OK);
    ck_assert_int_eq(tree->operations->map_leaf(tree, at + KIB4, 0x7001000, 1, PT_RWX | PT_WB), PT_OK);
    if (child)
        image_adopt(image);
    tree = image->subject;
    ck_assert_int_eq(tree->operations->unmap(tree, at + 2 * KIB4, KIB4), PT_OK);
    ck_assert_int_eq(tree->operations->map_leaf(tree, at + 2 * KIB4, 0x7002000, 1, PT_RWX | PT_WB), PT_OK);

    for (unsigned i = 0; i < 4; i++) {
        uint64_t frame = i == 2 ? 0x7002000 : leaf_hpa[1] + i * KIB4;

        state_frame(s, at + i * KIB4, PROBE_READ, frame);
        state_frame(s, at + i * KIB4, PROBE_FETCH, frame);
        if (i == 2)
            state_frame(s, at + i * KIB4, PROBE_WRITE, frame);
        else
            state_fault(s, at + i * KIB4, PROBE_WRITE, 2 | RIGHTS(PT_RX) | LINEAR);
    }
    state_fault(s, at + GIB1 + 0x5000, PROBE_WRITE, 2 | RIGHTS(PT_R) | LINEAR);
    state_frame(s, at + GIB1 + 0x5000, PROBE_READ, leaf_hpa[2] + 0x5000);
}

static void fork_parent(struct scenario *s)
{
    fork_shares(s, false);
}

static void fork_child(struct scenario *s)
{
    fork_shares(s, true);
}

/* Pieces of a leaf keep its bits; a leaf made of pieces has all of theirs. */
static void split_and_collapse(struct scenario *s)
{
    struct tree *tree = s->image->subject;
    uint64_t at = 4 * GIB1;

    s->flags &= ~PROBE_CLEAR;
    scenario_map(s, at, leaf_hpa[2], 2, PT_RW | PT_WT | PT_A | PT_D);
    scenario_map(s, at + GIB1, leaf_hpa[2], 2, PT_RW | PT_WB | PT_A);
    ck_assert_int_eq(tree->operations->split(tree, at + 0x5000, 1), PT_OK);
    ck_assert_int_eq(tree->operations->split(tree, at + GIB1, 1), PT_OK);
    ck_assert_int_eq(tree->operations->collapse(tree, at + GIB1, 2), PT_OK);
    state_frame(s, at + 0x5000, PROBE_READ, leaf_hpa[2] + 0x5000);
    state_marks(s, "AAAD");
    state_frame(s, at + 0x1ff000, PROBE_WRITE, leaf_hpa[2] + 0x1ff000);
    state_fault(s, at + 0x6000, PROBE_FETCH, 4 | RIGHTS(PT_RW) | LINEAR);
    state_frame(s, at + GIB1 + 0x5000, PROBE_READ, leaf_hpa[2] + 0x5000);
    state_marks(s, "AAA");
    state_frame(s, at + GIB1 + 0x6000, PROBE_WRITE, leaf_hpa[2] + 0x6000);
    state_marks(s, "AAD");
}

#define AD_ON                                                                                                          \
    {                                                                                                                  \
        .subject = PROBE_NESTED, .nested_ad = true                                                                     \
    }
#define AD_OFF                                                                                                         \
    {                                                                                                                  \
        .subject = PROBE_NESTED                                                                                        \
    }

static const struct scenario_row rows[] = {
    {"rights of leaves", rights_of_leaves, INTEL, AD_ON},
    {"holes", holes, INTEL, AD_ON},
    {"rights are ANDed", rights_are_anded, INTEL, AD_ON},
    {"marks", marks, INTEL, AD_ON},
    {"no marks", marks, INTEL, AD_OFF},
    {"walks of the guest", guest_walks_with_ad, INTEL, AD_ON},
    {"walks of the guest without A and D", guest_walks_without_ad, INTEL, AD_OFF},
    {"memory types", memory_types, INTEL, AD_ON},
    {"misconfigurations", misconfigurations, INTEL, AD_ON},
    {"ignored bits", ignored_bits, INTEL, AD_ON},
    {"high frames", high_frames, INTEL, AD_ON},
    {"a parent's shared tables", fork_parent, INTEL, AD_ON},
    {"a child's shared tables", fork_child, INTEL, AD_ON},
    {"split and collapse", split_and_collapse, INTEL, AD_ON},
};

int main(void)
{
    return scenario_main("probes of EPT", rows, sizeof(rows) / sizeof(rows[0]));
}
