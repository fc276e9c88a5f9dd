/* vmctl events and vmctl console --follow: what goes on for as long as there is something to show. */
#include "tests/kvm/vmctl_common.h"

#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

static void start_marking(void)
{
    const char *guest[] = {"guest/workload.bin", "resident=64K", "dirty=4K", "marks=1",
                           "period_us=5000",     "stay=1",       NULL};
    vmm = start_guest(NULL, guest);
    client_close(connect_to_vmm());
}

/* Lines are short: a counter's every millisecond. */
static void start_talking(void)
{
    const char *guest[] = {"guest/counter.bin", "interval_us=1000", NULL};
    vmm = start_guest(NULL, guest);
    client_close(connect_to_vmm());
}

/* Reads lines until one has the phrase in it, which must come. */
static void read_until(FILE *pipe, const char *phrase)
{
    char line[512];
    while (fgets(line, sizeof line, pipe))
        if (strstr(line, phrase))
            return;
    ck_abort_msg("no \"%s\" came", phrase);
}

static size_t times(const char *text, const char *word)
{
    size_t count = 0;
    for (; (text = strstr(text, word)); text++)
        count++;
    return count;
}

START_TEST(events_of_one_guest_and_some_names_are_shown)
{
    expect_output("fork 0", "");
    FILE *events = begin_vmctl("events --guest 1 paused EXITED");
    struct pollfd poller = {.fd = fileno(events), .events = POLLIN};
    for (int i = 0; i < 200 && poll(&poller, 1, 50) == 0; i++) { /* until it is connected and shows something */
        expect_output("pause 0", "");
        expect_output("pause 1", "");
        expect_output("resume 1", "");
        expect_output("resume 0", "");
    }
    expect_output("kill 1", "");
    expect_output("quit", "");
    ck_assert_int_eq(end_vmctl(events), 0);
    ck_assert_uint_eq(times(output, "  g1    EXITED killed\n"), 1);
    ck_assert_uint_ge(times(output, "  g1    PAUSED\n"), 1);
    ck_assert_uint_eq(times(output, "\n"), 1 + times(output, "  g1    PAUSED\n"));
}
END_TEST

START_TEST(names_that_no_event_has_are_refused)
{
    expect_status("events MARKS", 2, "vmctl: events: no event \"MARKS\"; there are STARTED, ");
    ck_assert_uint_eq(times(output, "\n"), 1);
    expect_status("events MARK ''", 2, "no event \"\"");
}
END_TEST

/* With --past each mark comes once: those from before, those that are made while these are asked for, those after. */
START_TEST(past_marks_come_first_and_no_mark_twice)
{
    static char shown[sizeof output];
    for (int i = 0; i < 200 && vmctl("marks 0") == 0 && times(output, "\n") < 20; i++)
        usleep(50000);
    ck_assert_uint_gt(times(output, "\n"), 10);
    FILE *events = begin_vmctl("events --past --guest 0 MARK"), *json = begin_vmctl("--json events --past MARK");
    read_until(events, "g0    MARK 1\n"); /* the very first that the guest made */
    read_until(json, "\"value\":1}");
    usleep(300000);
    expect_output("pause 0", "");
    expect_output("marks 0", "VALUE");
    snprintf(shown, sizeof shown, "%s", output);
    size_t marks = times(shown, "\n") - 1;
    expect_output("quit", "");
    ck_assert_int_eq(end_vmctl(events), 0);
    ck_assert_uint_eq(times(output, "MARK 16\n"), marks - 1);
    ck_assert_uint_eq(times(output, "\n"), marks - 1);
    for (char *line = strchr(shown, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        char when[64];
        ck_assert_int_eq(sscanf(line, "%63s", when), 1);
        if (strstr(line, "  1 ") == NULL)
            ck_assert_msg(times(output, when) == 1, "%s comes %zu times", when, times(output, when));
    }
    ck_assert_int_eq(end_vmctl(json), 0);
    ck_assert_uint_eq(times(output, "\"event\":\"MARK\""), marks - 1);
}
END_TEST

/* Followed from its birth to its end, which is not that of the VMM, a console is shown whole. */
START_TEST(console_is_followed_to_the_guests_end)
{
    static char shown[sizeof output];
    expect_output("fork 0", "");
    FILE *console = begin_vmctl("console -f 1");
    for (int i = 0; i < 20; i++)
        read_until(console, " guest 1 ");
    expect_output("kill 1", "");
    ck_assert_int_eq(end_vmctl(console), 0);
    snprintf(shown, sizeof shown, "%s", output);
    expect_output("console 1", "counter ");
    size_t all = strlen(output), rest = strlen(shown);
    ck_assert_uint_le(rest, all);
    ck_assert_str_eq(shown, output + (all - rest));
    expect_output("console --follow 1", ""); /* it has ended long ago */
    ck_assert_uint_eq(strlen(output), all);
    expect_status("console -f 77", 1, "(GuestNotFound)\n");
}
END_TEST

/* More than the 64 KiB that the VMM keeps: every line comes, once. */
START_TEST(long_output_is_followed_without_a_gap)
{
    char line[512];
    size_t seen = 0, lines = 0;
    uint64_t last = 0, now;
    FILE *console = begin_vmctl("console -f 0");
    while (seen < 100000 && fgets(line, sizeof line, console)) {
        ck_assert_msg(sscanf(line, "counter %" SCNu64 " guest 0", &now) == 1, "%s", line);
        ck_assert_uint_eq(strlen(line), strlen(strstr(line, "counter")));
        ck_assert(!lines || now > last);
        last = now;
        lines++;
        seen += strlen(line);
    }
    ck_assert_uint_ge(seen, 100000);
    expect_output("kill 0", "");
    ck_assert_int_eq(end_vmctl(console), 0);
    ck_assert_ptr_null(strstr(output, "left out"));
}
END_TEST

static TCase *add_case(Suite *suite, const char *name, void (*start)(void))
{
    TCase *tests = tcase_create(name);
    tcase_set_timeout(tests, 300);
    tcase_add_checked_fixture(tests, start, end_vmm);
    suite_add_tcase(suite, tests);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("vmctl_follow");
    TCase *events = add_case(suite, "events", start_marking), *console = add_case(suite, "console", start_talking);
    tcase_add_test(events, events_of_one_guest_and_some_names_are_shown);
    tcase_add_test(events, names_that_no_event_has_are_refused);
    tcase_add_test(events, past_marks_come_first_and_no_mark_twice);
    tcase_add_test(console, console_is_followed_to_the_guests_end);
    tcase_add_test(console, long_output_is_followed_without_a_gap);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
