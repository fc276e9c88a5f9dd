/* Outlets: all is written in order, a reader who has stopped stops nobody, and what finds no room is refused whole.
 */
#include "vmm/base/outlet.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM (64u << 10)

static atomic_uint drains;
static atomic_int failure;

static void on_drained(void *context)
{
    (void)context;
    atomic_fetch_add(&drains, 1);
}

static void on_failed(void *context, int error)
{
    (void)context;
    atomic_store(&failure, error);
}

static const struct outlet_user user = {.drained = on_drained, .failed = on_failed};

/* A pipe that holds a page, and an outlet into it. */
static struct outlet *open_outlet(int ends[2])
{
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_gt(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
    struct outlet *outlet = outlet_new(ends[1], ROOM, "test", &user);
    ck_assert_ptr_nonnull(outlet);
    return outlet;
}

/* Adds words that count up until one finds no room. The count then. */
static uint32_t fill(struct outlet *outlet, uint32_t count)
{
    while (outlet_add(outlet, (const char *)&count, sizeof count))
        count++;
    return count;
}

static void check_words(int fd, uint32_t from, uint32_t to)
{
    for (uint32_t word, want = from; want < to; want++) {
        ck_assert_int_eq(read(fd, &word, sizeof word), sizeof word);
        ck_assert_uint_eq(word, want);
    }
}

START_TEST(reader_who_has_stopped_stops_nobody_and_gets_all_in_order_later)
{
    int ends[2];
    struct outlet *outlet = open_outlet(ends);
    uint32_t count = fill(outlet, 0);
    for (int i = 0; i < 100; i++) { /* the thread may take the buffer once; then there is no room for good */
        usleep(1000);
        count = fill(outlet, count);
    }
    ck_assert_uint_ge(count, ROOM / sizeof count);
    ck_assert_uint_le(count, (2 * ROOM + 4096) / sizeof count);
    check_words(ends[0], 0, count);
    while (!atomic_load(&drains))
        usleep(1000);
    ck_assert(outlet_add(outlet, (const char *)&count, sizeof count));
    ck_assert(!outlet_end(outlet, 60));
    check_words(ends[0], count, count + 1);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(descriptor_that_somebody_made_non_blocking_loses_nothing)
{
    int ends[2];
    struct outlet *outlet = open_outlet(ends);
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    const uint32_t count = fill(outlet, 0);
    check_words(ends[0], 0, count);
    ck_assert(!outlet_end(outlet, 60));
    ck_assert_int_eq(atomic_load(&failure), 0);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(reader_who_is_gone_is_told_of_once_and_the_rest_dropped)
{
    int ends[2];
    struct outlet *outlet = open_outlet(ends);
    close(ends[0]);
    while (atomic_load(&failure) != EPIPE)
        ck_assert(outlet_add(outlet, "x", 1));
    for (unsigned i = 0; i < 2 * ROOM; i++)
        ck_assert(outlet_add(outlet, "x", 1));
    const atomic_bool go = true;
    outlet_wait(outlet, 1, &go);
    ck_assert(!outlet_end(outlet, 60));
    ck_assert_uint_eq(atomic_load(&drains), 0);
    close(ends[1]);
}
END_TEST

static atomic_bool may_wait = true;

static void *stop_soon(void *argument)
{
    usleep(100000);
    atomic_store(&may_wait, false);
    return argument;
}

START_TEST(who_waits_for_room_is_let_go_when_it_must_stop)
{
    int ends[2];
    struct outlet *outlet = open_outlet(ends);
    for (int i = 0; i < 20; i++) {
        fill(outlet, 0);
        usleep(1000);
    }
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_soon, NULL), 0);
    outlet_wait(outlet, ROOM / 2, &may_wait);
    ck_assert(!atomic_load(&may_wait));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    close(ends[0]);
    ck_assert(!outlet_end(outlet, 60));
    close(ends[1]);
}
END_TEST

START_TEST(end_gives_up_on_a_reader_who_takes_nothing)
{
    int ends[2];
    struct outlet *outlet = open_outlet(ends);
    fill(outlet, 0);
    ck_assert(outlet_end(outlet, 1));
    _exit(EXIT_SUCCESS); /* as one should then: the thread is still there */
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("base_outlet");
    TCase *tests = tcase_create("outlet");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, reader_who_has_stopped_stops_nobody_and_gets_all_in_order_later);
    tcase_add_test(tests, descriptor_that_somebody_made_non_blocking_loses_nothing);
    tcase_add_test(tests, reader_who_is_gone_is_told_of_once_and_the_rest_dropped);
    tcase_add_test(tests, who_waits_for_room_is_let_go_when_it_must_stop);
    tcase_add_test(tests, end_gives_up_on_a_reader_who_takes_nothing);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
