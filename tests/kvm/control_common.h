/* What the control-socket tests share: a VMM with a guest that never stops, and clients that must or must not succeed.
 */
#ifndef TESTS_KVM_CONTROL_COMMON_H
#define TESTS_KVM_CONTROL_COMMON_H

#include "tools/client/client.h"
#include "tools/client/vmm_process.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The VMM of this test, made by start_vmm, ended by end_vmm. */
static struct vmm_process *vmm;

static inline struct client *connect_to_vmm(void)
{
    struct client_error error;
    struct client *client = vmm_process_connect(vmm, &error);
    ck_assert_msg(client != NULL, "%s", error.text);
    return client;
}

#define WORDS_MAX 16

/* A VMM for a guest file of the build and its arguments; with a `socket` of the caller's choosing, or its own. */
static inline struct vmm_process *start_guest(const char *socket, const char *const guest[])
{
    char program[256], file[256];
    vmm_build_path(program, sizeof program, "vmm");
    vmm_build_path(file, sizeof file, guest[0]);
    const char *words[WORDS_MAX] = {program, "--memory", "16M"};
    size_t n = 3;
    if (socket) {
        words[n++] = "--control";
        words[n++] = socket;
    }
    words[n++] = file;
    for (size_t i = 1; guest[i] && n + 1 < WORDS_MAX; i++)
        words[n++] = guest[i];
    struct client_error error;
    struct vmm_process *process = vmm_process_start(words, socket ? VMM_PROCESS_NO_CONTROL : 0, &error);
    ck_assert_msg(process != NULL, "%s", error.text);
    return process;
}

static inline struct vmm_process *start_counter(const char *socket)
{
    const char *guest[] = {"guest/counter.bin", NULL};
    return start_guest(socket, guest);
}

static inline void start_vmm(void)
{
    vmm = start_counter(NULL);
    client_close(connect_to_vmm());
}

static inline void end_vmm(void)
{
    vmm_process_end(vmm);
    vmm = NULL;
}

static inline void send_text(struct client *client, const char *text)
{
    ck_assert_int_eq(client_send_raw(client, text, strlen(text)), 0);
}

/* The next reply; there must be one. */
static inline json_t *next_reply(struct client *client)
{
    json_t *reply = client_recv_reply(client, 20000);
    ck_assert_msg(reply != NULL, "%s", client_closed(client) ? "the VMM closed the connection" : "no reply");
    return reply;
}

static inline void expect_class(const json_t *reply, const char *class)
{
    char *text = json_dumps(reply, 0);
    const char *got = json_string_value(json_object_get(json_object_get(reply, "error"), "class"));
    ck_assert_msg(got && strcmp(got, class) == 0, "%s expected: %s", class, text);
    free(text);
}

/* The next reply is an error of the class. */
static inline void expect_error(struct client *client, const char *class)
{
    json_t *reply = next_reply(client);
    expect_class(reply, class);
    json_decref(reply);
}

/* The next reply returns a value, and has this integer as its id. */
static inline void expect_return(struct client *client, int id)
{
    json_t *reply = next_reply(client);
    ck_assert(json_object_get(reply, "return") != NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(reply, "id")), id);
    json_decref(reply);
}

/* Nothing more comes but the end of the connection. */
static inline void expect_closed(struct client *client)
{
    json_t *message = client_recv_reply(client, 20000);
    ck_assert_ptr_null(message);
    ck_assert(client_closed(client));
}

/* Calls and must succeed; the caller frees the reply. */
static inline json_t *must_call(struct client *client, const char *command, json_t *arguments)
{
    json_t *reply = NULL;
    struct client_error error;
    int result = client_call(client, command, arguments, &reply, &error);
    ck_assert_msg(result == 0, "%s: %s: %s", command, error.class, error.text);
    return reply;
}

static inline size_t guest_count(struct client *client)
{
    json_t *guests = must_call(client, "query-guests", NULL);
    size_t count = json_array_size(guests);
    json_decref(guests);
    return count;
}

/* The counter reports ten times a second; within ten seconds its console must have grown. */
static inline void expect_guest_goes_on(struct client *client)
{
    size_t first = 0;
    for (int i = 0; i < 200; i++) {
        json_t *console = must_call(client, "query-console", json_pack("{s:i}", "guest", 0));
        size_t length = json_string_length(json_object_get(console, "text"));
        json_decref(console);
        if (i == 0)
            first = length;
        if (length > first)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    ck_abort_msg("the guest writes nothing more");
}

static inline int64_t milliseconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static inline int run_suite(TCase *tests)
{
    Suite *suite = suite_create("control");
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
