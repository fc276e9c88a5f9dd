/* Consoles and the terminal: what a console keeps and passes on, and the one stream that all of them make. */
#include "vmm/devices/console.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const atomic_bool go = true;

/* What a terminal has written once it is freed. */
struct screen {
    int pipe[2];
    struct terminal *terminal;
    char text[200000];
};

static void open_screen(struct screen *screen)
{
    ck_assert_int_eq(pipe(screen->pipe), 0);
    ck_assert_int_gt(fcntl(screen->pipe[1], F_SETPIPE_SZ, 1 << 20), 0);
    screen->terminal = terminal_new(screen->pipe[1]);
    ck_assert_ptr_nonnull(screen->terminal);
}

static const char *close_screen(struct screen *screen)
{
    terminal_free(screen->terminal);
    close(screen->pipe[1]);
    size_t length = 0;
    ssize_t n;
    while ((n = read(screen->pipe[0], screen->text + length, sizeof screen->text - 1 - length)) > 0)
        length += (size_t)n;
    screen->text[length] = '\0';
    close(screen->pipe[0]);
    return screen->text;
}

static void put(struct console *console, const char *text)
{
    for (; *text; text++)
        console_put(console, (const uint8_t *)text, 1, &go);
}

START_TEST(root_bytes_pass_unchanged)
{
    struct screen screen;
    struct console root;
    open_screen(&screen);
    console_init(&root, screen.terminal, 0);
    put(&root, "no newline, \001\377 and all");
    ck_assert_str_eq(close_screen(&screen), "no newline, \001\377 and all");
    console_free(&root);
}
END_TEST

START_TEST(child_lines_are_led_by_their_number_and_never_torn)
{
    struct screen screen;
    struct console a, b;
    open_screen(&screen);
    console_init(&a, screen.terminal, 7);
    console_init(&b, screen.terminal, 12);
    put(&a, "one ");
    put(&b, "two\n");
    put(&a, "three\nrest");
    console_flush(&a);
    ck_assert_str_eq(close_screen(&screen), "[g12] two\n[g7] one three\n[g7] rest\n");
    console_free(&a);
    console_free(&b);
}
END_TEST

START_TEST(a_childs_line_does_not_continue_an_unfinished_one_of_the_root)
{
    struct screen screen;
    struct console root, child;
    open_screen(&screen);
    console_init(&root, screen.terminal, 0);
    console_init(&child, screen.terminal, 1);
    put(&root, "prompt> ");
    put(&child, "hello\n");
    put(&root, "go\n");
    ck_assert_str_eq(close_screen(&screen), "prompt> \n[g1] hello\ngo\n");
    console_free(&root);
    console_free(&child);
}
END_TEST

START_TEST(no_line_of_a_root_with_children_is_torn)
{
    struct screen screen;
    struct console root, child;
    open_screen(&screen);
    console_init(&root, screen.terminal, 0);
    console_init(&child, screen.terminal, 1);
    put(&root, "alone\n");
    console_pass_lines(&root);
    put(&root, "with ");
    put(&child, "child\n");
    put(&root, "children\nthe end");
    console_flush(&root);
    ck_assert_str_eq(close_screen(&screen), "alone\n[g1] child\nwith children\nthe end");
    console_free(&root);
    console_free(&child);
}
END_TEST

START_TEST(console_keeps_the_last_64_kib_in_order)
{
    struct console console;
    struct terminal *nowhere = terminal_new(-1);
    char *text = malloc(CONSOLE_KEPT);
    console_init(&console, nowhere, 0);
    ck_assert_uint_eq(console_copy(&console, text), 0);
    put(&console, "short");
    ck_assert_uint_eq(console_copy(&console, text), 5);
    ck_assert(memcmp(text, "short", 5) == 0);
    for (unsigned i = 0; i < 3 * CONSOLE_KEPT / 8; i++) {
        char line[9];
        snprintf(line, sizeof line, "%07u\n", i);
        put(&console, line);
    }
    ck_assert_uint_eq(console_copy(&console, text), CONSOLE_KEPT);
    for (unsigned i = 0; i < CONSOLE_KEPT / 8; i++)
        ck_assert_uint_eq(strtoul(text + i * 8, NULL, 10), 2 * CONSOLE_KEPT / 8 + i);
    console_free(&console);
    terminal_free(nowhere);
    free(text);
}
END_TEST

START_TEST(terminal_loses_nothing_when_its_reader_is_slow)
{
    struct screen screen;
    open_screen(&screen);
    ck_assert_int_gt(fcntl(screen.pipe[1], F_SETPIPE_SZ, 4096), 0);
    char chunk[4096];
    memset(chunk, 'z', sizeof chunk);
    size_t total = 0;
    for (int i = 0; i < 40; i++, total += sizeof chunk)
        terminal_write(screen.terminal, 0, chunk, sizeof chunk);
    size_t got = 0;
    while (got < total) {
        ssize_t n = read(screen.pipe[0], screen.text, sizeof screen.text);
        ck_assert_int_gt(n, 0);
        got += (size_t)n;
    }
    ck_assert_str_eq(close_screen(&screen), "");
}
END_TEST

START_TEST(terminal_survives_a_reader_that_is_gone)
{
    struct screen screen;
    open_screen(&screen);
    close(screen.pipe[0]);
    for (int i = 0; i < 1000; i++) {
        terminal_wait(screen.terminal, &go);
        terminal_write(screen.terminal, 0, "lost\n", 5);
    }
    terminal_free(screen.terminal);
    close(screen.pipe[1]);
}
END_TEST

/* One who writes to a console that nobody reads, until it is told to stop. */
struct writer {
    struct console *console;
    atomic_bool go;
    atomic_size_t written;
};

static void *write_on(void *argument)
{
    struct writer *writer = argument;
    for (; atomic_load(&writer->go); atomic_fetch_add(&writer->written, 1))
        console_put(writer->console, (const uint8_t *)"y", 1, &writer->go);
    return NULL;
}

/* It waits for room: nothing more is written for so long. */
static void await_standstill(struct writer *writer)
{
    size_t before;
    do {
        before = atomic_load(&writer->written);
        usleep(200000);
    } while (!before || atomic_load(&writer->written) != before);
}

START_TEST(console_whose_writer_waits_for_room_answers_all_others)
{
    static char text[CONSOLE_KEPT];
    struct console root, child;
    struct console_line line;
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    struct terminal *terminal = terminal_new(ends[1]);
    console_init(&root, terminal, 0);
    console_init(&child, terminal, 1);
    struct writer writer = {.console = &root, .go = true};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &writer), 0);
    await_standstill(&writer);

    ck_assert_uint_eq(console_copy(&root, text), sizeof text); /* query-console */
    console_pass_lines(&root);                                 /* a fork */
    console_get_line(&root, &line);
    console_begin(&child, &line);
    const atomic_bool stopped = false; /* another vCPU, which is stopped in the middle of its output */
    console_put(&root, (const uint8_t *)"z", 1, &stopped);
    console_flush(&child);

    atomic_store(&writer.go, false);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    console_flush(&root);
    close(ends[0]);
    terminal_free(terminal);
    close(ends[1]);
    console_free(&root);
    console_free(&child);
}
END_TEST

START_TEST(bytes_of_several_writers_are_kept_and_passed_on_in_one_order)
{
    static char text[CONSOLE_KEPT];
    struct screen screen;
    struct console root;
    open_screen(&screen);
    console_init(&root, screen.terminal, 0);
    struct writer writers[4];
    pthread_t threads[4];
    static const char letters[] = "abcd";
    for (int i = 0; i < 4; i++) {
        writers[i] = (struct writer){.console = &root, .go = true};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_on, &writers[i]), 0);
    }
    for (int i = 0; i < 10000; i++)
        console_put(&root, (const uint8_t *)&letters[i % 4], 1, &go);
    for (int i = 0; i < 4; i++) {
        atomic_store(&writers[i].go, false);
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    }
    const size_t kept = console_copy(&root, text);
    int copy = dup(screen.pipe[0]);
    ck_assert_int_ge(copy, 0);
    close(screen.pipe[0]);
    /* As much as is kept of the end of what was passed on, which may be more than a pipe holds. */
    static char last[2 * CONSOLE_KEPT];
    terminal_write(screen.terminal, 0, "#", 1);
    size_t length = 0;
    do {
        if (length == sizeof last) {
            memmove(last, last + CONSOLE_KEPT, CONSOLE_KEPT);
            length = CONSOLE_KEPT;
        }
        ck_assert_int_eq(read(copy, last + length, 1), 1);
    } while (last[length++] != '#');
    ck_assert_uint_ge(length, kept + 1);
    ck_assert(memcmp(last + length - 1 - kept, text, kept) == 0);
    terminal_free(screen.terminal);
    close(screen.pipe[1]);
    close(copy);
    console_free(&root);
}
END_TEST

START_TEST(child_that_is_forked_in_the_middle_of_a_line_begins_it_anew)
{
    struct screen screen;
    struct console root, children[2];
    struct console_line line;
    char text[CONSOLE_KEPT];
    open_screen(&screen);
    console_init(&root, screen.terminal, 0);
    put(&root, "first\ncount");
    console_get_line(&root, &line);
    for (unsigned i = 0; i < 2; i++) {
        console_init(&children[i], screen.terminal, i + 1);
        console_begin(&children[i], &line);
        ck_assert_uint_eq(console_copy(&children[i], text), 0); /* it has written nothing so far */
    }
    console_pass_lines(&root);
    put(&children[0], "er 17\nnext\n");
    put(&root, "er 18\n");
    ck_assert_uint_eq(console_copy(&children[0], text), 16);
    ck_assert(memcmp(text, "counter 17\nnext\n", 16) == 0);
    console_get_line(&children[1], &line); /* a fork of a fork that has not written yet */
    ck_assert_uint_eq(line.length, 5);
    console_flush(&children[1]); /* ends without a word: no line */
    ck_assert_str_eq(close_screen(&screen), "first\ncount\n[g1] counter 17\n[g1] next\ner 18\n");
    console_free(&root);
    console_free(&children[0]);
    console_free(&children[1]);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("devices_console");
    TCase *tests = tcase_create("devices_console");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, root_bytes_pass_unchanged);
    tcase_add_test(tests, child_lines_are_led_by_their_number_and_never_torn);
    tcase_add_test(tests, a_childs_line_does_not_continue_an_unfinished_one_of_the_root);
    tcase_add_test(tests, no_line_of_a_root_with_children_is_torn);
    tcase_add_test(tests, console_keeps_the_last_64_kib_in_order);
    tcase_add_test(tests, terminal_loses_nothing_when_its_reader_is_slow);
    tcase_add_test(tests, terminal_survives_a_reader_that_is_gone);
    tcase_add_test(tests, console_whose_writer_waits_for_room_answers_all_others);
    tcase_add_test(tests, bytes_of_several_writers_are_kept_and_passed_on_in_one_order);
    tcase_add_test(tests, child_that_is_forked_in_the_middle_of_a_line_begins_it_anew);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
