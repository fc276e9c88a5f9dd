/*
 * Commands when memory runs out at any place: the k-th malloc fails, alone or with all that follow, for every k and
 * every command. What is done has been asked for exactly so; what is answered as failed, or not at all, has not been
 * done. A stand-in takes the family's place, whose own memory does not fail here.
 */
#include "tools/client/client.h"
#include "vmm/control/control.h"
#include "vmm/family/internal.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- malloc ---- */

static bool armed, for_good;
static bool inside; /* the family, or Check */
static unsigned calls, failing;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

static bool fails(void)
{
    if (!armed || inside)
        return false;
    calls++;
    return for_good ? calls >= failing : calls == failing;
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    return fails() ? NULL : __real_realloc(memory, bytes);
}

/* ---- the family: every call is done, and counted ---- */

#define PATH "abcdefghij/\xc3\xa9klmnopqrstuvwxyz.snap"

static uv_loop_t loop;
static struct cleave_family family;
static struct control *control;
static unsigned done;
static cleave_save_fn *saved;
static cleave_restore_fn *restored;
static cleave_stop_fn *stopped;
static void *context;

int __wrap_cleave_guest_fork(struct cleave_family *of, uint64_t guest, unsigned count, bool paused,
                             struct cleave_fork_report *report, struct cleave_failure *failure);
int __wrap_cleave_guest_checkpoint(struct cleave_family *of, uint64_t guest, struct cleave_checkpoint_report *report,
                                   struct cleave_failure *failure);
int __wrap_cleave_guest_reset(struct cleave_family *of, uint64_t guest, enum cleave_reset_then then,
                              struct cleave_reset_report *report, struct cleave_failure *failure);
int __wrap_cleave_guest_save(struct cleave_family *of, const struct cleave_save_request *request, cleave_save_fn *fn,
                             void *fn_context, struct cleave_failure *failure);
int __wrap_cleave_guest_restore(struct cleave_family *of, const struct cleave_restore_request *request,
                                cleave_restore_fn *fn, void *fn_context, struct cleave_failure *failure);
int __wrap_cleave_guest_begin_run(struct cleave_family *of, uint64_t guest, unsigned until, cleave_stop_fn *fn,
                                  void *fn_context, struct cleave_failure *failure);
int __wrap_cleave_guest_pause(struct cleave_family *of, uint64_t guest, struct cleave_failure *failure);
int __wrap_cleave_guest_resume(struct cleave_family *of, uint64_t guest, struct cleave_failure *failure);
int __wrap_cleave_guest_kill(struct cleave_family *of, uint64_t guest, struct cleave_failure *failure);
int __wrap_cleave_guest_write(struct cleave_family *of, uint64_t guest, uint64_t gpa, size_t length, const void *buffer,
                              struct cleave_failure *failure);
int __wrap_cleave_guest_console_write(struct cleave_family *of, uint64_t guest, const void *bytes, size_t length,
                                      struct cleave_failure *failure);
int __wrap_cleave_family_guests(struct cleave_family *of, struct cleave_guest_info **guests, size_t *count,
                                struct cleave_failure *failure);

/* In each of them: comes first; and last. */
static void enter(struct cleave_family *of)
{
    inside = true;
    ck_assert_ptr_eq(of, &family);
}

static int act(uint64_t guest)
{
    inside = true;
    ck_assert_uint_eq(guest, 7);
    inside = false;
    done++;
    return 0;
}

int __wrap_cleave_guest_fork(struct cleave_family *of, uint64_t guest, unsigned count, bool paused,
                             struct cleave_fork_report *report, struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    ck_assert(count == 3 || count == CLEAVE_FORK_MAX);
    ck_assert(paused);
    *report = (struct cleave_fork_report){.children = __real_calloc(count, sizeof *report->children), .count = count};
    uint64_t ids[CLEAVE_FORK_MAX];
    for (unsigned i = 0; i < count; i++) {
        ids[i] = (uint64_t)INT64_MAX - i;
        report->children[i] = (struct cleave_fork_child){ids[i], INT64_MAX};
    }
    inside = false;
    control_event(control, &(struct cleave_event){.kind = CLEAVE_EVENT_FORKED, .children = ids, .child_count = count});
    return act(guest);
}

int __wrap_cleave_guest_checkpoint(struct cleave_family *of, uint64_t guest, struct cleave_checkpoint_report *report,
                                   struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    *report = (struct cleave_checkpoint_report){INT64_MAX, INT64_MAX};
    return act(guest);
}

int __wrap_cleave_guest_reset(struct cleave_family *of, uint64_t guest, enum cleave_reset_then then,
                              struct cleave_reset_report *report, struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    ck_assert_int_eq(then, CLEAVE_RESET_PAUSED);
    *report = (struct cleave_reset_report){.dropped_pages = INT64_MAX, .total_ns = INT64_MAX};
    return act(guest);
}

int __wrap_cleave_guest_save(struct cleave_family *of, const struct cleave_save_request *request, cleave_save_fn *fn,
                             void *fn_context, struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    ck_assert_str_eq(request->path, PATH);
    ck_assert(request->diff && request->compress);
    saved = fn;
    context = fn_context;
    return act(request->guest);
}

int __wrap_cleave_guest_restore(struct cleave_family *of, const struct cleave_restore_request *request,
                                cleave_restore_fn *fn, void *fn_context, struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    ck_assert_str_eq(request->path, PATH);
    restored = fn;
    context = fn_context;
    return act(7);
}

int __wrap_cleave_guest_begin_run(struct cleave_family *of, uint64_t guest, unsigned until, cleave_stop_fn *fn,
                                  void *fn_context, struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    ck_assert_uint_eq(until, CLEAVE_UNTIL_READY);
    stopped = fn;
    context = fn_context;
    return act(guest);
}

int __wrap_cleave_guest_pause(struct cleave_family *of, uint64_t guest, struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    return act(guest);
}

int __wrap_cleave_guest_resume(struct cleave_family *of, uint64_t guest, struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    return act(guest);
}

int __wrap_cleave_guest_kill(struct cleave_family *of, uint64_t guest, struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    return act(guest);
}

int __wrap_cleave_guest_write(struct cleave_family *of, uint64_t guest, uint64_t gpa, size_t length, const void *buffer,
                              struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    ck_assert_uint_eq(gpa, 4096);
    ck_assert_uint_eq(length, 6);
    ck_assert_mem_eq(buffer, "foobar", 6);
    return act(guest);
}

int __wrap_cleave_guest_console_write(struct cleave_family *of, uint64_t guest, const void *bytes, size_t length,
                                      struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    ck_assert_uint_eq(length, 6);
    ck_assert_mem_eq(bytes, "foobar", 6);
    return act(guest);
}

/* Guest 7 has ended: a `wait` for it is answered at once. */
int __wrap_cleave_family_guests(struct cleave_family *of, struct cleave_guest_info **guests, size_t *count,
                                struct cleave_failure *failure)
{
    (void)failure;
    enter(of);
    *guests = __real_calloc(1, sizeof **guests);
    **guests = (struct cleave_guest_info){.id = 7, .state = CLEAVE_EXITED, .end = CLEAVE_END_EXIT, .exit_code = 3};
    *count = 1;
    return act(7);
}

/* What takes its time has come to its end. */
static void finish_work(void)
{
    const struct cleave_save_report save = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
    const struct cleave_restore_report restore = {INT64_MAX, INT64_MAX};
    struct cleave_stop stop = {.reason = CLEAVE_STOP_CRASH, .vcpu = 7};
    memset(stop.crash.reason, '\x80', sizeof stop.crash.reason - 1); /* each becomes three bytes */
    memset(&stop.crash.registers, 0xff, sizeof stop.crash.registers);
    memset(&stop.crash.registers.cs, 1, 8 * sizeof(struct cleave_segment));
    stop.crash.has_exception = stop.crash.has_error_code = stop.crash.has_registers = true;
    if (saved)
        saved(context, &save, NULL);
    if (restored)
        restored(context, &restore, NULL);
    if (stopped)
        stopped(context, &stop);
    saved = NULL;
    restored = NULL;
    stopped = NULL;
}

/* ---- one command, with one failure ---- */

static char folder[64], socket_path[96];

static void quit(void *of)
{
    enter(of);
    act(7);
}

static void turn(void)
{
    for (int i = 0; i < 20; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static void start(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/memory-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    uv_loop_init(&loop);
    struct cleave_failure failure;
    control = control_listen(&loop, &family, socket_path, quit, &family, &failure);
    ck_assert_msg(control != NULL, "%s", failure.text);
}

static void end(void)
{
    control_close(control);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    rmdir(folder);
}

static struct client *new_client(void)
{
    struct client_error error;
    struct client *client = client_open_raw(socket_path, 0, &error);
    ck_assert_msg(client != NULL, "%s", error.text);
    turn();
    json_decref(client_recv(client, 0));
    return client;
}

/* `id` is null where the request was not read to its end. */
static void check_reply(const json_t *reply, const char *line)
{
    const char *class = json_string_value(json_object_get(json_object_get(reply, "error"), "class"));
    const json_t *id = json_object_get(reply, "id");
    char *text = json_dumps(reply, 0);
    ck_assert_msg(json_is_null(id) || strcmp(json_string_value(id), "an id") == 0, "%s: %s", line, text);
    if (class)
        ck_assert_msg(strcmp(class, "NoMemory") == 0 && done == 0, "%s: done %u times, and %s", line, done, text);
    else
        ck_assert_msg(done == 1 && json_is_string(id), "%s: done %u times, and %s", line, done, text);
    free(text);
}

/* True where the `k`-th malloc was never asked for. */
static bool try_with_failure(const char *line, unsigned k)
{
    struct client *client = new_client();
    ck_assert_int_eq(client_send_raw(client, line, strlen(line)), 0);
    done = calls = 0;
    failing = k;
    armed = true;
    turn();
    finish_work();
    turn();
    armed = false;
    json_t *reply = client_recv_reply(client, 0);
    if (reply)
        check_reply(reply, line);
    else
        ck_assert_msg(client_closed(client) && done == 0, "%s: done %u times without a reply", line, done);
    ck_assert_msg(calls >= k || (reply && done == 1), "%s: not done", line);
    json_decref(reply);
    client_close(client);
    turn();
    return calls < k;
}

#define REQUEST(name, arguments)                                                                                       \
    "{\"execute\":\"" name "\",\"arguments\":{\"guest\":7" arguments "},\"id\":\"an id\"}\n"

static const char *const requests[] = {
    REQUEST("fork", ",\"count\":3,\"paused\":true"),
    REQUEST("pause", ""),
    REQUEST("resume", ""),
    REQUEST("kill", ""),
    REQUEST("checkpoint", ""),
    REQUEST("reset", ",\"paused\":true"),
    REQUEST("snapshot", ",\"path\":\"" PATH "\",\"kind\":\"diff\",\"compress\":true"),
    "{\"execute\":\"restore\",\"arguments\":{\"path\":\"" PATH "\"},\"id\":\"an id\"}\n",
    REQUEST("run", ",\"until\":[\"ready\"],\"timeout_ms\":100000"),
    REQUEST("wait", ""),
    REQUEST("write-memory", ",\"gpa\":4096,\"data\":\"Zm9vYmFy\""),
    REQUEST("console-write", ",\"data\":\"Zm9vYmFy\""),
};

START_TEST(nothing_is_done_on_a_damaged_request_nor_without_its_reply)
{
    for_good = _i % 2;
    const char *line = requests[_i / 2];
    unsigned k = 1;
    while (!try_with_failure(line, k))
        ck_assert_uint_lt(k++, 100000);
    ck_assert_uint_gt(k, 10); /* some malloc was seen to fail */
}
END_TEST

/* As many children as can be; of the many places some. */
START_TEST(the_longest_reply_has_its_memory)
{
    for_good = _i;
    unsigned k = 1;
    while (!try_with_failure(REQUEST("fork", ",\"count\":1024,\"paused\":true"), k))
        k += 1 + k / 4;
    ck_assert_uint_gt(k, 1024);
}
END_TEST

/* The last request of a server, so that each failure takes a new one. */
START_TEST(quit_is_answered_or_not_done)
{
    for (unsigned k = 1, more = true; more; k++) {
        start();
        for_good = _i;
        more = !try_with_failure("{\"execute\":\"quit\",\"id\":\"an id\"}\n", k);
        end();
    }
}
END_TEST

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as vmm has it */
    Suite *suite = suite_create("control: memory");
    TCase *tests = tcase_create("memory");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, start, end);
    tcase_add_loop_test(tests, nothing_is_done_on_a_damaged_request_nor_without_its_reply, 0,
                        2 * (int)(sizeof requests / sizeof *requests));
    tcase_add_loop_test(tests, the_longest_reply_has_its_memory, 0, 2);
    suite_add_tcase(suite, tests);
    TCase *last = tcase_create("quit");
    tcase_add_loop_test(last, quit_is_answered_or_not_done, 0, 2);
    suite_add_tcase(suite, last);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
