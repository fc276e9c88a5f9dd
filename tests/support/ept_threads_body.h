/* What the tests with threads share: read-side sections by liburcu, hardware that walks the tables while they change,
 * pages that are spoilt as soon as they are free, and frames counted for many threads. Follows ept_cursor_fixture.h. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <urcu/urcu-memb.h>

/* Check's assertions jump out of the test, which only its own thread may do. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

/* How often to do something: less where every access is checked. */
#ifdef THREAD_SANITIZER
#define ROUNDS(n) (((n) + 3u) / 4u)
#else
#define ROUNDS(n) (n)
#endif

static inline uint64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Should a loop go on? To `most` turns, or on a machine so busy that this takes long, to a part of them. */
static inline bool goes_on(unsigned turn, unsigned most)
{
    static uint64_t start;

    if (turn == 0)
        start = milliseconds();
    return turn < most && (turn < most / 20 + 1 || milliseconds() - start < 700);
}

static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 11;
}

/* A pause of random length, mostly none or short. */
static inline void dawdle(uint64_t *random)
{
    uint64_t length = next_random(random) % 64;

    if (length == 0)
        sched_yield();
    for (volatile uint64_t i = length > 48 ? length * 8 : 0; i > 0; i--)
        ;
}

/* --- Hooks ------------------------------------------------------------------------------------------------------- */

/* The sanitizer does not see what orders a section before the quiesce that waited for it, so it is told. */
#ifdef THREAD_SANITIZER
static _Atomic unsigned sections_ended;
#endif

static inline void thread_read_begin(void *ctx)
{
    (void)ctx;
    urcu_memb_read_lock();
}

static inline void thread_read_end(void *ctx)
{
    (void)ctx;
#ifdef THREAD_SANITIZER
    atomic_fetch_add(&sections_ended, 1);
#endif
    urcu_memb_read_unlock();
}

static inline void thread_quiesce(void *ctx)
{
    (void)ctx;
    urcu_memb_synchronize_rcu();
#ifdef THREAD_SANITIZER
    (void)atomic_load(&sections_ended);
#endif
}

/* Processors that may be walking the tables: each counts up when a walk begins and when it ends, so that it is odd in
 * between. */
#define PROCESSORS 2u
static _Atomic uint64_t walks[PROCESSORS];

/* A test can have a walk stop where it has read a leaf and not yet marked it, until a certain moment of an operation.
 */
enum stall {
    STALL_NOT,
    STALL_WANTED,  /* the next walk that gets there stops */
    STALL_REACHED, /* it has */
    STALL_OVER,    /* it may go on */
};
static _Atomic unsigned stall;
static _Atomic bool stall_to_hook; /* it may go on as soon as the operation allocates */

/* Lets a stalled walk go on, and waits until it has. */
static inline void end_stall(void)
{
    uint64_t walking = atomic_load(&walks[0]);
    unsigned reached = STALL_REACHED;

    if (!atomic_compare_exchange_strong(&stall, &reached, STALL_OVER))
        return;
    while (atomic_load(&walks[0]) == walking)
        sched_yield();
}

/* A flush returns when all walks that had begun are over. */
static inline void thread_flush(void *ctx, const struct pt *pt, unsigned why, const struct pt_range *ranges,
                                size_t count)
{
    (void)ctx;
    MUST(pt && why != 0 && count > 0 && ranges[0].length > 0);
    end_stall();
    for (unsigned i = 0; i < PROCESSORS; i++) {
        uint64_t seen = atomic_load(&walks[i]);

        while (seen % 2 != 0 && atomic_load(&walks[i]) == seen)
            sched_yield();
    }
}

/* A page that is free says nonsense: whoever still reads it finds leaves that nobody mapped. */
static inline void thread_free(void *ctx, uint64_t pa)
{
    struct world *world = ctx;

    memset((void *)(uintptr_t)(pa + world->config.entries_offset), 0xff, PT_PAGE_SIZE);
    pt_arena_free(&world->arena, pa);
}

static inline bool thread_alloc(void *ctx, uint64_t *pa)
{
    struct world *world = ctx;

    if (atomic_load(&stall_to_hook))
        end_stall();
    return pt_arena_alloc(&world->arena, pa);
}

static inline bool thread_get(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    struct world *world = ctx;

    if (atomic_load(&stall_to_hook))
        end_stall();
    return pt_frames_get(&world->frames, hpa, level, count);
}

static inline void thread_put(void *ctx, uint64_t hpa, unsigned level, uint64_t count)
{
    struct world *world = ctx;

    for (uint64_t i = 0; i < count; i++)
        MUST(pt_frames_count(&world->frames, hpa + i * pt_slot_size(level), level) > 0);
    pt_frames_put(&world->frames, hpa, level, count);
}

static inline void thread_relax(void *ctx)
{
    (void)ctx;
    sched_yield();
}

/* --- Worlds and threads ------------------------------------------------------------------------------------------ */

static inline void setup_threads(void)
{
    urcu_memb_register_thread();
    world_open(&w, PT_TEST_LEVELS);
    w.config.alloc_table = thread_alloc;
    w.config.free_table = thread_free;
    w.config.frame_get = thread_get;
    w.config.frame_put = thread_put;
    w.config.flush = thread_flush;
    w.config.relax = thread_relax;
    w.config.read_begin = thread_read_begin;
    w.config.read_end = thread_read_end;
    w.config.quiesce = thread_quiesce;
    MUST(F(init)(&w.pt, &w.config) == PT_OK);
    F(gather_init)(&w.gather, &w.pt);
}

/* References of all frames, by level. */
static inline void count_references(uint64_t held[4])
{
    for (unsigned level = 1; level <= 3; level++) {
        held[level] = 0;
        for (uint64_t offset = 0; offset < WORLD_FRAMES * KIB4; offset += pt_slot_size(level))
            held[level] += pt_frames_count(&w.frames, HPA + offset, level);
    }
}

static inline void teardown_threads(void)
{
    uint64_t held[4];

    F(gather_sync)(&w.gather);
    F(destroy)(&w.pt);
    MUST(pt_arena_used(&w.arena) == 0);
    count_references(held);
    MUST(held[1] + held[2] + held[3] == 0);
    world_close(&w);
    urcu_memb_unregister_thread();
}

struct thread {
    pthread_t id;
    void (*body)(unsigned number);
    unsigned number;
};

static inline void *run_thread(void *arg)
{
    struct thread *thread = arg;

    urcu_memb_register_thread();
    thread->body(thread->number);
    urcu_memb_unregister_thread();
    return NULL;
}

static inline void start_thread(struct thread *thread, void (*body)(unsigned number), unsigned number)
{
    thread->body = body;
    thread->number = number;
    MUST(pthread_create(&thread->id, NULL, run_thread, thread) == 0);
}

static inline void join_thread(struct thread *thread)
{
    MUST(pthread_join(thread->id, NULL) == 0);
}

/* Runs threads 0 to count - 1, and waits for them. */
static inline void run_threads(void (*body)(unsigned number), unsigned count)
{
    struct thread threads[8];

    for (unsigned i = 0; i < count; i++)
        start_thread(&threads[i], body, i);
    for (unsigned i = 0; i < count; i++)
        join_thread(&threads[i]);
}
