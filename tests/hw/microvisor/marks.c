/* See marks.h. */
#include "tests/hw/microvisor/marks.h"

#include "tests/hw/microvisor/expect.h"
#include "tests/hw/rom/memory.h"

void marks_clear(struct marks *marks)
{
    memset(marks, 0, sizeof(*marks));
}

void marks_add(struct marks *marks, struct loop loop)
{
    for (uint64_t i = 0; i < loop.count; i++)
        marks->pages[loop.page + i * loop.stride] = true;
}

/* Makes marks as coarse as the leaves. */
static void widen(const struct marks *marks, struct vm *vm, struct marks *wide)
{
    struct pt_item leaf;

    marks_clear(wide);
    for (uint64_t page = 0; page < DATA_PAGES; page++) {
        if (!marks->pages[page])
            continue;
        EXPECT(world.format->lookup(&vm->pt, page_gpa(page), &leaf) == PT_OK && leaf.kind == PT_LEAF);
        marks_add(wide, (struct loop){(leaf.start - DATA) / PT_PAGE_SIZE, leaf.length / PT_PAGE_SIZE, 1, FIRST_WORD});
    }
}

void marks_expect(const struct marks *marks, struct vm *vm, pt_prop bits)
{
    static struct marks found, wanted;
    uint64_t end = DATA;
    struct pt_range run;
    struct work work;

    widen(marks, vm, &wanted);
    marks_clear(&found);
    work_open(&work, vm, DATA, DATA_END - DATA);
    while (work.cursor.at < DATA_END &&
           world.format->harvest(&work.cursor, DATA_END - work.cursor.at, bits, true, &run) == PT_OK) {
        EXPECT(run.length > 0 && (run.start > end || end == DATA));
        end = run.start + run.length;
        marks_add(&found, (struct loop){(run.start - DATA) / PT_PAGE_SIZE, run.length / PT_PAGE_SIZE, 1, FIRST_WORD});
    }
    work_close(&work);
    for (uint64_t page = 0; page < DATA_PAGES; page++)
        EXPECT(found.pages[page] == wanted.pages[page]);
}
