/* libcleave: what comes out of a run on the caller's thread while it goes on, and what is left when it has ended. */
#include "tests/support/rounds.h"

#include <cleave/cleave.h>

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIB    (UINT64_C(1) << 20)
#define MEMORY (16 * MIB)
#define MS     UINT64_C(1000000)
#define LONG   (60000 * MS) /* a run that ends by this deadline has missed what it was to see */

static struct cleave_family *family;
static struct cleave_failure failure;
static uint64_t guest;
static struct cleave_stop stop;

static void must(int result)
{
    ck_assert_msg(result == 0, "%s", failure.text);
}

static void launch(const char *path, const char *args, int console)
{
    const struct cleave_config config = {.memory = MEMORY, .cpus = 1, .console = console};
    family = cleave_family_new(&config, &failure);
    ck_assert_msg(family != NULL, "%s", failure.text);
    const struct cleave_launch what = {.path = path, .args = args, .paused = true};
    must(cleave_guest_launch(family, &what, &guest, &failure));
}

/* Guest target with its input in RAM, of which the first byte says what it does. */
#define INPUT (8 * MIB)
#define ARGS  "bytes=1024 input=8388608 result=8392704"

static void launch_target(const char *input)
{
    launch("build/guest/target.bin", ARGS, 0);
    must(cleave_guest_write(family, guest, INPUT, strlen(input), input, &failure));
}

static void run(unsigned until, uint64_t timeout_ns)
{
    must(cleave_guest_run(family, guest, until, timeout_ns, &stop, &failure));
}

static void on_alarm(int number)
{
    (void)number;
    for (int i = 0; i < 10; i++)
        cleave_family_interrupt(family);
}

/* Kicks are real-time signals, which queue: one that stays pending ends the program when it is let through. */
START_TEST(many_interrupts_of_one_run_leave_no_signal_behind)
{
    launch_target("l");
    struct sigaction action = {.sa_handler = on_alarm}, old;
    sigaction(SIGALRM, &action, &old);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    for (int i = 0; i < 5; i++) {
        timer_settime(timer, 0, &(struct itimerspec){.it_value.tv_nsec = 10000000}, NULL);
        run(0, 0);
        ck_assert_int_eq(stop.reason, CLEAVE_STOP_INTERRUPT);
        sigset_t pending;
        sigpending(&pending);
        ck_assert(!sigismember(&pending, CLEAVE_KICK_SIGNAL));
    }
    timer_delete(timer);
    sigaction(SIGALRM, &old, NULL);
    cleave_family_free(family);
}
END_TEST

static enum cleave_event_kind wanted;
static struct cleave_event seen;

static void interrupt_at(void *context, const struct cleave_event *event)
{
    (void)context;
    if (event->kind != wanted)
        return;
    seen = *event;
    cleave_family_interrupt(family);
}

static void expect_event_in_run(const char *input, enum cleave_event_kind kind)
{
    launch_target(input);
    wanted = kind;
    cleave_family_on_event(family, interrupt_at, NULL);
    run(0, LONG);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_INTERRUPT);
    ck_assert_int_eq(seen.kind, kind);
    wanted = CLEAVE_EVENT_EXITED;
}

START_TEST(a_mark_is_told_while_the_guest_runs)
{
    expect_event_in_run("m", CLEAVE_EVENT_MARK);
    ck_assert_uint_eq(seen.mark, 'm');
    run(0, LONG);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_EXIT);
    cleave_family_free(family);
}
END_TEST

START_TEST(readiness_is_told_while_the_guest_runs)
{
    expect_event_in_run("l", CLEAVE_EVENT_READY);
    cleave_family_free(family);
}
END_TEST

START_TEST(the_first_entry_of_a_run_has_its_time)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    expect_event_in_run("l", CLEAVE_EVENT_STARTED);
    ck_assert_uint_ge(seen.timestamp_ns, (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec);
    cleave_family_free(family);
}
END_TEST

static unsigned saves;

static void on_saved(void *context, const struct cleave_save_report *report, const struct cleave_failure *why)
{
    (void)context;
    ck_assert_msg(report != NULL, "%s", why ? why->text : "");
    saves++;
    cleave_family_interrupt(family);
}

START_TEST(a_snapshot_is_done_while_a_guest_runs)
{
    char path[] = "/tmp/cleave_stops.XXXXXX";
    close(mkstemp(path));
    launch_target("l");
    /* What takes a while to compress. */
    static uint32_t noise[3 * MIB / sizeof(uint32_t)];
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
        noise[i] = (uint32_t)i * UINT32_C(2654435761) ^ (uint32_t)(i >> 3);
    must(cleave_guest_write(family, guest, 12 * MIB, sizeof noise, noise, &failure));
    const struct cleave_save_request request = {.guest = guest, .path = path, .compress = true};
    must(cleave_guest_save(family, &request, on_saved, NULL, &failure));
    run(0, LONG);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_INTERRUPT);
    ck_assert_uint_eq(saves, 1);
    cleave_family_free(family);
    unlink(path);
}
END_TEST

START_TEST(a_run_ends_at_its_deadline_though_nobody_reads_the_console)
{
    int unread[2];
    ck_assert_int_eq(pipe(unread), 0);
    ck_assert_int_ge(fcntl(unread[1], F_SETPIPE_SZ, 4096), 0);
    launch("build/guest/flood.bin", "", unread[1]);
    for (int i = 0; i < 3; i++) {
        run(0, 2000 * MS);
        ck_assert_int_eq(stop.reason, CLEAVE_STOP_TIME);
    }
    close(unread[0]); /* what waits for its reader goes on, with an error */
    cleave_family_free(family);
    close(unread[1]);
}
END_TEST

static void on_stop(void *context, const struct cleave_stop *told)
{
    (void)context;
    stop = *told;
}

/* A run on the library's threads that is ended from here after some time, or has ended by then. */
static void run_there(unsigned until, uint64_t ns)
{
    must(cleave_guest_begin_run(family, guest, until, on_stop, NULL, &failure));
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
    cleave_guest_end_run(family, guest, CLEAVE_STOP_TIME);
}

/* The guest in pieces, from its start until it is ready and then until it ends. */
static void run_in_pieces(unsigned round, enum cleave_stop_reason last)
{
    for (unsigned piece = 0; piece == 0 || stop.reason == CLEAVE_STOP_TIME; piece++) {
        const uint64_t ns = 1 + (round * UINT64_C(7919) + piece * UINT64_C(104729)) % (200000 * (piece + 1));
        if (round % 2)
            run(CLEAVE_UNTIL_READY, ns);
        else
            run_there(CLEAVE_UNTIL_READY, ns);
    }
    ck_assert_msg(stop.reason == last, "round %u: stop %d, not %d", round, stop.reason, last);
}

START_TEST(no_stop_is_lost_in_runs_however_short)
{
    struct cleave_checkpoint_report checkpoint;
    struct cleave_reset_report reset;
    launch_target("x");
    must(cleave_guest_checkpoint(family, guest, &checkpoint, &failure));
    for (unsigned round = 0; round < rounds(2000, 200); round++) {
        run_in_pieces(round, CLEAVE_STOP_READY);
        run_in_pieces(round, CLEAVE_STOP_EXIT);
        ck_assert_uint_eq(stop.value, 'x');
        must(cleave_guest_reset(family, guest, CLEAVE_RESET_PAUSED, &reset, &failure));
    }
    cleave_family_free(family);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("cleave_stops");
    TCase *tests = tcase_create("stops");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, many_interrupts_of_one_run_leave_no_signal_behind);
    tcase_add_test(tests, a_mark_is_told_while_the_guest_runs);
    tcase_add_test(tests, readiness_is_told_while_the_guest_runs);
    tcase_add_test(tests, the_first_entry_of_a_run_has_its_time);
    tcase_add_test(tests, a_snapshot_is_done_while_a_guest_runs);
    tcase_add_test(tests, a_run_ends_at_its_deadline_though_nobody_reads_the_console);
    tcase_add_test(tests, no_stop_is_lost_in_runs_however_short);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
