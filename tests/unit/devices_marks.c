/* Marks: kept in order, the oldest given up first, each handed out once. */
#include "vmm/devices/marks.h"

#include <check.h>
#include <stdlib.h>

START_TEST(marks_are_kept_in_order_and_handed_out_once)
{
    struct marks marks;
    struct cleave_mark mark;
    size_t count;
    marks_init(&marks);
    ck_assert(!marks_next(&marks, &mark));
    struct cleave_mark *none;
    ck_assert_int_eq(marks_copy(&marks, &none, &count), 0);
    ck_assert_ptr_null(none);
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
    struct cleave_mark *all;
    ck_assert_int_eq(marks_copy(&marks, &all, &count), 0);
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
    struct cleave_mark *all;
    ck_assert_int_eq(marks_copy(&marks, &all, &count), 0);
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
    Suite *suite = suite_create("devices_marks");
    TCase *tests = tcase_create("devices_marks");
    tcase_add_test(tests, marks_are_kept_in_order_and_handed_out_once);
    tcase_add_test(tests, the_oldest_marks_go_first);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
