/*
 * Forks that are refused or run out of something: all children or none, a parent that goes on, the error that says what
 * ran out, and forks that work again once guests have ended. And what ended guests give back.
 */
#include "tests/support/kvm_random.h"
#include "tests/support/rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static struct rig start_counter(void)
{
    struct rig rig = RIG("--memory", "8M", "@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 0);
    return rig;
}

static void check_counts_on(struct rig *rig, uint64_t guest)
{
    uint64_t count = rig_probe(rig, guest).counter;
    RIG_UNTIL(rig_probe(rig, guest).counter > count + 1000);
}

static void kill_all(struct rig *rig, const uint64_t *guests, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rig_do(rig, "kill", guests[i]);
}

START_TEST(fork_beyond_the_limit_of_guests_makes_none)
{
    struct rig rig = RIG("--memory", "8M", "--limit-guests", "4", "@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 0);
    rig_refused(&rig, "LimitExceeded", "--limit-guests 4", "fork", "{s:i}", "count", 4);
    ck_assert_uint_eq(rig_live(&rig), 1);
    ck_assert_uint_eq(rig_guest(&rig, 0).children, 0);
    check_counts_on(&rig, 0);
    uint64_t children[3];
    ck_assert_uint_eq(rig_fork(&rig, 0, 3, false, children), 1); /* a refused fork uses no numbers */
    rig_refused(&rig, "LimitExceeded", "--limit-guests 4", "fork", "{s:i, s:b}", "guest", 1, "paused", 1);
    rig_do(&rig, "kill", children[0]);
    ck_assert_uint_eq(rig_fork(&rig, 0, 1, false, NULL), 4);
    rig_quit(&rig);
}
END_TEST

START_TEST(refused_fork_by_port_reads_as_all_ones_and_the_guest_goes_on)
{
    struct outcome outcome = RUN("--memory", "8M", "--limit-guests", "3", "@forker", "children=3");
    ck_assert_int_eq(outcome.status, 1);
    ck_assert_ptr_nonnull(strstr(outcome.output, "level 0 refused 3"));
    ck_assert_ptr_nonnull(strstr(outcome.errors, "--limit-guests 3"));
    outcome_free(&outcome);

    outcome = RUN("--memory", "8M", "--limit-guests", "3", "@forker", "children=2", "depth=2");
    ck_assert_int_eq(outcome.status, 0);
    ck_assert_ptr_nonnull(strstr(outcome.output, "level 1 refused 2"));
    outcome_free(&outcome);

    outcome = RUN("--memory", "8M", "@forker", "children=1025");
    ck_assert_int_eq(outcome.status, 1);
    outcome_free(&outcome);

    outcome = RUN("--memory", "8M", "@forker", "children=0");
    ck_assert_int_eq(outcome.status, 1);
    outcome_free(&outcome);
}
END_TEST

START_TEST(absurd_counts_and_guests_that_are_not_there_are_refused)
{
    struct rig rig = start_counter();
    rig_refused(&rig, "InvalidArgument", "count", "fork", "{s:i}", "count", 0);
    rig_refused(&rig, "InvalidArgument", "count", "fork", "{s:i}", "count", 1025);
    rig_refused(&rig, "InvalidArgument", "count", "fork", "{s:i}", "count", -1);
    rig_refused(&rig, "InvalidArgument", "count", "fork", "{s:I}", "count", (json_int_t)INT64_MAX);
    rig_refused(&rig, "InvalidArgument", "count", "fork", "{s:s}", "count", "3");
    rig_refused(&rig, "InvalidArgument", "guest", "fork", "{s:i}", "guest", -1);
    rig_refused(&rig, "GuestNotFound", "77", "fork", "{s:i}", "guest", 77);
    uint64_t child = rig_fork(&rig, 0, 1, false, NULL);
    rig_do(&rig, "kill", child);
    static const char *const commands[] = {"fork", "kill", "pause", "resume"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        rig_refused(&rig, "GuestNotFound", "1", commands[i], "{s:I}", "guest", (json_int_t)child);
    ck_assert_uint_eq(rig_live(&rig), 1);
    ck_assert_uint_eq(rig_guest(&rig, 0).children, 1);
    check_counts_on(&rig, 0);
    rig_quit(&rig);
}
END_TEST

START_TEST(one_fork_makes_sixty_four_children)
{
    enum { CHILDREN = 64 };
    struct rig rig = start_counter();
    uint64_t nonce = rig_probe(&rig, 0).nonce, children[CHILDREN];
    rig_fork(&rig, 0, CHILDREN, true, children);
    ck_assert_uint_eq(rig_live(&rig), 1 + CHILDREN);
    const struct probe first = rig_probe(&rig, children[0]);
    ck_assert_uint_eq(first.nonce, nonce);
    for (int i = 0; i < CHILDREN; i++) {
        ck_assert_uint_eq(children[i], (uint64_t)i + 1);
        ck_assert(rig_state_is(&rig, children[i], "paused"));
        const struct probe probe = rig_probe(&rig, children[i]);
        ck_assert_mem_eq(&probe, &first, sizeof probe);
    }
    check_counts_on(&rig, 0);
    for (int i = 0; i < (int)rounds(CHILDREN, 16); i++) {
        rig_do(&rig, "resume", children[i]);
        RIG_UNTIL(rig_probe(&rig, children[i]).guest_id == children[i]);
        rig_do(&rig, "kill", children[i]);
    }
    const unsigned running = rounds(CHILDREN, 16);
    rig_fork(&rig, 0, running, false, children); /* all of them at once */
    for (unsigned i = 0; i < running; i++) {
        RIG_UNTIL(rig_probe(&rig, children[i]).guest_id == children[i]);
        rig_do(&rig, "kill", children[i]);
    }
    rig_quit(&rig);
}
END_TEST

START_TEST(paused_parent_stays_paused_and_running_parent_runs_on)
{
    struct rig rig = start_counter();
    rig_do(&rig, "pause", 0);
    uint64_t count = rig_probe(&rig, 0).counter;
    for (int i = 0; i < 3; i++) {
        uint64_t child = rig_fork(&rig, 0, 1, i % 2, NULL);
        ck_assert(rig_state_is(&rig, 0, "paused"));
        ck_assert(rig_state_is(&rig, child, i % 2 ? "paused" : "running"));
        if (i % 2 == 0)
            check_counts_on(&rig, child);
        ck_assert_uint_eq(rig_probe(&rig, 0).counter, count);
    }
    rig_do(&rig, "pause", 0); /* once more changes nothing */
    rig_do(&rig, "resume", 0);
    rig_do(&rig, "resume", 0);
    rig_fork(&rig, 0, 1, true, NULL);
    ck_assert(rig_state_is(&rig, 0, "running"));
    check_counts_on(&rig, 0);
    rig_quit(&rig);
}
END_TEST

static void limit(__rlimit_resource_t resource, rlim_t value)
{
    const struct rlimit limits = {value, value};
    ck_assert_int_eq(setrlimit(resource, &limits), 0);
}

/* What ended guests held is freed in the background, so a fork may still find too little right after their end. */
static bool try_fork(struct rig *rig, unsigned count, bool paused, uint64_t *children)
{
    struct client_error error;
    json_t *reply;
    if (client_callf(rig->client, "fork", &reply, &error, "{s:i, s:b}", "count", (int)count, "paused", (int)paused) <
        0) {
        ck_assert_msg(strcmp(error.class, "NoMemory") == 0, "%s: %s", error.class, error.text);
        return false;
    }
    for (unsigned i = 0; i < count; i++)
        children[i] =
            (uint64_t)json_integer_value(json_object_get(json_array_get(json_object_get(reply, "children"), i), "id"));
    json_decref(reply);
    return true;
}

/* Not at once again: each fork that fails leaves more to free. */
static void fork_when_possible(struct rig *rig, unsigned count, bool paused, uint64_t *children)
{
    uint64_t until = rig_now_ms() + RIG_PATIENCE_MS;
    while (!try_fork(rig, count, paused, children)) {
        ck_assert_msg(rig_now_ms() < until, "what ended guests held is not given back: no fork into %u", count);
        rig_sleep_ms(500);
    }
}

/*
 * Forks that need more than there is fail with NoMemory, whatever it is that ran out and wherever: no child is left,
 * the parent goes on, what fits still works, and room that guests gave back is room again.
 */
static void check_shortage(struct rig *rig, unsigned too_many, unsigned few)
{
    uint64_t children[8];
    ck_assert_uint_le(few, 8);
    RIG_UNTIL(rig_probe(rig, 0).counter > 0);
    for (unsigned round = 0; round < rounds(3, 2); round++) {
        rig_refused(rig, "NoMemory", "", "fork", "{s:i}", "count", (int)too_many);
        ck_assert_uint_eq(rig_live(rig), 1);
        ck_assert(rig_state_is(rig, 0, "running"));
        check_counts_on(rig, 0);
        fork_when_possible(rig, few, round % 2, children);
        for (unsigned i = 0; i < few; i++) {
            if (round % 2)
                rig_do(rig, "resume", children[i]);
            check_counts_on(rig, children[i]);
        }
        kill_all(rig, children, few);
    }
}

START_TEST(fork_that_runs_out_of_descriptors_makes_none)
{
    limit(RLIMIT_NOFILE, 80);
    struct rig rig = start_counter();
    check_shortage(&rig, 64, 3);
    rig_quit(&rig);
}
END_TEST

START_TEST(refused_fork_leaves_descriptors_for_clients)
{
    limit(RLIMIT_NOFILE, 80);
    struct rig rig = start_counter();
    rig_refused(&rig, "NoMemory", "", "fork", "{s:i}", "count", 64);
    rig_sleep_ms(500); /* the pool could refill */
    struct client_error error;
    struct client *second = vmm_process_connect(rig.process, &error);
    ck_assert_msg(second != NULL, "%s", error.text);
    client_close(second);
    rig_quit(&rig);
}
END_TEST

START_TEST(fork_that_runs_out_of_address_space_makes_none)
{
    limit(RLIMIT_AS, UINT64_C(40) << 30); /* the VMM reserves some for its tables; a guest takes what it has of RAM */
    struct rig rig = RIG("--memory", "4G", "@counter", "quiet=1");
    check_shortage(&rig, 16, 2);
    rig_quit(&rig);
}
END_TEST

START_TEST(guests_one_by_one_until_nothing_is_left_and_again)
{
    limit(RLIMIT_NOFILE, 64);
    struct rig rig = start_counter();
    for (int round = 0; round < 3; round++) {
        uint64_t children[64];
        size_t count = 0;
        while (count < 5)
            fork_when_possible(&rig, 1, true, &children[count++]);
        while (count < 64 && try_fork(&rig, 1, true, children + count))
            count++;
        ck_assert_uint_lt(count, 64);
        ck_assert_uint_eq(rig_live(&rig), 1 + count);
        check_counts_on(&rig, 0);
        kill_all(&rig, children, count);
    }
    rig_quit(&rig);
}
END_TEST

struct held {
    uint64_t layers, tables;
};

static struct held held(struct rig *rig)
{
    return (struct held){rig_stat(rig, 0, "host_layer_bytes"), rig_stat(rig, 0, "host_table_bytes")};
}

START_TEST(killed_guests_give_back_their_memory)
{
    struct rig rig = RIG("--memory", "16M", "@random", "pages=2000", "fill=2000", "pace_us=5");
    random_wait_started(&rig, 0);
    rig_do(&rig, "kill", rig_fork(&rig, 0, 1, true, NULL)); /* the first fork changes the parent for good */
    rig_do(&rig, "pause", 0);
    rig_do(&rig, "kill", rig_fork(&rig, 0, 1, true, NULL)); /* and this one publishes all it has written */
    const struct held before = held(&rig);
    for (unsigned round = 0; round < rounds(4, 2); round++) {
        uint64_t children[4], grandchildren[4];
        rig_fork(&rig, 0, 4, false, children);
        for (int i = 0; i < 4; i++) {
            random_wait_steps(&rig, children[i], 500);
            grandchildren[i] = rig_fork(&rig, children[i], 1, i % 2, NULL);
        }
        ck_assert_uint_gt(held(&rig).layers, before.layers);
        ck_assert_uint_gt(held(&rig).tables, before.tables);
        kill_all(&rig, children, 4);
        kill_all(&rig, grandchildren, 4);
        ck_assert_uint_eq(held(&rig).layers, before.layers);
        ck_assert_uint_eq(held(&rig).tables, before.tables);
    }
    rig_quit(&rig);
}
END_TEST

/* Kilobytes of the process that are resident and shared memory: its layers. */
static uint64_t resident_layers(const struct rig *rig)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)vmm_process_pid(rig->process));
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %llu", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

/* A guest that is forked again and again while it writes holds its RAM no more than a few times, however often. (Each
 * fork publishes hundreds of pages; forty would already be more than is allowed.) */
START_TEST(hundreds_of_forks_of_a_writing_guest_do_not_add_up)
{
    enum { RAM_KIB = 16 << 10 };
    struct rig rig = RIG("--memory", "16M", "@random", "pages=2000", "pace_us=5");
    random_wait_started(&rig, 0);
    uint64_t last = rig_fork(&rig, 0, 1, true, NULL);
    for (unsigned i = rounds(300, 40); i > 0; i--) {
        uint64_t next = rig_fork(&rig, 0, 1, true, NULL);
        rig_do(&rig, "kill", last);
        last = next;
    }
    ck_assert_uint_le(rig_stat(&rig, 0, "host_layer_bytes"), UINT64_C(4) * RAM_KIB << 10);
    RIG_UNTIL(resident_layers(&rig) < UINT64_C(6) * RAM_KIB);
    struct model *model = model_new();
    rig_do(&rig, "pause", 0);
    model_check_all(model, &rig, 0);
    model_free(model);
    rig_quit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork_limits");
    TCase *tests = tcase_create("limits");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, fork_beyond_the_limit_of_guests_makes_none);
    tcase_add_test(tests, refused_fork_by_port_reads_as_all_ones_and_the_guest_goes_on);
    tcase_add_test(tests, absurd_counts_and_guests_that_are_not_there_are_refused);
    tcase_add_test(tests, one_fork_makes_sixty_four_children);
    tcase_add_test(tests, paused_parent_stays_paused_and_running_parent_runs_on);
    tcase_add_test(tests, fork_that_runs_out_of_descriptors_makes_none);
    tcase_add_test(tests, refused_fork_leaves_descriptors_for_clients);
    tcase_add_test(tests, fork_that_runs_out_of_address_space_makes_none);
    tcase_add_test(tests, guests_one_by_one_until_nothing_is_left_and_again);
    tcase_add_test(tests, killed_guests_give_back_their_memory);
    tcase_add_test(tests, hundreds_of_forks_of_a_writing_guest_do_not_add_up);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
