/*
 * Long random sequences of what libcleave does to guests: runs that end in each way, writes, checkpoints, resets,
 * forks, kills, snapshots that are restored, queries. The model is a full copy of each guest's RAM, now and at the
 * instant that a reset returns it to; the guests' RAM is read back and compared. The guest is `target`, stopped where
 * it is ready. Prints its seed; SEED= repeats the same decisions, OPERATIONS= makes it longer or shorter, SLOWER=
 * shorter.
 */
#include "tests/support/kvm_draw.h"
#include "tests/support/rounds.h"

#include <cleave/cleave.h>

#include <check.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RAM         (UINT64_C(4) << 20)
#define PAGE        4096
#define GUESTS_MOST 6
#define FILES_MOST  512
#define OPERATIONS  800
#define MS          UINT64_C(1000000)
#define LONG        (60000 * MS) /* no run of this length has to end by itself */

/* Where the guest finds its input and puts its result. What is above is the host's to write to, the rest of the
 * result's page too. It writes its stack and data below. */
#define INPUT      UINT64_C(0x300000)
#define INPUT_SIZE 64
#define RESULT     UINT64_C(0x301000)
#define GUEST_LOW  UINT64_C(0x100000)
#define PAGES      40
#define ARGS       "bytes=64 input=3145728 result=3149824 pages=40"

#define IDENTITY 48 /* bytes of boot_info that differ between guests that are else the same; below GUEST_LOW */

enum phase {
    AT_READY, /* reads its input when it runs on */
    LOOPING,  /* runs until it is stopped, and writes nothing once its result is there */
    MARKED,   /* exits with its sum when it runs on */
    ENDED,    /* has a checkpoint, else it were not in the list */
};

struct image {
    enum phase phase;
    uint32_t sum; /* of the input it has read */
    uint8_t ram[RAM];
};

struct guest {
    uint64_t id;
    bool running;  /* on the library's threads, looping */
    bool saved;    /* a diff has something to build on */
    bool checkpointed;
    struct image *now, *instant; /* what it is; what a reset makes of it */
};

static struct cleave_family *family;
static struct cleave_failure failure;
static uint64_t seed;
static struct guest guests[GUESTS_MOST];
static size_t count;
static uint64_t data; /* where guests write their pages */
static char folder[] = "/tmp/cleave_random.XXXXXX";
static unsigned files;
static unsigned runs, resets, forks, restores, diffs;

static void must(int result)
{
    ck_assert_msg(result == 0, "%s", failure.text);
}

static void read_ram(const struct guest *guest, uint8_t *to)
{
    for (uint64_t gpa = 0; gpa < RAM; gpa += CLEAVE_READ_MAX)
        must(cleave_guest_read(family, guest->id, gpa, CLEAVE_READ_MAX, to + gpa, &failure));
}

/* Bytes that differ; *first is where. */
static uint64_t differences(const uint8_t *a, const uint8_t *b, uint64_t from, uint64_t to, uint64_t *first)
{
    uint64_t found = 0;
    for (uint64_t gpa = from; gpa < to; gpa += PAGE) {
        if (memcmp(a + gpa, b + gpa, PAGE) == 0)
            continue;
        for (uint64_t i = gpa; i < gpa + PAGE; i++)
            if (a[i] != b[i] && found++ == 0)
                *first = i;
    }
    return found;
}

static void compare(const struct guest *guest, const uint8_t *ram, const uint8_t *wanted, uint64_t from,
                    const char *after)
{
    uint64_t first = 0, wrong = differences(ram, wanted, from, RAM, &first);
    ck_assert_msg(!wrong, "guest %" PRIu64 " after %s: %" PRIu64 " bytes differ, first at %#" PRIx64 ": %#x, not %#x",
                  guest->id, after, wrong, first, ram[first], wanted[first]);
}

static void check(const struct guest *guest, const char *after)
{
    static uint8_t ram[RAM];
    read_ram(guest, ram);
    compare(guest, ram, guest->now->ram, 0, after);
}

static struct image *copy_of(const struct image *image)
{
    struct image *copy = malloc(sizeof *copy);
    ck_assert_ptr_nonnull(copy);
    *copy = *image;
    return copy;
}

static void remove_guest(struct guest *guest)
{
    free(guest->now);
    free(guest->instant);
    *guest = guests[--count];
}

static struct guest *add_guest(uint64_t id)
{
    struct guest *guest = &guests[count++];
    *guest = (struct guest){.id = id};
    return guest;
}

static void pause_guest(struct guest *guest)
{
    if (guest->running)
        must(cleave_guest_pause(family, guest->id, &failure));
    guest->running = false;
}

/* ---- Runs ---- */

static void write_guest(struct guest *guest, uint64_t gpa, const uint8_t *bytes, size_t length)
{
    must(cleave_guest_write(family, guest->id, gpa, length, bytes, &failure));
    memcpy(guest->now->ram + gpa, bytes, length);
}

static void scribble(struct guest *guest)
{
    uint8_t bytes[3 * PAGE];
    const size_t length = 1 + draw(&seed, sizeof bytes - 1);
    const uint64_t from = RESULT + 64, gpa = from + draw(&seed, RAM - from - length);
    memset(bytes, (int)draw(&seed, 256), length);
    write_guest(guest, gpa, bytes, length);
}

struct told {
    struct cleave_stop *stop;
    unsigned times;
};

static void on_stop(void *context, const struct cleave_stop *stop)
{
    struct told *told = context;
    *told->stop = *stop;
    told->times++;
}

static void dispatch(int timeout_ms)
{
    struct pollfd work = {.fd = cleave_family_descriptor(family), .events = POLLIN};
    poll(&work, 1, timeout_ms);
    cleave_family_dispatch(family);
}

/* On the library's threads. */
static void run_there(const struct guest *guest, unsigned until, uint64_t timeout_ns, struct cleave_stop *stop)
{
    struct told told = {stop, 0};
    must(cleave_guest_begin_run(family, guest->id, until, on_stop, &told, &failure));
    if (timeout_ns != LONG) {
        dispatch((int)(timeout_ns / MS));
        cleave_guest_end_run(family, guest->id, CLEAVE_STOP_TIME);
    }
    while (!told.times)
        dispatch(1000);
    ck_assert_uint_eq(told.times, 1);
}

static void run(struct guest *guest, unsigned until, uint64_t timeout_ns, struct cleave_stop *stop)
{
    runs++;
    if (draw(&seed, 2))
        must(cleave_guest_run(family, guest->id, until, timeout_ns, stop, &failure));
    else
        run_there(guest, until, timeout_ns, stop);
}

/* Where its first run has put its pages: they hold the sum, and what follows it. */
static bool has_pages_at(const uint8_t *ram, uint64_t gpa, uint32_t sum)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        uint32_t word;
        memcpy(&word, ram + gpa + i * PAGE, sizeof word);
        if (word != sum + i)
            return false;
    }
    return true;
}

/* Takes over what the guest has written, which is where it may write, and is what it should; its page tables are below.
 * `done`: it has come to its end, or to its mark. */
static void take_written(struct guest *guest, bool done)
{
    static uint8_t ram[RAM];
    struct image *now = guest->now;
    uint32_t result;
    read_ram(guest, ram);
    memcpy(&result, ram + RESULT, sizeof result);
    memcpy(now->ram + RESULT, &result, sizeof result);
    compare(guest, ram, now->ram, INPUT, "a run");
    memcpy(now->ram, ram, RAM);
    if (!done)
        return;
    ck_assert_uint_eq(result, now->sum);
    for (uint64_t gpa = GUEST_LOW; !data && gpa < INPUT; gpa += PAGE)
        if (has_pages_at(ram, gpa, now->sum))
            data = gpa;
    ck_assert_msg(data && has_pages_at(ram, data, now->sum), "guest %" PRIu64 " has not written its pages", guest->id);
}

/* The guest has ended. Without a checkpoint there is nothing left to look at. */
static void end(struct guest *guest)
{
    if (!guest->checkpointed) {
        uint8_t byte;
        ck_assert_int_eq(cleave_guest_read(family, guest->id, 0, 1, &byte, &failure), -1);
        ck_assert_int_eq(failure.kind, CLEAVE_GUEST_NOT_FOUND);
        remove_guest(guest);
        return;
    }
    guest->now->phase = ENDED;
    take_written(guest, true);
}

static void run_loop(struct guest *guest)
{
    struct cleave_stop stop;
    run(guest, 0, (1 + draw(&seed, 4)) * MS, &stop);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_TIME);
    guest->now->phase = LOOPING;
    take_written(guest, false);
}

static void run_on_from_mark(struct guest *guest)
{
    struct cleave_stop stop;
    run(guest, CLEAVE_UNTIL_MARK, LONG, &stop);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_EXIT);
    ck_assert_uint_eq(stop.value, guest->now->sum);
    end(guest);
}

static void run_input(struct guest *guest)
{
    static const char ends[] = "xxxxcnhmmlf";
    uint8_t input[INPUT_SIZE] = {0};
    struct cleave_stop stop;
    const char how = ends[draw(&seed, sizeof ends - 1)];
    guest->now->sum = 0;
    for (unsigned i = 0; i < INPUT_SIZE; i++) {
        input[i] = i ? (uint8_t)draw(&seed, 256) : (uint8_t)how;
        guest->now->sum += input[i];
    }
    write_guest(guest, INPUT, input, sizeof input);
    if (how == 'l') {
        run_loop(guest);
        return;
    }
    const unsigned until = draw(&seed, 2) ? CLEAVE_UNTIL_MARK : 0;
    run(guest, until, LONG, &stop);
    if (how == 'm' && until) {
        ck_assert_int_eq(stop.reason, CLEAVE_STOP_MARK);
        ck_assert_uint_eq(stop.value, guest->now->sum);
        guest->now->phase = MARKED;
        take_written(guest, true);
        return;
    }
    const enum cleave_stop_reason wanted = how == 'c' || how == 'n' ? CLEAVE_STOP_CRASH
                                           : how == 'h'             ? CLEAVE_STOP_HALT
                                                                    : CLEAVE_STOP_EXIT;
    ck_assert_msg(stop.reason == wanted, "guest %" PRIu64 ", input %c: stop %d, %s", guest->id, how, stop.reason,
                  stop.crash.reason);
    if (wanted == CLEAVE_STOP_EXIT)
        ck_assert_uint_eq(stop.value, how == 'f' ? 0 : guest->now->sum);
    end(guest);
}

static void run_guest(struct guest *guest)
{
    pause_guest(guest);
    if (guest->now->phase == AT_READY)
        run_input(guest);
    else if (guest->now->phase == LOOPING)
        run_loop(guest);
    else if (guest->now->phase == MARKED)
        run_on_from_mark(guest);
}

/* ---- Instants ---- */

static void checkpoint(struct guest *guest)
{
    struct cleave_checkpoint_report report;
    if (guest->now->phase == ENDED)
        return;
    must(cleave_guest_checkpoint(family, guest->id, &report, &failure));
    free(guest->instant);
    guest->instant = copy_of(guest->now);
    guest->checkpointed = true;
}

static void reset(struct guest *guest)
{
    struct cleave_reset_report report;
    if (!guest->instant) {
        ck_assert_int_eq(cleave_guest_reset(family, guest->id, CLEAVE_RESET_PAUSED, &report, &failure), -1);
        ck_assert_int_eq(failure.kind, CLEAVE_UNSUPPORTED);
        return;
    }
    must(cleave_guest_reset(family, guest->id, CLEAVE_RESET_PAUSED, &report, &failure));
    guest->running = false;
    *guest->now = *guest->instant;
    resets++;
    if (draw(&seed, 3))
        check(guest, "reset");
}

/* As a fuzzer does it, so that pages become hot. */
static void loop(struct guest *guest)
{
    if (!guest->checkpointed || guest->instant->phase == LOOPING)
        return;
    for (uint64_t times = 1 + draw(&seed, 24); times; times--) {
        reset(guest);
        if (draw(&seed, 4) == 0)
            scribble(guest);
        if (draw(&seed, 8))
            run_guest(guest);
    }
}

/* ---- New guests ---- */

/* A guest that has just been made of an image: all but its identity is as there. */
static void take_over(struct guest *child, const struct image *from, const char *after)
{
    child->now = copy_of(from);
    read_ram(child, child->now->ram);
    uint64_t first = 0, identity = differences(child->now->ram, from->ram, 0, GUEST_LOW, &first);
    ck_assert_msg(identity > 0 && identity <= IDENTITY, "%" PRIu64 " bytes of boot_info differ", identity);
    compare(child, child->now->ram, from->ram, GUEST_LOW, after);
    child->instant = copy_of(child->now);
}

static void fork_guest(struct guest *guest)
{
    struct cleave_fork_report report;
    const unsigned children = 1 + (unsigned)draw(&seed, 2);
    if (count + children > GUESTS_MOST || guest->now->phase == ENDED)
        return;
    must(cleave_guest_fork(family, guest->id, children, true, &report, &failure));
    for (unsigned i = 0; i < children; i++) {
        struct guest *child = add_guest(report.children[i].id);
        child->saved = guest->saved;
        take_over(child, guest->now, "its fork");
    }
    cleave_fork_report_free(&report);
    check(guest, "a fork");
    forks++;
}

static unsigned saves;

static void on_saved(void *context, const struct cleave_save_report *report, const struct cleave_failure *why)
{
    (void)context;
    ck_assert_msg(report != NULL, "%s", why ? why->text : "");
    saves++;
}

static void on_restored(void *context, const struct cleave_restore_report *report, const struct cleave_failure *why)
{
    ck_assert_msg(report != NULL, "%s", why ? why->text : "");
    *(uint64_t *)context = report->id;
}

static void restore(const char *path, const struct image *from)
{
    uint64_t id = UINT64_MAX;
    const struct cleave_restore_request request = {.path = path, .paused = true, .eager = draw(&seed, 2)};
    must(cleave_guest_restore(family, &request, on_restored, &id, &failure));
    while (id == UINT64_MAX)
        dispatch(1000);
    struct guest *guest = add_guest(id);
    guest->saved = true;
    take_over(guest, from, "restore");
    restores++;
}

/* Saves a guest, which is written to meanwhile, and has another go on from there. */
static void save(struct guest *guest)
{
    char path[sizeof folder + 32];
    if (guest->now->phase == ENDED || files == FILES_MOST || count == GUESTS_MOST)
        return;
    snprintf(path, sizeof path, "%s/%u", folder, files++);
    struct cleave_save_request request = {
        .guest = guest->id, .path = path, .diff = guest->saved && draw(&seed, 2), .compress = draw(&seed, 3) == 0};
    struct image *from = copy_of(guest->now);
    saves = 0;
    if (cleave_guest_save(family, &request, on_saved, NULL, &failure) < 0) {
        ck_assert_msg(request.diff && failure.kind == CLEAVE_UNSUPPORTED, "%s", failure.text); /* the chain is full */
        request.diff = false;
        must(cleave_guest_save(family, &request, on_saved, NULL, &failure));
    }
    diffs += request.diff;
    scribble(guest);
    if (draw(&seed, 2) && guest->instant)
        reset(guest);
    while (!saves)
        dispatch(1000);
    ck_assert_uint_eq(saves, 1);
    guest->saved = true;
    restore(path, from);
    free(from);
}

/* ---- What changes nothing ---- */

static void query(const struct guest *guest)
{
    struct cleave_translation translation;
    struct cleave_mapping mappings[16];
    struct cleave_registers registers[CLEAVE_CPUS_MAX];
    struct cleave_stats stats;
    size_t found;
    uint64_t next;
    unsigned vcpus;
    must(cleave_guest_translate(family, guest->id, draw(&seed, RAM), &translation, &failure));
    ck_assert(translation.mapped);
    must(cleave_guest_mappings(family, guest->id, 0, mappings, 16, &found, &next, &failure));
    must(cleave_guest_stats(family, guest->id, &stats, &failure));
    if (guest->now->phase != ENDED)
        must(cleave_guest_registers(family, guest->id, registers, &vcpus, &failure));
    check(guest, "queries");
}

/* Lets a guest loop beside the others. What it has to write it has written. */
static void resume(struct guest *guest)
{
    uint32_t result;
    memcpy(&result, guest->now->ram + RESULT, sizeof result);
    if (guest->now->phase != LOOPING || result != guest->now->sum)
        return;
    must(cleave_guest_resume(family, guest->id, &failure));
    guest->running = true;
}

static void kill_guest(struct guest *guest)
{
    if (count < 3)
        return;
    must(cleave_guest_kill(family, guest->id, &failure));
    remove_guest(guest);
}

/* ---- All of it ---- */

static void launch(void)
{
    struct cleave_stop stop;
    uint64_t id;
    const struct cleave_launch what = {.path = "build/guest/target.bin", .args = ARGS, .paused = true};
    must(cleave_guest_launch(family, &what, &id, &failure));
    struct guest *guest = add_guest(id);
    must(cleave_guest_run(family, id, CLEAVE_UNTIL_READY, 0, &stop, &failure));
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_READY);
    guest->now = calloc(1, sizeof *guest->now);
    ck_assert_ptr_nonnull(guest->now);
    read_ram(guest, guest->now->ram);
    if (draw(&seed, 4))
        checkpoint(guest);
}

static void act(void)
{
    if (count == 0 || (count < GUESTS_MOST && draw(&seed, 40) == 0))
        launch();
    struct guest *guest = &guests[draw(&seed, count)];
    if (count == GUESTS_MOST && draw(&seed, 4) == 0) {
        kill_guest(guest);
        return;
    }
    const uint64_t what = draw(&seed, 32);
    if (guest->now->phase == ENDED && what >= 6 && what < 24)
        reset(guest);
    else if (what < 6)
        reset(guest);
    else if (what < 13)
        run_guest(guest);
    else if (what < 15)
        scribble(guest);
    else if (what < 18)
        checkpoint(guest);
    else if (what < 21)
        fork_guest(guest);
    else if (what < 24)
        save(guest);
    else if (what < 26)
        loop(guest);
    else if (what < 28)
        query(guest);
    else if (what < 30)
        resume(guest);
    else
        kill_guest(guest);
}

static void clean_up(void)
{
    cleave_family_free(family);
    while (count)
        remove_guest(&guests[count - 1]);
    while (files) {
        char path[sizeof folder + 32];
        snprintf(path, sizeof path, "%s/%u", folder, --files);
        unlink(path);
    }
    rmdir(folder);
}

START_TEST(every_guest_is_as_the_model_says)
{
    seed = draw_seed();
    ck_assert_ptr_nonnull(mkdtemp(folder));
    const struct cleave_config config = {.memory = RAM, .cpus = 1, .ready_vms = draw(&seed, 2)};
    family = cleave_family_new(&config, &failure);
    ck_assert_msg(family != NULL, "%s", failure.text);
    const uint64_t operations = draw_operations(OPERATIONS, 60);
    for (uint64_t i = 0; i < operations; i++)
        act();
    for (size_t i = 0; i < count; i++)
        check(&guests[i], "all of it");
    printf("%u runs, %u resets, %u forks, %u restores, %u diffs\n", runs, resets, forks, restores, diffs);
    if (operations >= OPERATIONS) { /* fewer need not have all, or anything */
        ck_assert_uint_gt(runs, operations / 10);
        ck_assert_uint_gt(resets, operations / 10);
        ck_assert_uint_gt(forks, 0);
        ck_assert_uint_gt(restores, 0);
    }
    clean_up();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cleave_random");
    TCase *tests = tcase_create("random");
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, every_guest_is_as_the_model_says);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
