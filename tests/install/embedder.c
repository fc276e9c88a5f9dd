/* A program of somebody who has the library installed and nothing else of this project: copy-on-write in an EPT and in
 * x86-64 tables of five levels, in one arena, with counted frames. tests/install/check_install compiles and runs it. */
#include <ept/arena.h>
#include <ept/ept.h>
#include <ept/frames.h>
#include <ept/walk.h>
#include <ept/x86.h>

#include <stdio.h>
#include <stdlib.h>

#define TABLES 64u
#define HPA    ((uint64_t)1 << 30)
#define LENGTH ((uint64_t)4 << 20)
#define FRAMES (LENGTH / PT_PAGE_SIZE)

/* Whatever is not as it must be ends the program. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "line %d: this does not hold: %s\n", __LINE__, #condition);                                \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

struct machine {
    struct pt_arena arena;
    struct pt_frames frames;
    uint64_t flushed, released;
};

static bool alloc_table(void *ctx, uint64_t *pa)
{
    return pt_arena_alloc(&((struct machine *)ctx)->arena, pa);
}

static void free_table(void *ctx, uint64_t pa)
{
    pt_arena_free(&((struct machine *)ctx)->arena, pa);
}

static bool frame_get(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    return pt_frames_get(&((struct machine *)ctx)->frames, hpa, level, count);
}

static void frame_put(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    pt_frames_put(&((struct machine *)ctx)->frames, hpa, level, count);
}

static void flush(void *ctx, const struct pt *pt, unsigned why, const struct pt_range *ranges, size_t count)
{
    MUST(pt && why != 0);
    for (size_t i = 0; i < count; i++)
        ((struct machine *)ctx)->flushed += ranges[i].length;
}

static void released(void *ctx, uint64_t hpa, uint64_t frames)
{
    (void)hpa;
    ((struct machine *)ctx)->released += frames;
}

static void map_ept(struct pt *pt)
{
    struct pt_gather gather;
    struct pt_cursor cursor;

    ept_gather_init(&gather, pt);
    MUST(ept_cursor_init(&cursor, pt, 0, LENGTH, PT_WRITE, &gather) == PT_OK);
    MUST(ept_cursor_map_range(&cursor, HPA, LENGTH, PT_RWX | PT_WB | PT_TRACKED) == PT_OK);
    MUST(ept_cursor_map(&cursor, HPA, 1, PT_RWX | PT_WB) == PT_ERANGE);
    ept_cursor_end(&cursor);
    ept_gather_sync(&gather);
}

/* The same memory once more, half of it with only reading allowed. */
static void map_x86(struct pt *pt, uint64_t at)
{
    const struct pt_change read_only = {.clear = PT_W};
    struct pt_gather gather;
    struct pt_cursor cursor;

    x86_gather_init(&gather, pt);
    MUST(x86_cursor_init(&cursor, pt, at, LENGTH, PT_WRITE, &gather) == PT_OK);
    MUST(x86_cursor_map_range(&cursor, HPA, LENGTH, PT_RW | PT_U | PT_WB | PT_TRACKED) == PT_OK);
    MUST(x86_cursor_jump(&cursor, at) == PT_OK);
    MUST(x86_cursor_protect_range(&cursor, LENGTH / 2 + PT_PAGE_SIZE, read_only) == PT_OK);
    x86_cursor_end(&cursor);
    x86_gather_sync(&gather);
}

static void look(const struct walk_memory *memory, const struct pt *ept, const struct pt *x86, uint64_t at)
{
    const struct walk_ept_mode vmx = {.root = ept->root, .levels = 4, .maxphyaddr = 40, .pages_1g = true, .ad = true};
    const struct walk_x86_mode mode = {.root = x86->root, .levels = 5, .maxphyaddr = 40, .user = true, .nxe = true};
    struct walk_answer answer;

    walk_ept(memory, &vmx, LENGTH - 1, WALK_WRITE, &answer);
    MUST(answer.result == WALK_OK && answer.pa == HPA + LENGTH - 1 && answer.level == 2);
    walk_ept(memory, &vmx, LENGTH, WALK_READ, &answer);
    MUST(answer.result == WALK_VIOLATION);
    walk_x86(memory, &mode, at + LENGTH / 2, WALK_WRITE, &answer);
    MUST(answer.result == WALK_PAGE_FAULT);
    walk_x86(memory, &mode, at + LENGTH / 2 + PT_PAGE_SIZE, WALK_WRITE, &answer);
    MUST(answer.result == WALK_OK && answer.pa == HPA + LENGTH / 2 + PT_PAGE_SIZE && answer.level == 1);
    walk_x86(memory, &mode, at, WALK_FETCH, &answer);
    MUST(answer.result == WALK_PAGE_FAULT);
}

int main(void)
{
    static struct pt_table meta[TABLES];
    static struct machine machine;
    struct pt_config config = {.ctx = NULL, .levels = 4, .maxphyaddr = 40, .caps = PT_CAP_2M | PT_CAP_AD};
    char *tables = aligned_alloc(PT_PAGE_SIZE, TABLES * PT_PAGE_SIZE);
    void *counts = calloc(1, pt_frames_bytes(FRAMES));
    const uint64_t at = (uint64_t)1 << 50;
    struct pt_statistics statistics;
    struct pt_fault fault;
    struct pt ept, x86;

    MUST(tables && counts && pt_frames_init(&machine.frames, counts, HPA, FRAMES, released, &machine));
    for (size_t i = 0; i < TABLES * PT_PAGE_SIZE; i++)
        tables[i] = 0;
    pt_arena_init(&machine.arena, tables, 0x100000, TABLES);
    pt_arena_configure(&machine.arena, meta, &config);
    config.ctx = &machine;
    config.alloc_table = alloc_table;
    config.free_table = free_table;
    config.frame_get = frame_get;
    config.frame_put = frame_put;
    config.flush = flush;
    MUST(ept_init(&ept, &config) == PT_OK);
    config.levels = 5;
    MUST(x86_init(&x86, &config) == PT_OK);
    map_ept(&ept);
    map_x86(&x86, at);
    look(&(struct walk_memory){0x100000, TABLES * PT_PAGE_SIZE, config.entries_offset}, &ept, &x86, at);
    MUST(ept_check(&ept, NULL, NULL, &fault) == PT_OK && x86_check(&x86, NULL, NULL, &fault) == PT_OK);
    x86_count(&x86, &statistics);
    MUST(statistics.frames == FRAMES && statistics.leaves[1] == PT_ENTRIES && machine.flushed > 0);
    MUST(pt_frames_references(&machine.frames, HPA) == 2);
    ept_destroy(&ept);
    MUST(machine.released == 0);
    x86_destroy(&x86);
    MUST(machine.released == FRAMES && pt_arena_used(&machine.arena) == 0);
    free(tables);
    free(counts);
    puts(pt_status_name(PT_OK));
    return 0;
}
