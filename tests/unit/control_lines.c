/* How the control server cuts bytes into lines, whatever pieces they come in. */
#include "vmm/control/lines.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* Offers bytes as a socket would: as much as there is room for at once. Returns how many were accepted. */
static size_t offer(struct lines *lines, const char *bytes, size_t count)
{
    size_t done = 0;
    while (done < count && !lines_full(lines)) {
        size_t room;
        char *space = lines_space(lines, &room);
        if (!space || !room) /* an assertion for every byte would take most of the test's time */
            ck_abort_msg("no space for %zu bytes", count - done);
        size_t piece = count - done < room ? count - done : room;
        memcpy(space, bytes + done, piece);
        lines_added(lines, piece);
        done += piece;
    }
    return done;
}

static void expect_line(struct lines *lines, const char *expected)
{
    const char *line;
    size_t length;
    ck_assert(lines_waiting(lines, false));
    ck_assert_int_eq(lines_take(lines, false, &line, &length), LINE_TAKEN);
    ck_assert_uint_eq(length, strlen(expected));
    ck_assert_mem_eq(line, expected, length);
}

static void expect_none(struct lines *lines)
{
    const char *line;
    size_t length;
    ck_assert(!lines_waiting(lines, false));
    ck_assert_int_eq(lines_take(lines, false, &line, &length), LINE_NONE);
}

START_TEST(joined_lines_come_apart)
{
    struct lines lines = {0};
    offer(&lines, "one\ntwo\r\n\n\r\nthree", 17);
    expect_line(&lines, "one");
    expect_line(&lines, "two");
    expect_line(&lines, "");
    expect_line(&lines, "");
    expect_none(&lines);
    offer(&lines, "\n", 1);
    expect_line(&lines, "three");
    expect_none(&lines);
    lines_free(&lines);
}
END_TEST

START_TEST(split_lines_come_together)
{
    struct lines lines = {0};
    const char *text = "alpha\r\nbeta\n";
    for (size_t i = 0; i < strlen(text); i++) {
        offer(&lines, text + i, 1);
        if (text[i] == '\n')
            expect_line(&lines, i < 8 ? "alpha" : "beta");
        else
            expect_none(&lines);
    }
    lines_free(&lines);
}
END_TEST

START_TEST(a_return_inside_a_line_stays)
{
    struct lines lines = {0};
    offer(&lines, "a\rb\r\r\n", 6);
    expect_line(&lines, "a\rb\r");
    lines_free(&lines);
}
END_TEST

START_TEST(at_the_end_the_rest_is_a_line)
{
    struct lines lines = {0};
    const char *line;
    size_t length;
    offer(&lines, "x\nrest", 6);
    ck_assert_int_eq(lines_take(&lines, true, &line, &length), LINE_TAKEN);
    ck_assert_int_eq(lines_take(&lines, true, &line, &length), LINE_TAKEN);
    ck_assert_uint_eq(length, 4);
    ck_assert_mem_eq(line, "rest", 4);
    ck_assert(!lines_waiting(&lines, true));
    ck_assert_int_eq(lines_take(&lines, true, &line, &length), LINE_NONE);
    lines_free(&lines);
}
END_TEST

/* Offers `length` letters and `ending`, in pieces of `piece` bytes, and says what is taken. */
static enum line_result take_long(size_t length, const char *ending, size_t piece)
{
    size_t total = length + strlen(ending);
    char *text = malloc(total + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, 'a', length);
    strcpy(text + length, ending);
    struct lines lines = {0};
    const char *line;
    size_t taken = 0;
    enum line_result result = LINE_NONE;
    for (size_t done = 0; done < total && result == LINE_NONE;) {
        size_t count = total - done < piece ? total - done : piece;
        done += offer(&lines, text + done, count);
        result = lines_take(&lines, false, &line, &taken);
    }
    if (result == LINE_TAKEN)
        ck_assert_uint_eq(taken, length);
    lines_free(&lines);
    free(text);
    return result;
}

START_TEST(limit_is_the_line_without_its_ending)
{
    const size_t pieces[] = {1, 4096, 65536, 100000};
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(take_long(CONTROL_LINE_MAX, "\n", pieces[i]), LINE_TAKEN);
        ck_assert_int_eq(take_long(CONTROL_LINE_MAX, "\r\n", pieces[i]), LINE_TAKEN);
        ck_assert_int_eq(take_long(CONTROL_LINE_MAX + 1, "\n", pieces[i]), LINE_TOO_LONG);
        ck_assert_int_eq(take_long(CONTROL_LINE_MAX + 1, "\r\n", pieces[i]), LINE_TOO_LONG);
        ck_assert_int_eq(take_long(CONTROL_LINE_MAX + 1000, "", pieces[i]), LINE_TOO_LONG);
    }
}
END_TEST

START_TEST(a_full_buffer_has_something_to_take)
{
    struct lines lines = {0};
    char *text = malloc(200000);
    ck_assert_ptr_nonnull(text);
    memset(text, 'a', 200000);
    for (size_t i = 9; i < 200000; i += 10)
        text[i] = '\n';
    size_t accepted = offer(&lines, text, 200000);
    ck_assert(lines_full(&lines));
    ck_assert_uint_lt(accepted, CONTROL_LINE_MAX + 5000);
    for (size_t i = 0; i < accepted / 10; i++)
        expect_line(&lines, "aaaaaaaaa");
    ck_assert(!lines_full(&lines));
    lines_free(&lines);
    free(text);
}
END_TEST

START_TEST(a_zero_byte_is_a_byte)
{
    struct lines lines = {0};
    const char *line;
    size_t length;
    offer(&lines, "a\0b\n", 4);
    ck_assert_int_eq(lines_take(&lines, false, &line, &length), LINE_TAKEN);
    ck_assert_uint_eq(length, 3);
    lines_free(&lines);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control: lines");
    TCase *tests = tcase_create("lines");
    tcase_add_test(tests, joined_lines_come_apart);
    tcase_add_test(tests, split_lines_come_together);
    tcase_add_test(tests, a_return_inside_a_line_stays);
    tcase_add_test(tests, at_the_end_the_rest_is_a_line);
    tcase_add_test(tests, limit_is_the_line_without_its_ending);
    tcase_add_test(tests, a_full_buffer_has_something_to_take);
    tcase_add_test(tests, a_zero_byte_is_a_byte);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
