/*
 * The commands of the control protocol: the table that says which there are and what they take, and for each the one
 * call of vmm/family.h it makes and the JSON it makes of the answer.
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

static json_t *query_commands(struct cleave_family *family, const struct request *request,
                              struct cleave_failure *failure)
{
    (void)family, (void)request, (void)failure;
    json_t *list = json_array();
    for (size_t i = 0; i < control_command_count; i++)
        if (json_array_append_new(list, command_json(&control_commands[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *query_version(struct cleave_family *family, const struct request *request,
                             struct cleave_failure *failure)
{
    (void)request, (void)failure;
    struct cleave_facts facts;
    cleave_family_facts(family, &facts);
    return facts_json(&facts);
}

static json_t *query_guests(struct cleave_family *family, const struct request *request, struct cleave_failure *failure)
{
    (void)request;
    struct cleave_guest_info *guests;
    size_t count;
    if (cleave_family_guests(family, &guests, &count, failure) < 0)
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

static json_t *run_fork(struct cleave_family *family, const struct request *request, struct cleave_failure *failure)
{
    struct cleave_fork_report report = {0};
    if (cleave_guest_fork(family, guest_of(request), (unsigned)request->values[1], request->values[2] != 0, &report,
                          failure) < 0)
        return NULL;
    json_t *reply = fork_json(&report);
    cleave_fork_report_free(&report);
    return reply;
}

static json_t *run_pause(struct cleave_family *family, const struct request *request, struct cleave_failure *failure)
{
    return cleave_guest_pause(family, guest_of(request), failure) == 0 ? json_object() : NULL;
}

static json_t *run_resume(struct cleave_family *family, const struct request *request, struct cleave_failure *failure)
{
    return cleave_guest_resume(family, guest_of(request), failure) == 0 ? json_object() : NULL;
}

static json_t *run_kill(struct cleave_family *family, const struct request *request, struct cleave_failure *failure)
{
    return cleave_guest_kill(family, guest_of(request), failure) == 0 ? json_object() : NULL;
}

static json_t *run_checkpoint(struct cleave_family *family, const struct request *request,
                              struct cleave_failure *failure)
{
    struct cleave_checkpoint_report report;
    return cleave_guest_checkpoint(family, guest_of(request), &report, failure) == 0 ? checkpoint_json(&report) : NULL;
}

static json_t *run_reset(struct cleave_family *family, const struct request *request, struct cleave_failure *failure)
{
    struct cleave_reset_report report;
    return cleave_guest_reset(family, guest_of(request), &report, failure) == 0 ? reset_json(&report) : NULL;
}

static void on_snapshot(void *context, const struct cleave_save_report *report, const struct cleave_failure *failure)
{
    struct cleave_failure no_memory;
    if (report) {
        fail(&no_memory, CLEAVE_NO_MEMORY, "snapshot: out of memory for the reply");
        failure = &no_memory;
    }
    answer_give(context, report ? snapshot_json(report) : NULL, failure);
}

static int start_snapshot(struct cleave_family *family, const struct request *request, struct answer *answer,
                          struct cleave_failure *failure)
{
    const struct cleave_save_request wanted = {
        .guest = guest_of(request),
        .path = request->texts[1],
        .diff = request->values[2] == KIND_DIFF,
        .compress = request->values[3] != 0,
    };
    return cleave_guest_save(family, &wanted, on_snapshot, answer, failure);
}

static void on_restore(void *context, const struct cleave_restore_report *report, const struct cleave_failure *failure)
{
    struct cleave_failure no_memory;
    if (report) {
        fail(&no_memory, CLEAVE_NO_MEMORY, "restore: out of memory for the reply");
        failure = &no_memory;
    }
    answer_give(context, report ? restore_json(report) : NULL, failure);
}

static int start_restore(struct cleave_family *family, const struct request *request, struct answer *answer,
                         struct cleave_failure *failure)
{
    const struct cleave_restore_request wanted = {
        .path = request->texts[0],
        .paused = request->values[1] != 0,
        .eager = request->values[2] != 0,
    };
    return cleave_guest_restore(family, &wanted, on_restore, answer, failure);
}

static json_t *query_stats(struct cleave_family *family, const struct request *request, struct cleave_failure *failure)
{
    struct cleave_stats stats = {0};
    if (cleave_guest_stats(family, guest_of(request), &stats, failure) < 0)
        return NULL;
    return stats_json(&stats);
}

static json_t *run_translate(struct cleave_family *family, const struct request *request,
                             struct cleave_failure *failure)
{
    struct cleave_translation translation = {0};
    if (cleave_guest_translate(family, guest_of(request), request->values[1], &translation, failure) < 0)
        return NULL;
    return translation_json(&translation);
}

static json_t *query_mappings(struct cleave_family *family, const struct request *request,
                              struct cleave_failure *failure)
{
    size_t most = request->values[2], count;
    uint64_t next;
    struct cleave_mapping *list = calloc(most, sizeof *list);
    json_t *reply = NULL;
    if (list &&
        cleave_guest_mappings(family, guest_of(request), request->values[1], list, most, &count, &next, failure) == 0)
        reply = mappings_json(list, count, next);
    free(list);
    return reply;
}

static json_t *read_memory(struct cleave_family *family, const struct request *request, struct cleave_failure *failure)
{
    size_t length = request->values[2];
    unsigned char *bytes = malloc(length);
    json_t *reply = NULL;
    if (bytes && cleave_guest_read(family, guest_of(request), request->values[1], length, bytes, failure) == 0)
        reply = json_pack("{s:o}", "data", base64_json(bytes, length));
    free(bytes);
    return reply;
}

static json_t *query_console(struct cleave_family *family, const struct request *request,
                             struct cleave_failure *failure)
{
    char *text = malloc(CLEAVE_CONSOLE_MAX);
    size_t length;
    json_t *reply = NULL;
    if (text && cleave_guest_console(family, guest_of(request), text, &length, failure) == 0)
        reply = json_pack("{s:o}", "text", text_json(text, length));
    free(text);
    return reply;
}

static json_t *query_marks(struct cleave_family *family, const struct request *request, struct cleave_failure *failure)
{
    struct cleave_mark *marks;
    size_t count;
    if (cleave_guest_marks(family, guest_of(request), &marks, &count, failure) < 0)
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

/* The connection calls cleave_family_quit once the answer is on its way. */
static json_t *run_quit(struct cleave_family *family, const struct request *request, struct cleave_failure *failure)
{
    (void)family, (void)request, (void)failure;
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
                {.name = "count",
                 .type = ARGUMENT_INTEGER,
                 .default_value = 1,
                 .minimum = 1,
                 .maximum = CLEAVE_FORK_MAX},
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
                 .maximum = CLEAVE_MAPPINGS_MAX},
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
                {.name = "length",
                 .type = ARGUMENT_INTEGER,
                 .required = true,
                 .minimum = 1,
                 .maximum = CLEAVE_READ_MAX},
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
