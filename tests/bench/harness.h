/*
 * What the library's benchmarks share: the floors they are compared with, and the table they print. What they work on
 * is in tools/ptstat/tables_world.h. A floor is what the operation cannot do without, on the same number of entries in
 * the same run: plain loads and stores, a table's zeroes, one locked count for a leaf that is tracked.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define LEAVES (GIB / PAGE)
#define RUNS   15 /* the quickest counts: the machine's noise only ever adds */

/* Memory for the floors' own work, LEAVES of each. */
struct floors {
    uint64_t *entries;
    uint64_t *copies;
    uint32_t *locked;
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

struct world;

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

#include "tools/ptstat/tables_world.h"

static inline void floors_start(struct floors *f)
{
    f->entries = world_memory(LEAVES * sizeof(*f->entries));
    f->copies = world_memory(LEAVES * sizeof(*f->copies));
    f->locked = world_memory(LEAVES * sizeof(*f->locked));
}

static inline void floors_end(struct floors *f)
{
    munmap(f->entries, LEAVES * sizeof(*f->entries));
    munmap(f->copies, LEAVES * sizeof(*f->copies));
    munmap(f->locked, LEAVES * sizeof(*f->locked));
}

/*
 * The floor's own work, once. Entries are volatile so that each is one access of 8 bytes, as for the library. Always
 * inlined with a constant kind, so that no test is left in the loop.
 */
__attribute__((always_inline)) static inline void floor_pass(const struct floors *f, enum floor_kind kind,
                                                             bool is_counted, uint64_t units)
{
    volatile uint64_t *entries = f->entries;
    volatile uint64_t *copies = f->copies;

    for (uint64_t i = 0; i < units; i++) {
        if (kind == FLOOR_TABLE && i % PT_ENTRIES == 0)
            memset(f->entries + i, 0, PT_ENTRIES * sizeof(uint64_t));
        if (kind == FLOOR_LOAD)
            (void)entries[i];
        else if (kind == FLOOR_LOCK)
            entries[i] = __atomic_exchange_n(&f->entries[i ^ 1], i, __ATOMIC_SEQ_CST);
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
            __atomic_fetch_add(&f->locked[i], 1, __ATOMIC_SEQ_CST);
    }
}

static inline void floor_work(const struct floors *f, enum floor_kind kind, bool is_counted, uint64_t units)
{
#define FLOOR_CASE(k)                                                                                                  \
    case k:                                                                                                            \
        if (is_counted)                                                                                                \
            floor_pass(f, k, true, units);                                                                             \
        else                                                                                                           \
            floor_pass(f, k, false, units);                                                                            \
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

static inline uint64_t time_floor(const struct floors *f, const struct operation *operation, bool is_counted)
{
    /* A short pass is repeated, or the clock itself would be what is timed. */
    const uint64_t passes = operation->units < LEAVES / 16 ? LEAVES / 16 / operation->units : 1;
    const uint64_t start = now_ns();

    for (uint64_t i = 0; i < passes; i++)
        floor_work(f, operation->floor, is_counted, operation->units);
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

static inline void bench_one(struct world *w, const struct floors *f, const struct operation *operation,
                             const char *format, const char *path)
{
    const bool is_tracked = w->prop & PT_TRACKED;
    uint64_t quickest = UINT64_MAX, floor = UINT64_MAX;
    char name[64];

    for (unsigned i = 0; i < RUNS; i++) {
        const uint64_t ns = operation->run(w);
        const uint64_t floor_ns = time_floor(f, operation, is_tracked && operation->counts);

        quickest = ns < quickest ? ns : quickest;
        floor = floor_ns < floor ? floor_ns : floor;
    }
    snprintf(name, sizeof(name), "%s%s", operation->name, is_tracked ? "_tracked" : "");
    bench_report(path, name, format, (double)quickest / (double)operation->units,
                 (double)floor / (double)operation->units);
}

/* Times every operation, untracked and tracked. `path` may be NULL. */
static inline void bench_run(struct world *w, const struct floors *f, const struct operation *operations,
                             const char *format, const char *path)
{
    for (const struct operation *operation = operations; operation->name; operation++) {
        w->prop = PT_RWX | PT_WB;
        bench_one(w, f, operation, format, path);
        w->prop |= PT_TRACKED;
        bench_one(w, f, operation, format, path);
    }
}

#endif
