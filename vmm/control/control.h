/*
 * The control socket: serves the protocol of cleave-control(7) on a Unix socket, for vmctl and programs. It
 * calls the machine through <cleave/cleave.h> only, on the event-loop thread only, and never waits for a client.
 */
#ifndef VMM_CONTROL_CONTROL_H
#define VMM_CONTROL_CONTROL_H

#include "vmm/base/failure.h"

#include <cleave/cleave.h>

#include <uv.h>

struct control;

/*
 * Listens at `path`. `quit` does what a client's `quit` asks for. A stale socket there is replaced; a live one, or
 * anything that is no socket, is left alone and makes this fail. NULL with *failure.
 */
struct control *control_listen(uv_loop_t *loop, struct cleave_family *family, const char *path,
                               void (*quit)(void *context), void *context, struct cleave_failure *failure);

/* Tells every client. */
void control_event(struct control *control, const struct cleave_event *event);

/*
 * Stops listening, removes the socket, and lets every client go once it has what was already said to it, or after half
 * a second. Ends while the loop runs, and frees *control then. The host is not called any more. May be called from
 * within a host call that a client's request made; that client still gets its reply. NULL is allowed.
 */
void control_close(struct control *control);

#endif
