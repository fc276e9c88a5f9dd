/*
 * The control socket: serves the protocol of include/cleave/control.md on a Unix socket, for vmctl and programs. It
 * calls the machine through vmm/host.h only, on the event-loop thread only, and never waits for a client.
 */
#ifndef VMM_CONTROL_CONTROL_H
#define VMM_CONTROL_CONTROL_H

#include "vmm/base/failure.h"
#include "vmm/family/family.h"

#include <uv.h>

struct control;

/*
 * Listens at `path` and becomes the host's receiver of events. A stale socket there is replaced; a live one, or
 * anything that is no socket, is left alone and makes this fail. NULL with *failure.
 */
struct control *control_listen(uv_loop_t *loop, struct host *host, const char *path, struct failure *failure);

/*
 * Stops listening, removes the socket, and lets every client go once it has what was already said to it, or after half
 * a second. Ends while the loop runs, and frees *control then. The host is not called any more. May be called from
 * within a host call that a client's request made; that client still gets its reply. NULL is allowed.
 */
void control_close(struct control *control);

#endif
