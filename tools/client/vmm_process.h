/*
 * A VMM started for the length of a measurement or a test: its own temporary folder for the control socket and its
 * output, an end that leaves nothing behind, and death with the thread that started it.
 */
#ifndef CLIENT_VMM_PROCESS_H
#define CLIENT_VMM_PROCESS_H

#include "tools/client/client.h"

#include <stdbool.h>
#include <sys/types.h>

struct vmm_process;

/*
 * Starts argv[0] (a path, with no search of PATH) with the other arguments, NULL-ended. Unless `flags` has
 * VMM_PROCESS_NO_CONTROL, "--control SOCKET" is put before them. Standard input is empty; output and errors go to files
 * in the temporary folder. NULL with *error where the process could not be made; a program that cannot be executed
 * exits with 127. The child gets SIGKILL when the thread that called this ends.
 */
#define VMM_PROCESS_NO_CONTROL 1u
struct vmm_process *vmm_process_start(const char *const argv[], unsigned flags, struct client_error *error);

pid_t vmm_process_pid(const struct vmm_process *process);
const char *vmm_process_directory(const struct vmm_process *process); /* a place for a test's own files too */
const char *vmm_process_socket(const struct vmm_process *process);

/* A new client of it, waiting up to 10 s for its socket; fails at once, with its errors in *error, if it has ended. */
struct client *vmm_process_connect(struct vmm_process *process, struct client_error *error);

/* Its exit status, 128 + the signal that ended it, or -1 where it still runs after timeout_ms. May be asked again. */
int vmm_process_wait(struct vmm_process *process, int timeout_ms);
bool vmm_process_running(struct vmm_process *process);
void vmm_process_signal(struct vmm_process *process, int signal); /* nothing once it has ended */

/* What it has written so far to stdout and stderr, zero-ended, for the caller to free; NULL where out of memory. */
char *vmm_process_output(const struct vmm_process *process);
char *vmm_process_errors(const struct vmm_process *process);

/* Kills it where it still runs, and removes its folder with everything in it. NULL is allowed. */
void vmm_process_end(struct vmm_process *process);

/* The path of the built VMM and of files beside it: $BUILD/`name`, "build" by default.. */
void vmm_build_path(char *path, size_t size, const char *name);

#endif
