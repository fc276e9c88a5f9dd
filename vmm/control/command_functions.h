/* The functions behind the table of commands (commands.c), by the file they are in. They take arguments as it has them.
 */
#ifndef VMM_CONTROL_COMMAND_FUNCTIONS_H
#define VMM_CONTROL_COMMAND_FUNCTIONS_H

#include "vmm/control/command.h"

/* queries.c */
command_fn query_version, query_guests, query_stats, query_translation, query_mappings, query_memory, query_console,
    query_marks, query_registers;

/* changes.c; the connection has the VMM end once the answer to do_quit() is on its way */
command_fn do_fork, do_pause, do_resume, do_kill, do_checkpoint, do_reset, do_write_memory, do_console_write, do_quit;

/* saving.c */
enum { SNAPSHOT_KIND_FULL, SNAPSHOT_KIND_DIFF };
command_start_fn start_snapshot, start_restore;

/* run.c, wait.c */
command_start_fn start_run, start_wait;

#endif
