/* libcleave: guests that are run on the caller's thread until they stop, and reset. The embedder is this program. */
#include <cleave/cleave.h>

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define TARGET    "build/guest/target.bin"
#define MIB       (UINT64_C(1) << 20)
#define MEMORY    (16 * MIB)
#define INPUT_GPA (UINT64_C(1) << 30)
#define BYTES     1024
#define MS        UINT64_C(1000000)

static struct cleave_family *family;
static struct cleave_failure failure;
static uint64_t guest;
static uint8_t *input; /* the guest's input; the result follows in the next page */
static struct cleave_stop stop;

static void must(int result)
{
    ck_assert_msg(result == 0, "%s", failure.text);
}

static uint32_t result(void)
{
    return *(volatile uint32_t *)(input + 4096);
}

static void launch(unsigned cpus, const char *args)
{
    input = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct cleave_region region = {INPUT_GPA, 8192, input, false};
    const struct cleave_config config = {.memory = MEMORY, .cpus = cpus, .regions = &region, .region_count = 1};
    family = cleave_family_new(&config, &failure);
    ck_assert_msg(family != NULL, "%s", failure.text);
    const struct cleave_launch what = {.path = TARGET, .args = args, .paused = true};
    must(cleave_guest_launch(family, &what, &guest, &failure));
}

#define PLACES "bytes=1024 input=1073741824 result=1073745920 "

/* A guest that is ready, and has a checkpoint there. */
static void make_ready(unsigned cpus, const char *args)
{
    launch(cpus, args);
    must(cleave_guest_run(family, guest, CLEAVE_UNTIL_READY, 0, &stop, &failure));
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_READY);
    struct cleave_checkpoint_report report;
    must(cleave_guest_checkpoint(family, guest, &report, &failure));
}

static void tear_down(void)
{
    cleave_family_free(family);
    munmap(input, 8192);
}

static void reset(void)
{
    struct cleave_reset_report report;
    must(cleave_guest_reset(family, guest, CLEAVE_RESET_PAUSED, &report, &failure));
}

/* One execution with an input of which only the first bytes are not zero. */
static void run_with(const char *text, unsigned until, uint64_t timeout_ns)
{
    memset(input, 0, BYTES);
    memcpy(input, text, strlen(text));
    must(cleave_guest_run(family, guest, until, timeout_ns, &stop, &failure));
}

static uint32_t sum_of(const char *text)
{
    uint32_t sum = 0;
    for (; *text; text++)
        sum += (uint8_t)*text;
    return sum;
}

static enum cleave_state state(void)
{
    struct cleave_guest_info *list;
    size_t count;
    must(cleave_family_guests(family, &list, &count, &failure));
    enum cleave_state now = list[guest].state;
    free(list);
    return now;
}

START_TEST(a_guest_stops_where_it_is_ready_and_says_with_what)
{
    launch(1, PLACES "pages=7");
    must(cleave_guest_run(family, guest, CLEAVE_UNTIL_READY, 0, &stop, &failure));
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_READY);
    ck_assert_uint_eq(stop.value, 7);
    ck_assert_int_eq(state(), CLEAVE_PAUSED);
    tear_down();
}
END_TEST

static unsigned readies;

static void count_ready(void *context, const struct cleave_event *event)
{
    (void)context;
    readies += event->kind == CLEAVE_EVENT_READY;
}

START_TEST(readiness_that_nobody_waits_for_is_an_event)
{
    launch(1, PLACES);
    cleave_family_on_event(family, count_ready, NULL);
    run_with("x", 0, 0);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_EXIT);
    ck_assert_uint_eq(readies, 1);
    tear_down();
}
END_TEST

START_TEST(each_end_of_a_run_is_told_with_all_there_is)
{
    make_ready(1, PLACES "pages=3");
    run_with("x", 0, 0);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_EXIT);
    ck_assert_uint_eq(stop.value, 'x');
    ck_assert_uint_eq(result(), 'x');
    reset();
    run_with("c", 0, 0);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_CRASH);
    ck_assert(stop.crash.has_exception && stop.crash.has_registers);
    ck_assert_uint_eq(stop.crash.vector, 6);
    reset();
    run_with("n", 0, 0);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_CRASH);
    ck_assert_uint_eq(stop.crash.vector, 14);
    ck_assert_uint_eq(stop.crash.registers.cr2, UINT64_C(0x600000000000));
    ck_assert(stop.crash.has_error_code);
    reset();
    run_with("h", 0, 0);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_HALT);
    reset();
    run_with("m", CLEAVE_UNTIL_MARK, 0);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_MARK);
    ck_assert_uint_eq(stop.value, 'm');
    must(cleave_guest_run(family, guest, CLEAVE_UNTIL_MARK, 0, &stop, &failure)); /* on from there */
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_EXIT);
    reset();
    run_with("f", 0, 0); /* a fork by port in the middle of a run */
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_EXIT);
    ck_assert_uint_eq(stop.value, 0);
    tear_down();
}
END_TEST

START_TEST(a_run_ends_at_its_deadline_and_can_go_on)
{
    make_ready(1, PLACES);
    for (int i = 0; i < 3; i++) {
        run_with("l", 0, 20 * MS);
        ck_assert_int_eq(stop.reason, CLEAVE_STOP_TIME);
        ck_assert_int_eq(state(), CLEAVE_PAUSED);
    }
    must(cleave_guest_run(family, guest, 0, 1, &stop, &failure)); /* which is over before it begins */
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_TIME);
    reset();
    run_with("x", 0, UINT64_MAX);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_EXIT);
    tear_down();
}
END_TEST

static void *interrupt_soon(void *argument)
{
    (void)argument;
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    cleave_family_interrupt(family);
    return NULL;
}

START_TEST(another_thread_interrupts_a_run)
{
    make_ready(1, PLACES);
    for (int i = 0; i < 5; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, interrupt_soon, NULL);
        run_with("l", 0, 0);
        ck_assert_int_eq(stop.reason, CLEAVE_STOP_INTERRUPT);
        pthread_join(thread, NULL);
    }
    cleave_family_interrupt(family); /* before the run */
    run_with("l", 0, 0);
    ck_assert_int_eq(stop.reason, CLEAVE_STOP_INTERRUPT);
    tear_down();
}
END_TEST

static void on_alarm(int number)
{
    (void)number;
    cleave_family_interrupt(family);
}

START_TEST(a_signal_handler_interrupts_a_run)
{
    make_ready(1, PLACES);
    struct sigaction action = {.sa_handler = on_alarm}, old;
    sigaction(SIGALRM, &action, &old);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    for (int i = 0; i < 5; i++) {
        timer_settime(timer, 0, &(struct itimerspec){.it_value.tv_nsec = 10000000}, NULL);
        run_with("l", 0, 0);
        ck_assert_int_eq(stop.reason, CLEAVE_STOP_INTERRUPT);
    }
    timer_delete(timer);
    sigaction(SIGALRM, &old, NULL);
    tear_down();
}
END_TEST

START_TEST(signals_are_as_they_were_after_a_run)
{
    sigset_t before, after;
    make_ready(1, PLACES);
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    run_with("l", 0, 5 * MS);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    ck_assert(sigismember(&after, CLEAVE_KICK_SIGNAL) == sigismember(&before, CLEAVE_KICK_SIGNAL));
    sigset_t pending;
    sigpending(&pending);
    ck_assert(!sigismember(&pending, CLEAVE_KICK_SIGNAL));
    tear_down();
}
END_TEST

/* Executions one after the other, as a fuzzer has them: each begins from the same bytes. */
static void loop(unsigned cpus, const char *args, int times)
{
    make_ready(cpus, args);
    for (int i = 0; i < times; i++) {
        char text[8];
        snprintf(text, sizeof text, "x%c", (char)(1 + i % 100));
        reset();
        run_with(text, 0, 0);
        ck_assert_msg(stop.reason == CLEAVE_STOP_EXIT, "run %d: %s", i, stop.crash.reason);
        ck_assert_uint_eq(stop.value, sum_of(text));
        ck_assert_uint_eq(result(), sum_of(text));
    }
    tear_down();
}

START_TEST(a_thousand_runs_give_a_thousand_results)
{
    loop(1, PLACES "pages=1", 1000);
}
END_TEST

START_TEST(runs_that_write_many_pages_begin_from_the_same_bytes)
{
    loop(1, PLACES "pages=300", 100);
}
END_TEST

START_TEST(several_vcpus_run_and_stop_alike)
{
    loop(3, PLACES "pages=2", 100);
}
END_TEST

START_TEST(what_runs_already_is_not_run_twice)
{
    make_ready(1, PLACES);
    memset(input, 0, BYTES);
    input[0] = 'l';
    must(cleave_guest_resume(family, guest, &failure));
    ck_assert_int_eq(cleave_guest_run(family, guest, 0, 0, &stop, &failure), -1);
    ck_assert_int_eq(failure.kind, CLEAVE_BUSY);
    must(cleave_guest_kill(family, guest, &failure));
    ck_assert_int_eq(cleave_guest_run(family, guest, 0, 0, &stop, &failure), -1);
    ck_assert_int_eq(failure.kind, CLEAVE_GUEST_NOT_FOUND);
    tear_down();
}
END_TEST

static unsigned stops;

static void on_stop(void *context, const struct cleave_stop *told)
{
    (void)context;
    stop = *told;
    stops++;
}

/* Waits for the end of the run that was begun as the `count`th. */
static void wait_for_stop(unsigned count, enum cleave_stop_reason reason)
{
    while (stops < count)
        cleave_family_dispatch(family);
    ck_assert_uint_eq(stops, count);
    ck_assert_int_eq(stop.reason, reason);
}

static void begin_with(char first, unsigned until)
{
    input[0] = (uint8_t)first;
    must(cleave_guest_begin_run(family, guest, until, on_stop, NULL, &failure));
}

START_TEST(a_run_on_the_librarys_threads_ends_once)
{
    make_ready(1, PLACES);
    memset(input, 0, BYTES);
    begin_with('l', 0);
    ck_assert_int_eq(cleave_guest_begin_run(family, guest, 0, on_stop, NULL, &failure), -1);
    ck_assert_int_eq(failure.kind, CLEAVE_BUSY);
    cleave_guest_end_run(family, guest, CLEAVE_STOP_TIME);
    wait_for_stop(1, CLEAVE_STOP_TIME);
    reset();
    begin_with('m', CLEAVE_UNTIL_MARK);
    wait_for_stop(2, CLEAVE_STOP_MARK);
    ck_assert_int_eq(state(), CLEAVE_PAUSED);
    begin_with('m', 0); /* on from there */
    wait_for_stop(3, CLEAVE_STOP_EXIT);
    reset();
    begin_with('l', 0);
    must(cleave_guest_kill(family, guest, &failure));
    wait_for_stop(4, CLEAVE_STOP_KILLED);
    tear_down();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cleave_run");
    TCase *tests = tcase_create("run");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_guest_stops_where_it_is_ready_and_says_with_what);
    tcase_add_test(tests, readiness_that_nobody_waits_for_is_an_event);
    tcase_add_test(tests, each_end_of_a_run_is_told_with_all_there_is);
    tcase_add_test(tests, a_run_ends_at_its_deadline_and_can_go_on);
    tcase_add_test(tests, another_thread_interrupts_a_run);
    tcase_add_test(tests, a_signal_handler_interrupts_a_run);
    tcase_add_test(tests, signals_are_as_they_were_after_a_run);
    tcase_add_test(tests, a_thousand_runs_give_a_thousand_results);
    tcase_add_test(tests, runs_that_write_many_pages_begin_from_the_same_bytes);
    tcase_add_test(tests, several_vcpus_run_and_stop_alike);
    tcase_add_test(tests, what_runs_already_is_not_run_twice);
    tcase_add_test(tests, a_run_on_the_librarys_threads_ends_once);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
