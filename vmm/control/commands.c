/* The table of the protocol's commands: which there are, what they take, and which function does each. */
#include "vmm/control/commands.h"
#include "vmm/control/command_functions.h"
#include "vmm/control/message.h"
#include "vmm/control/values.h"

#include <limits.h>

/* Of the reply to a fork: {"id":9223372036854775807,"ready_ns":9223372036854775807}, */
#define FORK_CHILD_MAX 64

/* As SNAPSHOT_KIND_ numbers them. */
static const char *const kinds[] = {[SNAPSHOT_KIND_FULL] = "full", [SNAPSHOT_KIND_DIFF] = "diff", NULL};

/* As enum cleave_stop_reason numbers them, so that a set of them is what cleave_guest_begin_run() takes. */
static const char *const stops[] = {
    [CLEAVE_STOP_EXIT] = "exit", [CLEAVE_STOP_CRASH] = "crash", [CLEAVE_STOP_HALT] = "halt",
    [CLEAVE_STOP_MARK] = "mark", [CLEAVE_STOP_READY] = "ready", NULL,
};
#define EVERY_END (1 << CLEAVE_STOP_EXIT | 1 << CLEAVE_STOP_CRASH | 1 << CLEAVE_STOP_HALT)

static const char *const waited_for[] = {"end", NULL};

static json_t *query_commands(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    (void)service, (void)request, (void)failure;
    json_t *list = json_array();
    for (size_t i = 0; i < control_commands.count; i++)
        if (json_array_append_new(list, command_json(&control_commands.list[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
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

#define DATA(most)                                                                                                     \
    {                                                                                                                  \
        .name = "data", .type = ARGUMENT_DATA, .required = true, .minimum = 1, .maximum = (most)                       \
    }

/* 0 would be taken for no limit by some and for no time by others, so it is refused. */
#define TIMEOUT                                                                                                        \
    {                                                                                                                  \
        .name = "timeout_ms", .type = ARGUMENT_INTEGER, .default_value = ARGUMENT_ABSENT, .minimum = 1,                \
        .maximum = INT64_MAX                                                                                           \
    }

static const struct command commands[] = {
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
        .run = do_fork,
        .reply_max = REPLY_MAX + FORK_CHILD_MAX * CLEAVE_FORK_MAX,
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
        .run = do_pause,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "resume",
        .description = "let a paused guest run on",
        .run = do_resume,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "kill",
        .description = "end a guest",
        .run = do_kill,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "checkpoint",
        .description = "what a guest is now is what reset returns it to",
        .run = do_checkpoint,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "reset",
        .description = "return a guest to its last checkpoint, or to the fork or restore that made it",
        .run = do_reset,
        .argument_count = 2,
        .arguments = {GUEST, {.name = "paused", .type = ARGUMENT_BOOLEAN, .default_value = ARGUMENT_ABSENT}},
    },
    {
        .name = "run",
        .description = "let a guest run until it stops, and is paused then",
        .start = start_run,
        .argument_count = 3,
        .arguments =
            {
                GUEST,
                {.name = "until", .type = ARGUMENT_SET, .default_value = EVERY_END, .choices = stops},
                TIMEOUT,
            },
    },
    {
        .name = "wait",
        .description = "wait for a guest's end",
        .start = start_wait,
        .argument_count = 3,
        .arguments =
            {
                GUEST,
                {.name = "for", .type = ARGUMENT_CHOICE, .default_value = 0, .choices = waited_for},
                TIMEOUT,
            },
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
                {.name = "kind", .type = ARGUMENT_CHOICE, .default_value = SNAPSHOT_KIND_FULL, .choices = kinds},
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
        .run = query_translation,
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
        .run = query_memory,
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
        .name = "write-memory",
        .description = "write bytes, given as base64, to a guest's memory",
        .run = do_write_memory,
        .argument_count = 3,
        .arguments = {GUEST, GPA, DATA(CLEAVE_READ_MAX)},
    },
    {
        .name = "query-registers",
        .description = "the registers of a guest's vCPUs",
        .run = query_registers,
        .argument_count = 1,
        .arguments = {GUEST},
    },
    {
        .name = "console-write",
        .description = "bytes, given as base64, for a guest's UART to receive",
        .run = do_console_write,
        .argument_count = 2,
        .arguments = {GUEST, DATA(CLEAVE_CONSOLE_INPUT_MAX)},
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
        .run = do_quit,
        .quits = true,
    },
};

const struct command_table control_commands = {commands, sizeof commands / sizeof commands[0]};
