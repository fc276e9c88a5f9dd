/* See oracle.h. */
#include "tests/hw/probe/oracle.h"

#include <stdio.h>
#include <stdlib.h>

#define X86_TABLE             0x23ull /* as rom.c: present, writable, accessed */
#define NESTED_FAULT_FINAL    (1ull << 32)
#define NESTED_FAULT_IN_TABLE (1ull << 33)
#define EPT_AD                0x300ull
#define X86_AD                0x60ull
#define EPT_LEAF              0x80ull
#define BIT12                 0x1000ull
#define VECTOR_PROTECTION     13
#define VECTOR_PAGE_FAULT     14

static struct walk_memory memory_of(const struct image *image, enum probe_subject which)
{
    const struct tree *tree = &image->trees[which];

    return (struct walk_memory){.pa = tree->space->arena.pa,
                                .length = tree->space->arena.fresh * PT_PAGE_SIZE,
                                .offset = tree->config.entries_offset};
}

/* Changes of tables never lead out of them, or to an address that hardware takes. */
static void refuse_strays(const struct image *image, const struct walk_answer *answer, uint64_t address)
{
    if (answer->result != WALK_NO_MEMORY)
        return;
    fprintf(stderr, "walking %#llx leaves the tables (seed %llu)\n", (unsigned long long)address,
            (unsigned long long)image->seed);
    abort();
}

static void walk_guest(const struct image *image, uint64_t linear, enum walk_access access, unsigned flags, bool update,
                       struct walk_answer *answer)
{
    struct walk_memory memory = memory_of(image, PROBE_GUEST);
    struct walk_x86_mode mode = {.root = image->header.guest_root,
                                 .levels = image->trees[PROBE_GUEST].config.levels,
                                 .maxphyaddr = JUDGE_MAXPHYADDR,
                                 .pages_1g = true,
                                 .user = flags & PROBE_USER,
                                 .wp = flags & PROBE_WP,
                                 .nxe = flags & PROBE_NXE,
                                 .smep = flags & PROBE_SMEP,
                                 .smap = flags & PROBE_SMAP,
                                 .set_ad = update};

    walk_x86(&memory, &mode, linear, access, answer);
    refuse_strays(image, answer, linear);
}

/* `in_table`: the guest's walker reads an entry of its own there. Nested tables of SVM see that as a write. */
static void walk_nested(const struct image *image, uint64_t gpa, enum walk_access access, bool in_table, bool update,
                        struct walk_answer *answer)
{
    struct walk_memory memory = memory_of(image, PROBE_NESTED);
    bool ad = image->header.nested_ad;

    if (image->judge->nested == PROBE_EPT) {
        struct walk_ept_mode mode = {.root = image->header.nested_root,
                                     .levels = image->judge->nested_levels,
                                     .maxphyaddr = JUDGE_MAXPHYADDR,
                                     .exec_only = true,
                                     .pages_1g = true,
                                     .ad = update && ad,
                                     .paging_access = update && in_table};

        walk_ept(&memory, &mode, gpa, !update && in_table && ad ? WALK_WRITE : access, answer);
    } else {
        struct walk_x86_mode mode = {.root = image->header.nested_root,
                                     .levels = image->judge->nested_levels,
                                     .maxphyaddr = JUDGE_MAXPHYADDR,
                                     .pages_1g = true,
                                     .user = true,
                                     .wp = true,
                                     .nxe = true,
                                     .set_ad = update};

        walk_x86(&memory, &mode, gpa, in_table ? WALK_WRITE : access, answer);
    }
    refuse_strays(image, answer, gpa);
}

/* A nested access that counts; false where it ends the probe. */
static bool pass_nested(const struct image *image, uint64_t gpa, enum walk_access access, bool in_table,
                        struct probe_result *result, struct walk_answer *answer)
{
    walk_nested(image, gpa, access, in_table, true, answer);
    result->address = gpa;
    switch (answer->result) {
    case WALK_VIOLATION:
        result->outcome = PROBE_VIOLATION;
        result->code = answer->qualification;
        return false;
    case WALK_MISCONFIG:
        result->outcome = PROBE_MISCONFIG;
        return false;
    case WALK_PAGE_FAULT:
        result->outcome = PROBE_NESTED_FAULT;
        result->code = answer->error_code | (in_table ? NESTED_FAULT_IN_TABLE : NESTED_FAULT_FINAL);
        return false;
    default:
        return true;
    }
}

/* One access of the guest in both dimensions; false where it ends the probe. nwalked: entries under test it read. */
static bool pass(const struct image *image, uint64_t linear, enum walk_access access, unsigned flags,
                 struct probe_result *result, uint64_t *hpa, unsigned *nwalked)
{
    struct walk_answer guest, nested;

    walk_guest(image, linear, access, flags, true, &guest);
    *nwalked = guest.nsteps;
    for (unsigned i = 0; i < guest.nsteps; i++)
        if (!pass_nested(image, guest.steps[i].pa, WALK_READ, true, result, &nested))
            return false;
    if (guest.result != WALK_OK) {
        result->outcome = PROBE_EXCEPTION;
        result->vector = guest.nsteps ? VECTOR_PAGE_FAULT : VECTOR_PROTECTION; /* #GP: see walk_x86 */
        result->error_code = guest.error_code;
        result->address = guest.nsteps ? linear : 0;
        return false;
    }
    if (!pass_nested(image, guest.pa, access, false, result, &nested)) {
        *nwalked = image->header.subject == PROBE_NESTED ? nested.nsteps : *nwalked;
        return false;
    }
    if (image->header.subject == PROBE_NESTED)
        *nwalked = nested.nsteps;
    *hpa = nested.pa;
    result->address = 0;
    return true;
}

/* The guest's walker goes through an entry at the probe's address, and on to the marker in its code's page. */
static bool pass_walk(const struct image *image, const struct probe *probe, struct probe_result *result,
                      unsigned *nwalked)
{
    uint64_t slot = image->header.guest_root + PROBE_WALK_SLOT * 8;
    struct walk_answer nested;
    unsigned steps;

    if (!pass_nested(image, slot, WALK_READ, true, result, &nested))
        return false;
    if (!pass_nested(image, probe->address, WALK_READ, true, result, &nested)) {
        *nwalked = nested.nsteps;
        return false;
    }
    steps = nested.nsteps;
    if (!pass_nested(image, PROBE_STUB_GPA + PROBE_STUB_MARKER_OFFSET, WALK_READ, false, result, &nested))
        return false;
    *nwalked = steps;
    result->address = 0;
    result->outcome = PROBE_OK;
    result->code = PROBE_STUB_MARKER;
    return true;
}

static const enum walk_access accesses[] = {
    [PROBE_READ] = WALK_READ,   [PROBE_WRITE] = WALK_WRITE,   [PROBE_FETCH] = WALK_FETCH,
    [PROBE_READ32] = WALK_READ, [PROBE_WRITE32] = WALK_WRITE, [PROBE_WALK] = WALK_READ,
};

static void expect_result(const struct image *image, const struct probe *probe, struct probe_result *result,
                          unsigned *nwalked)
{
    bool is_device = probe->access == PROBE_READ32 || probe->access == PROBE_WRITE32;
    uint64_t hpa, stub = image->header.stub[probe->flags & PROBE_USER ? 1 : 0];

    /* The guest's code is fetched first; where even that fails, the probe never comes to its access. */
    if (!pass(image, stub + probe->access * PROBE_STUB_SIZE, WALK_FETCH, probe->flags, result, &hpa, nwalked))
        return;
    if (probe->access == PROBE_WALK) {
        pass_walk(image, probe, result, nwalked);
        return;
    }
    if (!pass(image, probe->address, accesses[probe->access], probe->flags, result, &hpa, nwalked))
        return;
    result->outcome = PROBE_OK;
    result->code = is_device ? PROBE_DEVICE_VALUE : hpa & ~(PT_PAGE_SIZE - 1);
}

/* QUIRK_EPT_BIT12: the entry whose bit 12 the judge overlooks. The walk, which takes it for reserved, must not see
 * it either. */
static uint64_t *overlooked(const struct image *image, uint64_t address)
{
    uint64_t *path[5], *last;

    if (!(image->judge->quirks & QUIRK_EPT_BIT12) || image->header.format != PROBE_EPT)
        return NULL;
    last = path[image_path(image, address, path) - 1];
    if (last == image_entry(image, address, 1))
        return NULL;
    return (*last & (EPT_LEAF | BIT12)) == (EPT_LEAF | BIT12) ? last : NULL;
}

unsigned oracle_expect(const struct image *image, const struct probe *probe, struct expectation *expected)
{
    uint64_t *path[5], flags = image->header.format == PROBE_EPT ? EPT_AD : X86_AD;
    uint64_t *quirk = overlooked(image, probe->address);
    unsigned count = image_path(image, probe->address, path);

    *expected = (struct expectation){0};
    if (probe->flags & PROBE_CLEAR)
        for (unsigned i = 0; i < count; i++)
            *path[i] &= ~flags;
    if (probe->access == PROBE_WALK)
        image->spaces[PROBE_GUEST].entries[PROBE_WALK_SLOT] = (probe->address & ~(PT_PAGE_SIZE - 1)) | X86_TABLE;
    if (quirk)
        *quirk &= ~BIT12;
    expect_result(image, probe, &expected->result, &expected->nwalked);
    if (quirk)
        *quirk |= BIT12;
    expected->result.entries = (uint8_t)count;
    for (unsigned i = 0; i < count; i++)
        expected->entries[i] = *path[i];
    return quirk ? QUIRK_EPT_BIT12 : 0;
}

bool oracle_target(const struct image *image, const struct probe *probe, uint64_t *hpa)
{
    uint64_t *quirk = overlooked(image, probe->address);
    struct walk_answer answer;

    if (quirk)
        *quirk &= ~BIT12;
    if (probe->access == PROBE_WALK) {
        walk_nested(image, probe->address, WALK_READ, true, false, &answer);
    } else {
        walk_guest(image, probe->address, accesses[probe->access], probe->flags, false, &answer);
        if (answer.result == WALK_OK)
            walk_nested(image, answer.pa, accesses[probe->access], false, false, &answer);
    }
    if (quirk)
        *quirk |= BIT12;
    *hpa = answer.pa;
    return answer.result == WALK_OK;
}
