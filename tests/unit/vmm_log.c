/* The program's log: nothing is said before a sink is set; what nobody reads stops nobody, and is counted. */
#include "vmm/log_writer.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGES 10000

static int ends[2], old_errors;

/* Check's own stderr, and that of its sanitizers, comes back at the end. */
static void take_errors(void)
{
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_gt(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
    old_errors = dup(STDERR_FILENO);
    ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
}

static void give_errors_back(void)
{
    dup2(old_errors, STDERR_FILENO); /* the pipe's last writer is gone */
    close(old_errors);
}

START_TEST(nothing_is_said_where_no_sink_is_set)
{
    take_errors();
    log_error("lost %d", 1);
    give_errors_back();
    char byte;
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
}
END_TEST

START_TEST(messages_before_and_after_are_written_directly_and_only_up_to_the_level)
{
    take_errors();
    log_writer_init(CLEAVE_LOG_WARNING);
    log_warning("before");
    log_info("left out");
    ck_assert_int_eq(log_writer_start(), 0);
    log_error("while");
    log_writer_end();
    log_warning("after");
    give_errors_back();
    char text[256] = {0};
    for (size_t length = 0; length < sizeof text - 1;) {
        const ssize_t n = read(ends[0], text + length, sizeof text - 1 - length);
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    ck_assert_str_eq(text, "vmm: before\nvmm: while\nvmm: after\n");
}
END_TEST

/* What was read of the log. */
static unsigned said, dropped, notes;

static void *read_log(void *argument)
{
    FILE *log = fdopen(ends[0], "r");
    char line[CLEAVE_LOG_MESSAGE_MAX];
    unsigned number, last = 0, count;
    while (fgets(line, sizeof line, log)) {
        if (sscanf(line, "vmm: message %u", &number) == 1) {
            if (number <= last)
                break; /* out of order */
            last = number;
            said++;
        } else if (sscanf(line, "vmm: %u messages were dropped", &count) == 1) {
            dropped += count;
            notes++;
        }
    }
    fclose(log);
    return argument;
}

START_TEST(what_nobody_reads_stops_nobody_and_is_counted)
{
    pthread_t reader;
    take_errors();
    log_writer_init(CLEAVE_LOG_WARNING);
    ck_assert_int_eq(log_writer_start(), 0);
    for (unsigned i = 1; i <= MESSAGES; i++)
        log_warning("message %u, and so many words that all of them do not fit into what is kept of them", i);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_log, NULL), 0); /* only now */
    log_writer_end();
    give_errors_back();
    ck_assert_int_eq(pthread_join(reader, NULL), 0);
    ck_assert_uint_eq(said + dropped, MESSAGES);
    ck_assert_uint_gt(said, 0);
    ck_assert_uint_gt(dropped, 0);
    ck_assert_uint_ge(notes, 1);
}
END_TEST

START_TEST(end_waits_for_one_who_does_not_read_but_not_for_ever)
{
    take_errors();
    log_writer_init(CLEAVE_LOG_WARNING);
    ck_assert_int_eq(log_writer_start(), 0);
    for (unsigned i = 1; i <= MESSAGES; i++)
        log_warning("message %u", i);
    log_writer_end();
    log_warning("not waited for either");
    _exit(EXIT_SUCCESS); /* as one should then: the thread is still there */
}
END_TEST

START_TEST(long_message_is_cut_and_ends_its_line)
{
    static char text[2 * CLEAVE_LOG_MESSAGE_MAX];
    memset(text, 'x', sizeof text - 1);
    take_errors();
    log_writer_init(CLEAVE_LOG_WARNING);
    log_warning("%s", text);
    give_errors_back();
    const ssize_t length = read(ends[0], text, sizeof text);
    ck_assert_int_ge(length, CLEAVE_LOG_MESSAGE_MAX);
    ck_assert_int_lt(length, CLEAVE_LOG_MESSAGE_MAX + 16);
    ck_assert_int_eq(text[length - 1], '\n');
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("log");
    TCase *tests = tcase_create("log");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, nothing_is_said_where_no_sink_is_set);
    tcase_add_test(tests, messages_before_and_after_are_written_directly_and_only_up_to_the_level);
    tcase_add_test(tests, what_nobody_reads_stops_nobody_and_is_counted);
    tcase_add_test(tests, end_waits_for_one_who_does_not_read_but_not_for_ever);
    tcase_add_test(tests, long_message_is_cut_and_ends_its_line);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
