/* vmctl's subcommands: their names, what each takes, and what help says of it. A new one is a line here and a function.
 */
#include "tools/vmctl/vmctl.h"

#include <string.h>

const struct subcommand subcommands[] = {
    {"guests", {0}, 0, run_guests, "list the guests", "Ended ones are listed too."},
    {"tree", {0}, 0, run_tree, "draw who was forked from whom", NULL},
    {"fork",
     {"[GUEST]"},
     OPTION_GUEST | OPTION_COUNT | OPTION_PAUSED,
     run_fork,
     "make children of a guest",
     "Without GUEST, of guest 0. All children are made, or none; they run at once unless --paused is given."},
    {"pause", {"GUEST"}, 0, run_pause, "stop a guest", NULL},
    {"resume", {"GUEST"}, 0, run_resume, "let it run on", NULL},
    {"kill",
     {"GUEST..."},
     OPTION_ALL,
     run_kill,
     "end guests",
     "Their children live on. One that has ended with a checkpoint gives that up. --all ends every guest that lives."},
    {"checkpoint", {"GUEST"}, 0, run_checkpoint, "make now what reset returns it to", NULL},
    {"reset",
     {"GUEST"},
     OPTION_PAUSED,
     run_reset,
     "return it to that, or to its birth",
     "One that has exited or crashed with a checkpoint runs again. --paused leaves it paused there."},
    {"run",
     {"GUEST"},
     OPTION_UNTIL | OPTION_TIMEOUT,
     run_run,
     "let it run until it stops",
     "It is paused then, or has ended. Exit status 4 where the time has passed. When vmctl is ended, the guest is "
     "paused."},
    {"wait",
     {"GUEST"},
     OPTION_TIMEOUT,
     run_wait,
     "wait for its end",
     "Says how it has ended. Exit status 4 where the time has passed before."},
    {"snapshot",
     {"GUEST", "FILE"},
     OPTION_DIFF | OPTION_COMPRESS,
     run_snapshot,
     "save it in a file",
     "It runs on meanwhile. The file appears when all of it is on disk."},
    {"restore",
     {"FILE"},
     OPTION_PAUSED | OPTION_EAGER,
     run_restore,
     "continue from a file",
     "Makes a guest that runs at once unless --paused is given."},
    {"snapshot-info", {"FILE"}, WITHOUT_VMM, run_snapshot_info, "what such a file is; asks no VMM", NULL},
    {"snapshot-verify",
     {"FILE"},
     WITHOUT_VMM,
     run_snapshot_verify,
     "read and check all of it; asks no VMM",
     "Those that it builds on are checked too."},
    {"stats", {"GUEST"}, 0, run_stats, "its counters", NULL},
    {"translate",
     {"GUEST", "GPA"},
     0,
     run_translate,
     "walk its page table at an address",
     "Exit status 3 where no page is there."},
    {"read-memory",
     {"GUEST", "GPA", "LENGTH"},
     OPTION_RAW,
     run_read_memory,
     "dump its memory",
     "In hexadecimal, or with --raw the bytes themselves."},
    {"write-memory",
     {"GUEST", "GPA", "FILE|-"},
     0,
     run_write_memory,
     "write a file's bytes to its memory",
     "From GPA on; - is standard input."},
    {"registers", {"GUEST"}, 0, run_registers, "those of its vCPUs", NULL},
    {"console-write",
     {"GUEST", "FILE|-"},
     0,
     run_console_write,
     "a file's bytes for its UART to receive",
     "- is standard input. What it has not read yet may be 4096 bytes."},
    {"console",
     {"GUEST"},
     OPTION_FOLLOW,
     run_console,
     "the last it wrote",
     "At most 64 KiB. --follow goes on with what it writes then, until it ends."},
    {"marks",
     {"GUEST"},
     0,
     run_marks,
     "the marks it made",
     "The last 65536 of them, also those from before anybody listened."},
    {"events",
     {"[NAME...]"},
     OPTION_GUEST | OPTION_PAST,
     run_events,
     "follow what happens, until the VMM ends",
     "All events, or those with these names and of this guest. They are shown from now on: of what was before, the "
     "VMM\n"
     "keeps the marks only, which --past shows first, and 'vmctl marks GUEST' by themselves."},
    {"version", {0}, 0, run_version, "what the VMM and its host are", NULL},
    {"commands",
     {0},
     0,
     run_commands,
     "what the VMM can be asked",
     "These are the control protocol's; see cleave-control(7)."},
    {"quit", {0}, 0, run_quit, "end every guest and the VMM", NULL},
    {"help", {"[COMMAND]"}, WITHOUT_VMM, run_help, "this list, or what a command takes", NULL},
};

const size_t subcommand_count = sizeof subcommands / sizeof subcommands[0];

const struct subcommand *find_subcommand(const char *name)
{
    for (size_t i = 0; i < subcommand_count; i++)
        if (strcmp(subcommands[i].name, name) == 0)
            return &subcommands[i];
    return NULL;
}

bool parameter_is_optional(const char *parameter)
{
    return parameter[0] == '[';
}

bool parameter_is_list(const char *parameter)
{
    return strstr(parameter, "...") != NULL;
}

bool parameter_is_number(const char *parameter)
{
    const char *name = parameter + parameter_is_optional(parameter);
    return strncmp(name, "FILE", 4) != 0 && strncmp(name, "NAME", 4) != 0 && strncmp(name, "COMMAND", 7) != 0;
}
