/*
 * The commands of the control protocol: the table that says which there are and what they take, and for each the one
 * call of vmm/host.h it makes and the JSON it makes of the answer.
 */
#include "vmm/control/request.h"
#include "vmm/control/text.h"
#include "vmm/control/values.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Kinds of snapshots, by number. */
enum { KIND_FULL, KIND_DIFF };
static const char *const kinds[] = {[KIND_FULL] = "full", [KIND_DIFF] = "diff", NULL};

/* For every command about one guest, its first argument. */
static uint64_t guest_of(const struct request *request)
{
    return request->values[0];
}

static json_t *query_commands(struct host *host, const struct request *request, struct failure *failure)
{
    (void)host, (void)request, (void)failure;
    json_t *list = json_array();
    for (size_t i = 0; i < control_command_count; i++)
        if (json_array_append_new(list, command_json(&control_commands[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *query_version(struct host *host, const struct request *request, struct failure *failure)
{
    (void)request, (void)failure;
    struct host_facts facts;
    host_facts(host, &facts);
    return facts_json(&facts);
}

static json_t *query_guests(struct host *host, const struct request *request, struct failure *failure)
{
    (void)request;
    struct guest_info *guests;
    size_t count;
    if (host_guests(host, &guests, &count, failure) < 0)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < count && list; i++)
        if (json_array_append_new(list, guest_json(&guests[i])) < 0) {
            json_decref(list);
            list = NULL;
        }
    free(guests);
    return list;
}

static json_t *run_fork(struct host *host, const struct request *request, struct failure *failure)
{
    struct fork_report report = {0};
    if (host_fork(host, guest_of(request), (unsigned)request->values[1], request->values[2] != 0, &report, failure) < 0)
        return NULL;
    json_t *reply = fork_json(&report);
    fork_report_free(&report);
    return reply;
}

static json_t *run_pause(struct host *host, const struct request *request, struct failure *failure)
{
    return host_pause(host, guest_of(request), failure) == 0 ? json_object() : NULL;
}

static json_t *run_resume(struct host *host, const struct request *request, struct failure *failure)
{
    return host_resume(host, guest_of(request), failure) == 0 ? json_object() : NULL;
}

static json_t *run_kill(struct host *host, const struct request *request, struct failure *failure)
{
    return host_kill(host, guest_of(request), failure) == 0 ? json_object() : NULL;
}

static json_t *run_checkpoint(struct host *host, const struct request *request, struct failure *failure)
{
    struct checkpoint_report report;
    return host_checkpoint(host, guest_of(request), &report, failure) == 0 ? checkpoint_json(&report) : NULL;
}

static json_t *run_reset(struct host *host, const struct request *request, struct failure *failure)
{
    struct reset_report report;
    return host_reset(host, guest_of(request), &report, failure) == 0 ? reset_json(&report) : NULL;
}

static void on_snapshot(void *context, const struct snapshot_report *report, const struct failure *failure)
{
    struct failure no_memory;
    if (report) {
        fail(&no_memory, FAIL_NO_MEMORY, "snapshot: out of memory for the reply");
        failure = &no_memory;
    }
    answer_give(context, report ? snapshot_json(report) : NULL, failure);
}

static int start_snapshot(struct host *host, const struct request *request, struct answer *answer,
                          struct failure *failure)
{
    const struct snapshot_request wanted = {
        .guest = guest_of(request),
        .path = request->texts[1],
        .diff = request->values[2] == KIND_DIFF,
        .compress = request->values[3] != 0,
    };
    return host_snapshot(host, &wanted, on_snapshot, answer, failure);
}

static void on_restore(void *context, const struct restore_report *report, const struct failure *failure)
{
    struct failure no_memory;
    if (report) {
        fail(&no_memory, FAIL_NO_MEMORY, "restore: out of memory for the reply");
        failure = &no_memory;
    }
    answer_give(context, report ? restore_json(report) : NULL, failure);
}

static int start_restore(struct host *host, const struct request *request, struct answer *answer,
                         struct failure *failure)
{
    const struct restore_request wanted = {
        .path = request->texts[0],
        .paused = request->values[1] != 0,
        .eager = request->values[2] != 0,
    };
    return host_restore(host, &wanted, on_restore, answer, failure);
}

static json_t *query_stats(struct host *host, const struct request *request, struct failure *failure)
{
    struct guest_stats stats = {0};
    if (host_stats(host, guest_of(request), &stats, failure) < 0)
        return NULL;
    return stats_json(&stats);
}

static json_t *run_translate(struct host *host, const struct request *request, struct failure *failure)
{
    struct translation translation = {0};
    if (host_translate(host, guest_of(request), request->values[1], &translation, failure) < 0)
        return NULL;
    return translation_json(&translation);
}

static json_t *query_mappings(struct host *host, const struct request *request, struct failure *failure)
{
    size_t most = request->values[2], count;
    uint64_t next;
    struct mapping *list = calloc(most, sizeof *list);
    json_t *reply = NULL;
    if (list && host_mappings(host, guest_of(request), request->values[1], list, most, &count, &next, failure) == 0)
        reply = mappings_json(list, count, next);
    free(list);
    return reply;
}

static json_t *read_memory(struct host *host, const struct request *request, struct failure *failure)
{
    size_t length = request->values[2];
    unsigned char *bytes = malloc(length);
    json_t *reply = NULL;
    if (bytes && host_read_memory(host, guest_of(request), request->values[1], length, bytes, failure) == 0)
        reply = json_pack("{s:o}", "data", base64_json(bytes, length));
    free(bytes);
    return reply;
}

static json_t *query_console(struct host *host, const struct request *request, struct failure *failure)
{
    char *text = malloc(HOST_CONSOLE_MAX);
    size_t length;
    json_t *reply = NULL;
    if (text && host_console(host, guest_of(request), text, &length, failure) == 0)
        reply = json_pack("{s:o}", "text", text_json(text, length));
    free(text);
    return reply;
}

static json_t *query_marks(struct host *host, const struct request *request, struct failure *failure)
{
    struct mark *marks;
    size_t count;
    if (host_marks(host, guest_of(request), &marks, &count, failure) < 0)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < count && list; i++)
        if (json_array_append_new(list, mark_json(&marks[i])) < 0) {
            json_decref(list);
            list = NULL;
        }
    free(marks);
    return list;
}

/* The connection calls host_quit once the answer is on its way. */
static json_t *run_quit(struct host *host, const struct request *request, struct failure *failure)
{
    (void)host, (void)request, (void)failure;
    return json_object();
}

#define GUEST                                                                                                          \
    {                                                                                                                  \
        .name = "guest", .type = ARGUMENT_INTEGER, .required = true, .maximum = INT64_MAX                              \
    }
#define GPA                                                                                                            \
    {                                                                                                                  \
        .name = "gpa", .type = ARGUMENT_INTEGER, .required = true, .maximum = INT64_MAX                                \
    }

#define PATH                                                                                                           \
    {                                                                                                                  \
        .name = "path", .type = ARGUMENT_TEXT, .required = true, .minimum = 1, .maximum = PATH_MAX - 1                 \
    }

const struct command control_commands[] = {
    {
        .name = "query-commands",
        .description = "the commands and their arguments",
        .run = query_commands,
    },
    {
        .name = "query-version",
        .description = "versions, and what this host offers",
        .run = query_version,
    },
    {
        .name = "query-guests",
        .description = "every guest, ended ones included",
        .run = query_guests,
    },
    {
        .name = "fork",
        .description = "make children of a guest; all of them or none",
        .run = run_fork,
        .argument_count = 3,
        .arguments =
            {
                {.name = "guest", .type = ARGUMENT_INTEGER, .default_value = 0, .maximum = INT64_MAX},
                {.name = "count", .type = ARGUMENT_INTEGER, .default_value = 1, .minimum = 1, .maximum = HOST_FORK_MAX},
                {.name = "paused", .type = ARGUMENT_BOOLEAN, .default_value = false},
            },
    },
    {
        .name = "pause",
        .description = "stop a guest's vCPUs",
        .run = run_pause,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "resume",
        .description = "let a paused guest run on",
        .run = run_resume,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "kill",
        .description = "end a guest",
        .run = run_kill,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "checkpoint",
        .description = "what a guest is now is what reset returns it to",
        .run = run_checkpoint,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "reset",
        .description = "return a guest to its last checkpoint, or to the fork or restore that made it",
        .run = run_reset,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "snapshot",
        .description = "save a guest in a file while it runs on",
        .start = start_snapshot,
        .argument_count = 4,
        .arguments =
            {
                GUEST,
                PATH,
                {.name = "kind", .type = ARGUMENT_CHOICE, .default_value = KIND_FULL, .choices = kinds},
                {.name = "compress", .type = ARGUMENT_BOOLEAN, .default_value = false},
            },
    },
    {
        .name = "restore",
        .description = "make a guest that continues from a snapshot",
        .start = start_restore,
        .argument_count = 3,
        .arguments =
            {
                PATH,
                {.name = "paused", .type = ARGUMENT_BOOLEAN, .default_value = false},
                {.name = "eager", .type = ARGUMENT_BOOLEAN, .default_value = false},
            },
    },
    {
        .name = "query-stats",
        .description = "a guest's counters",
        .run = query_stats,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "translate",
        .description = "walk a guest's page table at an address",
        .run = run_translate,
        .argument_count = 2,
        .arguments = {GUEST, GPA},
    },
    {
        .name = "query-mappings",
        .description = "what a guest's page table maps, in runs of alike pages",
        .run = query_mappings,
        .argument_count = 3,
        .arguments =
            {
                {.name = "guest", .type = ARGUMENT_INTEGER, .default_value = 0, .maximum = INT64_MAX},
                {.name = "gpa", .type = ARGUMENT_INTEGER, .default_value = 0, .maximum = INT64_MAX},
                {.name = "count",
                 .type = ARGUMENT_INTEGER,
                 .default_value = 1024,
                 .minimum = 1,
                 .maximum = HOST_MAPPINGS_MAX},
            },
    },
    {
        .name = "read-memory",
        .description = "bytes of a guest's memory, as base64",
        .run = read_memory,
        .argument_count = 3,
        .arguments =
            {
                GUEST,
                GPA,
                {.name = "length", .type = ARGUMENT_INTEGER, .required = true, .minimum = 1, .maximum = HOST_READ_MAX},
            },
    },
    {
        .name = "query-console",
        .description = "the last 64 KiB a guest wrote to its console",
        .run = query_console,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "query-marks",
        .description = "the marks a guest has made",
        .run = query_marks,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "quit",
        .description = "end every guest and the VMM",
        .run = run_quit,
        .quits = true,
    },
};

const size_t control_command_count = sizeof control_commands / sizeof control_commands[0];
