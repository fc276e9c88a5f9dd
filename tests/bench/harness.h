/*
 * What the library's benchmarks share: the memory they work on, the floors they are compared with, and the table they
 * print. A floor is what the operation cannot do without, on the same number of entries in the same run: plain loads
 * and stores, a table's zeroes, one locked count for a leaf that is tracked.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <ept/arena.h>
#include <ept/frames.h>
#include <ept/types.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE   UINT64_C(0x1000)
#define LARGE  UINT64_C(0x200000)
#define GIB    UINT64_C(0x40000000)
#define LEAVES (GIB / PAGE)

#define FRAMES_AT GIB                /* HPA of the first frame */
#define FRAMES    (2 * LEAVES)       /* how many are counted */
#define SMALL_AT  (FRAMES_AT + PAGE) /* 4 KiB leaves map from here, where no larger page fits */

#define TABLES 2048 /* of the arena: twice 1 GiB of 4 KiB leaves takes 1030 */
#define RUNS   15   /* the quickest counts: the machine's noise only ever adds */

/* Two trees over one arena. */
struct world {
    struct pt pt, other;
    struct pt_gather gather, other_gather;
    struct pt_arena arena;
    struct pt_frames frames;
    pt_prop prop;     /* of every leaf: readable, writable, executable, tracked or not */
    void *tables;     /* the arena's region */
    void *meta;       /* its struct pt_table array */
    void *counts;     /* the frames' counts */
    uint64_t *floor;  /* LEAVES entries, for the floors */
    uint64_t *copies; /* LEAVES more */
    uint32_t *locked; /* LEAVES counts, for the floors */
};

enum floor_kind {
    FLOOR_LOAD,        /* read the entry */
    FLOOR_STORE,       /* write the entry */
    FLOOR_TABLE,       /* write the entry, and its share of a fresh table's zeroes */
    FLOOR_TABLE_WHOLE, /* write all entries of a table */
    FLOOR_CHANGE,      /* read the entry and write it */
    FLOOR_COPY,        /* read the entry, write it, write its copy */
    FLOOR_LOCK,        /* a locked exchange and a store: the least a claim takes */
};

/* One timed operation: `run` prepares, does it, tidies up, and returns the nanoseconds of the middle part. */
struct operation {
    const char *name; /* ends in _per_leaf where its figure is per leaf; else that is per operation */
    uint64_t units;   /* leaves, or operations, of one run */
    enum floor_kind floor;
    bool counts; /* a tracked leaf costs it a locked count */
    uint64_t (*run)(struct world *world);
};

static inline uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

__attribute__((noreturn)) static inline void give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

/* A benchmark of what does not work is worth nothing. */
static inline void check_status(enum pt_status status, const char *what)
{
    if (status != PT_OK)
        give_up(what, pt_status_name(status));
}

/* Zeroed and resident, in 4 KiB pages. */
static inline void *bench_memory(size_t length)
{
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (memory == MAP_FAILED)
        give_up("memory for the benchmark", "there is not enough");
    return memory;
}

/* The hooks: the world is the context of all four. */
static inline bool world_alloc(void *world, uint64_t *pa)
{
    return pt_arena_alloc(&((struct world *)world)->arena, pa);
}

static inline void world_free(void *world, uint64_t pa)
{
    pt_arena_free(&((struct world *)world)->arena, pa);
}

static inline bool world_get(void *world, uint64_t hpa, unsigned level, uint64_t count)
{
    return pt_frames_get(&((struct world *)world)->frames, hpa, level, count);
}

static inline void world_put(void *world, uint64_t hpa, unsigned level, uint64_t count)
{
    pt_frames_put(&((struct world *)world)->frames, hpa, level, count);
}

static inline void world_start(struct world *w, struct pt_config *config)
{
    memset(w, 0, sizeof(*w));
    w->tables = bench_memory(TABLES * PAGE);
    w->meta = bench_memory(TABLES * sizeof(struct pt_table));
    w->counts = bench_memory(pt_frames_bytes(FRAMES));
    w->floor = bench_memory(LEAVES * sizeof(*w->floor));
    w->copies = bench_memory(LEAVES * sizeof(*w->copies));
    w->locked = bench_memory(LEAVES * sizeof(*w->locked));
    if (!pt_frames_init(&w->frames, w->counts, FRAMES_AT, FRAMES, NULL, NULL))
        give_up("pt_frames_init", "refused");
    pt_arena_init(&w->arena, w->tables, PAGE, TABLES);
    memset(config, 0, sizeof(*config));
    pt_arena_configure(&w->arena, w->meta, config);
    config->ctx = w;
    config->alloc_table = world_alloc;
    config->free_table = world_free;
    config->frame_get = world_get;
    config->frame_put = world_put;
    config->levels = 4;
    config->maxphyaddr = 40;
    config->caps = PT_CAP_2M | PT_CAP_1G;
}

static inline void world_end(struct world *w)
{
    munmap(w->tables, TABLES * PAGE);
    munmap(w->meta, TABLES * sizeof(struct pt_table));
    munmap(w->counts, pt_frames_bytes(FRAMES));
    munmap(w->floor, LEAVES * sizeof(*w->floor));
    munmap(w->copies, LEAVES * sizeof(*w->copies));
    munmap(w->locked, LEAVES * sizeof(*w->locked));
}

/*
 * The floor's own work, once. Entries are volatile so that each is one access of 8 bytes, as for the library. Always
 * inlined with a constant kind, so that no test is left in the loop.
 */
__attribute__((always_inline)) static inline void floor_pass(const struct world *w, enum floor_kind kind,
                                                             bool is_counted, uint64_t units)
{
    volatile uint64_t *entries = w->floor;
    volatile uint64_t *copies = w->copies;

    for (uint64_t i = 0; i < units; i++) {
        if (kind == FLOOR_TABLE && i % PT_ENTRIES == 0)
            memset(w->floor + i, 0, PT_ENTRIES * sizeof(uint64_t));
        if (kind == FLOOR_LOAD)
            (void)entries[i];
        else if (kind == FLOOR_LOCK)
            entries[i] = __atomic_exchange_n(&w->floor[i ^ 1], i, __ATOMIC_SEQ_CST);
        else if (kind == FLOOR_TABLE_WHOLE)
            for (uint64_t j = 0; j < PT_ENTRIES; j++)
                entries[j] = i + j;
        else if (kind == FLOOR_CHANGE || kind == FLOOR_COPY)
            entries[i] = entries[i] & ~UINT64_C(2);
        else
            entries[i] = i << PT_PAGE_SHIFT | 7;
        if (kind == FLOOR_COPY)
            copies[i] = i;
        if (is_counted)
            __atomic_fetch_add(&w->locked[i], 1, __ATOMIC_SEQ_CST);
    }
}

static inline void floor_work(const struct world *w, enum floor_kind kind, bool is_counted, uint64_t units)
{
#define FLOOR_CASE(k)                                                                                                  \
    case k:                                                                                                            \
        if (is_counted)                                                                                                \
            floor_pass(w, k, true, units);                                                                             \
        else                                                                                                           \
            floor_pass(w, k, false, units);                                                                            \
        return
    switch (kind) {
        FLOOR_CASE(FLOOR_LOAD);
        FLOOR_CASE(FLOOR_STORE);
        FLOOR_CASE(FLOOR_TABLE);
        FLOOR_CASE(FLOOR_TABLE_WHOLE);
        FLOOR_CASE(FLOOR_CHANGE);
        FLOOR_CASE(FLOOR_COPY);
        FLOOR_CASE(FLOOR_LOCK);
    }
#undef FLOOR_CASE
}

static inline uint64_t time_floor(const struct world *w, const struct operation *operation, bool is_counted)
{
    /* A short pass is repeated, or the clock itself would be what is timed. */
    const uint64_t passes = operation->units < LEAVES / 16 ? LEAVES / 16 / operation->units : 1;
    const uint64_t start = now_ns();

    for (uint64_t i = 0; i < passes; i++)
        floor_work(w, operation->floor, is_counted, operation->units);
    return (now_ns() - start) / passes;
}

/* Prints one row of the table, and appends it to the file `path` as a line of JSON, where there is one. */
static inline void bench_report(const char *path, const char *name, const char *format, double ns, double floor_ns)
{
    FILE *file;

    printf("%-6s %-32s %10.2f %10.2f %8.1f\n", format, name, ns, floor_ns, floor_ns > 0 ? ns / floor_ns : 0);
    if (!path)
        return;
    file = fopen(path, "ae");
    if (!file)
        give_up(path, "cannot be opened");
    fprintf(file, "{\"name\":\"%s\",\"format\":\"%s\",\"ns\":%.3f,\"floor_ns\":%.3f}\n", name, format, ns, floor_ns);
    if (fclose(file))
        give_up(path, "cannot be written");
}

static inline void bench_one(struct world *w, const struct operation *operation, const char *format, const char *path)
{
    const bool is_tracked = w->prop & PT_TRACKED;
    uint64_t quickest = UINT64_MAX, floor = UINT64_MAX;
    char name[64];

    for (unsigned i = 0; i < RUNS; i++) {
        const uint64_t ns = operation->run(w);
        const uint64_t floor_ns = time_floor(w, operation, is_tracked && operation->counts);

        quickest = ns < quickest ? ns : quickest;
        floor = floor_ns < floor ? floor_ns : floor;
    }
    snprintf(name, sizeof(name), "%s%s", operation->name, is_tracked ? "_tracked" : "");
    bench_report(path, name, format, (double)quickest / (double)operation->units,
                 (double)floor / (double)operation->units);
}

/* Times every operation, untracked and tracked. `path` may be NULL. */
static inline void bench_run(struct world *w, const struct operation *operations, const char *format, const char *path)
{
    for (const struct operation *operation = operations; operation->name; operation++) {
        w->prop = PT_RWX | PT_WB;
        bench_one(w, operation, format, path);
        w->prop |= PT_TRACKED;
        bench_one(w, operation, format, path);
    }
}

#endif
