/*
 * What threads cost each other: the same work by one thread and by several, each in a range of its own, and lookups
 * inside read-side sections of liburcu. The speed-up is what counts: as many times as there are threads at best.
 */
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/urcu-qsbr.h>

#include "tests/bench/harness.h"

#include <ept/ept.h>

#include <pthread.h>
#include <unistd.h>

#define MOST_THREADS 16
#define ROUNDS       2000
#define PAGES        UINT64_C(256)
#define LOOKUPS      UINT64_C(65536)

#define CHECK(call) check_status(call, #call)

static struct world world;
static struct floors floors;
static pthread_barrier_t barrier;

/* When each thread began and ended its work. */
static uint64_t began[MOST_THREADS], ended[MOST_THREADS];

static void read_begin(void *ctx)
{
    (void)ctx;
    urcu_qsbr_read_lock();
}

static void read_end(void *ctx)
{
    (void)ctx;
    urcu_qsbr_read_unlock();
}

static void quiesce(void *ctx)
{
    (void)ctx;
    urcu_qsbr_synchronize_rcu();
}

/* Maps and unmaps 256 pages of its own GiB, a cursor each time. One page more keeps the table. */
static void map_and_unmap(struct pt_gather *gather, uint64_t base)
{
    struct pt_cursor cursor;

    CHECK(ept_cursor_init(&cursor, &world.pt, base, PAGES * PAGE, PT_WRITE, gather));
    CHECK(ept_cursor_map_range(&cursor, base + PAGE, PAGES * PAGE, PT_RWX | PT_WB));
    ept_cursor_end(&cursor);
    CHECK(ept_cursor_init(&cursor, &world.pt, base, PAGES * PAGE, PT_WRITE, gather));
    CHECK(ept_cursor_unmap_range(&cursor, PAGES * PAGE));
    ept_cursor_end(&cursor);
    ept_gather_sync(gather);
}

static void keep_table(struct pt_gather *gather, uint64_t base, bool keep)
{
    struct pt_cursor cursor;

    CHECK(ept_cursor_init(&cursor, &world.pt, base + PAGES * PAGE, PAGE, PT_WRITE, gather));
    if (keep)
        CHECK(ept_cursor_map(&cursor, PAGE, 1, PT_RWX | PT_WB));
    else
        CHECK(ept_cursor_unmap_range(&cursor, PAGE));
    ept_cursor_end(&cursor);
    ept_gather_sync(gather);
}

static void *work(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    uint64_t base = me * GIB;
    struct pt_gather gather;

    urcu_qsbr_register_thread();
    ept_gather_init(&gather, &world.pt);
    keep_table(&gather, base, true);
    urcu_qsbr_thread_offline();
    pthread_barrier_wait(&barrier);
    urcu_qsbr_thread_online();
    began[me] = now_ns();
    for (unsigned i = 0; i < ROUNDS; i++) {
        map_and_unmap(&gather, base);
        urcu_qsbr_quiescent_state();
    }
    ended[me] = now_ns();
    keep_table(&gather, base, false);
    urcu_qsbr_unregister_thread();
    return NULL;
}

/* Nanoseconds from the first beginning to the last end of the work of so many threads. */
static uint64_t time_threads(unsigned count)
{
    pthread_t threads[MOST_THREADS];
    uint64_t start = UINT64_MAX, end = 0;

    pthread_barrier_init(&barrier, NULL, count);
    for (uintptr_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i) != 0)
            give_up("threads for the benchmark", "there are not enough");
    urcu_qsbr_thread_offline();
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        start = began[i] < start ? began[i] : start;
        end = ended[i] > end ? ended[i] : end;
    }
    urcu_qsbr_thread_online();
    pthread_barrier_destroy(&barrier);
    return end - start;
}

/* One thread and `count` threads in turn, so that both see the same noise. */
static void compare_threads(unsigned count, const char *path)
{
    uint64_t one = UINT64_MAX, all = UINT64_MAX;
    double leaves = 2.0 * ROUNDS * (double)PAGES;
    char name[64];

    for (unsigned run = 0; run < RUNS; run++) {
        uint64_t alone = time_threads(1), together = time_threads(count);

        one = alone < one ? alone : one;
        all = together < all ? together : all;
    }
    snprintf(name, sizeof(name), "disjoint_%u_threads_per_leaf", count);
    bench_report(path, name, "ept", (double)all / leaves / count, (double)one / leaves / count);
    printf("%u threads on disjoint ranges do %.2f times the work of one\n", count, (double)one * count / (double)all);
}

static void time_lookups(uint64_t stride, const char *name, const char *path)
{
    uint64_t quickest = UINT64_MAX, floor = UINT64_MAX, start;
    struct pt_item item;

    for (unsigned run = 0; run < RUNS; run++) {
        start = now_ns();
        for (uint64_t i = 0, address = 0; i < LOOKUPS; i++, address = (address + stride) % GIB)
            CHECK(ept_lookup(&world.pt, address, &item));
        quickest = now_ns() - start < quickest ? now_ns() - start : quickest;
        start = now_ns();
        for (uint64_t i = 0; i < LOOKUPS; i++) {
            urcu_qsbr_read_lock();
            (void)((volatile uint64_t *)floors.entries)[i];
            urcu_qsbr_read_unlock();
        }
        floor = now_ns() - start < floor ? now_ns() - start : floor;
    }
    bench_report(path, name, "ept", (double)quickest / LOOKUPS, (double)floor / LOOKUPS);
}

static void compare_lookups(const char *path)
{
    struct pt_gather gather;
    struct pt_cursor cursor;

    ept_gather_init(&gather, &world.pt);
    CHECK(ept_cursor_init(&cursor, &world.pt, 0, GIB, PT_WRITE, &gather));
    CHECK(ept_cursor_map_range(&cursor, PAGE, GIB, PT_RWX | PT_WB));
    ept_cursor_end(&cursor);
    printf("tables for 1 GiB of 4 KiB leaves: %.4f times the entries' own size\n",
           (double)(pt_arena_used(&world.arena) * (PAGE + sizeof(struct pt_table))) /
               (double)(LEAVES * sizeof(uint64_t)));
    time_lookups(0, "lookup_hot_rcu", path);
    time_lookups(166667 * PAGE, "lookup_random_1g_rcu", path);
    ept_gather_sync(&gather);
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : NULL;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct pt_config config;

    urcu_qsbr_register_thread();
    world_start(&world, GIB, GIB, &config);
    floors_start(&floors);
    config.read_begin = read_begin;
    config.read_end = read_end;
    config.quiesce = quiesce;
    CHECK(ept_init(&world.pt, &config));
    if (processors > 1)
        compare_threads(2, path);
    if (processors > 2)
        compare_threads(processors < MOST_THREADS ? (unsigned)processors : MOST_THREADS, path);
    compare_lookups(path);
    ept_destroy(&world.pt);
    floors_end(&floors);
    world_end(&world);
    urcu_qsbr_unregister_thread();
    return 0;
}
