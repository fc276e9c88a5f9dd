/* Lets one test body serve every format: define PT_TEST_FORMAT (ept or x86) and PT_TEST_LEVELS, include this, and call
 * F(cursor_map)(...). RWX and friends are properties that a leaf of the format takes. */
#ifndef TESTS_EPT_FORMAT_H
#define TESTS_EPT_FORMAT_H

#include <ept/ept.h>
#include <ept/walk.h>
#include <ept/x86.h>

#include "tests/support/ept_world.h"

#define F_JOIN_(a, b) a##_##b
#define F_JOIN(a, b)  F_JOIN_(a, b)
#define F(name)       F_JOIN(PT_TEST_FORMAT, name)
#define F_TEXT_(a)    #a
#define F_TEXT(a)     F_TEXT_(a)

#define RAM     (PT_RWX | PT_WB)
#define COUNTED (RAM | PT_TRACKED)

#define KIB4 ((uint64_t)0x1000)
#define MIB2 ((uint64_t)0x200000)
#define GIB1 ((uint64_t)0x40000000)

#define HPA WORLD_HPA

static inline bool is_ept(void)
{
    return F_TEXT(PT_TEST_FORMAT)[0] == 'e';
}

/* One access by the independent walker, which sets no bits. Addresses of the upper half are made canonical. */
static inline struct walk_answer walk(const struct world *world, uint64_t address, enum walk_access access)
{
    struct walk_memory memory = {
        .pa = WORLD_PA, .length = WORLD_TABLES * PT_PAGE_SIZE, .offset = world->config.entries_offset};
    unsigned levels = world->config.levels, shift = 64 - (12 + 9 * levels);
    struct walk_answer answer;

    if (is_ept()) {
        struct walk_ept_mode mode = {.root = world->pt.root,
                                     .levels = levels,
                                     .maxphyaddr = world->config.maxphyaddr,
                                     .exec_only = true,
                                     .pages_1g = true};

        walk_ept(&memory, &mode, address, access, &answer);
    } else {
        struct walk_x86_mode mode = {.root = world->pt.root,
                                     .levels = levels,
                                     .maxphyaddr = world->config.maxphyaddr,
                                     .pages_1g = true,
                                     .wp = true,
                                     .nxe = true};

        walk_x86(&memory, &mode, (uint64_t)((int64_t)(address << shift) >> shift), access, &answer);
    }
    return answer;
}

#endif
