/* A guest that marks without pause, and a client that takes none of its events: only that client suffers. */
#include "tests/kvm/control_common.h"
#include "tests/support/kvm_priority.h"
#include "tests/support/rounds.h"

#include <poll.h>

static void start_flood(void)
{
    const char *guest[] = {"guest/workload.bin", "resident=64K", "dirty=4K", "period_us=0", "marks=1", NULL};
    vmm = start_guest(NULL, guest);
    client_close(connect_to_vmm());
    kvm_lower_guests(vmm);
}

/* The VMM has closed the connection, seen without reading from it. */
static bool hung_up(const struct client *client)
{
    struct pollfd poller = {.fd = client_fd(client), .events = POLLRDHUP};
    return poll(&poller, 1, 0) == 1 && (poller.revents & (POLLRDHUP | POLLHUP)) != 0;
}

START_TEST(who_takes_no_events_is_dropped)
{
    struct client *silent = connect_to_vmm();
    struct client *other = connect_to_vmm();
    int marks = 0;
    while (!hung_up(silent)) {
        ck_assert_msg(marks < 1000000, "after %d marks it is not dropped", marks);
        json_t *mark = client_wait_event(other, "MARK", 0, 5000);
        ck_assert_ptr_nonnull(mark);
        json_decref(mark);
        marks++;
    }
    ck_assert_int_gt(marks, 20000); /* not before its 4 MiB were full */
    /* The other may be behind as well, and gets what it is owed, however long it takes for it. */
    json_decref(must_call(other, "pause", json_pack("{s:i}", "guest", 0)));
    client_drop_events(other);
    json_decref(must_call(other, "resume", json_pack("{s:i}", "guest", 0)));
    json_t *mark = client_wait_event(other, "MARK", 0, 5000);
    ck_assert_ptr_nonnull(mark); /* the guest goes on */
    json_decref(mark);
    client_close(silent);
    client_close(other);
}
END_TEST

START_TEST(events_come_in_order_of_time)
{
    struct client *client = connect_to_vmm();
    uint64_t last = 0;
    for (int i = 0; i < 5000; i++) {
        json_t *mark = client_wait_event(client, "MARK", 0, 5000);
        ck_assert_ptr_nonnull(mark);
        ck_assert_uint_ge(event_timestamp_ns(mark), last);
        last = event_timestamp_ns(mark);
        json_decref(mark);
    }
    client_close(client);
}
END_TEST

/* Some, and not for long: a client that falls behind by too many is dropped. */
static void take_some_events(struct client *client)
{
    const int64_t end = milliseconds() + 200;
    for (int i = 0; i < 10000 && milliseconds() < end; i++)
        json_decref(client_next_event(client, 10));
}

START_TEST(all_kept_marks_fit_into_a_reply)
{
    struct client *client = connect_to_vmm();
    const size_t wanted = rounds(65536, 2000);
    int64_t start = milliseconds();
    size_t count = 0;
    while (count < wanted && milliseconds() - start < 40000) {
        /* A reply this long takes its time, and on a slow machine the events of that time would be too many. */
        json_decref(must_call(client, "pause", json_pack("{s:i}", "guest", 0)));
        client_drop_events(client);
        json_t *marks = must_call(client, "query-marks", json_pack("{s:i}", "guest", 0));
        ck_assert_uint_ge(json_array_size(marks), count);
        ck_assert_uint_le(json_array_size(marks), 65536);
        count = json_array_size(marks);
        json_decref(marks);
        json_decref(must_call(client, "resume", json_pack("{s:i}", "guest", 0)));
        take_some_events(client);
    }
    ck_assert_uint_gt(count, 1000);
    client_close(client);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("flood");
    tcase_add_checked_fixture(tests, start_flood, end_vmm);
    tcase_add_test(tests, who_takes_no_events_is_dropped);
    tcase_add_test(tests, events_come_in_order_of_time);
    tcase_add_test(tests, all_kept_marks_fit_into_a_reply);
    return run_suite(tests);
}
