/* The UART: its registers as a driver finds them, and what it receives. */
#include "vmm/devices/uart.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    Suite *suite = suite_create("devices_uart");
    TCase *tests = tcase_create("devices_uart");
    tcase_add_test(tests, uart_sends_what_is_written_and_is_always_ready);
    tcase_add_test(tests, uart_divisor_latch_hides_data_and_interrupt_registers);
    tcase_add_test(tests, uart_loops_back_bytes_and_modem_lines);
    tcase_add_test(tests, uart_receives_bytes_in_order);
    tcase_add_test(tests, uart_receives_all_or_nothing);
    tcase_add_test(tests, uart_keeps_input_while_a_driver_probes);
    tcase_add_test(tests, uart_scratch_register_keeps_every_value);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
