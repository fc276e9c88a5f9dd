/* Devices: the UART's registers, what a console keeps and passes on, the terminal's one stream, marks. */
#include "vmm/devices/console.h"
#include "vmm/devices/marks.h"
#include "vmm/devices/uart.h"

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

START_TEST(uart_sends_what_is_written_and_is_always_ready)
{
    struct uart uart = {0};
    uint8_t byte = 0;
    ck_assert(uart_write(&uart, 0, 'x', &byte));
    ck_assert_int_eq(byte, 'x');
    ck_assert_int_eq(uart_read(&uart, 5), 0x60);
    ck_assert_int_eq(uart_read(&uart, 2), 0x01);
    uart_write(&uart, 2, 0x01, &byte);
    ck_assert_int_eq(uart_read(&uart, 2), 0xc1);
}
END_TEST

START_TEST(uart_divisor_latch_hides_data_and_interrupt_registers)
{
    struct uart uart = {0};
    uint8_t byte = 0;
    uart_write(&uart, 1, 0x0f, &byte);
    uart_write(&uart, 3, 0x83, &byte);
    ck_assert(!uart_write(&uart, 0, 0x0c, &byte));
    ck_assert(!uart_write(&uart, 1, 0x01, &byte));
    ck_assert_int_eq(uart_read(&uart, 0), 0x0c);
    ck_assert_int_eq(uart_read(&uart, 1), 0x01);
    uart_write(&uart, 3, 0x03, &byte);
    ck_assert_int_eq(uart_read(&uart, 1), 0x0f);
    ck_assert(uart_write(&uart, 0, 'y', &byte));
}
END_TEST

START_TEST(uart_loops_back_bytes_and_modem_lines)
{
    struct uart uart = {0};
    uint8_t byte = 0;
    uart_write(&uart, 4, 0x1a, &byte); /* loop, OUT2, RTS: what Linux's driver probes with */
    ck_assert_int_eq(uart_read(&uart, 6) & 0xf0, 0x90);
    ck_assert(!uart_write(&uart, 0, 0x5a, &byte));
    ck_assert_int_eq(uart_read(&uart, 5), 0x61);
    ck_assert_int_eq(uart_read(&uart, 0), 0x5a);
    ck_assert_int_eq(uart_read(&uart, 5), 0x60);
}
END_TEST

START_TEST(uart_receives_bytes_in_order)
{
    struct uart uart = {0};
    ck_assert(uart_receive(&uart, "ab", 2));
    ck_assert(uart_receive(&uart, "c", 1));
    ck_assert_int_eq(uart_read(&uart, 5), 0x61);
    ck_assert_int_eq(uart_read(&uart, 0), 'a');
    ck_assert(uart_receive(&uart, "d", 1));
    ck_assert_uint_eq(uart_unread(&uart), 3);
    for (uint8_t c = 'b'; c <= 'd'; c++) {
        ck_assert_int_eq(uart_read(&uart, 5), 0x61);
        ck_assert_int_eq(uart_read(&uart, 0), c);
    }
    ck_assert_int_eq(uart_read(&uart, 5), 0x60);
    ck_assert_int_eq(uart_read(&uart, 0), 'd');
}
END_TEST

START_TEST(uart_receives_all_or_nothing)
{
    struct uart uart = {0};
    static char bytes[UART_INPUT_MAX];
    memset(bytes, 'x', sizeof bytes);
    ck_assert(uart_receive(&uart, bytes, sizeof bytes - 1));
    ck_assert(!uart_receive(&uart, "yz", 2));
    ck_assert(uart_receive(&uart, "y", 1));
    ck_assert(!uart_receive(&uart, "z", 1));
    ck_assert_int_eq(uart_read(&uart, 0), 'x');
    ck_assert(uart_receive(&uart, "z", 1));
    for (size_t i = 0; i < sizeof bytes - 2; i++)
        ck_assert_msg(uart_read(&uart, 0) == 'x', "byte %zu", i);
    ck_assert_int_eq(uart_read(&uart, 0), 'y');
    ck_assert_int_eq(uart_read(&uart, 0), 'z');
    ck_assert_uint_eq(uart_unread(&uart), 0);
}
END_TEST

/* A driver looks for the UART and clears its FIFOs, after somebody has typed. */
START_TEST(uart_keeps_input_while_a_driver_probes)
{
    struct uart uart = {0};
    uint8_t byte;
    ck_assert(uart_receive(&uart, "in", 2));
    uart_write(&uart, 4, 0x1a, &byte);
    ck_assert_int_eq(uart_read(&uart, 5), 0x60);
    uart_write(&uart, 0, 0x5a, &byte);
    ck_assert_int_eq(uart_read(&uart, 0), 0x5a);
    ck_assert_int_eq(uart_read(&uart, 5), 0x60);
    uart_write(&uart, 4, 0, &byte);
    uart_write(&uart, 2, 0x07, &byte);
    ck_assert_int_eq(uart_read(&uart, 5), 0x61);
    ck_assert_int_eq(uart_read(&uart, 0), 'i');
    ck_assert_int_eq(uart_read(&uart, 0), 'n');
}
END_TEST

START_TEST(uart_scratch_register_keeps_every_value)
{
    struct uart uart = {0};
    uint8_t byte;
    for (unsigned value = 0; value < 256; value++) {
        uart_write(&uart, 7, (uint8_t)value, &byte);
        ck_assert_uint_eq(uart_read(&uart, 7), value);
    }
}
END_TEST

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

START_TEST(marks_are_kept_in_order_and_handed_out_once)
{
    struct marks marks;
    struct cleave_mark mark;
    size_t count;
    marks_init(&marks);
    ck_assert(!marks_next(&marks, &mark));
    ck_assert_ptr_null(marks_copy(&marks, &count));
    uint64_t last = 0;
    for (uint32_t i = 0; i < 100; i++)
        marks_add(&marks, i);
    for (uint32_t i = 0; i < 100; i++) {
        ck_assert(marks_next(&marks, &mark));
        ck_assert_uint_eq(mark.value, i);
        ck_assert_uint_ge(mark.timestamp_ns, last);
        last = mark.timestamp_ns;
    }
    ck_assert(!marks_next(&marks, &mark));
    struct cleave_mark *all = marks_copy(&marks, &count);
    ck_assert_uint_eq(count, 100);
    free(all);
    marks_free(&marks);
}
END_TEST

START_TEST(the_oldest_marks_go_first)
{
    struct marks marks;
    struct cleave_mark mark;
    size_t count;
    marks_init(&marks);
    for (uint32_t i = 0; i < MARKS_KEPT + 1000; i++)
        marks_add(&marks, i);
    struct cleave_mark *all = marks_copy(&marks, &count);
    ck_assert_uint_eq(count, MARKS_KEPT);
    ck_assert_uint_eq(all[0].value, 1000);
    ck_assert_uint_eq(all[count - 1].value, MARKS_KEPT + 999);
    ck_assert(marks_next(&marks, &mark));
    ck_assert_uint_eq(mark.value, 1000);
    free(all);
    marks_free(&marks);
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("devices");
    TCase *tests = tcase_create("devices");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, uart_sends_what_is_written_and_is_always_ready);
    tcase_add_test(tests, uart_divisor_latch_hides_data_and_interrupt_registers);
    tcase_add_test(tests, uart_loops_back_bytes_and_modem_lines);
    tcase_add_test(tests, uart_receives_bytes_in_order);
    tcase_add_test(tests, uart_receives_all_or_nothing);
    tcase_add_test(tests, uart_keeps_input_while_a_driver_probes);
    tcase_add_test(tests, uart_scratch_register_keeps_every_value);
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
    tcase_add_test(tests, marks_are_kept_in_order_and_handed_out_once);
    tcase_add_test(tests, the_oldest_marks_go_first);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
