/* One guest of the microvisor: its nested tables, its processor, and what its memory should hold. A guest's memory:
 * its own page tables and code, an area of small pages, of which the upper half is filled when first touched, and two
 * huge pages. It sees each address as itself. */
#ifndef TESTS_HW_MICROVISOR_VM_H
#define TESTS_HW_MICROVISOR_VM_H

#include <ept/types.h>

#include "tests/hw/microvisor/cache.h"
#include "tests/hw/microvisor/world.h"
#include "tests/hw/rom/guest.h"

#define GUEST_PML4   0x1000
#define GUEST_PDPT   0x2000 /* one leaf of 1 GiB */
#define GUEST_CODE   0x3000
#define DATA         BLOCK /* what programs work on starts here */
#define SMALL_PAGES  128u
#define FILLED_PAGES 64u
#define HUGE         (4 * MIB)
#define DATA_END     (8 * MIB)
#define DATA_PAGES   ((DATA_END - DATA) / PT_PAGE_SIZE)

#define PROP_MAY_WRITE PT_SOFT0 /* a write that W denies is to be resolved: copy-on-write */
#define PROP_TOUCH     PT_SOFT1 /* means nothing: see own() in resolve.c */

/* Two words of each page are the guest's to work on: its first and its last. */
enum word { FIRST_WORD, LAST_WORD, WORDS };

struct vm {
    struct pt pt;
    struct guest guest;
    bool alive;
    struct cache cache;
    uint64_t model[DATA_PAGES][WORDS];
};

#define VMS 6u
extern struct vm vms[VMS];

/* A claim on part of a guest's memory, and what it gathers. */
struct work {
    struct pt_gather gather;
    struct pt_cursor cursor;
};

void work_open(struct work *work, struct vm *vm, uint64_t start, uint64_t length);
void work_close(struct work *work);

/* Stands at this address of the claim. */
void work_jump(struct work *work, uint64_t address);

/* Maps everything but what is filled when touched; each word holds a value of its own. */
void vm_build(struct vm *vm);

/* The child becomes the parent's likeness, in the middle of what it was doing. All memory is shared, in two operations
 * that meet at `cut`, or in one when it is 0. */
void vm_fork(struct vm *parent, struct vm *child, uint64_t cut);
void vm_destroy(struct vm *vm);

/* Every invariant of every guest's tables. */
void vms_check(void);

/* Tables that the guest shares with others. */
uint64_t vm_shared_tables(struct vm *vm);

static inline uint64_t page_gpa(uint64_t page)
{
    return DATA + page * PT_PAGE_SIZE;
}

static inline uint64_t word_offset(enum word word)
{
    return word == FIRST_WORD ? 0 : PT_PAGE_SIZE - sizeof(uint64_t);
}

#endif
