/* What x86-64 tables give on emulated processors, as a guest's own and as nested tables of SVM, stated by hand: from
 * the SDM, volume 3, "4-Level Paging and 5-Level Paging" and "Access Rights", and the APM, volume 2, "Nested Paging".
 */
#include <check.h>

#include "tests/hw/probe/scenario.h"

#define ALL (1u << SKYLAKE | 1u << RYZEN | 1u << EPYC | 1u << EPYC5)
#define AMD (1u << RYZEN | 1u << EPYC | 1u << EPYC5)

/* Error codes. */
#define P    1u
#define W    2u
#define U    4u
#define RSVD 8u
#define I    16u
#define NONE ~0u /* no fault */

/* EXITINFO1 of a nested page fault, besides an error code: the translation of the guest's own access, or of an entry
 * that its walker reads. All nested accesses are a user's, and those of the walker are writes. */
#define FINAL   (1ull << 32)
#define WALKING (1ull << 33)

/* Bits of an entry. */
#define ENTRY_W  0x2u
#define ENTRY_U  0x4u
#define ENTRY_PS 0x80u
#define ENTRY_NX (1ull << 63)

/* Flags of a probe. */
#define SUPERVISOR (PROBE_WP | PROBE_NXE)
#define USER       (PROBE_WP | PROBE_NXE | PROBE_USER)

static const enum probe_access accesses[3] = {PROBE_READ, PROBE_WRITE, PROBE_FETCH};
static const unsigned access_bits[3] = {0, W, I};

/* One leaf each of 4 KiB, 2 MiB and 1 GiB, and a page in it that lies in RAM: [level]. */
static const uint64_t leaf_hpa[4] = {0, 0x6001000, 0x6200000, 0}, page_in[4] = {0, 0, 0x5000, 0x6400000};

/* Where the guest's own code shares no entry, so that only the access itself leaves marks; but for the top one of five
 * levels of nested tables, as 40 bits of address do not reach the next. */
static uint64_t far(const struct scenario *s)
{
    return s->image->header.subject == PROBE_GUEST ? s->image->subject->pt.size / 2 : 520 * GIB1;
}

static void state_access(struct scenario *s, uint64_t page, unsigned flags, enum probe_access access, unsigned code,
                         unsigned level)
{
    s->flags = flags | PROBE_CLEAR;
    if (code == NONE)
        state_frame(s, page, access, leaf_hpa[level] + page_in[level]);
    else
        state_fault(s, page, access, code);
}

static const struct {
    pt_prop prop;
    unsigned flags, codes[3]; /* read, write, fetch */
} leaves[] = {
    /* A user's page, and a user. */
    {PT_RWX | PT_U, USER, {NONE, NONE, NONE}},
    {PT_RX | PT_U, USER, {NONE, P | W | U, NONE}},
    {PT_RX | PT_U, USER & ~PROBE_WP, {NONE, P | W | U, NONE}}, /* WP is for supervisors */
    {PT_RW | PT_U, USER, {NONE, NONE, P | U | I}},
    {PT_R | PT_U, USER, {NONE, P | W | U, P | U | I}},
    {PT_U, USER, {U, W | U, U | I}}, /* not present */
    /* A supervisor's page. */
    {PT_RWX, USER, {P | U, P | W | U, P | U | I}},
    {PT_RWX, SUPERVISOR, {NONE, NONE, NONE}},
    {PT_RX, SUPERVISOR, {NONE, P | W, NONE}},
    {PT_RX, SUPERVISOR & ~PROBE_WP, {NONE, NONE, NONE}},
    {PT_RW, SUPERVISOR, {NONE, NONE, P | I}},
    {0, SUPERVISOR, {0, W, I}},
    /* A user's page, and a supervisor. */
    {PT_RWX | PT_U, SUPERVISOR, {NONE, NONE, NONE}},
    {PT_RX | PT_U, SUPERVISOR, {NONE, P | W, NONE}},
    {PT_RWX | PT_U, SUPERVISOR | PROBE_SMEP, {NONE, NONE, P | I}},
    {PT_RWX | PT_U, SUPERVISOR | PROBE_SMAP, {P, P | W, NONE}},
    {PT_RX | PT_U, (SUPERVISOR & ~PROBE_WP) | PROBE_SMAP, {P, P | W, NONE}},
    {PT_RWX | PT_U, USER | PROBE_SMEP | PROBE_SMAP, {NONE, NONE, NONE}},
    {PT_RWX, SUPERVISOR | PROBE_SMEP | PROBE_SMAP, {NONE, NONE, NONE}},
    /* Without NXE, NX is reserved; a fetch is told apart only with NXE or SMEP. */
    {PT_RWX | PT_U, USER & ~PROBE_NXE, {NONE, NONE, NONE}},
    {PT_RW | PT_U, USER & ~PROBE_NXE, {P | U | RSVD, P | W | U | RSVD, P | U | RSVD}},
    {PT_RW | PT_U, (USER & ~PROBE_NXE) | PROBE_SMEP, {P | U | RSVD, P | W | U | RSVD, P | U | RSVD | I}},
    {PT_RWX, USER & ~PROBE_NXE, {P | U, P | W | U, P | U}},
    {PT_RWX, (USER & ~PROBE_NXE) | PROBE_SMEP, {P | U, P | W | U, P | U | I}},
};

static void rights_of_leaves(struct scenario *s)
{
    for (unsigned level = 1; level <= 3; level++) {
        for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
            uint64_t at = (level * 32 + i) * GIB1;

            scenario_map(s, at, leaf_hpa[level], level, leaves[i].prop | PT_WB);
            for (unsigned a = 0; a < 3; a++)
                state_access(s, at + page_in[level], leaves[i].flags, accesses[a], leaves[i].codes[a], level);
        }
    }
}

/* Rights of the entries above count as much as the leaf's. */
static void rights_are_anded(struct scenario *s)
{
    for (unsigned level = 2; level <= 3; level++) {
        uint64_t at = far(s) + level * 8 * GIB1;

        for (unsigned i = 0; i < 3; i++)
            scenario_map(s, at + i * GIB1, leaf_hpa[1], 1, PT_RWX | PT_U | PT_WB);
        scenario_edit(s, at, level, ENTRY_W, 0);
        scenario_edit(s, at + GIB1, level, ENTRY_U, 0);
        scenario_edit(s, at + 2 * GIB1, level, 0, ENTRY_NX);
        for (unsigned a = 0; a < 3; a++) {
            unsigned code = P | U | access_bits[a];

            state_access(s, at, USER, accesses[a], a == 1 ? code : NONE, 1);
            state_access(s, at + GIB1, USER, accesses[a], code, 1);
            state_access(s, at + 2 * GIB1, USER, accesses[a], a == 2 ? code : NONE, 1);
        }
    }
    for (unsigned level = 4; level <= s->image->header.levels; level++) {
        uint64_t at = far(s) + 2 * pt_slot_size(level);

        scenario_map(s, at, leaf_hpa[1], 1, PT_RWX | PT_U | PT_WB);
        scenario_edit(s, at, level, ENTRY_W, 0);
        state_access(s, at, USER, PROBE_WRITE, P | W | U, 1);
        state_access(s, at, USER, PROBE_READ, NONE, 1);
    }
}

static void marks(struct scenario *s)
{
    bool is_told = !(s->judge->quirks & QUIRK_A_BEFORE_FAULT); /* of faulting walks */
    unsigned skip = 5 - s->image->header.levels;

    for (unsigned level = 1; level <= 3; level++) {
        static const char *const read[4] = {"", "AAAAA", "AAAA", "AAA"}, *const written[4] = {"", "AAAAD", "AAAD",
                                                                                              "AAD"};
        static const char *const none[4] = {"", "-----", "----", "---"};
        uint64_t at = far(s) + level * 8 * GIB1;

        scenario_map(s, at, leaf_hpa[level], level, PT_RWX | PT_U | PT_WB);
        for (unsigned a = 0; a < 3; a++) {
            state_access(s, at + page_in[level], USER, accesses[a], NONE, level);
            state_marks(s, (a == 1 ? written : read)[level] + skip);
        }
        scenario_map(s, at + 4 * GIB1, leaf_hpa[level], level, PT_RX | PT_U | PT_WB);
        state_access(s, at + page_in[level] + 4 * GIB1, USER, PROBE_WRITE, P | W | U, level);
        if (is_told)
            state_marks(s, none[level] + skip);
    }
}

/* Addresses beyond the levels' reach that are not a sign extension of any within. */
static void not_canonical(struct scenario *s)
{
    for (unsigned bit = pt_slot_shift(s->image->header.levels + 1u); bit < 64; bit++)
        for (unsigned a = 0; a < 3; a++)
            state_protection(s, 1ull << bit, accesses[a]);
}

/* What a fault by reserved bits is called where the tables are: a page fault of the guest, or a nested one. */
static uint64_t reserved_code(const struct scenario *s)
{
    return s->image->header.subject == PROBE_GUEST ? P | RSVD : FINAL | P | RSVD | U;
}

static void break_leaf(struct scenario *s, uint64_t at, unsigned level, unsigned bit)
{
    scenario_map(s, at, leaf_hpa[level], level, PT_RWX | PT_U | PT_WB);
    scenario_edit(s, at, level, 0, 1ull << bit);
    state_fault(s, at + page_in[level], PROBE_READ, reserved_code(s));
}

static void break_table(struct scenario *s, uint64_t at, unsigned level, unsigned bit)
{
    scenario_map(s, at, leaf_hpa[1], 1, PT_RWX | PT_U | PT_WB);
    scenario_edit(s, at, level, 0, 1ull << bit);
    state_fault(s, at, PROBE_READ, reserved_code(s));
}

static void reserved_bits(struct scenario *s)
{
    uint64_t at = 4 * GIB1;

    for (unsigned level = 1; level <= 3; level++)
        for (unsigned bit = JUDGE_MAXPHYADDR; bit < 52; bit++, at += GIB1)
            break_leaf(s, at, level, bit);
    for (unsigned level = 2; level <= 3; level++) {
        for (unsigned bit = JUDGE_MAXPHYADDR; bit < 52; bit++, at += GIB1)
            break_table(s, at, level, bit);
        for (unsigned bit = 13; bit < 12 + 9 * (level - 1); bit++, at += GIB1) /* alignment; bit 12 is PAT */
            break_leaf(s, at, level, bit);
    }
    break_table(s, far(s), 4, 7); /* no page is that large */
    if (s->image->header.levels == 5 && s->image->header.subject == PROBE_GUEST)
        break_table(s, far(s) + pt_slot_size(5), 5, 7);
}

static void ignored_bits(struct scenario *s)
{
    scenario_map(s, 4 * GIB1, leaf_hpa[1], 1, PT_RWX | PT_U | PT_WB | PT_SOFT0 | PT_SOFT1 | PT_SOFT2);
    scenario_map(s, 5 * GIB1, leaf_hpa[2], 2, PT_RWX | PT_U | PT_UC | PT_G);
    for (unsigned level = 1; level <= 3; level++)
        scenario_edit(s, 4 * GIB1, level, 0, 0x7ffull << 52 | 7ull << 9);
    scenario_edit(s, 5 * GIB1, 2, 0, 1ull << 12); /* PAT */
    state_frame(s, 4 * GIB1, PROBE_WRITE, leaf_hpa[1]);
    state_frame(s, 4 * GIB1, PROBE_FETCH, leaf_hpa[1]);
    state_frame(s, 5 * GIB1 + page_in[2], PROBE_READ, leaf_hpa[2] + page_in[2]);
}

static void nested_rights(struct scenario *s)
{
    static const struct {
        pt_prop prop;
        unsigned codes[3];
    } nested[] = {
        {PT_RWX | PT_U, {NONE, NONE, NONE}},
        {PT_RX | PT_U, {NONE, P | W | U, NONE}},
        {PT_RW | PT_U, {NONE, NONE, P | U | I}},
        {PT_R | PT_U, {NONE, P | W | U, P | U | I}},
        {PT_RWX, {P | U, P | W | U, P | U | I}}, /* a supervisor's page: all nested accesses are a user's */
        {PT_U, {U, W | U, U | I}},
    };

    for (unsigned level = 1; level <= 3; level++) {
        for (unsigned i = 0; i < sizeof(nested) / sizeof(nested[0]); i++) {
            uint64_t at = (level * 8 + i) * GIB1, page = at + page_in[level];

            scenario_map(s, at, leaf_hpa[level], level, nested[i].prop | PT_WB);
            for (unsigned a = 0; a < 3; a++) {
                if (nested[i].codes[a] == NONE)
                    state_frame(s, page, accesses[a], leaf_hpa[level] + page_in[level]);
                else
                    state_fault(s, page, accesses[a], FINAL | nested[i].codes[a]);
            }
        }
    }
    for (unsigned a = 0; a < 3; a++)
        state_fault(s, 600 * GIB1, accesses[a], FINAL | U | access_bits[a]);
}

static void nested_walks(struct scenario *s)
{
    uint64_t at = far(s);

    scenario_map(s, at, leaf_hpa[1], 1, PT_RW | PT_U | PT_WB);
    state_frame(s, at, PROBE_WALK, 0);
    state_marks(s, &"AAAAD"[5 - s->image->header.levels]);
    scenario_map(s, at + KIB4, leaf_hpa[1], 1, PT_RX | PT_U | PT_WB);
    state_fault(s, at + KIB4, PROBE_WALK, WALKING | P | W | U);
    state_fault(s, at + 2 * KIB4, PROBE_WALK, WALKING | W | U);
    scenario_map(s, at + 3 * KIB4, leaf_hpa[1], 1, PT_RW | PT_WB);
    state_fault(s, at + 3 * KIB4, PROBE_WALK, WALKING | P | W | U);
}

/* Frames all over 40 bits: in RAM where QEMU has it, else by the local APIC, which is moved there. */
static void high_frames(struct scenario *s)
{
    for (unsigned bit = 32; bit < JUDGE_MAXPHYADDR; bit++) {
        uint64_t at = bit * GIB1, hpa = (1ull << bit) + 7 * GIB1;
        bool is_ram = s->judge->ram[1][1] != 0;

        if (bit == JUDGE_MAXPHYADDR - 1 && is_ram)
            hpa = 1ull << bit;
        scenario_map(s, at, hpa + 0x7000, 1, PT_RWX | PT_U | PT_WB);
        scenario_map(s, at + MIB2, hpa, 2, PT_RWX | PT_U | PT_WB);
        scenario_map(s, at + 64 * GIB1, hpa, 3, PT_RWX | PT_U | PT_WB);
        state_frame(s, at, PROBE_READ, is_ram ? hpa + 0x7000 : PROBE_DEVICE_VALUE);
        state_frame(s, at, PROBE_WRITE, is_ram ? hpa + 0x7000 : PROBE_DEVICE_VALUE);
        state_frame(s, at + MIB2 + 0x9000, PROBE_READ, is_ram ? hpa + 0x9000 : PROBE_DEVICE_VALUE);
        state_frame(s, at + 64 * GIB1 + 0x3456000, PROBE_WRITE, is_ram ? hpa + 0x3456000 : PROBE_DEVICE_VALUE);
    }
}

/* A fork shares tables by taking W from the entries above: both sides fault until they have their own. */
static void fork_shares(struct scenario *s)
{
    struct image *image = s->image;
    bool is_nested = image->header.subject == PROBE_NESTED;
    uint64_t at = 4 * GIB1, refusal = is_nested ? FINAL | P | W | U : P | W;
    struct tree *tree;

    for (unsigned i = 0; i < 4; i++)
        scenario_map(s, at + i * KIB4, leaf_hpa[1] + i * KIB4, 1, PT_RWX | PT_U | PT_WB);
    ck_assert(image_fork(image));
    tree = image->subject;
    ck_assert_int_eq(tree->operations->unmap(tree, at + KIB4, KIB4), PT_OK);
    ck_assert_int_eq(tree->operations->map_leaf(tree, at + KIB4, 0x7001000, 1, PT_RWX | PT_U | PT_WB), PT_OK);
    image_adopt(image);
    tree = image->subject;
    ck_assert_int_eq(tree->operations->unmap(tree, at + 2 * KIB4, KIB4), PT_OK);
    ck_assert_int_eq(tree->operations->map_leaf(tree, at + 2 * KIB4, 0x7002000, 1, PT_RWX | PT_U | PT_WB), PT_OK);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t frame = i == 2 ? 0x7002000 : leaf_hpa[1] + i * KIB4;

        state_frame(s, at + i * KIB4, PROBE_READ, frame);
        state_frame(s, at + i * KIB4, PROBE_FETCH, frame);
        if (i == 2)
            state_frame(s, at + i * KIB4, PROBE_WRITE, frame);
        else
            state_fault(s, at + i * KIB4, PROBE_WRITE, refusal);
    }
}

#define GUEST                                                                                                          \
    {                                                                                                                  \
        .subject = PROBE_GUEST, .nested_ad = true                                                                      \
    }
#define NESTED                                                                                                         \
    {                                                                                                                  \
        .subject = PROBE_NESTED                                                                                        \
    }

static const struct scenario_row rows[] = {
    {"rights of leaves", rights_of_leaves, ALL, GUEST},
    {"rights are ANDed", rights_are_anded, ALL, GUEST},
    {"marks", marks, ALL, GUEST},
    {"not canonical", not_canonical, ALL, GUEST},
    {"reserved bits", reserved_bits, ALL, GUEST},
    {"ignored bits", ignored_bits, ALL, GUEST},
    {"high frames", high_frames, ALL, GUEST},
    {"shared tables", fork_shares, ALL, GUEST},
    {"rights in nested tables", nested_rights, AMD, NESTED},
    {"walks in nested tables", nested_walks, AMD, NESTED},
    {"reserved bits in nested tables", reserved_bits, AMD, NESTED},
    {"ignored bits in nested tables", ignored_bits, AMD, NESTED},
    {"high frames in nested tables", high_frames, AMD, NESTED},
    {"shared nested tables", fork_shares, AMD, NESTED},
};

int main(void)
{
    return scenario_main("probes of x86-64 tables", rows, sizeof(rows) / sizeof(rows[0]));
}
